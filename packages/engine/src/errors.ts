/** A program uses something that has no lowering. The message names it and the function that uses it. */
export class UnsupportedPrimitiveError extends Error {
  override readonly name = "UnsupportedPrimitiveError";
  readonly what: string;

  constructor(
    what: string,
    programName?: string,
    /** The line that uses it, where that is known. */
    readonly line?: string,
  ) {
    const place = line ? ` at ${line}` : "";
    super(
      `${programName ? `The program "${programName}" uses` : "A program uses"} the jax-js primitive ${what}${place}, which cannot be ` +
        'lowered to ONNX. Rewrite that part with other operations, or let jax-js run it (the option fallback: "jax-js").',
    );
    this.what = what;
  }
}

/** jax-js refused what a function does, e.g. to add arrays whose shapes do not fit. `cause` is its own error. */
export class TracingError extends Error {
  override readonly name = "TracingError";

  constructor(
    programName: string,
    problem: string,
    /** The user's line, e.g. "/home/me/train.ts:12:20", where it is known. */
    readonly line: string | undefined,
    argumentsInWords: string,
    cause: unknown,
  ) {
    super(
      `${line ?? "In its function"}: ${problem.replace(/\.$/, "")}. ` +
        `(Compiling "${programName}" for the arguments ${argumentsInWords}.)`,
      { cause },
    );
  }
}

/** A program was given arguments that it was not compiled for, or was used after `dispose`. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
}

/** A program was to run on a device that this machine does not have. */
export class MissingDeviceError extends Error {
  override readonly name = "MissingDeviceError";

  constructor(
    programName: string,
    readonly device: string,
    reason: string,
    /** The devices that are there. */
    readonly present: readonly string[],
    remedy: string,
  ) {
    super(
      `The program "${programName}" was to run on "${device}", which is not there: ${reason.replace(/\.$/, "")}. ` +
        `Devices that are there: ${present.join(", ")}.${remedy && ` ${remedy}`}`,
    );
  }
}

/** Steps whose number nothing would tell. */
export const noStepInputs = (name: string): ProgramError =>
  new ProgramError(
    `The steps of "${name}" have no inputs. Give them at least one, e.g. the number of the step: its leading axis ` +
      "is the number of steps of a run.",
  );

/** A run gave a value that is not finite, and the program was compiled with `checkFinite`. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";

  constructor(
    programName: string,
    /** The step in which it happened; the first is 1. */
    readonly step: number,
    /** Path of the leaf of the result, e.g. "loss"; empty where the result is a single tensor. */
    readonly output: string,
    problem: string,
  ) {
    super(
      `Step ${step} of "${programName}" gave ${output ? `a result "${output}"` : "a result"} that is not finite: ${problem}. ` +
        "Often the learning rate is too high, or a logarithm, a root or a quotient met a zero.",
    );
  }
}

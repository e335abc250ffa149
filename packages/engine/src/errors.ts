/** A program uses something that has no lowering. The message names it and the function that uses it. */
export class UnsupportedPrimitiveError extends Error {
  override readonly name = "UnsupportedPrimitiveError";
  readonly what: string;

  constructor(what: string, programName?: string) {
    super(
      `${programName ? `The program "${programName}" uses` : "A program uses"} the jax-js primitive ${what}, which cannot be ` +
        'lowered to ONNX. Rewrite that part with other operations, or let jax-js run it (the option fallback: "jax-js").',
    );
    this.what = what;
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

import type { Array as JaxArray } from "@jax-js/jax";
import { noStepInputs, ProgramError } from "./errors.js";
import {
  type CompileOptions,
  copyOf,
  Executable,
  fromOrt,
  type TracedFunction,
  toOrt,
} from "./executable.js";
import type { Steps } from "./fallback/stepwise-session.js";
import { FiniteCheck } from "./finite.js";
import type { OnnxModel } from "./onnx/model.js";
import { overSteps } from "./onnx/scan.js";
import { checkCarry, leafPaths } from "./signature.js";
import {
  flattenTree,
  isBranch,
  leavesInOrderOf,
  type MapTree,
  type Tensor,
  type TensorData,
  zeros,
} from "./tensor.js";
import { type NewShapesOptions, Variants } from "./variants.js";

export type { CompileOptions, NewShapesOptions };

interface ProgramBase {
  /** Threads that a run uses. */
  readonly threads: number;
  /** What of the program has no lowering and runs on jax-js: primitives, or kinds of them. Empty in a browser, where all does. */
  readonly fallbacks: readonly string[];
  /**
   * The program as an ONNX file of standard operators, with named and documented inputs and outputs. Throws
   * ProgramError where some of it runs on jax-js.
   */
  toOnnx(): Uint8Array;
  /** Frees the session once the runs that began before have ended; doing it twice is harmless. Using the program afterwards throws ProgramError. */
  dispose(): Promise<void>;
  /** The same as `dispose`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A compiled function of tensors. */
export interface Program<Args extends readonly unknown[], Result> extends ProgramBase {
  run(...args: Args): Promise<Result>;
}

/** A compiled step `(carry, ...inputs) => [carry, result]`; it keeps the carry between runs. */
export interface CarryProgram<Carry, Inputs extends readonly unknown[], Result> extends ProgramBase {
  /** One step: replaces the carry and returns the rest of the result. */
  run(...inputs: Inputs): Promise<Result>;
  /** A copy of the carry as it is at the call. */
  carry(): Promise<Carry>;
  /** Replaces the carry, e.g. by that of a checkpoint. */
  setCarry(carry: Carry): void;
}

/** A tree of a traced function's arrays, as the caller of the compiled program sees it. */
export type Outside<T> = MapTree<T, JaxArray, Tensor>;

type OutsideAll<Args extends readonly unknown[]> = { [K in keyof Args]: Outside<Args[K]> };

/**
 * Compiles a jax-js function for ONNX Runtime. `fn` may use each array as often as it likes: reference counts are
 * not its concern. Only shapes and types of `exampleArgs` (trees of Tensors) matter. What ONNX Runtime cannot do runs
 * on jax-js.
 *
 * @throws TracingError where jax-js refuses what `fn` does, e.g. for shapes that do not fit
 * @throws UnsupportedPrimitiveError where `fn` uses what has no lowering and `options.fallback` is "refuse"
 */
export async function compile<Args extends readonly unknown[], Result>(
  fn: (...args: Args) => Result,
  exampleArgs: OutsideAll<Args>,
  options: CompileOptions & NewShapesOptions = {},
): Promise<Program<OutsideAll<Args>, Outside<Result>>> {
  const create = (args: readonly unknown[]) => Executable.create(fn as TracedFunction, args, options);
  const program = await create(exampleArgs);
  const variants = new Variants(program, create, options);
  const finite = options.checkFinite ? new FiniteCheck(program.name) : undefined;
  const dispose = () => variants.dispose();
  return {
    threads: program.threads,
    fallbacks: program.fallbacks,
    async run(...args) {
      const found = variants.for(args);
      // A run begins at once where nothing is to be compiled, so that a dispose() right after it waits for it.
      const fitting = found instanceof Promise ? await found : found;
      const result = fitting.rebuild(await fitting.execute(fitting.feeds(args, 0)));
      finite?.check(result);
      return result as Outside<Result>;
    },
    toOnnx: () => program.toOnnx(),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/**
 * Compiles a step `(carry, ...inputs) => [newCarry, result]` and keeps the carry inside, in two sets of buffers that
 * take turns as input and output, so that no step copies it. The new carry must have the carry's tree, shapes and
 * types. `exampleArgs[0]` is the first carry.
 */
export async function compileStep<Carry, Inputs extends readonly unknown[], Result>(
  fn: (carry: Carry, ...inputs: Inputs) => readonly [Carry, Result],
  exampleArgs: readonly [Outside<Carry>, ...OutsideAll<Inputs>],
  options: CompileOptions = {},
): Promise<CarryProgram<Outside<Carry>, OutsideAll<Inputs>, Outside<Result>>> {
  return keepingCarry(fn as TracedFunction, exampleArgs, options);
}

/**
 * Compiles a step `(carry, inputs, constants) => [newCarry, result]` to be taken any number of times in one run, as
 * `lax.scan` does in JAX: a small step costs less than a call does. `exampleArgs` are those of one step. A run takes
 * `inputs` with a leading axis of steps on every leaf, `[steps, ...]`, and `constants`, which all its steps share, as
 * they are; it returns the results of all its steps, `[steps, ...]`. The bits are those of as many runs of one step.
 *
 * @throws ProgramError where `inputs` has no leaf, so that the number of steps would be unknown
 */
export async function compileSteps<Carry, Inputs, Constants extends readonly unknown[], Result>(
  fn: (carry: Carry, inputs: Inputs, ...constants: Constants) => readonly [Carry, Result],
  exampleArgs: readonly [Outside<Carry>, Outside<Inputs>, ...OutsideAll<Constants>],
  options: CompileOptions = {},
): Promise<CarryProgram<Outside<Carry>, [Outside<Inputs>, ...OutsideAll<Constants>], Outside<Result>>> {
  const name = options.name ?? (fn.name || "program");
  const [carries, inputs] = exampleArgs.slice(0, 2).map((arg) => flattenTree(arg)[0].length);
  if (inputs === 0) throw noStepInputs(name);
  return keepingCarry(fn as TracedFunction, exampleArgs, options, { carries, inputs });
}

async function keepingCarry<Carry, Inputs extends readonly unknown[], Result>(
  fn: TracedFunction,
  args: readonly unknown[],
  options: CompileOptions,
  steps?: Steps,
): Promise<CarryProgram<Carry, Inputs, Result>> {
  const name = options.name ?? (fn.name || "program");
  const step = (carry: unknown, ...inputs: unknown[]) => {
    const pair = fn(...([carry, ...inputs] as never[]));
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new ProgramError(`The step "${name}" must return [carry, result].`);
    }
    return [carryLeaves(name, args[0], pair[0]), pair[1]];
  };
  const [first, rebuildCarry] = flattenTree<Tensor>(args[0]);
  const carryPaths = leafPaths([args[0]]);
  const adapt = (model: OnnxModel) => {
    checkCarry(name, carryPaths, model.inputs, model.outputs);
    return steps ? overSteps(model, steps.carries, steps.inputs) : model;
  };
  const program = await Executable.create(step, args, { ...options, name }, adapt, steps);

  let current = first.map((leaf) => toOrt(copyOf(leaf)));
  let spare = first.map((leaf) => toOrt(zeros(leaf.shape, leaf.dtype)));
  let running = false;
  const finite = options.checkFinite ? new FiniteCheck(program.name, steps !== undefined) : undefined;
  return {
    threads: program.threads,
    fallbacks: program.fallbacks,
    async run(...inputs) {
      if (running) throw program.busy();
      running = true;
      try {
        const feeds = program.feeds(inputs, 1);
        current.forEach((tensor, i) => {
          feeds[program.inputNames[i]] = tensor;
        });
        const results = await program.execute(feeds, spare);
        [current, spare] = [spare, current];
        const [, result] = program.rebuild(results) as [unknown, unknown];
        finite?.check(result);
        return result as Result;
      } finally {
        running = false;
      }
    },
    carry: async () => rebuildCarry(current.map((tensor) => copyOf(fromOrt(tensor)))) as Carry,
    setCarry(carry) {
      if (running) throw program.busy();
      const leaves = program.signature.leaves([carry], 0, 1);
      leaves.forEach((leaf, i) => {
        (current[i].data as TensorData).set(leaf.data);
      });
    },
    toOnnx: () => program.toOnnx(),
    dispose: () => program.dispose(),
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}

/** The leaves of a step's new carry in the order of its carry's; refused where the trees differ. */
function carryLeaves(name: string, carry: unknown, next: unknown): unknown[] {
  const refuse = (what: string) =>
    new ProgramError(`The step "${name}" must return its carry as it takes it: ${what} in the new carry.`);
  const leaves = leavesInOrderOf(carry, next, (path, problem) => refuse(`${path} is ${problem}`));
  if (leaves.some(isBranch)) throw refuse("a tree stands in place of an array");
  return leaves;
}

import * as ort from "onnxruntime-node";
import { traceProgram } from "./checked-trace.js";
import type { Device } from "./devices.js";
import { ProgramError } from "./errors.js";
import type { Session } from "./fallback/segmented-session.js";
import type { Steps } from "./fallback/stepwise-session.js";
import { warnOfLargeConstants } from "./large-constants.js";
import { encodeModel, type OnnxModel } from "./onnx/model.js";
import { type Opened, openProgram } from "./open.js";
import type { CacheOption } from "./session.js";
import { flattenTree, leavesInOrderOf, namedLeaves, Tensor, type TensorData } from "./tensor.js";
import { describe } from "./trace.js";

export interface CompileOptions {
  /** Name in errors and in the ONNX file. Default: the function's name. */
  name?: string;
  /** Where it runs. Default: "cpu". `devices()` lists those that are there. */
  device?: Device;
  /**
   * Threads of one run. Default: 1 for programs whose products take fewer than about 100 million multiply-and-adds,
   * where more threads cost more than they bring; else one for each core.
   */
  threads?: number;
  /** Names of the result's leaves in the ONNX file. Default: out0, out1, ... */
  outputNames?: readonly string[];
  /** The same bits in every run and with every number of threads. Default: true. */
  deterministic?: boolean;
  /**
   * What to do with primitives that have no lowering: run those parts on jax-js's own backend, or refuse to compile.
   * Each change from one to the other costs some tens of microseconds a run. Default: "jax-js".
   */
  fallback?: "jax-js" | "refuse";
  /** Keep the memory of a run for the next one, on the CPU. Default: true. */
  arena?: boolean;
  /**
   * Folder where the optimized form of larger programs is kept, so that the next process starts sooner; `false` keeps
   * nothing. Default: `compiled` in `OUTGROW_HOME`, or in the platform's folder for caches.
   */
  cache?: CacheOption;
  /**
   * Refuse results with numbers that are not finite: the run then throws NonFiniteError, which tells the step and the
   * output. Of a step only the result is looked at, not the carry. Default: false.
   */
  checkFinite?: boolean;
}

export type TracedFunction = (...args: never[]) => unknown;

const OTHER_SHAPES =
  ' With `onNewShapes: "recompile"` compile() makes a function for each shape that it meets.';

/** A traced function as a session of ONNX Runtime, with checks of what it is given. */
export class Executable {
  private session: Session | undefined;
  private latestRun: ReturnType<Session["run"]> | undefined;

  private constructor(
    readonly name: string,
    private readonly opened: Opened,
    private readonly inputPaths: readonly string[],
    /** The trees of the arguments, with the path of each leaf in its place. */
    private readonly argumentTrees: readonly unknown[],
    readonly rebuild: (leaves: unknown[]) => unknown,
  ) {
    this.session = opened.session;
  }

  /** `adapt` is given the model of `fn`, without its nodes where a part runs on jax-js; `steps` says what it makes of it. */
  static async create(
    fn: TracedFunction,
    args: readonly unknown[],
    options: CompileOptions,
    adapt: (model: OnnxModel) => OnnxModel = (model) => model,
    steps?: Steps,
  ): Promise<Executable> {
    const name = options.name ?? (fn.name || "program");
    const traced = await traceProgram(name, fn, args);
    warnOfLargeConstants(name, traced.constants);
    const paths = namedLeaves(args as never, (node): node is never => node instanceof Tensor).map(
      ([path]) => path,
    );
    const opened = await openProgram({ name, fn, args, traced, paths, options, adapt, steps });
    return new Executable(
      name,
      opened,
      paths,
      flattenTree(args)[1](paths) as unknown[],
      traced.unflattenOutput,
    );
  }

  get threads(): number {
    return this.opened.threads;
  }

  get fallbacks(): readonly string[] {
    return this.opened.fallbacks;
  }

  get inputNames(): string[] {
    return this.opened.model.inputs.map(({ name }) => name);
  }

  /** The tensors of the arguments from the one with index `first` on, under the names of their inputs; checked. */
  feeds(args: readonly unknown[], first: number): Record<string, ort.Tensor> {
    const leaves = this.leaves(args, first, this.argumentTrees.length);
    const offset = this.inputNames.length - leaves.length;
    return Object.fromEntries(leaves.map((leaf, i) => [this.inputNames[offset + i], toOrt(leaf)]));
  }

  /** The leaves of the arguments with indices from `first` to before `end`, in the order of the inputs; checked. */
  leaves(args: readonly unknown[], first: number, end: number): Tensor[] {
    const [leaves, offset] = this.inOrder(args, first, end);
    const lengths = new Map<string, number>();
    leaves.forEach((leaf, i) => {
      this.checkLeaf(leaf, offset + i, lengths);
    });
    return leaves as Tensor[];
  }

  /**
   * The shapes of arguments that differ from those that it was compiled for in shapes alone, as a key; undefined for
   * the shapes that it was compiled for and for what no compilation could mend.
   */
  otherShapes(args: readonly unknown[]): string | undefined {
    const [leaves] = this.inOrder(args, 0, this.argumentTrees.length);
    const types = this.opened.model.inputs;
    const isOfType = (leaf: unknown, i: number): leaf is Tensor =>
      leaf instanceof Tensor && leaf.dtype === types[i].dtype;
    if (!leaves.every(isOfType)) return undefined;
    const shapes = leaves.map(({ shape }) => shape.join());
    return shapes.some((shape, i) => shape !== types[i].shape.join()) ? shapes.join(";") : undefined;
  }

  /** The leaves of some of the arguments in the order of the inputs, and the index of the first input. */
  private inOrder(args: readonly unknown[], first: number, end: number): [unknown[], number] {
    const number = (list: readonly unknown[]) => Object.fromEntries(list.map((arg, i) => [first + i, arg]));
    const trees = number(this.argumentTrees.slice(first, end));
    const [paths] = flattenTree<string>(trees);
    const offset = this.inputPaths.indexOf(paths[0]);
    const leaves = leavesInOrderOf(trees, number(args), (path, problem) => {
      const what = problem === "missing" ? "is missing" : "is not one that it was compiled for";
      return new ProgramError(`Argument ${path} of "${this.name}" ${what}.`);
    });
    return [leaves, offset];
  }

  /** `lengths` are those that the arguments before this one gave to axes of no fixed length. */
  private checkLeaf(leaf: unknown, index: number, lengths: Map<string, number>): void {
    const { dtype, shape } = this.opened.model.inputs[index];
    const fits = (size: number | string, given: number) => {
      if (typeof size === "number") return given === size;
      if (!lengths.has(size)) lengths.set(size, given);
      return given === lengths.get(size) && given > 0;
    };
    if (
      leaf instanceof Tensor &&
      leaf.dtype === dtype &&
      leaf.shape.length === shape.length &&
      shape.every((size, axis) => fits(size, leaf.shape[axis]))
    ) {
      return;
    }
    const given = leaf instanceof Tensor ? `${leaf.dtype}[${leaf.shape}]` : describe(leaf);
    const known = [...lengths]
      .filter(([name]) => shape.includes(name))
      .map(([name, size]) => `, ${name} = ${size}`);
    throw new ProgramError(
      `Argument ${this.inputPaths[index]} of "${this.name}" must be ${dtype}[${shape}]${known.join("")}, as it was ` +
        `compiled for; given: ${given}.${leaf instanceof Tensor && leaf.dtype === dtype ? OTHER_SHAPES : ""}`,
    );
  }

  /** Runs the session. The first outputs are written into `into`; the others are newly allocated. */
  async execute(feeds: Record<string, ort.Tensor>, into: readonly ort.Tensor[] = []): Promise<Tensor[]> {
    if (!this.session) throw this.afterDispose();
    const fetches: Record<string, ort.Tensor | null> = {};
    const { outputs } = this.opened.model;
    outputs.forEach((output, i) => {
      fetches[output.name] = into[i] ?? null;
    });
    this.latestRun = this.session.run(feeds, fetches);
    const results = await this.latestRun;
    return outputs.map((output) => fromOrt(results[output.name]));
  }

  toOnnx(): Uint8Array {
    if (this.fallbacks.length > 0) {
      throw new ProgramError(
        `The program "${this.name}" cannot be written as an ONNX file: it runs ${this.fallbacks.join(", ")} on jax-js, ` +
          "since it has no lowering for that. Rewrite that part with other operations; the option " +
          'fallback: "refuse" tells already when it is compiled.',
      );
    }
    return encodeModel(this.opened.standardModel());
  }

  busy(): ProgramError {
    return new ProgramError(`A step of "${this.name}" is still running; await it first.`);
  }

  afterDispose(): ProgramError {
    return new ProgramError(`The program "${this.name}" was used after dispose().`);
  }

  async dispose(): Promise<void> {
    const session = this.session;
    this.session = undefined;
    // Runs end in the order in which they began.
    await this.latestRun?.catch(() => {});
    await session?.release();
  }
}

export const toOrt = (tensor: Tensor): ort.Tensor => new ort.Tensor(tensor.dtype, tensor.data, tensor.shape);

export function fromOrt({ type, data, dims }: ort.Tensor): Tensor {
  const given = data as TensorData;
  // Where there is a Float16Array, ONNX Runtime gives that; a Tensor holds the bits.
  const bits = () => new Uint16Array(given.buffer, given.byteOffset, given.length);
  return new Tensor(type === "float16" ? bits() : given, dims);
}

export const copyOf = (tensor: Tensor): Tensor => new Tensor(tensor.data.slice(), tensor.shape);

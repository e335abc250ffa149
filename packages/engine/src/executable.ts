import { availableParallelism } from "node:os";
import * as ort from "onnxruntime-node";
import { lowerProgram, traceProgram } from "./checked-trace.js";
import { type Device, sessionOn } from "./devices.js";
import { ProgramError } from "./errors.js";
import { warnOfLargeConstants } from "./large-constants.js";
import type { Lowered } from "./lower/lower.js";
import { finish } from "./onnx/finish.js";
import { encodeModel, type OnnxModel, type OnnxPort } from "./onnx/model.js";
import { type CacheOption, createSession } from "./session.js";
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

/** Programs with fewer multiply-and-adds than this run on one thread: a 40-256-256-64 MLP step (35 million) takes as long on two. */
const SINGLE_THREAD_BELOW = 100e6;

const OTHER_SHAPES =
  ' With `onNewShapes: "recompile"` compile() makes a function for each shape that it meets.';

/** A traced function as a session of ONNX Runtime, with checks of what it is given. */
export class Executable {
  private session: ort.InferenceSession | undefined;
  private latestRun: Promise<ort.InferenceSession.ReturnType> | undefined;

  private constructor(
    readonly name: string,
    private readonly model: OnnxModel,
    session: ort.InferenceSession,
    readonly threads: number,
    readonly inputNames: readonly string[],
    private readonly inputPaths: readonly string[],
    /** The trees of the arguments, with the path of each leaf in its place. */
    private readonly argumentTrees: readonly unknown[],
    private readonly inputTypes: readonly OnnxPort[],
    private readonly outputs: Lowered["outputs"],
    readonly rebuild: (leaves: unknown[]) => unknown,
  ) {
    this.session = session;
  }

  static async create(
    fn: TracedFunction,
    args: readonly unknown[],
    options: CompileOptions,
    adapt: (model: OnnxModel) => OnnxModel = (model) => model,
  ): Promise<Executable> {
    const name = options.name ?? (fn.name || "program");
    const traced = await traceProgram(name, fn, args);
    const lowered = await lowerProgram(name, fn, args, traced);
    warnOfLargeConstants(name, traced.constants);
    const paths = namedLeaves(args as never, (node): node is never => node instanceof Tensor).map(
      ([path]) => path,
    );
    const model = adapt(finish(name, lowered, paths, options.outputNames ?? []));
    const parallel = lowered.multiplyAdds >= SINGLE_THREAD_BELOW;
    const threads = options.threads ?? (parallel ? availableParallelism() : 1);
    const device = options.device ?? "cpu";
    const sessionOptions: ort.InferenceSession.SessionOptions = {
      executionProviders: [device],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: "all",
      enableCpuMemArena: options.arena ?? true,
      // Memory planned ahead spares a small program 4 microseconds a run, and costs a large one a third more memory.
      enableMemPattern: !parallel,
      extra: { session: { use_deterministic_compute: options.deterministic === false ? "0" : "1" } },
    };
    const session = await (device === "cpu"
      ? createSession(model, sessionOptions, options.cache)
      : sessionOn(device, name, encodeModel(model), sessionOptions));
    return new Executable(
      name,
      model,
      session,
      threads,
      model.inputs.map((port) => port.name),
      paths,
      flattenTree(args)[1](paths) as unknown[],
      model.inputs,
      model.outputs.map((port, i) => ({ ...lowered.outputs[i], name: port.name })),
      traced.unflattenOutput,
    );
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
    const types = this.inputTypes;
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
    const { dtype, shape } = this.inputTypes[index];
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
    this.outputs.forEach((output, i) => {
      fetches[output.name] = into[i] ?? null;
    });
    this.latestRun = this.session.run(feeds, fetches);
    const results = await this.latestRun;
    return this.outputs.map((output) => fromOrt(results[output.name] as ort.Tensor));
  }

  toOnnx(): Uint8Array {
    return encodeModel(this.model);
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

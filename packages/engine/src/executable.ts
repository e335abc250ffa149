import { availableParallelism } from "node:os";
import * as ort from "onnxruntime-node";
import { channelBlock } from "./channel-block.js";
import { type Device, sessionOn } from "./devices.js";
import { ProgramError, UnsupportedPrimitiveError } from "./errors.js";
import { SegmentedSession, type Session } from "./fallback/segmented-session.js";
import { unlowered } from "./fallback/segments.js";
import { type Steps, StepwiseSession } from "./fallback/stepwise-session.js";
import { type Lowered, lower } from "./lower/lower.js";
import { finish } from "./onnx/finish.js";
import { encodeModel, type OnnxModel, type OnnxPort } from "./onnx/model.js";
import { flattenTree, leavesInOrderOf, namedLeaves, Tensor, type TensorData } from "./tensor.js";
import { describe, type Traced, trace } from "./trace.js";

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
   * Each change from one to the other costs about 30 microseconds a run. Default: "jax-js".
   */
  fallback?: "jax-js" | "refuse";
}

export type TracedFunction = (...args: never[]) => unknown;

/** Programs with fewer multiply-and-adds than this run on one thread: a 40-256-256-64 MLP step (35 million) takes as long on two. */
const SINGLE_THREAD_BELOW = 100e6;

interface Opened {
  session: Session;
  /** The whole program; without its nodes where a part of it runs on jax-js. */
  model: OnnxModel;
  /** The same in standard operators only, for a file. */
  standardModel: () => OnnxModel;
  threads: number;
  fallbacks: readonly string[];
}

/** The program as one session; undefined where something in it has no lowering and may run on jax-js. */
async function openLowered(
  name: string,
  traced: Traced,
  paths: readonly string[],
  options: CompileOptions,
  adapt: (model: OnnxModel) => OnnxModel,
): Promise<Opened | undefined> {
  // On other devices, and in the ONNX file, convolutions are the standard operator.
  const onCpu = (options.device ?? "cpu") === "cpu";
  const convolves = traced.jaxpr.eqns.some(({ primitive }) => primitive === "conv");
  const block = onCpu && convolves ? await channelBlock() : 1;
  let lowered: Lowered;
  try {
    lowered = lower(traced, block);
  } catch (error) {
    if (!(error instanceof UnsupportedPrimitiveError)) throw error;
    if (options.fallback === "refuse") throw new UnsupportedPrimitiveError(error.what, name);
    return undefined;
  }
  const modelOf = (graph: Lowered) => adapt(finish(name, graph, paths, options.outputNames ?? []));
  const model = modelOf(lowered);
  const standardModel = () => (block === 1 ? model : modelOf(lower(traced)));
  return { ...(await createSession(name, model, lowered, options)), model, standardModel, fallbacks: [] };
}

/** The program as several sessions, with what has no lowering left to jax-js. */
async function openSegmented(
  name: string,
  traced: Traced,
  paths: readonly string[],
  options: CompileOptions,
  adapt: (model: OnnxModel) => OnnxModel,
  steps: Steps | undefined,
): Promise<Opened> {
  const reasons = unlowered(traced.jaxpr);
  let threads = 1;
  const session = await SegmentedSession.create(
    traced,
    (equation) => !reasons.has(equation),
    async (lowered) => {
      const model = finish(
        name,
        lowered,
        lowered.inputs.map(() => ""),
        [],
      );
      const part = await createSession(name, model, lowered, options);
      threads = Math.max(threads, part.threads);
      return part.session;
    },
  );
  const inputs = traced.inputs.map(({ dtype, shape }, i) => ({
    name: `in${i}`,
    dtype: dtype as OnnxPort["dtype"],
    shape,
    doc: `argument ${paths[i]}`,
  }));
  try {
    const model = adapt({ name, doc: "", nodes: [], initializers: [], inputs, outputs: session.outputs });
    return {
      session: steps ? new StepwiseSession(session, steps) : session,
      model,
      standardModel: () => model,
      threads,
      fallbacks: [...new Set([...reasons.values()].map(({ what }) => what))],
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function createSession(
  name: string,
  model: OnnxModel,
  { multiplyAdds }: Lowered,
  options: CompileOptions,
): Promise<{ session: Session; threads: number }> {
  const parallel = multiplyAdds >= SINGLE_THREAD_BELOW;
  const threads = options.threads ?? (parallel ? availableParallelism() : 1);
  const session = await sessionOn(options.device ?? "cpu", name, encodeModel(model), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    // Memory planned ahead spares a small program 4 microseconds a run, and costs a large one a third more memory.
    enableMemPattern: !parallel,
    extra: { session: { use_deterministic_compute: options.deterministic === false ? "0" : "1" } },
  });
  return { session, threads };
}

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
    const traced = await trace(fn, args);
    const paths = namedLeaves(args as never, (node): node is never => node instanceof Tensor).map(
      ([path]) => path,
    );
    const opened =
      (await openLowered(name, traced, paths, options, adapt)) ??
      (await openSegmented(name, traced, paths, options, adapt, steps));
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
    const number = (list: readonly unknown[]) => Object.fromEntries(list.map((arg, i) => [first + i, arg]));
    const trees = number(this.argumentTrees.slice(first, end));
    const [paths] = flattenTree<string>(trees);
    const offset = this.inputPaths.indexOf(paths[0]);
    const leaves = leavesInOrderOf(trees, number(args), (path, problem) => {
      const what = problem === "missing" ? "is missing" : "is not one that it was compiled for";
      return new ProgramError(`Argument ${path} of "${this.name}" ${what}.`);
    });
    const lengths = new Map<string, number>();
    leaves.forEach((leaf, i) => {
      this.checkLeaf(leaf, offset + i, lengths);
    });
    return leaves as Tensor[];
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
        `compiled for; given: ${given}.`,
    );
  }

  /** Runs the session. The first outputs are written into `into`; the others are newly allocated. */
  async execute(feeds: Record<string, ort.Tensor>, into: readonly ort.Tensor[] = []): Promise<Tensor[]> {
    if (!this.session) throw new ProgramError(`The program "${this.name}" was used after dispose().`);
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

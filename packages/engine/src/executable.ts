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
import { leafPaths, Signature } from "./signature.js";
import { Tensor, type TensorData } from "./tensor.js";

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

  readonly inputNames: readonly string[];

  private constructor(
    readonly name: string,
    private readonly opened: Opened,
    readonly signature: Signature,
    readonly rebuild: (leaves: unknown[]) => unknown,
  ) {
    this.session = opened.session;
    this.inputNames = opened.model.inputs.map((port) => port.name);
  }

  /** `adapt` is given the model of `fn`, without its nodes where a part runs on jax-js; `steps` says what it makes of it. */
  static async create(
    fn: TracedFunction,
    args: readonly unknown[],
    options: CompileOptions,
    adapt?: (model: OnnxModel) => OnnxModel,
    steps?: Steps,
  ): Promise<Executable> {
    const name = options.name ?? (fn.name || "program");
    const traced = await traceProgram(name, fn, args);
    warnOfLargeConstants(name, traced.constants);
    const source = { name, fn, args, traced, paths: leafPaths(args), options, steps };
    const opened = await openProgram({ ...source, adapt: adapt ?? ((model) => model) });
    const signature = new Signature(name, args, opened.model.inputs, adapt ? "" : OTHER_SHAPES);
    return new Executable(name, opened, signature, traced.unflattenOutput);
  }

  get threads(): number {
    return this.opened.threads;
  }

  get fallbacks(): readonly string[] {
    return this.opened.fallbacks;
  }

  /** The tensors of the arguments from the one with index `first` on, under the names of their inputs; checked. */
  feeds(args: readonly unknown[], first: number): Record<string, ort.Tensor> {
    const leaves = this.signature.leaves(args, first);
    const offset = this.inputNames.length - leaves.length;
    return Object.fromEntries(leaves.map((leaf, i) => [this.inputNames[offset + i], toOrt(leaf)]));
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

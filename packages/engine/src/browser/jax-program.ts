import * as jax from "@jax-js/jax";
import { ProgramError, UnsupportedPrimitiveError } from "../errors.js";
import type { CompileOptions, TracedFunction } from "../executable.js";
import { halfBits, halfValues } from "../float16.js";
import { type Lowered, lower } from "../lower/lower.js";
import { finish } from "../onnx/finish.js";
import { encodeModel } from "../onnx/model.js";
import { type LeafType, Signature } from "../signature.js";
import { Tensor, type TensorData } from "../tensor.js";
import { type Jaxpr, type Traced, trace } from "../trace.js";
import { backendOf } from "./devices.js";
import { laidOut } from "./laid-out.js";

/** The carry of a step, kept on the device. */
export interface HeldCarry {
  /**
   * Runs the step and replaces the carry; keeps the carry that it has where the run fails. Gives the leaves of all
   * that the step returns, those of the carry for their places only.
   */
  step(inputs: readonly Tensor[]): Promise<unknown[]>;
  /** A copy of the carry as it is at the call. */
  read(): Promise<Tensor[]>;
  write(leaves: readonly Tensor[]): void;
}

/** A traced function on jax-js's own WebGPU or Wasm backend. */
export class JaxProgram {
  readonly signature: Signature;
  readonly outputTypes: readonly LeafType[];
  private readonly jaxpr: Jaxpr;
  /** The arrays on the device that the program owns: what the function captures, and carries. */
  private readonly owned = new Set<jax.Array>();
  private readonly constants: readonly jax.Array[];
  private readonly running = new Set<Promise<unknown>>();
  private disposed = false;

  private constructor(
    readonly name: string,
    args: readonly unknown[],
    private readonly traced: Traced,
    private readonly backend: jax.Device,
    private readonly outputNames: readonly string[],
  ) {
    this.signature = new Signature(name, args, traced.inputs);
    this.outputTypes = traced.jaxpr.outs.map(({ aval }) => aval);
    this.jaxpr = laidOut(traced.jaxpr);
    this.constants = this.own(
      traced.constants.map(({ data, ...type }) => upload(data as TensorData, type, backend)),
    );
  }

  static async create(
    fn: TracedFunction,
    args: readonly unknown[],
    options: CompileOptions,
  ): Promise<JaxProgram> {
    const name = options.name ?? (fn.name || "program");
    const backend = await backendOf(options.device ?? "cpu", name);
    return new JaxProgram(name, args, await trace(fn, args), backend, options.outputNames ?? []);
  }

  /** jax-js chooses them: one for each core where the page may share memory between threads. */
  get threads(): number {
    const shared = typeof SharedArrayBuffer !== "undefined" && typeof Worker !== "undefined";
    return shared && this.backend === "wasm" ? navigator.hardwareConcurrency : 1;
  }

  /** Runs on the leaves of all arguments and gives those of the result. */
  async call(leaves: readonly Tensor[]): Promise<Tensor[]> {
    return this.untilDone(() => download(this.invoke(this.upload(leaves))));
  }

  /** Takes in the first carry of a step. */
  hold(first: readonly Tensor[]): HeldCarry {
    let carry = this.own(this.upload(first));
    const replace = (next: readonly jax.Array[]) => {
      this.free(carry);
      carry = this.own(next);
    };
    return {
      step: (inputs) =>
        this.untilDone(async () => {
          const outputs = this.invoke([...carry.map((array) => array.ref), ...this.upload(inputs)]);
          const next = outputs.slice(0, carry.length);
          // A result that is waited for brings all that was begun with it along; but where jax-js's threads are at
          // work, what they have not finished cannot be read.
          const isAhead = this.backend !== "wasm" && outputs.length > next.length;
          if (!isAhead) await jax.blockUntilReady(next as never);
          const results = await download(outputs.slice(carry.length));
          replace(next);
          return [...next, ...results];
        }),
      read: () => this.untilDone(() => download(carry.map((array) => array.ref))),
      write: (leaves) => {
        if (this.disposed) throw this.afterDispose();
        replace(this.upload(leaves));
      },
    };
  }

  /** Runs the traced program. Consumes the arrays that it is given. */
  private invoke(inputs: readonly jax.Array[]): jax.Array[] {
    const all = [...this.constants.map((array) => array.ref), ...inputs];
    try {
      const outputs = evaluate(this.name, this.jaxpr, all);
      for (const array of outputs.splice(this.traced.jaxpr.outs.length)) array.dispose();
      return outputs;
    } catch (error) {
      for (const array of all) array.dispose();
      throw error;
    }
  }

  rebuild(leaves: unknown[]): unknown {
    return this.traced.unflattenOutput(leaves);
  }

  toOnnx(): Uint8Array {
    const lowered = lowerNamed(this.traced, this.name);
    return encodeModel(finish(this.name, lowered, this.signature.inputPaths, this.outputNames));
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    await Promise.allSettled(this.running);
    this.free([...this.owned]);
  }

  private async untilDone<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.disposed) throw this.afterDispose();
    const promise = work();
    this.running.add(promise);
    try {
      return await promise;
    } finally {
      this.running.delete(promise);
    }
  }

  private afterDispose(): ProgramError {
    return new ProgramError(`The program "${this.name}" was used after dispose().`);
  }

  private upload(leaves: readonly Tensor[]): jax.Array[] {
    return leaves.map((leaf) => upload(leaf.data, leaf, this.backend));
  }

  private own(arrays: readonly jax.Array[]): readonly jax.Array[] {
    for (const array of arrays) this.owned.add(array);
    return arrays;
  }

  private free(arrays: readonly jax.Array[]): void {
    for (const array of arrays) if (this.owned.delete(array)) array.dispose();
  }
}

/** What jax-js does on meeting a call of a jitted function, whose program is here the traced one. */
interface Evaluator {
  processPrimitive(primitive: "jit", inputs: readonly jax.Array[], params: object): jax.Array[];
}

function evaluate(name: string, jaxpr: Jaxpr, inputs: readonly jax.Array[]): jax.Array[] {
  const any = inputs[0] ?? jax.numpy.zeros([]);
  const evaluator = (any as unknown as { _trace: Evaluator })._trace;
  return evaluator.processPrimitive("jit", inputs, { name, jaxpr, numConsts: 0 });
}

/** jax-js keeps booleans as 32-bit integers, a Tensor as bytes; and it takes float16 as numbers, a Tensor has their bits. */
function upload(
  data: TensorData,
  { dtype, shape }: { dtype: string; shape: readonly number[] },
  device: jax.Device,
): jax.Array {
  const isHalf = dtype === "float16" && data instanceof Uint16Array;
  const values = dtype === "bool" ? Int32Array.from(data) : isHalf ? halfValues(data) : data;
  return jax.numpy.array(values as never, { dtype: dtype as jax.DType, shape: [...shape], device });
}

function toTensor(dtype: string, shape: readonly number[], data: ArrayLike<number>): Tensor {
  if (dtype === "bool") return new Tensor(Uint8Array.from(data), shape);
  return new Tensor(dtype === "float16" ? halfBits(data) : (data as TensorData), shape);
}

const download = (arrays: readonly jax.Array[]): Promise<Tensor[]> =>
  Promise.all(
    arrays.map(async (array) => {
      const { dtype, shape } = array;
      return toTensor(dtype, shape, (await array.data()) as ArrayLike<number>);
    }),
  );

function lowerNamed(traced: Traced, name: string): Lowered {
  try {
    return lower(traced);
  } catch (error) {
    if (error instanceof UnsupportedPrimitiveError) throw new UnsupportedPrimitiveError(error.what, name);
    throw error;
  }
}

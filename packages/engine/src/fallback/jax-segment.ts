import * as jax from "@jax-js/jax";
import { withFloat16Array } from "../float16-array.js";
import type { Atom, Constant, Equation, Jaxpr, Variable } from "../trace.js";
import { isVariable } from "./segments.js";

/**
 * A dense array between the segments of a program. Booleans are bytes, and float16 numbers are kept as float32, for
 * which Node 20 has an array.
 */
export type Held = Constant;

type PrimitiveRules = Record<string, (inputs: jax.Array[], params: Equation["params"]) => jax.Array[]>;

/** jax-js's own implementations of its primitives, on arrays. Each consumes its operands. */
const primitives = (jax.Array as unknown as { _implRules(): PrimitiveRules })._implRules();

/** The part of a program that runs on jax-js's own backend: Wasm where there is WebAssembly, else plain JavaScript. */
export class JaxSegment {
  private constructor(
    private readonly jaxpr: Jaxpr,
    private readonly device: jax.Device,
    private constants: readonly jax.Array[],
  ) {}

  static async create(jaxpr: Jaxpr, constants: readonly Held[]): Promise<JaxSegment> {
    // Asking for one backend by name keeps jax-js from looking for a GPU by `navigator`, which Node 20 has not.
    const present = await jax.init("wasm");
    const atoms = jaxpr.eqns.flatMap(({ inputs, outBinders }) => [...inputs, ...outBinders]);
    const half = atoms.some(({ aval }) => aval.dtype === "float16"); // which the Wasm backend does not know
    const device: jax.Device = present.includes("wasm") && !half ? "wasm" : "cpu";
    return new JaxSegment(
      jaxpr,
      device,
      withFloat16Array(() => constants.map((constant) => toJax(constant, device))),
    );
  }

  /** Runs the segment on values for its inputs that are no constants. */
  run(values: readonly Held[]): Held[] {
    return withFloat16Array(() => this.evaluate(values).map(fromJax));
  }

  /**
   * Equation by equation: jax-js keeps views and broadcasts virtual on its arrays, while its jit refuses a routine
   * such as a triangular solve on an operand that is a view of an argument.
   */
  private evaluate(values: readonly Held[]): jax.Array[] {
    const uses = new Map<Variable, number>();
    for (const atom of [...this.jaxpr.eqns.flatMap((equation) => equation.inputs), ...this.jaxpr.outs]) {
      if (isVariable(atom)) uses.set(atom, (uses.get(atom) ?? 0) + 1);
    }
    const live = new Map<Variable, jax.Array>();
    const write = (variable: Variable, array: jax.Array) => {
      if (uses.has(variable)) live.set(variable, array);
      else array.dispose();
    };
    /** The array for one use; the last use takes the reference that was kept. */
    const read = (atom: Atom): jax.Array => {
      if (!isVariable(atom)) return literal(atom.value, atom.aval, this.device);
      const array = live.get(atom) as jax.Array;
      const left = (uses.get(atom) as number) - 1;
      uses.set(atom, left);
      if (left > 0) return array.ref;
      live.delete(atom);
      return array;
    };
    try {
      const given = this.constants.length;
      this.jaxpr.inBinders.forEach((variable, i) => {
        write(variable, i < given ? this.constants[i].ref : toJax(values[i - given], this.device));
      });
      for (const { primitive, inputs, params, outBinders } of this.jaxpr.eqns) {
        const results = primitives[primitive](inputs.map(read), params);
        outBinders.forEach((variable, i) => {
          write(variable, inType(results[i], variable.aval.dtype));
        });
      }
      return this.jaxpr.outs.map(read);
    } finally {
      for (const array of live.values()) array.dispose();
    }
  }

  dispose(): void {
    for (const constant of this.constants) constant.dispose();
    this.constants = [];
  }
}

function toJax({ dtype, shape, data }: Held, device: jax.Device): jax.Array {
  // jax-js keeps booleans as 32-bit integers.
  const numbers = dtype === "bool" ? Int32Array.from(data as Uint8Array) : data;
  const type = (dtype === "float16" ? "float32" : dtype) as jax.DType;
  const array = jax.numpy.array(numbers as Float32Array<ArrayBuffer>, {
    shape: [...shape],
    dtype: type,
    device,
  });
  return inType(array, dtype);
}

/** Reads an array, and so consumes it. Only workers' results would have to be waited for, and they are not used here. */
function fromJax(array: jax.Array): Held {
  const { dtype, shape } = array;
  const data = inType(array, dtype === "float16" ? "float32" : dtype).dataSync();
  return { dtype, shape, data: dtype === "bool" ? Uint8Array.from(data, (x) => (x ? 1 : 0)) : data };
}

/** A number in a program; a weakly typed one takes the type of what it meets. */
function literal(value: number, aval: Atom["aval"], device: jax.Device): jax.Array {
  if (aval.weakType && aval.dtype === "float32") return jax.numpy.array(value, { device });
  return jax.numpy.array(value, { dtype: aval.dtype as jax.DType, device });
}

/** Arrays that come into a segment are no longer weakly typed, so that a result may have been promoted too far. */
const inType = (array: jax.Array, dtype: string): jax.Array =>
  array.dtype === dtype ? array : array.astype(dtype as jax.DType);

import * as jax from "@jax-js/jax";
import type { Atom, Jaxpr, Variable } from "../trace.js";

/** Primitives that take their operands as they lie in memory. */
const direct = new Set([
  "pad",
  "concatenate",
  "sort",
  "argsort",
  "scatter",
  "triangular_solve",
  "cholesky",
  "lu",
  "jacobi_eigh",
  "fft",
]);

const views = new Set(["transpose", "broadcast", "reshape", "flip", "shrink", "pad"]);

/**
 * The program with what jax-js 0.1.25 compiles wrongly as further results, for results it always lays out in memory,
 * by themselves. Else
 * - a sort, scatter or other routine of a view, e.g. of a reshape, stops with "input is not imm";
 * - a pad of a view of a constant repeats the constant where zeros belong;
 * - a reduction of booleans along no axis that is cast stops with "invalid type for convert_i32_s".
 */
export function laidOut(jaxpr: Jaxpr): Jaxpr {
  const viewed = new Set<Atom>();
  const further = new Set<Variable>();
  for (const { primitive, inputs, outBinders } of jaxpr.eqns) {
    if (direct.has(primitive)) {
      for (const atom of inputs) if (viewed.has(atom)) further.add(atom as Variable);
    }
    if (views.has(primitive)) viewed.add(outBinders[0]);
    if (primitive === "reduce" && outBinders[0].aval.dtype === "bool") further.add(outBinders[0]);
  }
  const Program = jax.Jaxpr as unknown as new (...parts: unknown[]) => Jaxpr;
  return new Program(jaxpr.inBinders, jaxpr.eqns, [...jaxpr.outs, ...further]);
}

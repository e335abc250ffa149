import * as jax from "@jax-js/jax";
import { compile } from "../compile.js";
import type { Tensor } from "../tensor.js";

type Fn = (...args: jax.Array[]) => jax.Array;

/** Compiles, runs once and frees. */
export async function runCompiled(fn: Fn, args: readonly Tensor[], threads = 1): Promise<Tensor> {
  const program = await compile(fn, args as never, { threads });
  try {
    return (await program.run(...(args as never[]))) as unknown as Tensor;
  } finally {
    await program.dispose();
  }
}

/** The same by jax-js, as numbers. */
export function runJax(fn: Fn, args: readonly Tensor[]): number[] {
  const arrays = args.map(({ data, dtype, shape }) =>
    jax.numpy.array(dtype === "bool" ? Int32Array.from(data) : (data as Float32Array), {
      dtype: dtype as jax.DType,
      shape: [...shape],
    }),
  );
  return Array.from<number>(fn(...arrays).dataSync());
}

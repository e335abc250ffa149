import * as jax from "@jax-js/jax";
import { expect } from "vitest";
import { compile } from "../compile.js";
import { Tensor } from "../tensor.js";
import { withoutReferenceCounts } from "../trace.js";

type ArrayFunction = (...args: jax.Array[]) => jax.Array;

/** Numbers of no particular pattern between -1 and 1, the same each time. */
export function sample(shape: readonly number[], seed = 1): Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    Float32Array.from(
      { length: size },
      (_, i) => Math.sin(12.9898 * (i + 1) + 4.1 * seed) * Math.cos(0.37 * i),
    ),
    shape,
  );
}

/** The value of `fn` and the gradients, by all arguments, of a scalar that weighs each element of it differently. */
function withGradients(fn: ArrayFunction, count: number) {
  return (...args: jax.Array[]) => {
    const loss = (...inner: jax.Array[]) => {
      const y = fn(...inner);
      return y.mul(jax.numpy.sin(y.add(1))).sum();
    };
    const [, gradients] = jax.valueAndGrad(loss, { argnums: Array.from({ length: count }, (_, i) => i) })(
      ...args,
    );
    return [fn(...args), ...(gradients as unknown as jax.Array[])];
  };
}

/**
 * By jax-js itself; null where it cannot: it refuses gradients of convolutions that cut more than the image, and
 * windows that overlap along one axis and reach beyond the end along another.
 */
function byJax(fn: (...args: jax.Array[]) => jax.Array[], arrays: jax.Array[]): ArrayLike<number>[] | null {
  try {
    return withoutReferenceCounts(() => fn(...arrays)).map((array) => array.dataSync());
  } catch (error) {
    if (error instanceof Error && /too negative for input size|invalid shrink/.test(error.message))
      return null;
    throw error;
  }
}

/**
 * Checks that `fn` of these tensors, compiled, has the value and the gradients that jax-js itself computes. Returns
 * whether there was anything to compare.
 */
export async function expectAgreement(
  fn: ArrayFunction,
  args: readonly Tensor[],
  tolerance = 1e-5,
): Promise<boolean> {
  const all = withGradients(fn, args.length);
  const arrays = args.map(({ data, shape }) => jax.numpy.array(data as Float32Array, { shape: [...shape] }));
  const expected = byJax(all, arrays);
  for (const array of arrays) array.dispose();
  if (expected === null) return false;
  const program = await compile(all as never, args as never, { name: "agreement" });
  const results = (await program.run(...(args as never[]))) as unknown as Tensor[];
  await program.dispose();
  expect(results.length).toBe(expected.length);
  results.forEach((result, k) => {
    expect(result.data.length).toBe(expected[k].length);
    const largest = Array.from(expected[k]).reduce((most, x) => Math.max(most, Math.abs(x)), 1);
    result.data.forEach((x, i) => {
      const excess = Math.abs(x - expected[k][i]) / (tolerance * largest);
      if (!(excess <= 1)) {
        const what = k === 0 ? "the value" : `the gradient by argument ${k - 1}`;
        throw new Error(`Element ${i} of ${what} is ${x}; jax-js gives ${expected[k][i]}.`);
      }
    });
  });
  return true;
}

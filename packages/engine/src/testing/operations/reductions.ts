import * as jax from "@jax-js/jax";
import {
  broadcast,
  choose,
  type Draws,
  float,
  js,
  type Maker,
  number,
  pair,
  slotsOf,
  unary,
} from "./operation.js";

const { numpy: np, nn } = jax;

/** A reduction over some of the axes, kept or not. */
const reduction = (
  dtypes: readonly string[],
  table: Record<string, (x: jax.Array, axis: number[], keepdims: boolean) => jax.Array>,
): Maker =>
  unary(dtypes, 0, ({ shape }, draws) => {
    const name = draws.pick(Object.keys(table));
    const axes = draws.subset(shape.length);
    const keepdims = draws.below(2) === 1;
    return [`${name}($, axes ${js(axes)}, keepdims ${keepdims})`, (x) => table[name](x, axes, keepdims)];
  });

/** Subscripts for two arrays: axes of equal length may share a letter; any of the letters remain. */
function subscripts(a: readonly number[], b: readonly number[], draws: Draws): string {
  const left = [..."abcdef"].slice(0, a.length);
  const unused = [..."uvwxyz"];
  const right: string[] = [];
  for (const length of b) {
    const same = left.filter((letter, i) => a[i] === length && !right.includes(letter));
    right.push(same.length > 0 && draws.below(4) > 0 ? draws.pick(same) : (unused.shift() as string));
  }
  const letters = [...new Set([...left, ...right])];
  const kept = draws.permutation(letters.length).map((i) => letters[i]);
  const out = kept.filter(() => draws.below(3) > 0).slice(0, 4);
  return `${left.join("")},${right.join("")}->${out.join("")}`;
}

/** By letters, as numbers: jax-js's own reading of the letters needs Node 22. */
function einsum(pattern: string, x: jax.Array, y: jax.Array): jax.Array {
  const [a, b, out] = pattern.split(/,|->/).map((letters) => [...letters].map((c) => c.charCodeAt(0) - 97));
  return np.einsum(x, a, y, b, out);
}

/** The product along the last axis that every other one comes down to. */
function lastDot(x: jax.Array, y: jax.Array): jax.Array {
  const [rank, letters] = [Math.max(x.ndim, y.ndim), "abcdef"];
  const [a, b] = [x, y].map((array) => letters.slice(rank - array.ndim, rank));
  if (x.shape.at(-1) !== y.shape.at(-1) || js(x.shape.slice(-y.ndim)) !== js(y.shape.slice(-x.ndim)))
    return x.mul(y).sum(-1);
  return einsum(`${a},${b}->${letters.slice(0, rank - 1)}`, x, y);
}

export const reductions: Record<string, Maker> = {
  reduce: reduction(number, {
    sum: (x, axis, keepdims) => x.sum(axis, { keepdims }),
    max: (x, axis, keepdims) => x.max(axis, { keepdims }),
    min: (x, axis, keepdims) => x.min(axis, { keepdims }),
    // Away from 0, where the gradient is 0 / 0.
    "prod of 1/2 + squares": (x, axis, keepdims) => x.ref.mul(x).add(0.5).prod(axis, { keepdims }),
    mean: (x, axis, keepdims) => x.mean(axis, { keepdims }),
  }),
  "reduce booleans": reduction(["bool"], {
    any: (x, axis, keepdims) => x.any(axis, { keepdims }),
    all: (x, axis, keepdims) => x.all(axis, { keepdims }),
  }),
  cumulative: unary(number, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    const table: Record<string, (x: jax.Array) => jax.Array> = {
      cumsum: (x) => np.cumsum(x, axis),
      "cumprod of 1/2 + squares": (x) => np.cumprod(x.ref.mul(x).add(0.5), axis),
      "cumsum backwards": (x) => np.flip(np.cumsum(np.flip(x, axis), axis), axis),
    };
    const name = draws.pick(Object.keys(table));
    return [`${name}($, axis ${axis})`, table[name]];
  }),
  normalise: unary(float, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    const table: Record<string, (x: jax.Array) => jax.Array> = {
      softmax: (x) => nn.softmax(x, axis),
      logSoftmax: (x) => nn.logSoftmax(x, axis),
      logsumexp: (x) => nn.logsumexp(x, axis),
      "layer norm": (x) => nn.standardize(x, axis, { epsilon: 0.1 }),
      variance: (x) => np.var_(x, axis),
      "rms norm": (x) => x.ref.div(np.sqrt(x.ref.mul(x).mean(axis, { keepdims: true }).add(0.1))),
    };
    const name = draws.pick(Object.keys(table));
    return [`${name}($, axis ${axis})`, table[name]];
  }),
  einsum: (slots, draws) => {
    const dtypes = draws.pick([["float32"], float, ["float32"], ["int32"], ["uint32"]]);
    const [x, y] = [choose(slots, draws, dtypes), choose(slots, draws, dtypes)];
    if (x === null || y === null) return null;
    const pattern = subscripts(slots[x].shape, slots[y].shape, draws);
    return { text: `einsum(${pattern}, v${x}, v${y})`, run: (v) => einsum(pattern, v(x), v(y)) };
  },
  matmul: (slots, draws) => {
    const x = choose(slots, draws, float, 1);
    if (x === null) return null;
    const inner = slots[x].shape.at(-1) as number;
    const fits = slotsOf(slots, float, 1).filter((i) => {
      const { shape } = slots[i];
      const depth = shape.length === 1 ? shape[0] : shape.at(-2);
      return depth === inner && broadcast(slots[x].shape.slice(0, -2), shape.slice(0, -2));
    });
    if (fits.length === 0) {
      return { text: `dot(v${x}, v${x})`, run: (v) => lastDot(v(x), v(x)) };
    }
    const y = draws.pick(fits);
    return { text: `matmul(v${x}, v${y})`, run: (v) => np.matmul(v(x), v(y)) };
  },
  "dot along the last axis": (slots, draws) => {
    const found = pair(slots, draws, float);
    if (!found || found.some((i) => slots[i].shape.length === 0)) return null;
    const [x, y] = found;
    return { text: `dot(v${x}, v${y})`, run: (v) => lastDot(v(x), v(y)) };
  },
};

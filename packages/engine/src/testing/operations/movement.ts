import * as jax from "@jax-js/jax";
import { any, choose, type Draws, fresh, js, type Maker, number, size, slotsOf, unary } from "./operation.js";

const { numpy: np } = jax;

/** A factorisation of the same size into another shape. */
function otherShape(shape: readonly number[], draws: Draws): number[] {
  const primes: number[] = [];
  for (let rest = size(shape), p = 2; rest > 1; p++) for (; rest % p === 0; rest /= p) primes.push(p);
  const result = new Array(1 + draws.below(4)).fill(1);
  const order = draws.permutation(primes.length);
  order.forEach((prime, i) => {
    result[Math.floor((i * result.length) / order.length)] *= primes[prime];
  });
  return result.length === 1 && result[0] === 1 ? [] : result;
}

export const movement: Record<string, Maker> = {
  transpose: unary(any, 1, ({ shape }, draws) => {
    const perm = draws.permutation(shape.length);
    return [`$.transpose(${js(perm)})`, (x) => x.transpose(perm)];
  }),
  reshape: unary(any, 0, ({ shape }, draws) => {
    const next = otherShape(shape, draws);
    return [`$.reshape(${js(next)})`, (x) => x.reshape(next)];
  }),
  broadcast: unary(any, 0, ({ shape }, draws) => {
    const grown = shape.map((length) => (length === 1 ? 1 + draws.below(3) : length));
    const next = grown.length < 4 ? [1 + draws.below(3), ...grown] : grown;
    return [`broadcastTo($, ${js(next)})`, (x) => np.broadcastTo(x, next)];
  }),
  "repeat along a new axis": unary(any, 0, ({ shape }, draws) => {
    if (shape.length > 3) return null;
    const axis = draws.below(shape.length + 1);
    const next = shape.toSpliced(axis, 0, 2 + draws.below(3));
    return [
      `broadcastTo(expandDims($, ${axis}), ${js(next)})`,
      (x) => np.broadcastTo(np.expandDims(x, axis), next),
    ];
  }),
  flip: unary(any, 1, ({ shape }, draws) => {
    const axes = draws.subset(shape.length);
    return [`flip($, ${js(axes)})`, (x) => np.flip(x, axes)];
  }),
  pad: unary(any, 1, ({ shape }, draws) => {
    const width = shape.map((): [number, number] => [draws.below(2), draws.below(2)]);
    return [`pad($, ${js(width)})`, (x) => fresh(np.pad(x, width))];
  }),
  slice: unary(any, 1, ({ shape }, draws) => {
    const parts = shape.map((length): number | [number, number] => {
      const start = draws.below(length);
      return draws.below(4) === 3 ? start : [start, start + 1 + draws.below(length - start)];
    });
    return [`$.slice(...${js(parts)})`, (x) => x.slice(...parts)];
  }),
  split: unary(any, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    if (shape[axis] < 2) return null;
    const at = 1 + draws.below(shape[axis] - 1);
    return [`split($, [${at}], ${axis})`, (x) => np.split(x, [at], axis)];
  }),
  concatenate: (slots, draws) => {
    const x = choose(slots, draws, any, 1);
    if (x === null) return null;
    const { shape, dtype } = slots[x];
    const axis = draws.below(shape.length);
    // Numbers of different types become one type; a boolean promotes to uint32.
    const fits = slotsOf(slots, draws.below(2) ? [dtype] : any, shape.length).filter(
      (i) =>
        slots[i].shape.length === shape.length &&
        slots[i].shape.every((length, k) => k === axis || length === shape[k]),
    );
    const list = [
      x,
      ...Array.from({ length: 1 + draws.below(3) }, () => draws.pick(fits.length > 0 ? fits : [x])),
    ];
    return {
      text: `concatenate([${list.map((i) => `v${i}`)}], ${axis})`,
      run: (v) => np.concatenate(list.map(v), axis),
    };
  },
  stack: (slots, draws) => {
    const x = choose(slots, draws, any);
    if (x === null || slots[x].shape.length > 3) return null;
    const fits = slotsOf(slots, [slots[x].dtype]).filter((i) => js(slots[i].shape) === js(slots[x].shape));
    const [y, axis] = [draws.pick(fits), draws.below(slots[x].shape.length + 1)];
    return { text: `stack([v${x}, v${y}], ${axis})`, run: (v) => np.stack([v(x), v(y)], axis) };
  },
  tile: unary(any, 1, (_, draws) => {
    const count = 2 + draws.below(2);
    return [`tile($, ${count})`, (x) => np.tile(x, count)];
  }),
  triangle: unary(number, 2, (_, draws) => {
    const k = draws.below(3) - 1;
    return draws.below(2) ? [`tril($, ${k})`, (x) => np.tril(x, k)] : [`triu($, ${k})`, (x) => np.triu(x, k)];
  }),
};

import * as jax from "@jax-js/jax";
import { any, choose, fresh, js, type Maker, pair, slotsOf, unary } from "./operation.js";

const { numpy: np, nn } = jax;

/** Indices below `limit` from integers. */
const indices = (x: jax.Array, limit: number) =>
  np.minimum(np.abs(x), np.array(limit - 1, { dtype: jax.DType.Int32 }));

export const indexing: Record<string, Maker> = {
  sort: unary(any, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    return draws.below(2)
      ? [`sort($, ${axis})`, (x) => fresh(np.sort(fresh(x), axis))]
      : [`argsort($, ${axis})`, (x) => np.argsort(fresh(x), axis)];
  }),
  argmax: unary(any, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    return [`argmax($, ${axis})`, (x) => np.argmax(x, axis)];
  }),
  take: (slots, draws) => {
    const [x, i] = [choose(slots, draws, any, 1), choose(slots, draws, ["int32"])];
    if (x === null) return null;
    const { shape } = slots[x];
    const axis = draws.below(shape.length);
    if (i === null || draws.below(2)) {
      const list = [0, shape[axis] - 1, 0];
      const dtype = draws.pick([jax.DType.Int32, jax.DType.Uint32]);
      return {
        text: `take(v${x}, ${js(list)}, ${axis}) by ${dtype}`,
        run: (v) => fresh(np.take(v(x), np.array(list, { dtype }), axis)),
      };
    }
    if (shape.length - 1 + slots[i].shape.length > 5) return null;
    return {
      text: `take(v${x}, indices(v${i}), ${axis})`,
      run: (v) => fresh(np.take(v(x), indices(v(i), shape[axis]), axis)),
    };
  },
  "take along an axis": (slots, draws) => {
    const x = choose(slots, draws, any, 1);
    if (x === null) return null;
    const { shape } = slots[x];
    const axis = draws.below(shape.length);
    const fits = slotsOf(slots, ["int32"], shape.length).filter(
      (i) =>
        slots[i].shape.length === shape.length &&
        slots[i].shape.every((length, k) => k === axis || length === shape[k]),
    );
    if (fits.length === 0 || draws.below(2)) {
      return {
        text: `takeAlongAxis(v${x}, argsort(v${x}, ${axis}), ${axis})`,
        run: (v) =>
          fresh(np.takeAlongAxis(v(x), np.argsort(fresh(v(x).astype(jax.DType.Float32)), axis), axis)),
      };
    }
    const i = draws.pick(fits);
    return {
      text: `takeAlongAxis(v${x}, indices(v${i}), ${axis})`,
      run: (v) => fresh(np.takeAlongAxis(v(x), indices(v(i), shape[axis]), axis)),
    };
  },
  "index with two arrays": (slots, draws) => {
    const x = choose(slots, draws, any, 2);
    const found = pair(slots, draws, ["int32"]);
    if (x === null || !found || found.some((i) => slots[i].shape.length > 2)) return null;
    const { shape } = slots[x];
    const [i, j] = found;
    const gap = shape.length > 2 && draws.below(2) === 1;
    const leading = shape.length > 2 && !gap && draws.below(2) === 1;
    const [first, second] = gap ? [0, 2] : leading ? [1, 2] : [0, 1];
    return {
      text: `v${x}.slice(${leading ? "[], " : ""}indices(v${i}),${gap ? " []," : ""} indices(v${j}))`,
      run: (v) => {
        const index = [indices(v(i), shape[first]), indices(v(j), shape[second])];
        return fresh(
          v(x).slice(...(leading ? [[] as []] : []), index[0], ...(gap ? [[] as []] : []), index[1]),
        );
      },
    };
  },
  oneHot: unary(["int32"], 0, ({ shape }, draws) => {
    if (shape.length > 3) return null;
    const count = 2 + draws.below(3);
    return [`oneHot(indices($), ${count})`, (x) => nn.oneHot(indices(x, count), count)];
  }),
};

import * as jax from "@jax-js/jax";
import { pointwise } from "./elementwise.js";
import { choose, float, fresh, type Maker, pair, size, unary } from "./operation.js";

const { numpy: np, nn } = jax;

/** Functions of one row of an array. */
const ofRow: Record<string, (row: jax.Array) => jax.Array> = {
  "softmax(row) - sum(row)": (row) => nn.softmax(row.ref.reshape([-1]), 0).sub(row.sum()),
  "row[0] * row": (row) => row.ref.reshape([-1]).slice(0).mul(row),
  "sort(row)": (row) => fresh(np.sort(fresh(row.reshape([-1])))),
  "cumsum(row)": (row) => np.cumsum(row.reshape([-1])),
  "grad(sum(sin(row) row))": (row) => pointwise["grad(sum(sin(x) * x))"](row),
  "outer(row, row)": (row) => np.outer(row.ref.reshape([-1]), row.reshape([-1])),
  "pad(row)": (row) => fresh(np.pad(row.reshape([-1]), [[1, 0]])),
  "row[[0, 0, last]]": (row) => {
    const last = size(row.shape) - 1;
    return fresh(np.take(row.reshape([-1]), np.array([0, 0, last], { dtype: jax.DType.Int32 }), 0));
  },
  "jit(row * tanh(row))": jax.jit((row: jax.Array) => row.ref.mul(np.tanh(row))),
  "jit(grad(log(1 + sum(row row))))": jax.jit(
    jax.grad((row: jax.Array) => np.log(row.ref.mul(row).sum().add(1))),
  ),
  "vmap(x => x exp(-x x))": (row) =>
    jax.vmap((x: jax.Array) => x.ref.mul(np.exp(x.ref.mul(x).neg())))(row.reshape([-1])),
  "sum(row row row) by jvp": (row) => {
    const [value, tangent] = jax.jvp(
      (x: jax.Array) => x.ref.mul(x.ref).mul(x).sum(),
      [row.ref],
      [np.onesLike(row)],
    );
    return np.stack([value, tangent]);
  },
  "grad(sum(vmap(x => sin(x) x)))": jax.grad((row: jax.Array) =>
    jax
      .vmap((x: jax.Array) => np.sin(x.ref).mul(x))(row.reshape([-1]))
      .sum(),
  ),
};

/** jax-js's jit refuses sorts, and the scatter in the gradient of indexing, of what it has just computed. */
const unjittable = ["sort(row)", "row[[0, 0, last]]"];

/** Functions of a row of one array and of a whole array. */
const ofRowAndArray: Record<string, (row: jax.Array, whole: jax.Array) => jax.Array> = {
  "row sum(whole)": (row, whole) => row.mul(whole.sum()),
  "sum(row) whole": (row, whole) => row.sum().mul(whole),
  "grad of sum(tanh(sum(row) whole))": (row, whole) =>
    jax.grad((w: jax.Array) => np.tanh(row.ref.sum().mul(w)).sum())(whole),
};

export const transforms: Record<string, Maker> = {
  vmap: unary(float, 1, ({ shape }, draws) => {
    const name = draws.pick(Object.keys(ofRow));
    const axis = draws.below(shape.length);
    return [`vmap(row => ${name}, axis ${axis})($)`, (x) => jax.vmap(ofRow[name], axis)(x)];
  }),
  "jit of vmap": unary(float, 1, (_, draws) => {
    const name = draws.pick(Object.keys(ofRow).filter((each) => !unjittable.includes(each)));
    return [`jit(vmap(row => ${name}))($)`, (x) => jax.jit(jax.vmap(ofRow[name]))(x)];
  }),
  "vmap with a whole array": (slots, draws) => {
    const [x, whole] = [choose(slots, draws, float, 1), choose(slots, draws, float)];
    if (x === null || whole === null) return null;
    const name = draws.pick(Object.keys(ofRowAndArray));
    return {
      text: `vmap((row, whole) => ${name}, [0, null])(v${x}, v${whole})`,
      run: (v) => jax.vmap(ofRowAndArray[name], [0, null])(v(x), v(whole)),
    };
  },
  "grad of a pair": (slots, draws) => {
    const found = pair(slots, draws, ["float32"]);
    if (!found) return null;
    const [x, y] = found;
    const loss = (a: jax.Array, b: jax.Array) => np.sin(a).mul(np.tanh(b)).sum();
    const gradient = jax.grad(loss, { argnums: 0 });
    return draws.below(2)
      ? { text: `grad(sum(sin(v${x}) tanh(v${y})))`, run: (v) => gradient(v(x), v(y)) }
      : { text: `jit(grad(sum(sin(v${x}) tanh(v${y}))))`, run: (v) => jax.jit(gradient)(v(x), v(y)) };
  },
};

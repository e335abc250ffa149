import * as jax from "@jax-js/jax";
import type { Maker } from "./operation.js";

const { numpy: np } = jax;

export const constants: Record<string, Maker> = {
  constant: (slots, draws) => {
    const table: Record<string, () => jax.Array> = {
      "arange(4)": () => np.arange(4),
      "arange(3) as float32": () => np.arange(3).astype(jax.DType.Float32),
      "eye(3)": () => np.eye(3),
      "ones([2, 1])": () => np.ones([2, 1]),
      "zeros([3])": () => np.zeros([3]),
      "array(2.5)": () => np.array(2.5),
      "array(2, int32)": () => np.array(2, { dtype: jax.DType.Int32 }),
      "array([0.5, -1])": () => np.array([0.5, -1]),
      "array([[1], [0], [3]], int32)": () => np.array([[1], [0], [3]], { dtype: jax.DType.Int32 }),
      "array([1, 2^31, 2^32 - 1], uint32)": () =>
        np.array([1, 2 ** 31, 2 ** 32 - 1], { dtype: jax.DType.Uint32 }),
      "array([0.1, 3], float64)": () => np.array([0.1, 3], { dtype: jax.DType.Float64 }),
      "array([true, false, true])": () => np.array([true, false, true]),
    };
    const name = draws.pick(Object.keys(table));
    return slots.length > 0 ? { text: name, run: () => table[name]() } : null;
  },
};

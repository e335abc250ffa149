import { type Array as JaxArray, numpy as np, tree } from "@jax-js/jax";
import { namedLeaves, Tensor } from "@outgrow/engine";

/** A tree of tensors as one vector, and back, inside and outside of traced functions. */
export interface FlatTree<T> {
  /** Number of elements in all leaves together. */
  readonly size: number;
  /** All leaves, one after another in the order of the example's: `[size]`. Throws where the tree is not of its form. */
  flatten(value: T): Tensor;
  unflatten(vector: Tensor): T;
  /** `flatten` inside a traced function, of a tree of arrays. */
  concatenate(value: unknown): JaxArray;
  /**
   * `unflatten` inside a traced function. Differentiate with respect to the result and flatten the gradient, rather than
   * through this: the gradient of a slice is a padded copy of the whole.
   */
  split<Traced>(vector: JaxArray): Traced;
}

/** Throws where a leaf is not float32. */
export function flatTree<T>(example: T): FlatTree<T> {
  const [examples, structure] = tree.flatten(example as never);
  const leaves = examples as unknown as Tensor[];
  for (const leaf of leaves) {
    if (!(leaf instanceof Tensor) || leaf.dtype !== "float32") {
      throw new TypeError("flatTree takes trees of float32 tensors.");
    }
  }
  const paths = namedLeaves(example as never, isTensor).map(([path]) => path);
  const lengths = leaves.map((leaf) => leaf.data.length);
  const offsets = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, n) => sum + n, 0));
  const size = lengths.reduce((sum, n) => sum + n, 0);
  return {
    size,
    flatten(value) {
      // By name, because the keys of an object may come in any order.
      const given = new Map(namedLeaves(value as never, isTensor));
      if (given.size !== leaves.length)
        throw new TypeError(`${given.size} tensors, expected ${leaves.length}.`);
      const vector = new Float32Array(size);
      leaves.forEach(({ shape }, i) => {
        const leaf = given.get(paths[i]);
        if (leaf?.dtype !== "float32" || leaf.shape.join() !== shape.join()) {
          throw new TypeError(`The tensor "${paths[i]}" must be float32[${shape}].`);
        }
        vector.set(leaf.data, offsets[i]);
      });
      return new Tensor(vector);
    },
    unflatten(vector) {
      const parts = leaves.map(
        (leaf, i) =>
          new Tensor((vector.data as Float32Array).slice(offsets[i], offsets[i] + lengths[i]), leaf.shape),
      );
      return tree.unflatten(structure, parts as never) as T;
    },
    concatenate(value) {
      const [given] = tree.flatten(value as never);
      const vectors = (given as unknown as JaxArray[]).map((leaf) => leaf.reshape([-1]));
      return vectors.length === 1 ? vectors[0] : np.concatenate(vectors, 0);
    },
    split(vector) {
      const parts = leaves.map((leaf, i) =>
        vector.slice([offsets[i], offsets[i] + lengths[i]]).reshape([...leaf.shape]),
      );
      return tree.unflatten(structure, parts as never) as never;
    },
  };
}

const isTensor = (node: unknown): node is Tensor => node instanceof Tensor;

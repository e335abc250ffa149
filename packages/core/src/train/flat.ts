import { type Array as JaxArray, numpy as np, tree } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";

/** A tree of tensors as one vector, and back, inside and outside of traced functions. */
export interface FlatTree<T> {
  /** Number of elements in all leaves together. */
  readonly size: number;
  /** All leaves in order, one after another: `[size]`. */
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
  const lengths = leaves.map((leaf) => leaf.data.length);
  const offsets = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, n) => sum + n, 0));
  const size = lengths.reduce((sum, n) => sum + n, 0);
  return {
    size,
    flatten(value) {
      const [given] = tree.flatten(value as never);
      const vector = new Float32Array(size);
      (given as unknown as Tensor[]).forEach((leaf, i) => {
        vector.set(leaf.data as Float32Array, offsets[i]);
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

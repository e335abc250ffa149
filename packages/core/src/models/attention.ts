import { DType, type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import type { RotaryScaling, TransformerConfig } from "./transformer-config.js";

/** Keys and values of tokens that a model has read before, kept so that it need not read them again. */
export interface KeyValueCache<Leaf = JaxArray> {
  /** Of each layer, after rotation: `[batch, keyValueHeads, capacity, headSize]`. */
  keys: Leaf[];
  /** Of each layer: `[batch, keyValueHeads, capacity, headSize]`. */
  values: Leaf[];
  /** int32 `[batch]`: how many of each row's places are in use, from the first on. */
  lengths: Leaf;
}

/**
 * Reads or changes the weights of a layer's heads.
 *
 * @param weights `[batch, heads, queries, keys]`, rows sum to 1. With a cache its places are the first keys
 * @param visible the same shape or one that broadcasts to it: 1 where a query may see a key, else 0
 * @returns the weights to use instead
 */
export type AttentionHook = (weights: JaxArray, layer: number, visible: JaxArray) => JaxArray;

/** Added to scores of keys that must not be seen. */
const UNSEEN = -1e9;
/** Of conditions: 0 where true, else {@link UNSEEN}. */
const unless = (condition: JaxArray) => condition.astype(DType.Float32).sub(1).mul(-UNSEEN);

/**
 * What is added to attention scores among the tokens of a batch: `[batch or 1, 1, time, time]` or `[time, time]`. Null: all are
 * seen.
 *
 * @param mask float32 `[batch, time]`, 0 for padding
 * @param segments int32 `[batch, time]`: tokens see only those of their own segment
 */
export function attentionBias(
  { causal, slidingWindow }: TransformerConfig,
  time: number,
  mask?: JaxArray,
  segments?: JaxArray,
): JaxArray | null {
  const parts: JaxArray[] = [];
  if (mask) parts.push(mask.sub(1).mul(-UNSEEN).reshape([mask.shape[0], 1, 1, time]));
  if (segments) {
    const rows = segments.shape[0];
    parts.push(unless(np.equal(segments.reshape([rows, 1, time, 1]), segments.reshape([rows, 1, 1, time]))));
  }
  if (causal) parts.push(np.tri(time, time).sub(1).mul(-UNSEEN));
  if (slidingWindow !== undefined && slidingWindow < time) {
    parts.push(np.tri(time, time, -slidingWindow).mul(UNSEEN));
    if (!causal) parts.push(np.tri(time, time, -slidingWindow).transpose().mul(UNSEEN));
  }
  return parts.length === 0 ? null : parts.reduce((sum, part) => sum.add(part));
}

/** What is added to the scores of a cache's places: `[batch, 1, time or 1, capacity]`. @param positions `[batch, time]` */
export function cacheBias(
  { slidingWindow }: TransformerConfig,
  { keys, lengths }: KeyValueCache,
  positions: JaxArray,
): JaxArray {
  const [batch, , capacity] = keys[0].shape;
  const places = np.arange(capacity).reshape([1, 1, 1, capacity]);
  const used = unless(np.less(places, lengths.reshape([batch, 1, 1, 1])));
  if (slidingWindow === undefined || slidingWindow >= capacity) return used;
  const oldest = positions.sub(slidingWindow - 1).reshape([batch, 1, positions.shape[1], 1]);
  return used.add(unless(np.greaterEqual(places, oldest)));
}

/**
 * Attention of query heads to keys and values that several of them may share.
 *
 * @param queries `[batch, heads, time, headSize]`
 * @param keys one part or several, one after another: `[batch, keyValueHeads, places, headSize]`; `values` alike
 * @param biases what is added to the scores of each part, as {@link attentionBias} gives it
 * @returns `[batch, heads, time, headSize]`
 */
export function attend(
  queries: JaxArray,
  keys: readonly JaxArray[],
  values: readonly JaxArray[],
  biases: readonly (JaxArray | null)[],
  hook?: (weights: JaxArray, visible: JaxArray) => JaxArray,
): JaxArray {
  const [batch, heads, time, size] = queries.shape;
  const sharedBy = heads / keys[0].shape[1];
  // The queries that share a head of keys are more rows of the same product.
  const grouped = (x: JaxArray) => x.reshape([batch, heads / sharedBy, sharedBy * time, x.shape[3]]);
  const ungrouped = (x: JaxArray) => x.reshape([batch, heads, time, x.shape[3]]);
  const scores = keys.map((part, i) => {
    const products = ungrouped(np.matmul(grouped(queries), part.transpose([0, 1, 3, 2])));
    const scaled = products.mul(1 / Math.sqrt(size));
    const bias = biases[i];
    return bias ? scaled.add(bias) : scaled;
  });
  let weights = nn.softmax(scores.length === 1 ? scores[0] : np.concatenate(scores, -1), -1);
  if (hook) {
    const visible = keys.map((part, i) => visibleKeys(biases[i], [batch, 1, time, part.shape[2]]));
    weights = hook(weights, visible.length === 1 ? visible[0] : np.concatenate(visible, -1));
  }
  let start = 0;
  const mixed = values.map((part) => {
    const end = start + part.shape[2];
    const own = values.length === 1 ? weights : weights.slice([], [], [], [start, end]);
    start = end;
    return ungrouped(np.matmul(grouped(own), part));
  });
  return mixed.reduce((sum, part) => sum.add(part));
}

function visibleKeys(bias: JaxArray | null, shape: number[]): JaxArray {
  const ones = np.ones(shape);
  return bias ? ones.mul(np.greater(bias, UNSEEN / 2).astype(DType.Float32)) : ones;
}

/**
 * Cosines and sines by which queries and keys are rotated: `[..., 1, time, headSize / 2]` each.
 *
 * @param positions int32 `[batch, time]`, or a number of positions that start at 0
 */
export function rotations(
  headSize: number,
  { rotaryBase, scaling }: { rotaryBase: number; scaling?: RotaryScaling },
  positions: JaxArray | number,
): { cos: JaxArray; sin: JaxArray } {
  const frequencies = rotaryFrequencies(headSize, rotaryBase, scaling);
  const half = frequencies.length;
  if (typeof positions === "number") {
    const angles = Float32Array.from(
      { length: positions * half },
      (_, i) => Math.floor(i / half) * frequencies[i % half],
    );
    const table = (values: Float32Array) => np.array(values, { shape: [1, positions, half] });
    return { cos: table(angles.map(Math.cos)), sin: table(angles.map(Math.sin)) };
  }
  const [batch, time] = positions.shape;
  const angles = positions
    .astype(DType.Float32)
    .reshape([batch, 1, time, 1])
    .mul(np.array(frequencies, { shape: [half] }));
  return { cos: np.cos(angles), sin: np.sin(angles) };
}

/** Angle from one position to the next, of each pair of numbers: `[headSize / 2]`. */
export function rotaryFrequencies(headSize: number, base: number, scaling?: RotaryScaling): Float32Array {
  return Float32Array.from({ length: headSize / 2 }, (_, i) => {
    const frequency = base ** ((-2 * i) / headSize);
    if (!scaling) return frequency;
    const { factor, lowFrequency, highFrequency, originalContext } = scaling;
    const turns = (originalContext * frequency) / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - lowFrequency) / (highFrequency - lowFrequency)));
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}

/** Rotates the pairs (i, i + headSize / 2), as Hugging Face's models do. @param x `[batch, heads, time, headSize]` */
export function rotate(x: JaxArray, { cos, sin }: { cos: JaxArray; sin: JaxArray }): JaxArray {
  // Not slices: the gradient of each would be padded to the whole.
  const [first, second] = np.split(x, 2, -1);
  return np.concatenate([first.mul(cos).sub(second.mul(sin)), second.mul(cos).add(first.mul(sin))], -1);
}

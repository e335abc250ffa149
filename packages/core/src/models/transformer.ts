import { type Array as JaxArray, nn, numpy as np, scipySpecial } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Random } from "../random.js";

export interface TransformerConfig {
  /** Number of token ids. */
  vocabularySize: number;
  /** Longest sequence, in tokens. */
  contextLength: number;
  /** Width of the residual stream; a multiple of `heads`. */
  width: number;
  layers: number;
  heads: number;
  /** Whether a position sees only itself and what stands before it. */
  causal: boolean;
}

/** A block of the GPT-2 form: normalise, attend, add; normalise, MLP with GELU, add. */
export interface BlockParams<Leaf> {
  norm1: { scale: Leaf; bias: Leaf };
  /** `[width, width]` each, heads in order. */
  queries: { weight: Leaf; bias: Leaf };
  keys: { weight: Leaf; bias: Leaf };
  values: { weight: Leaf; bias: Leaf };
  /** `[width, width]` */
  out: { weight: Leaf; bias: Leaf };
  norm2: { scale: Leaf; bias: Leaf };
  /** `[width, 4 * width]` */
  up: { weight: Leaf; bias: Leaf };
  /** `[4 * width, width]` */
  down: { weight: Leaf; bias: Leaf };
}

export interface TransformerParams<Leaf> {
  /** `[vocabularySize, width]`; also the output projection (tied). */
  tokens: Leaf;
  /** `[contextLength, width]` */
  positions: Leaf;
  blocks: BlockParams<Leaf>[];
  norm: { scale: Leaf; bias: Leaf };
}

/** Weights ~ N(0, 0.02²), those into the residual stream divided by sqrt(2 * layers), as in GPT-2. */
export function initTransformer(config: TransformerConfig, random: Random): TransformerParams<Tensor> {
  const { vocabularySize, contextLength, width, layers } = config;
  const normal = (shape: [number, number], scale = 0.02) =>
    new Tensor(random.normals(shape[0] * shape[1], scale), shape);
  const constant = (size: number, value: number) => new Tensor(new Float32Array(size).fill(value), [size]);
  const linear = (inputs: number, outputs: number, scale?: number) => ({
    weight: normal([inputs, outputs], scale),
    bias: constant(outputs, 0),
  });
  const norm = () => ({ scale: constant(width, 1), bias: constant(width, 0) });
  const residual = 0.02 / Math.sqrt(2 * layers);
  return {
    tokens: normal([vocabularySize, width]),
    positions: normal([contextLength, width]),
    blocks: Array.from({ length: layers }, () => ({
      norm1: norm(),
      queries: linear(width, width),
      keys: linear(width, width),
      values: linear(width, width),
      out: linear(width, width, residual),
      norm2: norm(),
      up: linear(width, 4 * width),
      down: linear(4 * width, width, residual),
    })),
    norm: norm(),
  };
}

/**
 * Hidden states after the last normalisation.
 *
 * @param tokens int32 ids `[batch, time]`
 * @param mask float32 `[batch, time]`, 1 for tokens and 0 for padding; null where there is no padding
 * @returns `[batch, time, width]`
 */
export function applyTransformer(
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  tokens: JaxArray,
  mask: JaxArray | null = null,
): JaxArray {
  const time = tokens.shape[1];
  const positions = params.positions.slice([0, time]);
  let hidden = np.take(params.tokens, tokens, 0).add(positions);
  const visible = attentionBias(config, time, mask);
  for (const block of params.blocks) {
    hidden = hidden.add(attend(config, block, normalise(block.norm1, hidden), visible));
    const inner = gelu(linear(block.up, normalise(block.norm2, hidden)));
    hidden = hidden.add(linear(block.down, inner));
  }
  return normalise(params.norm, hidden);
}

/** Next-token or masked-token logits `[batch, time, vocabularySize]` from hidden states. */
export function tokenLogits(params: TransformerParams<JaxArray>, hidden: JaxArray): JaxArray {
  return np.matmul(hidden, params.tokens.transpose());
}

const linear = ({ weight, bias }: { weight: JaxArray; bias: JaxArray }, x: JaxArray): JaxArray =>
  np.matmul(x, weight).add(bias);

/** x times the normal distribution function (Hendrycks and Gimpel 2016), exact. */
const gelu = (x: JaxArray): JaxArray => scipySpecial.erf(x.mul(Math.SQRT1_2)).add(1).mul(x).mul(0.5);

/** Layer normalisation over the last axis (Ba et al. 2016), epsilon 1e-5. */
function normalise({ scale, bias }: { scale: JaxArray; bias: JaxArray }, x: JaxArray): JaxArray {
  const centred = x.sub(x.mean(-1, { keepdims: true }));
  const variance = centred.mul(centred).mean(-1, { keepdims: true });
  return centred
    .div(np.sqrt(variance.add(1e-5)))
    .mul(scale)
    .add(bias);
}

/** What is added to attention scores: a large negative number where a key must not be seen. Null: all are seen. */
function attentionBias(config: TransformerConfig, time: number, mask: JaxArray | null): JaxArray | null {
  const hidden = -1e9;
  const causal = config.causal ? np.tri(time, time).sub(1).mul(-hidden) : null; // [time, time]
  const padding = mask ? mask.sub(1).mul(-hidden).reshape([mask.shape[0], 1, 1, time]) : null;
  if (causal && padding) return padding.add(causal);
  return causal ?? padding;
}

function attend(
  config: TransformerConfig,
  block: BlockParams<JaxArray>,
  x: JaxArray,
  visible: JaxArray | null,
): JaxArray {
  const [batch, time, width] = x.shape;
  const { heads } = config;
  const size = width / heads;
  const [queries, keys, values] = [block.queries, block.keys, block.values].map((projection) =>
    linear(projection, x).reshape([batch, time, heads, size]).transpose([0, 2, 1, 3]),
  );
  const scores = np.matmul(queries, keys.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(size));
  const weights = nn.softmax(visible ? scores.add(visible) : scores, -1); // [batch, heads, time, time]
  const mixed = np.matmul(weights, values).transpose([0, 2, 1, 3]).reshape([batch, time, width]);
  return linear(block.out, mixed);
}

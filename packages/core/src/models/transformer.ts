import { type Array as JaxArray, nn, numpy as np, scipySpecial } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Random } from "../random.js";
import {
  type AttentionHook,
  attend,
  attentionBias,
  cacheBias,
  type KeyValueCache,
  rotate,
  rotations,
} from "./attention.js";
import type { TransformerConfig } from "./transformer-config.js";

export interface NormParams<Leaf> {
  scale: Leaf;
  /** Of layer normalisation. */
  bias?: Leaf;
}

export interface ProjectionParams<Leaf> {
  /** `[inputs, outputs]` */
  weight: Leaf;
  /** `[outputs]` */
  bias?: Leaf;
  /** Adds `adapter.down adapter.up` to the weight: low-rank adaptation, lora.ts. */
  adapter?: AdapterParams<Leaf>;
}

export interface AdapterParams<Leaf> {
  /** `[inputs, rank]` */
  down: Leaf;
  /** `[rank, outputs]` */
  up: Leaf;
}

/** A block: normalise, attend, add; normalise, MLP, add. */
export interface BlockParams<Leaf> {
  norm1: NormParams<Leaf>;
  /** `[width, heads * headSize]`, heads in order */
  queries: ProjectionParams<Leaf>;
  /** `[width, keyValueHeads * headSize]`, and so `values` */
  keys: ProjectionParams<Leaf>;
  values: ProjectionParams<Leaf>;
  /** Scale `[headSize]`, where queries and keys are normalised. */
  queryNorm?: NormParams<Leaf>;
  keyNorm?: NormParams<Leaf>;
  /** `[heads * headSize, width]` */
  out: ProjectionParams<Leaf>;
  norm2: NormParams<Leaf>;
  /** `[width, innerWidth]`, of SwiGLU */
  gate?: ProjectionParams<Leaf>;
  /** `[width, innerWidth]` */
  up: ProjectionParams<Leaf>;
  /** `[innerWidth, width]` */
  down: ProjectionParams<Leaf>;
}

export interface TransformerParams<Leaf = Tensor> {
  /** `[vocabularySize, width]` */
  tokens: Leaf;
  /** `[contextLength, width]`, where positions are learned */
  positions?: Leaf;
  blocks: BlockParams<Leaf>[];
  norm: NormParams<Leaf>;
  /** `[width, vocabularySize]`, where it is not the embedding of the tokens */
  output?: ProjectionParams<Leaf>;
}

/** Weights ~ N(0, 0.02²), those into the residual stream divided by sqrt(2 * layers), as in GPT-2. */
export function initTransformer(config: TransformerConfig, random: Random): TransformerParams<Tensor> {
  const { vocabularySize, contextLength, width, layers, headSize, innerWidth, biases } = config;
  const normal = (shape: [number, number], scale = 0.02) =>
    new Tensor(random.normals(shape[0] * shape[1], scale), shape);
  const constant = (size: number, value: number) => new Tensor(new Float32Array(size).fill(value), [size]);
  const linear = (
    inputs: number,
    outputs: number,
    bias: boolean,
    scale?: number,
  ): ProjectionParams<Tensor> => ({
    weight: normal([inputs, outputs], scale),
    ...(bias && { bias: constant(outputs, 0) }),
  });
  const norm = (): NormParams<Tensor> => ({
    scale: constant(width, 1),
    ...(config.norm === "layer" && { bias: constant(width, 0) }),
  });
  const headNorm = () => ({ scale: constant(headSize, 1) });
  const residual = 0.02 / Math.sqrt(2 * layers);
  const queriesWidth = config.heads * headSize;
  const keysWidth = config.keyValueHeads * headSize;
  return {
    tokens: normal([vocabularySize, width]),
    ...(config.positions === "learned" && { positions: normal([contextLength, width]) }),
    blocks: Array.from({ length: layers }, () => ({
      norm1: norm(),
      queries: linear(width, queriesWidth, biases.queriesKeysValues),
      keys: linear(width, keysWidth, biases.queriesKeysValues),
      values: linear(width, keysWidth, biases.queriesKeysValues),
      ...(config.queryKeyNorm && { queryNorm: headNorm(), keyNorm: headNorm() }),
      out: linear(queriesWidth, width, biases.out, residual),
      norm2: norm(),
      ...(config.mlp === "swiglu" && { gate: linear(width, innerWidth, biases.mlp) }),
      up: linear(width, innerWidth, biases.mlp),
      down: linear(innerWidth, width, biases.mlp, residual),
    })),
    norm: norm(),
    ...(!config.tiedEmbeddings && { output: { weight: normal([width, vocabularySize]) } }),
  };
}

export interface TransformerOptions {
  /** float32 `[batch, time]`, 1 for tokens and 0 for padding. Causal models whose padding comes last need none. */
  mask?: JaxArray;
  /** int32 `[batch, time]`: numbers of the documents that are packed into a row. Tokens see only their own document. */
  segments?: JaxArray;
  /** int32 `[batch, time]`. Default: 0, 1, ..., after the cache's where there is one. */
  positions?: JaxArray;
  /** Tokens that were read before. They are seen by all of `tokens`. */
  past?: KeyValueCache;
  /** Called for each layer, while the program is traced. */
  attention?: AttentionHook;
}

export interface TransformerOutput {
  /** After the last normalisation: `[batch, time, width]`. */
  hidden: JaxArray;
  /** Of each layer, of `tokens` alone, as a cache keeps them: `[batch, keyValueHeads, time, headSize]`. */
  keys: JaxArray[];
  values: JaxArray[];
}

/** @param tokens int32 ids `[batch, time]` */
export function applyTransformer(
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  tokens: JaxArray,
  { mask, segments, past, attention, ...options }: TransformerOptions = {},
): TransformerOutput {
  const [batch, time] = tokens.shape;
  const positions =
    options.positions ?? past?.lengths.reshape([batch, 1]).add(np.arange(time).reshape([1, time]));
  let hidden = np.take(params.tokens, tokens, 0);
  if (params.positions) {
    hidden = hidden.add(
      positions ? np.take(params.positions, positions, 0) : params.positions.slice([0, time]),
    );
  }
  const turns =
    config.positions === "learned"
      ? undefined
      : rotations(config.headSize, config.positions, positions ?? time);
  const bias = attentionBias(config, time, mask, segments);
  const pastBias = past && cacheBias(config, past, positions as JaxArray);
  const output: TransformerOutput = { hidden, keys: [], values: [] };
  params.blocks.forEach((block, layer) => {
    const normed = normalise(config, block.norm1, hidden);
    const heads = (x: JaxArray) => x.reshape([batch, time, -1, config.headSize]).transpose([0, 2, 1, 3]);
    const placed = (projection: ProjectionParams<JaxArray>, norm?: NormParams<JaxArray>) => {
      let x = heads(linear(projection, normed));
      if (norm) x = normalise(config, norm, x);
      return turns ? rotate(x, turns) : x;
    };
    const queries = placed(block.queries, block.queryNorm);
    const keys = placed(block.keys, block.keyNorm);
    const values = heads(linear(block.values, normed));
    const mixed = attend(
      queries,
      past ? [past.keys[layer], keys] : [keys],
      past ? [past.values[layer], values] : [values],
      pastBias ? [pastBias, bias] : [bias],
      attention && ((weights, visible) => attention(weights, layer, visible)),
    );
    hidden = hidden.add(linear(block.out, mixed.transpose([0, 2, 1, 3]).reshape([batch, time, -1])));
    hidden = hidden.add(mlp(config, block, normalise(config, block.norm2, hidden)));
    output.keys.push(keys);
    output.values.push(values);
  });
  output.hidden = normalise(config, params.norm, hidden);
  return output;
}

/** Next-token or masked-token logits `[..., vocabularySize]` from hidden states `[..., width]`. */
export function tokenLogits(params: TransformerParams<JaxArray>, hidden: JaxArray): JaxArray {
  return params.output ? linear(params.output, hidden) : np.matmul(hidden, params.tokens.transpose());
}

const linear = ({ weight, bias, adapter }: ProjectionParams<JaxArray>, x: JaxArray): JaxArray => {
  let product = np.matmul(x, weight);
  if (adapter) product = product.add(np.matmul(np.matmul(x, adapter.down), adapter.up));
  return bias ? product.add(bias) : product;
};

function mlp(config: TransformerConfig, { gate, up, down }: BlockParams<JaxArray>, x: JaxArray): JaxArray {
  const inner = linear(up, x);
  if (gate) return linear(down, nn.silu(linear(gate, x)).mul(inner));
  return linear(down, config.mlp === "gelu" ? gelu(inner) : geluTanh(inner));
}

/** x times the normal distribution function (Hendrycks and Gimpel 2016), exact. */
const gelu = (x: JaxArray): JaxArray => scipySpecial.erf(x.mul(Math.SQRT1_2)).add(1).mul(x).mul(0.5);

/** Its approximation, which GPT-2 was trained with. */
const geluTanh = (x: JaxArray): JaxArray =>
  np
    .tanh(x.add(x.mul(x).mul(x).mul(0.044715)).mul(Math.sqrt(2 / Math.PI)))
    .add(1)
    .mul(x)
    .mul(0.5);

/** Over the last axis. */
function normalise(config: TransformerConfig, { scale, bias }: NormParams<JaxArray>, x: JaxArray): JaxArray {
  // Where a model has layer norms, a norm of heads would have a bias too.
  const centred = bias ? x.sub(x.mean(-1, { keepdims: true })) : x;
  const variance = centred.mul(centred).mean(-1, { keepdims: true });
  const scaled = centred.div(np.sqrt(variance.add(config.normEpsilon))).mul(scale);
  return bias ? scaled.add(bias) : scaled;
}

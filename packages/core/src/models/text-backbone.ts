import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Tokenizer } from "../data/bpe.js";
import type { Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import type { Backbone } from "./classifier.js";
import type { LanguageModel } from "./language-model.js";
import { applyTransformer, initTransformer, type TransformerParams } from "./transformer.js";
import {
  type TransformerConfig,
  type TransformerFamily,
  type TransformerSizes,
  transformerConfig,
} from "./transformer-config.js";

/** What of a text's hidden states is its feature: their mean, or that of its last token, which in a causal model has seen all. */
export type Pooling = "mean" | "last";

/** A transformer as the backbone of a classifier. Its inputs are int32 `tokens` and float32 `mask`, both `[batch, time]`, padding last. */
export function textBackbone(
  config: TransformerConfig,
  params: TransformerParams<Tensor>,
  pooling: Pooling = "mean",
): Backbone {
  // A head for tokens has no part in the features.
  const { output: _, ...body } = params;
  return {
    name: `transformer ${config.layers}x${config.width}`,
    body,
    featureSize: config.width,
    features: (body: TransformerParams<JaxArray>, { tokens, mask }) => {
      const pooled = pooling === "mean" ? mask : lastOf(mask);
      const weights = pooled.reshape([...mask.shape, 1]);
      const { hidden } = applyTransformer(config, body, tokens, { mask });
      return hidden.mul(weights).sum(1).div(weights.sum(1));
    },
  };
}

/** `[batch, time]`: 1 at the last token of each row, else 0. */
function lastOf(mask: JaxArray): JaxArray {
  const [batch, time] = mask.shape;
  const next = np.concatenate([mask.slice([], [1, time]), np.zeros([batch, 1])], 1);
  return mask.sub(next);
}

/** A language model, trained here or loaded, as a backbone for {@link encodeTexts} by its own tokenizer. */
export const languageModelBackbone = (
  { config, params }: Pick<LanguageModel, "config" | "params">,
  pooling: Pooling = "last",
): Backbone => textBackbone(config, params, pooling);

/** An encoder that knows nothing yet: the blocks of a family, in which each token sees all others. */
export function encoderBackbone(
  family: TransformerFamily,
  sizes: Omit<TransformerSizes, "causal">,
  random: Random,
): Backbone {
  const config = transformerConfig(family, { ...sizes, causal: false, tiedEmbeddings: true });
  return textBackbone(config, initTransformer(config, random));
}

/**
 * Texts as int32 `tokens` and float32 `mask`, both `[texts, length]`; what is beyond is cut.
 *
 * @throws UserError where a text has no tokens
 */
export function encodeTexts(
  tokenizer: Tokenizer,
  texts: readonly string[],
  length: number,
  padding = 0,
): Columns {
  return padTokens(tokenizeTexts(tokenizer, texts), length, padding);
}

export function tokenizeTexts(tokenizer: Tokenizer, texts: readonly string[]): Int32Array[] {
  return texts.map((text, i) => {
    const ids = tokenizer.encode(text);
    if (ids.length === 0) throw new UserError(`text ${i} (counted from 0) has no tokens`);
    return ids;
  });
}

export function padTokens(rows: readonly Int32Array[], length: number, padding: number): Columns {
  const tokens = new Int32Array(rows.length * length).fill(padding);
  const mask = new Float32Array(rows.length * length);
  rows.forEach((ids, row) => {
    const kept = ids.subarray(0, length);
    tokens.set(kept, row * length);
    mask.fill(1, row * length, row * length + kept.length);
  });
  const shape = [rows.length, length];
  return { tokens: new Tensor(tokens, shape), mask: new Tensor(mask, shape) };
}

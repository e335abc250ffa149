import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import type { Batch } from "../data/columns.js";
import {
  applyTransformer,
  type TransformerOptions,
  type TransformerParams,
  tokenLogits,
} from "./transformer.js";
import type { TransformerConfig } from "./transformer-config.js";

/** `log p(targets)` under rows of logits: `[...]` of logits `[..., vocabularySize]` and int32 ids `[...]`. */
export function ownLogProbs(logits: JaxArray, targets: JaxArray): JaxArray {
  const { shape } = targets;
  const own = np.takeAlongAxis(nn.logSoftmax(logits, -1), targets.reshape([...shape, 1]), -1);
  return own.reshape([...shape]);
}

/**
 * What a causal model gives the tokens that follow: `log p(next | tokens up to there)`, float32 `[batch, time]`.
 *
 * @param tokens int32 ids `[batch, time]`
 * @param next int32 ids `[batch, time]`: `next[t]` follows `tokens[t]`
 */
export function tokenLogProbs(
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  tokens: JaxArray,
  next: JaxArray,
  options: TransformerOptions = {},
): JaxArray {
  return ownLogProbs(tokenLogits(params, applyTransformer(config, params, tokens, options).hidden), next);
}

/** `tokenLogProbs` of packed rows, each document by itself: `[batch, time]`. */
export function packedLogProbs(
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  { tokens, next, segments, positions }: Batch,
): JaxArray {
  // Rotary embeddings tell distances alone, and those within a document are the row's.
  const learned = config.positions === "learned" && { positions };
  return tokenLogProbs(config, params, tokens, next, { segments, ...learned });
}

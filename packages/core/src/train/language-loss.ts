import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import type { Batch } from "../data/columns.js";
import { packedLogProbs } from "../models/token-log-probs.js";
import type { TransformerParams } from "../models/transformer.js";
import type { TransformerConfig } from "../models/transformer-config.js";
import type { WeightedLoss } from "./training.js";

/**
 * A loss of a language model, for whatever of the model is trained.
 *
 * @param params the whole model
 * @param batch the batch's rows of every column
 * @param progress share of training done, a scalar in [0, 1)
 */
export type LanguageLoss = (
  params: TransformerParams<JaxArray>,
  batch: Batch,
  progress: JaxArray,
) => JaxArray | WeightedLoss;

/** `-sum_t w_t log p(next_t) / sum_t w_t` over packed rows: that of pretraining, and of finetuning on answers. */
export const nextTokenLoss =
  (config: TransformerConfig): LanguageLoss =>
  (params, batch) => {
    const total = packedLogProbs(config, params, batch).mul(batch.weights).sum().neg();
    // A batch may be all padding but for its rows' last documents; one without any weight has no gradient.
    return { total, weight: np.maximum(batch.weights.sum(), 1e-6) };
  };

/** The mean of examples' losses `[examples]`, so that micro-batches of any size add up. */
export function meanOf(losses: JaxArray): WeightedLoss {
  return { total: losses.sum(), weight: np.array(losses.shape[0]) };
}

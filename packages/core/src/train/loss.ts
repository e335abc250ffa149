import { type Array as JaxArray, nn } from "@jax-js/jax";

/**
 * A student's loss on one batch: a scalar.
 *
 * @param logits the student's `[batch, classes]`
 * @param targets the weak soft labels `[batch, classes]`, rows sum to 1
 * @param progress share of training done, a scalar in [0, 1)
 */
export type StudentLoss = (logits: JaxArray, targets: JaxArray, progress: JaxArray) => JaxArray;

/** `-(1/batch) sum_b sum_k q_bk log p_bk`. */
export function crossEntropy(logits: JaxArray, targets: JaxArray): JaxArray {
  return nn.logSoftmax(logits, -1).mul(targets).sum(-1).mean().neg();
}

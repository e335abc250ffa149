import { nn, numpy as np } from "@jax-js/jax";
import { crossEntropy, type StudentLoss } from "../train/loss.js";
import { confidenceDefaults } from "./confidence.js";
import type { Method } from "./method.js";

/**
 * `(1 - c) CE(p, q) + c H(p)`: the weak labels mixed with the student's own predictions as they are, which pulls towards low
 * entropy. The weight c grows as in the confidence loss.
 */
export function entropyLoss({ maximum, warmup }: { maximum: number; warmup: number }): StudentLoss {
  return (logits, targets, progress) => {
    const weight = np.minimum(progress.mul(maximum / warmup), maximum);
    // The gradient flows through both factors of p log p, or there would be none.
    const entropy = crossEntropy(logits, nn.softmax(logits, -1));
    return crossEntropy(logits, targets).mul(weight.neg().add(1)).add(entropy.mul(weight));
  };
}

export const entropy: Method = {
  name: "entropy",
  summary: "weak labels mixed with the student's own predictions, not hardened: towards low entropy",
  source: "EleutherAI, weak-to-strong generalization, 2024",
  loss: () => entropyLoss(confidenceDefaults.ramp),
};

/** `KL(q || p)`: cross-entropy less the entropy of the weak labels, with the same gradient. */
export const klLoss: StudentLoss = (logits, targets) => {
  const own = targets.mul(np.log(np.maximum(targets, 1e-37))).sum(-1);
  return crossEntropy(logits, targets).add(own.mean());
};

export const kl: Method = {
  name: "kl",
  summary: "divergence from the weak labels: the gradient of the naive method, another value of the loss",
  source: "EleutherAI, weak-to-strong generalization, 2024",
  loss: () => klLoss,
};

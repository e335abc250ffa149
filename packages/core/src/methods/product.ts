import { lax, nn, numpy as np } from "@jax-js/jax";
import { crossEntropy, type StudentLoss } from "../train/loss.js";
import type { Method } from "./method.js";

/** Exponents of the student's own prediction and of the weak label. Both 1 in EleutherAI/w2s. */
export interface ProductConfig {
  own: number;
  weak: number;
}

/** Cross-entropy with the target `r ∝ p^own q^weak`, which carries no gradient (EleutherAI, weak-to-strong, 2024). */
export function productLoss({ own, weak }: ProductConfig): StudentLoss {
  return (logits, targets, _progress) => {
    // A class that the weak label excludes stays excluded, however sure the student is of it.
    const logWeak = np.where(targets.greater(0), np.log(np.maximum(targets, 1e-37)), -1e30);
    const combined = nn.logSoftmax(logits, -1).mul(own).add(logWeak.mul(weak));
    return crossEntropy(logits, lax.stopGradient(nn.softmax(combined, -1)));
  };
}

export const product: Method = {
  name: "product",
  summary: "weak labels multiplied by the student's own predictions",
  source: "EleutherAI, weak-to-strong generalization, 2024",
  loss: () => productLoss({ own: 1, weak: 1 }),
};

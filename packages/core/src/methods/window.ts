import { lax, nn, numpy as np } from "@jax-js/jax";
import type { SoftLabels } from "../data/soft-labels.js";
import { quantile } from "../measure/bootstrap.js";
import type { StudentLoss } from "../train/loss.js";
import type { Method } from "./method.js";

/** Cross-entropy only of examples of which the student is not yet sure, `max_k p < 0.5 + radius`; divided by the whole batch. */
export function windowLoss(radius: number): StudentLoss {
  return (logits, targets) => {
    const surest = lax.stopGradient(np.max(nn.softmax(logits, -1), -1));
    const open = surest.less(0.5 + radius).astype(np.float32);
    return nn.logSoftmax(logits, -1).mul(targets).sum(-1).mul(open).mean().neg();
  };
}

/** Median over the examples of how far their weak label is from undecided. */
export function medianCertainty({ values, shape: [rows, classes] }: SoftLabels): number {
  const certainties = Float64Array.from({ length: rows }, (_, row) => {
    const probabilities = values.subarray(row * classes, (row + 1) * classes);
    return Math.abs(Math.max(...probabilities) - 0.5);
  }).sort();
  return quantile(certainties, 0.5);
}

export const window: Method = {
  name: "window",
  summary: "cross-entropy only where the student's confidence is below 0.65",
  source: "EleutherAI, weak-to-strong generalization, 2024",
  loss: () => windowLoss(0.15),
};

export const midweakWindow: Method = {
  name: "window-midweak",
  summary: "cross-entropy only where the student is less sure than half of the weak labels are",
  source: "EleutherAI, weak-to-strong generalization, 2024",
  loss: (weak) => windowLoss(medianCertainty(weak)),
};

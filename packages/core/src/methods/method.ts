import type { SoftLabels } from "../data/soft-labels.js";
import type { StudentLoss } from "../train/loss.js";

/** How a student learns from weak labels, where that is a loss on single batches. */
export interface Method {
  /** As users type it. */
  name: string;
  /** One sentence for people. */
  summary: string;
  /** Paper, section or file. */
  source: string;
  /** The loss for this many classes. Throws UserError where the method cannot be used on the labels. */
  loss(weak: SoftLabels, batchSize: number): StudentLoss;
}

import { crossEntropy } from "../train/loss.js";
import type { Method } from "./method.js";

/** What a single supervisor's student has to compare with, where there are several. */
export const ensemble: Method = {
  name: "ensemble",
  summary: "several supervisors: cross-entropy with the equal mean of their labels",
  source: "Jeon et al. 2025, baseline",
  several: "equal weights",
  loss: () => crossEntropy,
};

/** The loss is that of one supervisor; `createWeighingFinetuner` trains with several. */
export const raven: Method = {
  name: "raven",
  summary: "several supervisors: a weight for each is learned with the student, starting where all agree",
  source: "Jeon et al. 2025",
  several: "learned weights",
  loss: () => crossEntropy,
};

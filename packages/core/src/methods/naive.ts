import { crossEntropy } from "../train/loss.js";
import type { Method } from "./method.js";

/** Cross-entropy with the weak soft labels, and nothing else (Burns et al. 2023, section 4.1). */
export const naive: Method = {
  name: "naive",
  summary: "cross-entropy with the weak labels",
  source: "Burns et al. 2023, section 4.1",
  loss: () => crossEntropy,
};

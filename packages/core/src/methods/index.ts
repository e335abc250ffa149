import { namesHint } from "../data/nearest.js";
import { UserError } from "../errors.js";
import { confidence, confidenceDefaults } from "./confidence.js";
import { entropy, kl } from "./entropy.js";
import type { Method } from "./method.js";
import { naive } from "./naive.js";
import { probeMethods, strongToStrong } from "./probes.js";
import { product } from "./product.js";
import { ensemble, raven } from "./several.js";
import { midweakWindow, window } from "./window.js";

export {
  type ConfidenceConfig,
  type ConfidenceSchedule,
  confidenceDefaults,
  confidenceLoss,
} from "./confidence.js";
export { entropyLoss, klLoss } from "./entropy.js";
export { type Classroom, type Lesson, learn, type Method } from "./method.js";
export { naive } from "./naive.js";
export { filterByProbe, filterByTopology, knnProbe, logisticProbe, probeDefaults } from "./probes.js";
export { productLoss } from "./product.js";
export { medianCertainty, windowLoss } from "./window.js";

/** The methods that a user can name, in the order in which tables show them. */
export const methods: readonly Method[] = [
  naive,
  confidence("confidence", confidenceDefaults.paper, "Burns et al. 2023, section 4.3 and appendix"),
  confidence("confidence-official", confidenceDefaults["official-code"], "openai/weak-to-strong, loss.py"),
  confidence("confidence-ramp", confidenceDefaults.ramp, "EleutherAI/w2s"),
  product,
  entropy,
  kl,
  window,
  midweakWindow,
  strongToStrong,
  ...probeMethods,
  ensemble,
  raven,
];

/** The method of this name. Throws UserError that lists the methods. */
export function methodNamed(name: string): Method {
  const found = methods.find((method) => method.name === name);
  if (found) return found;
  throw new UserError(`there is no method "${name}"`, {
    hint: namesHint(
      name,
      "methods",
      methods.map((method) => method.name),
    ),
  });
}

export { deadClasses, featureGrowth, type Growth } from "./growth.js";
export {
  accuracyOf,
  drawCnn,
  kappaOf,
  outputOf,
  type PatchCnn,
  type PatchPoint,
  rateOf,
  type Trace,
  type Trained,
  type TrainOptions,
  trainCnn,
} from "./method.js";
export { benignOscillation as study } from "./study.js";
export { type Oscillation, oscillationOf } from "./trace.js";
export { drawWorld, type World, type WorldOptions } from "./world.js";

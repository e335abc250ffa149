export {
  movedWeights,
  type RavenOptions,
  type RavenStudent,
  trainRaven,
  weightGradient,
} from "./method.js";
export { raven as study } from "./study.js";
export { type Environment, type ShiftedExamples, ShiftWorld } from "./world.js";

export { type EvidentialOptions, type EvidentialStudent, trainEvidential } from "./evidential.js";
export {
  movedWeights,
  type RavenOptions,
  type RavenStudent,
  trainRaven,
  weightGradient,
} from "./method.js";
export {
  pairSlopes,
  type RavenPreferenceOptions,
  type RavenPreferenceStudent,
  trainRavenPreferences,
  type WeighedPairs,
} from "./preferences.js";
export { raven as study } from "./study.js";
export { type Environment, type ShiftedExamples, ShiftWorld } from "./world.js";

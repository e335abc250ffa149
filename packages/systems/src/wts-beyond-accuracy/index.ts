export * from "./classifiers.js";
export * from "./continuations.js";
export { wtsBeyondAccuracy as study } from "./study.js";
export * from "./weak-labels.js";

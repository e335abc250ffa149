export {
  type ClassExpansion,
  type ExpansionProblem,
  measureExpansions,
  type Neighbours,
  type Spread,
} from "./measure.js";
export {
  ABSTAIN,
  type CoveredOptions,
  type CoveredProblem,
  type LinearStudent,
  predictClasses,
  trainOnCovered,
} from "./method.js";
export { coverageExpansion as study } from "./study.js";

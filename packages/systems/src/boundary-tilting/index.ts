export { type AdversarialMargins, adversarialMargins, type Classifier } from "./adversarial.js";
export {
  type BoundaryDiagnostics,
  boundaryDiagnostics,
  type Spread,
  type TiltOfPair,
} from "./diagnostics.js";
export { fitLda, fitLogistic, LinearSvm } from "./linear-classifiers.js";
export { type JudgedPoints, studentBoundary, supervisorBoundary } from "./student-boundary.js";
export { boundaryTilting as study } from "./study.js";
export {
  type Centroids,
  centroids,
  type LinearRule,
  mirrorImage,
  nearestCentroid,
  type Point,
  projectedImage,
  signedDistance,
  type TiltReport,
  tiltBound,
  tiltBoundary,
  tiltingPlane,
  tiltReport,
} from "./tilt.js";

import type { ResultRow } from "outgrow";

export type Row = ResultRow & {
  part: string;
  cell: string;
  /** Of the last phase. */
  kappa: number | null;
  steps: number | null;
  /** Learning rate of a network on images. */
  rate: number | null;
  /** On points that have nothing but the weak feature and noise; 0 for a run that diverged. */
  weakAccuracy: number | null;
  strongAccuracy: number | null;
  /** Of the paper's test set, an eighth of which is weak. */
  mixedAccuracy: number | null;
  trainAccuracy: number | null;
  /** Share of visits of strong points, of the first 5000 steps, with |y·f(x) − 1| above 0.2. */
  oscillating: number | null;
  /** R² of the running sum of 1 − y·f(x) over strong points until the weak feature is learned. */
  linearity: number | null;
  /** Σ (1 − y·f(x)) over visits of strong points after step 2000. */
  drift: number | null;
  /** Step at which the weak patch alone gives both classes an output of δ/4 = 0.05. */
  learnedAt: number | null;
  /** Weak patch's own output, y·f, of the class where it is smaller. */
  weakOutput: number | null;
  /** Largest ⟨w, feature⟩ / ‖feature‖ of a filter of the feature's class. */
  strongProjection: number | null;
  weakProjection: number | null;
  noiseProjection: number | null;
  /** Largest relative deviation from the identity of growth. */
  identityError: number | null;
  divergedAt: number | null;
  diverged: number | null;
  /** Classes that no filter can learn the weak feature for. */
  deadClasses: number | null;
  /** What a curve shows, at the step of `steps`. */
  value: number | null;
};

export const blank: Row = {
  part: "",
  cell: "",
  kappa: null,
  steps: null,
  rate: null,
  weakAccuracy: null,
  strongAccuracy: null,
  mixedAccuracy: null,
  trainAccuracy: null,
  oscillating: null,
  linearity: null,
  drift: null,
  learnedAt: null,
  weakOutput: null,
  strongProjection: null,
  weakProjection: null,
  noiseProjection: null,
  identityError: null,
  divergedAt: null,
  diverged: null,
  deadClasses: null,
  value: null,
};

import type { ResultRow } from "outgrow";
import type { Arm, parts } from "./fields.js";

export interface Row extends ResultRow {
  /** `curve`: a measurement of E2 on its way. */
  part: (typeof parts)[number] | "curve";
  arm: Arm;
  noise: number;
  samples: number;
  kappa: number;
  /** Share of samples with both signals. */
  bothShare: number;
  /** Share of samples with the hard signal alone. */
  hardShare: number;
  /** Updates taken. */
  steps: number;
  /** Test accuracy of the weak model, of a linear student, and of the strong one at the end. */
  weak: number | null;
  linear: number | null;
  final: number | null;
  finalEasy: number | null;
  finalHard: number | null;
  finalBoth: number | null;
  /** Accuracy on the training samples by the labels that were learned, at the end. */
  fit: number;
  /** Accuracy of weak model and linear student on hard samples: its distance from one half in standard errors. */
  weakHard: number | null;
  weakDeviation: number | null;
  linearDeviation: number | null;
  /** When to stop is chosen by the truth of validation samples. */
  best: number | null;
  bestHard: number | null;
  bestStep: number | null;
  /** Share of the wrong weak labels that are predicted right then. */
  corrected: number | null;
  /** Of the four hard signals, how many are not known then. */
  missed: number | null;
  /** When to stop is chosen by the loss on weak labels of validation samples. */
  stopped: number | null;
  stoppedStep: number | null;
  /** Mean positive coefficients of the filters of a class. */
  easy: number | null;
  hardStraight: number | null;
  hardTurned: number | null;
  memorised: number | null;
}

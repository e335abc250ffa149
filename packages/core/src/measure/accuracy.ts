import { type Measured, requireTruth, sameLength } from "./measured.js";

/** Share of examples, in [0, 1], whose predicted class [n] is the true one [n]. */
export function accuracy(predicted: Int32Array, truth: Int32Array): Measured {
  return shareCorrect(correctness(predicted, truth));
}

/** 1 where the predicted class [n] is the true one [n], else 0. Refuses (UserError) a missing truth, -1. */
export function correctness(predicted: Int32Array, truth: Int32Array): Uint8Array {
  sameLength({ predicted, truth });
  requireTruth(truth);
  return Uint8Array.from(predicted, (label, i) => (label === truth[i] ? 1 : 0));
}

/** Accuracy from correctness [n]. */
export function shareCorrect(correct: Uint8Array): Measured {
  if (correct.length === 0) return { value: null, reason: "no examples" };
  return { value: correct.reduce((sum, one) => sum + one, 0) / correct.length };
}

/**
 * Standard error of accuracy A minus accuracy B when both were measured on the same n examples:
 * s / sqrt(n), with s the sample standard deviation of the per-example differences.
 */
export function standardErrorOfDifference(correctA: Uint8Array, correctB: Uint8Array): Measured {
  sameLength({ correctA, correctB });
  return standardErrorOfMean(Float64Array.from(correctA, (one, i) => one - correctB[i]));
}

/** Standard error s / sqrt(n) of the mean of n independent values; needs two of them. */
export function standardErrorOfMean(values: Float64Array): Measured {
  const n = values.length;
  if (n < 2) return { value: null, reason: `a standard error needs 2 examples, there are ${n}` };
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { value: Math.sqrt(squares / (n - 1) / n) };
}

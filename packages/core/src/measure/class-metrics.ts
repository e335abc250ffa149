import { type Measured, requireTruth, sameLength } from "./measured.js";

/** How well classes are told apart where they are not equally frequent, or not equally dear. */
export interface ClassMetrics {
  accuracy: Measured;
  /** Mean recall of the classes that the truth has. */
  balancedAccuracy: Measured;
  /** F1 of each class, weighted by how often the truth has it; 0 where a class is neither predicted nor right. */
  weightedF1: Measured;
  /** `[classes]`: share of a class's examples that are found. */
  recall: Measured[];
  /** `[classes]`: share of what is called so that is so. */
  precision: Measured[];
  /** Classes that the truth does not have: balanced accuracy leaves them out. */
  absent: number[];
}

/**
 * @param predicted classes, `[n]`
 * @param truth classes, `[n]`
 * @throws UserError for columns of different lengths and for a missing truth
 */
export function classMetrics(predicted: Int32Array, truth: Int32Array, classes: number): ClassMetrics {
  const count = sameLength({ predicted, truth });
  requireTruth(truth);
  const [actual, called, right] = Array.from({ length: 3 }, () => new Array<number>(classes).fill(0));
  truth.forEach((label, i) => {
    actual[label]++;
    called[predicted[i]]++;
    if (predicted[i] === label) right[label]++;
  });
  const share = (part: number, whole: number, reason: string): Measured =>
    whole === 0 ? { value: null, reason } : { value: part / whole };
  const each = Array.from({ length: classes }, (_, k) => k);
  const present = each.filter((k) => actual[k] > 0);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const f1 = (k: number) => (2 * right[k]) / Math.max(1, actual[k] + called[k]);
  return {
    accuracy: share(sum(right), count, "no examples"),
    balancedAccuracy: share(sum(present.map((k) => right[k] / actual[k])), present.length, "no examples"),
    weightedF1: share(sum(each.map((k) => actual[k] * f1(k))), count, "no examples"),
    recall: each.map((k) => share(right[k], actual[k], `no example is of class ${k}`)),
    precision: each.map((k) => share(right[k], called[k], `no example is called class ${k}`)),
    absent: each.filter((k) => actual[k] === 0),
  };
}

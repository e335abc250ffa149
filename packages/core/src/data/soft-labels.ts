/** Class probabilities of many rows. */
export interface SoftLabels {
  /** `[n, classes]`, row by row; each row is in [0, 1] and sums to 1. */
  values: Float32Array;
  shape: [n: number, classes: number];
}

/**
 * The class with the greatest value in one row of `[n, classes]`; of equal ones the lowest.
 * A NaN is never greater, so a row of NaN gives 0.
 */
export function argmaxRow(values: ArrayLike<number>, classes: number, row = 0): number {
  const start = row * classes;
  let best = 0;
  for (let k = 1; k < classes; k++) if (values[start + k] > values[start + best]) best = k;
  return best;
}

/** `[n]`: {@link argmaxRow} of every row of `[n, classes]`. */
export function argmaxRows(values: ArrayLike<number>, classes: number): Int32Array {
  return Int32Array.from({ length: values.length / classes }, (_, row) => argmaxRow(values, classes, row));
}

/** The mean of several supervisors' labels, by weights with a sum of 1, or all alike. */
export function mixLabels(supervisors: readonly SoftLabels[], weights?: ArrayLike<number>): SoftLabels {
  const [{ shape }] = supervisors;
  if (supervisors.length === 1) return supervisors[0];
  const values = new Float32Array(shape[0] * shape[1]);
  for (let at = 0; at < values.length; at++) {
    let sum = 0;
    supervisors.forEach((labels, m) => {
      sum += labels.values[at] * (weights ? weights[m] : 1);
    });
    values[at] = weights ? sum : sum / supervisors.length;
  }
  return { values, shape };
}

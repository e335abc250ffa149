import { argmaxRow, type SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";

export interface LabelErrors {
  /** Numbers of the examples whose label is likely wrong, the likeliest first. */
  examples: number[];
  /** Of each of them, the class that it likely belongs to. */
  suggested: number[];
  /** Counts of examples with label i (row) that likely belong to class j (column): `[classes][classes]`, rows sum to the labels' counts. */
  joint: number[][];
}

/**
 * Finds label errors by confident learning (Northcutt, Jiang and Chuang 2021): the confident joint of given labels and likely
 * classes, and of each of its off-diagonal cells the examples with the largest margin ("prune by noise rate"). Ranked by
 * normalised margin.
 *
 * @param labels classes `[n]` as given
 * @param predicted probabilities `[n, classes]` of a model that was not trained on these labels, or the errors look right to it
 */
export function labelErrors(labels: Int32Array, predicted: SoftLabels): LabelErrors {
  const [rows, classes] = predicted.shape;
  if (labels.length !== rows) throw new UserError(`${labels.length} labels for ${rows} predictions`);
  const bad = labels.findIndex((label) => label < 0 || label >= classes);
  if (bad >= 0)
    throw new UserError(`example ${bad} has the label ${labels[bad]}, expected 0 to ${classes - 1}`);
  const p = (row: number, k: number) => predicted.values[row * classes + k];

  const counts = new Array<number>(classes).fill(0);
  // Section 3.1: a class's threshold is the mean probability of it among the examples that have its label.
  const thresholds = new Array<number>(classes).fill(0);
  labels.forEach((label, row) => {
    counts[label]++;
    thresholds[label] += p(row, label);
  });
  for (let k = 0; k < classes; k++) {
    // A class that no example is given has no threshold: nobody is confidently of it.
    thresholds[k] = counts[k] === 0 ? Number.POSITIVE_INFINITY : thresholds[k] / counts[k];
  }

  // Equation 1: counts of confident examples by label and by the likeliest class whose threshold they reach.
  const confident = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  labels.forEach((label, row) => {
    let likely = -1;
    for (let k = 0; k < classes; k++) {
      // Thresholds are means of the very numbers: rounding must not put a class of equal ones below its own.
      if (p(row, k) >= thresholds[k] - 1e-6 && (likely < 0 || p(row, k) > p(row, likely))) likely = k;
    }
    if (likely >= 0) confident[label][likely]++;
  });
  // Equation 2: rows are brought to the counts of the labels.
  const joint = confident.map((row, i) => {
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((count, j) => (sum === 0 ? (i === j ? counts[i] : 0) : (count / sum) * counts[i]));
  });

  const found = new Map<number, number>();
  const byLabel = Array.from({ length: classes }, (_, k) =>
    Array.from(labels.keys()).filter((row) => labels[row] === k),
  );
  for (let i = 0; i < classes; i++) {
    for (let j = 0; j < classes; j++) {
      const wanted = Math.round(joint[i][j]);
      if (i === j || wanted === 0) continue;
      const byMargin = byLabel[i].slice().sort((a, b) => p(b, j) - p(b, i) - (p(a, j) - p(a, i)) || a - b);
      for (const row of byMargin.slice(0, wanted)) if (!found.has(row)) found.set(row, j);
    }
  }
  // What the model itself says is no error.
  const isError = (row: number) => argmaxRow(predicted.values, classes, row) !== labels[row];
  const margin = (row: number) => {
    let other = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < classes; k++) if (k !== labels[row]) other = Math.max(other, p(row, k));
    return p(row, labels[row]) - other;
  };
  const examples = [...found.keys()].filter(isError).sort((a, b) => margin(a) - margin(b) || a - b);
  return {
    examples,
    suggested: examples.map((row) => argmaxRow(predicted.values, classes, row)),
    joint,
  };
}

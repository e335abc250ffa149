import { UserError } from "../errors.js";

/** What a classifier predicts for the members of each group. */
export interface FairnessMatrix {
  /** Share of a group's members (of one true class, for equal odds) with an outcome: `[groups, classes]`, row by row. */
  values: Float64Array;
  groups: number;
  classes: number;
}

/** P(prediction = k | group = a). A group without members has rows of NaN. */
export function fairnessMatrix(
  predicted: Int32Array,
  group: Int32Array,
  { groups, classes }: { groups: number; classes: number },
): FairnessMatrix {
  const values = new Float64Array(groups * classes);
  const members = new Float64Array(groups);
  group.forEach((a, i) => {
    values[a * classes + predicted[i]]++;
    members[a]++;
  });
  return { values: values.map((count, i) => count / members[Math.floor(i / classes)]), groups, classes };
}

/**
 * Demographic parity: mean over ordered pairs of different groups and over classes of |H[a, k] - H[b, k]|. For two groups and
 * two classes that is the difference of the rates at which class 1 is predicted.
 */
export function parityGap({ values, groups, classes }: FairnessMatrix): number {
  let sum = 0;
  for (let a = 0; a < groups; a++) {
    for (let b = 0; b < groups; b++) {
      for (let k = 0; k < classes; k++) sum += Math.abs(values[a * classes + k] - values[b * classes + k]);
    }
  }
  return sum / (groups * (groups - 1) * classes);
}

/** Equal odds: mean of the gaps inside each true class. For two classes a quarter of the sum over class and outcome. */
export const oddsGap = (byTruth: readonly FairnessMatrix[]): number =>
  byTruth.reduce((sum, matrix) => sum + parityGap(matrix), 0) / byTruth.length;

/** Equal opportunity: mean over pairs of groups of the differences in how often class 1 is found where it is true. */
export function opportunityGap({ values, groups, classes }: FairnessMatrix): number {
  let sum = 0;
  for (let a = 0; a < groups; a++) {
    for (let b = 0; b < groups; b++) sum += Math.abs(values[a * classes + 1] - values[b * classes + 1]);
  }
  return sum / (groups * (groups - 1));
}

/** Inverse `[m, m]` by Gauss and Jordan with pivots; undefined where the matrix is singular. */
export function inverse(matrix: Float64Array, m: number): Float64Array | undefined {
  const rows = Array.from({ length: m }, (_, i) =>
    Array.from({ length: 2 * m }, (__, j) => (j < m ? matrix[i * m + j] : Number(j - m === i))),
  );
  for (let column = 0; column < m; column++) {
    let pivot = column;
    for (let i = column + 1; i < m; i++) {
      if (Math.abs(rows[i][column]) > Math.abs(rows[pivot][column])) pivot = i;
    }
    if (Math.abs(rows[pivot][column]) < 1e-12) return undefined;
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    rows[column] = rows[column].map((value) => value / rows[column][column]);
    for (let i = 0; i < m; i++) {
      if (i === column) continue;
      const factor = rows[i][column];
      rows[i] = rows[i].map((value, j) => value - factor * rows[column][j]);
    }
  }
  return Float64Array.from(rows.flatMap((row) => row.slice(m)));
}

/** Condition number in the 1-norm; infinite where the matrix is singular. */
export function conditionNumber(matrix: Float64Array, m: number): number {
  const inverted = inverse(matrix, m);
  if (!inverted) return Number.POSITIVE_INFINITY;
  const norm = (values: Float64Array) =>
    Math.max(
      ...Array.from({ length: m }, (_, j) =>
        Array.from({ length: m }, (__, i) => Math.abs(values[i * m + j])).reduce((a, b) => a + b, 0),
      ),
    );
  return norm(matrix) * norm(inverted);
}

/**
 * P(prediction = k | group) from the joint frequencies P(proxy = b, prediction = k): `diag(p)^-1 (T')^-1 joint`, with each
 * outcome's own T (`[groups, groups]`, or one for all). Entries can lie outside [0, 1] where T is off.
 *
 * @param joint `[groups, classes]`, row by row
 */
export function calibrateMatrix(
  joint: Float64Array,
  transitions: readonly Float64Array[],
  prior: ArrayLike<number>,
): FairnessMatrix {
  const groups = prior.length;
  const classes = joint.length / groups;
  const values = new Float64Array(joint.length);
  for (let k = 0; k < classes; k++) {
    const inverted = inverse(transitions[k % transitions.length], groups);
    if (!inverted) {
      throw new UserError("the proxies' error matrix cannot be inverted: they say nothing of the group", {
        exitCode: 1,
      });
    }
    for (let a = 0; a < groups; a++) {
      let sum = 0;
      for (let b = 0; b < groups; b++) sum += inverted[b * groups + a] * joint[b * classes + k];
      values[a * classes + k] = sum / prior[a];
    }
  }
  return { values, groups, classes };
}

/** Entries brought into [0.001, 1] and rows to a sum of 1. */
export function clippedMatrix({ values, groups, classes }: FairnessMatrix): FairnessMatrix {
  const clipped = values.map((value) => Math.min(1, Math.max(1e-3, value)));
  for (let a = 0; a < groups; a++) {
    const row = clipped.subarray(a * classes, (a + 1) * classes);
    const sum = row.reduce((total, value) => total + value, 0);
    row.forEach((value, k) => {
      row[k] = value / sum;
    });
  }
  return { values: clipped, groups, classes };
}

/** P(proxy = b, prediction = k) over all proxies: `[groups, classes]`. */
export function jointFrequencies(
  predicted: Int32Array,
  proxies: readonly Int32Array[],
  rows: Int32Array | undefined,
  groups: number,
  classes: number,
): Float64Array {
  const joint = new Float64Array(groups * classes);
  const count = rows?.length ?? predicted.length;
  for (const proxy of proxies) {
    for (let i = 0; i < count; i++) {
      const row = rows ? rows[i] : i;
      joint[proxy[row] * classes + predicted[row]]++;
    }
  }
  return joint.map((value) => value / (count * proxies.length));
}

const ILL_CONDITIONED = 100;

/** Why error rates cannot be inverted, or undefined. */
export function uninformative(transition: Float64Array, groups: number): string | undefined {
  const condition = conditionNumber(transition, groups);
  if (condition > ILL_CONDITIONED)
    return `the condition number of their error matrix is ${condition.toFixed(0)}`;
  for (let a = 0; a < groups; a++) {
    const right = transition[a * groups + a];
    if (right <= 1 / groups) return `group ${a} is recognised in ${(100 * right).toFixed(0)} % of its rows`;
  }
  return undefined;
}

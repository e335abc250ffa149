import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";

/** What a weak supervisor gives: all that a student is allowed to see. */
export interface WeakLabels {
  labels: SoftLabels;
  /** Where they come from, for people, e.g. "MLP of width 8, 5000 true labels". */
  source: string;
  /** The supervisor's own uncertainty per example [n] if it has one; larger is less certain. */
  uncertainty?: Float32Array;
}

/** How far a row's sum may be from 1. */
const sumTolerance = 1e-4;

/**
 * Refuses (UserError) soft labels whose rows are not distributions: a value that is negative or not a number,
 * or a sum further than 1e-4 from 1. The message names the example by its id, or by its row counted from 0.
 */
export function checkSoftLabels(labels: SoftLabels, ids?: readonly string[]): void {
  const { values, shape } = labels;
  const [n, classes] = shape;
  if (values.length !== n * classes) {
    throw new UserError(`soft labels of shape [${shape}] have ${n * classes} values, not ${values.length}`);
  }
  if (ids && ids.length !== n) throw new UserError(`soft labels of ${n} examples, but ${ids.length} ids`);
  for (let row = 0; row < n; row++) {
    let sum = 0;
    let valid = true;
    for (let k = row * classes; k < (row + 1) * classes; k++) {
      valid &&= values[k] >= 0; // false for NaN
      sum += values[k];
    }
    if (valid && Math.abs(sum - 1) <= sumTolerance) continue;
    const example = ids ? `example "${ids[row]}"` : `row ${row} (counted from 0)`;
    const given = Array.from(values.subarray(row * classes, (row + 1) * classes), String).join(", ");
    throw new UserError(
      `soft labels of ${example} are [${given}]${valid ? `, which sum to ${sum.toFixed(6)}` : ""}`,
      { hint: "Soft labels are probabilities, one per class: from 0, with sum 1 (within 1e-4)." },
    );
  }
}

/** The most probable class of each row [n]; ties go to the lowest class index. */
export function hardLabels(labels: SoftLabels): Int32Array {
  return argmaxRows(labels.values, labels.shape[1]);
}

/** Distributions [n, classes] that give each class [n] probability 1. Refuses classes that do not exist. */
export function oneHot(labels: Int32Array, classes: number): SoftLabels {
  checkClasses(labels, classes);
  const values = new Float32Array(labels.length * classes);
  labels.forEach((label, i) => {
    values[i * classes + label] = 1;
  });
  return { values, shape: [labels.length, classes] };
}

/**
 * The true classes [n] with round(errorRate n) of them, drawn at random, changed to another class drawn at
 * random: errors of a weak supervisor's number that nobody can predict (card w2sg, analysis A3b).
 */
export function randomFlips(
  truth: Int32Array,
  classes: number,
  errorRate: number,
  random: Random,
): Int32Array {
  checkClasses(truth, classes);
  if (!(errorRate >= 0 && errorRate <= 1)) throw new UserError(`an error rate in [0, 1], not ${errorRate}`);
  if (classes < 2) throw new UserError(`labels can be flipped among 2 classes or more, not ${classes}`);
  const flipped = truth.slice();
  for (const i of random.permutation(truth.length).subarray(0, Math.round(errorRate * truth.length))) {
    flipped[i] = (truth[i] + 1 + random.integer(classes - 1)) % classes;
  }
  return flipped;
}

/** What is odd about weak labels yet no reason to refuse them, in words for the reader; none for good labels. */
export function mildWarnings(labels: SoftLabels): string[] {
  const [n, classes] = labels.shape;
  if (n === 0 || classes < 2) return [];
  const hard = hardLabels(labels);
  if (hard.some((label) => label !== hard[0])) return [];
  return [
    `The most probable weak label of all ${n} examples is class ${hard[0]} of ${classes}: a student can learn little else. Check the supervisor and the balance of its training labels.`,
  ];
}

function checkClasses(labels: Int32Array, classes: number) {
  const bad = labels.findIndex((label) => label < 0 || label >= classes);
  if (bad < 0) return;
  throw new UserError(`row ${bad} (counted from 0) has class ${labels[bad]}, expected 0 to ${classes - 1}`);
}

/* Labels of several weak supervisors of the same examples. */
import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";
import { checkSoftLabels } from "./weak-labels.js";

/**
 * The classes of several supervisors' labels.
 *
 * @param count examples that each must label
 * @throws UserError where there is no supervisor, they differ in classes or examples, or labels are no distributions
 */
export function checkSupervisors(supervisors: readonly SoftLabels[], count: number): number {
  if (supervisors.length === 0) throw new UserError("there is no weak model to learn from");
  const classes = supervisors[0].shape[1];
  supervisors.forEach((labels, m) => {
    if (labels.shape[1] !== classes) {
      throw new UserError(`weak model ${m + 1} has ${labels.shape[1]} classes, the first has ${classes}`);
    }
    if (labels.shape[0] !== count) {
      throw new UserError(`weak model ${m + 1} labels ${labels.shape[0]} examples, and there are ${count}`, {
        hint: "Leave out the examples that a weak model does not label.",
      });
    }
    checkSoftLabels(labels);
  });
  return classes;
}

/** 1 where all supervisors name the same class, else 0. */
export function easyExamples(supervisors: readonly SoftLabels[]): Uint8Array {
  const labels = supervisors.map(({ values, shape: [, classes] }) => argmaxRows(values, classes));
  return Uint8Array.from(labels[0], (label, i) => Number(labels.every((own) => own[i] === label)));
}

/** What is wrong with a start on the easy examples: there are none, or of one class alone. */
export function easyWarnings(
  { values, shape: [, classes] }: SoftLabels,
  isEasy: ArrayLike<number>,
): string[] {
  const counts = new Array<number>(classes).fill(0);
  argmaxRows(values, classes).forEach((label, i) => {
    counts[label] += isEasy[i];
  });
  const seen = counts.filter((count) => count > 0).length;
  if (seen === 0) return ["The weak models agree on no example: training starts on all."];
  if (seen > 1) return [];
  return [`The weak models agree on examples of one class alone (by class: ${counts.join(", ")}).`];
}

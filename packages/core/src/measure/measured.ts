import { UserError } from "../errors.js";

/**
 * A metric that can be undefined. It is then null with the reason in words:
 * never NaN, never infinite, and never 0 for a group without members.
 */
export type Measured = { value: number } | { value: null; reason: string };

/** Refuses missing true classes (negative): leave those examples out of every column before measuring. */
export function requireTruth(truth: Int32Array): void {
  const missing = truth.findIndex((label) => label < 0);
  if (missing < 0) return;
  throw new UserError(
    `example ${missing} (counted from 0) has no true class, so nothing can be measured on it`,
  );
}

/** Refuses columns of one table that differ in length, e.g. `sameLength({ predicted, truth })`; returns the length. */
export function sameLength(columns: Record<string, ArrayLike<unknown>>): number {
  const entries = Object.entries(columns);
  const length = entries[0][1].length;
  if (entries.some(([, column]) => column.length !== length)) {
    const given = entries.map(([name, column]) => `${name} ${column.length}`).join(", ");
    throw new UserError(`one value per example is expected in each column, but the lengths are ${given}`);
  }
  return length;
}

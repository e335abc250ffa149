/* Matrices of NumPy's that stand beside a table: row i of one belongs to row i of the other. */
import { UserError } from "../errors.js";
import { type Matrix, readNpy } from "./npy.js";
import type { SoftLabels } from "./soft-labels.js";

/** Whether a matrix is named where a column may be. */
export const isMatrixFile = (name: string): boolean => /\.npy$/i.test(name);

/** @throws UserError where the matrix has not one row for each of the table, and what {@link readNpy} refuses */
export async function readMatrixOf(file: string, rows: number): Promise<Matrix> {
  const matrix = await readNpy(file);
  if (matrix.shape[0] !== rows) {
    throw new UserError(`the matrix has ${matrix.shape[0]} rows, the table has ${rows}`, {
      place: { file },
      hint: "Row i of the matrix belongs to row i of the table, its header not counted.",
    });
  }
  return matrix;
}

const tolerance = 1e-4;

/**
 * Weak labels of a matrix `[rows, classes]`: probabilities, or logits where values are outside of [0, 1], of which the softmax is taken.
 * A matrix in which most rows are probabilities is one of probabilities.
 *
 * @throws UserError where the columns are not the classes, and, naming the row's id, for probabilities that are none
 */
export async function readMatrixLabels(
  file: string,
  ids: readonly string[],
  classes: readonly string[],
): Promise<SoftLabels> {
  const { values, shape } = await readMatrixOf(file, ids.length);
  const [rows, columns] = shape;
  if (columns !== classes.length) {
    throw new UserError(`the matrix has ${columns} columns, there are ${classes.length} classes`, {
      place: { file },
      hint: `The classes are ${classes.join(", ")}; list others with --classes, in the order of the columns.`,
    });
  }
  const rowsOf = Array.from({ length: rows }, (_, row) =>
    values.subarray(row * columns, (row + 1) * columns),
  );
  const isInside = (row: Float32Array) => row.every((p) => p >= 0 && p <= 1 + tolerance);
  const isProbable = (row: Float32Array) =>
    isInside(row) && Math.abs(row.reduce((sum, p) => sum + p, 0) - 1) <= tolerance;
  const probable = rowsOf.map(isProbable);
  const areLogits = rowsOf.some((row) => !isInside(row)) && probable.filter(Boolean).length <= rows / 2;
  const bad = areLogits ? -1 : probable.indexOf(false);
  if (bad >= 0) {
    throw new UserError(
      `the probabilities of row id ${JSON.stringify(ids[bad])} are ${[...rowsOf[bad]].join(", ")}, expected numbers from 0 to 1 that sum to 1`,
      { place: { file }, hint: "Divide the probabilities of each row by their sum, or give logits." },
    );
  }
  const labels = new Float32Array(values.length);
  rowsOf.forEach((row, i) => {
    const most = Math.max(...row);
    const weights = Array.from(row, (value) => (areLogits ? Math.exp(value - most) : value));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    labels.set(
      weights.map((weight) => weight / sum),
      i * columns,
    );
  });
  return { values: labels, shape };
}

import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { UserError } from "../errors.js";
import type { Features } from "./features.js";

/** Directions in which features vary most, e.g. of counts of words: latent semantic analysis. */
export interface PrincipalComponents {
  /** `[columns]` */
  mean: Float64Array;
  /** Orthonormal, `[columns, dimensions]`, the one of largest variance first. */
  components: Float64Array;
  /** Of the features along each: `[dimensions]`. */
  variances: Float64Array;
}

/**
 * The eigenvectors of the covariance with the largest eigenvalues, in float64. Takes time with the cube of the columns: seconds for
 * 600, so choose among the words of a text first. The largest entry of each is positive.
 *
 * @throws UserError for fewer than 2 rows, more dimensions than columns and numbers that are not finite, with their row
 */
export function principalComponents(features: Features, dimensions: number): PrincipalComponents {
  const [rows, columns] = features.shape;
  if (rows < 2) throw new UserError(`principal components need at least 2 examples, there are ${rows}`);
  if (!(Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= columns)) {
    throw new UserError(
      `${dimensions} principal components of ${columns} columns, expected 1 to as many as columns`,
    );
  }
  const mean = new Float64Array(columns);
  const products = new Float64Array(columns * columns);
  eachRow(features, (row, filled, values) => {
    for (let a = 0; a < values.length; a++) {
      const share = values[a] / rows;
      if (share === 0) continue;
      if (!Number.isFinite(share)) {
        throw new UserError(
          `features are finite numbers, but row ${row}, column ${filled[a]} is ${values[a]}`,
        );
      }
      mean[filled[a]] += share;
      const at = filled[a] * columns;
      for (let b = 0; b < values.length; b++) products[at + filled[b]] += share * values[b];
    }
  });
  const covariance = Matrix.zeros(columns, columns);
  for (let i = 0; i < columns; i++) {
    for (let j = 0; j < columns; j++) covariance.set(i, j, products[i * columns + j] - mean[i] * mean[j]);
  }
  // Eigenvalues ascend.
  const found = new EigenvalueDecomposition(covariance, { assumeSymmetric: true });
  const variances = Float64Array.from({ length: dimensions }, (_, k) =>
    Math.max(0, found.realEigenvalues[columns - 1 - k]),
  );
  const components = new Float64Array(columns * dimensions);
  for (let k = 0; k < dimensions; k++) {
    const vector = found.eigenvectorMatrix.getColumn(columns - 1 - k);
    const largest = vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    for (let i = 0; i < columns; i++) components[i * dimensions + k] = vector[i] * Math.sign(largest);
  }
  return { mean, components, variances };
}

/** Places of examples along the components: `[rows, dimensions]`. `dimensions`: the first so many; default all. */
export function alongComponents(
  { mean, components, variances }: PrincipalComponents,
  features: Features,
  dimensions = variances.length,
): Features {
  const [rows, columns] = features.shape;
  if (columns !== mean.length) {
    throw new UserError(`the components are of ${mean.length} columns, the features have ${columns}`);
  }
  const all = variances.length;
  const origin = new Float64Array(dimensions);
  for (let i = 0; i < columns; i++) {
    for (let k = 0; k < dimensions; k++) origin[k] -= mean[i] * components[i * all + k];
  }
  const values = new Float32Array(rows * dimensions);
  const sums = new Float64Array(dimensions);
  eachRow(features, (row, filled, own) => {
    sums.set(origin);
    for (let j = 0; j < own.length; j++) {
      if (own[j] === 0) continue;
      const at = filled[j] * all;
      for (let k = 0; k < dimensions; k++) sums[k] += own[j] * components[at + k];
    }
    values.set(sums, row * dimensions);
  });
  return { shape: [rows, dimensions], values };
}

function eachRow(
  { shape: [rows, columns], values, sparse }: Features,
  visit: (row: number, filled: Int32Array, values: Float32Array) => void,
): void {
  const all = Int32Array.from({ length: columns }, (_, j) => j);
  for (let row = 0; row < rows; row++) {
    const [start, end] = sparse
      ? [sparse.offsets[row], sparse.offsets[row + 1]]
      : [row * columns, (row + 1) * columns];
    visit(row, sparse ? sparse.columns.subarray(start, end) : all, values.subarray(start, end));
  }
}

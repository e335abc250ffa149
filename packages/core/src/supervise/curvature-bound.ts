/** Columns up to which a fit pays for their products with each other: as much as some dozens of gradients. */
const MOST_COLUMNS = 512;

/**
 * Divides by a bound on the curvature of multinomial logistic regression, `XᵀX / (2 rows) + 2 l2` for each class, X with a column
 * of ones for the bias (Böhning 1992): the gradient's directions become alike steep, however the columns go together.
 *
 * @param features `[rows, columns]`
 * @returns a function that divides `[columns + 1, classes]` in place; undefined for so many columns that it would not pay
 */
export function curvatureBound(
  features: Float32Array,
  [rows, columns]: readonly [rows: number, columns: number],
  l2: number,
): ((values: Float64Array) => void) | undefined {
  if (columns > MOST_COLUMNS || columns > rows) return undefined;
  const factor = cholesky(curvature(features, rows, columns, l2), columns + 1);
  return (values) => solve(factor, columns + 1, values);
}

/** The lower triangle of the bound: `[columns + 1, columns + 1]`. */
function curvature(features: Float32Array, rows: number, columns: number, l2: number): Float64Array {
  const size = columns + 1;
  const bound = new Float64Array(size * size);
  const row = new Float64Array(size).fill(1);
  for (let n = 0; n < rows; n++) {
    row.set(features.subarray(n * columns, (n + 1) * columns));
    for (let i = 0; i < size; i++) {
      const value = row[i] / (2 * rows);
      if (value === 0) continue;
      const at = i * size;
      for (let j = 0; j <= i; j++) bound[at + j] += value * row[j];
    }
  }
  // Columns that say the same leave the bound without an inverse where there is no penalty.
  for (let i = 0; i < size; i++) bound[i * size + i] = bound[i * size + i] * (1 + 1e-10) + 2 * l2 + 1e-12;
  return bound;
}

/** The lower triangle L with L Lᵀ = matrix, in its place. */
function cholesky(matrix: Float64Array, size: number): Float64Array {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * size + j];
      for (let k = 0; k < j; k++) sum -= matrix[i * size + k] * matrix[j * size + k];
      matrix[i * size + j] = i === j ? Math.sqrt(sum) : sum / matrix[j * size + j];
    }
  }
  return matrix;
}

/** Solves L Lᵀ x = values for each column of values `[size, n]`, in place. */
function solve(factor: Float64Array, size: number, values: Float64Array): void {
  const n = values.length / size;
  for (let c = 0; c < n; c++) {
    for (let i = 0; i < size; i++) {
      let sum = values[i * n + c];
      for (let k = 0; k < i; k++) sum -= factor[i * size + k] * values[k * n + c];
      values[i * n + c] = sum / factor[i * size + i];
    }
    for (let i = size - 1; i >= 0; i--) {
      let sum = values[i * n + c];
      for (let k = i + 1; k < size; k++) sum -= factor[k * size + i] * values[k * n + c];
      values[i * n + c] = sum / factor[i * size + i];
    }
  }
}

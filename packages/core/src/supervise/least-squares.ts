import { UserError } from "../errors.js";

/** A linear head: `x weights + bias`. */
export interface LinearHead {
  /** `[columns, outputs]` */
  weights: Float64Array;
  /** `[outputs]` */
  bias: Float64Array;
}

export interface LeastSquaresFit extends LinearHead {
  /** Of the centred features. Below the number of columns the weights are not unique: those of least norm are given. */
  rank: number;
}

export interface LeastSquaresOptions {
  /** Weight of the sum of squared weights beside the sum of squared errors; the bias is free of it. Default 0. */
  ridge?: number;
  /** Columns of the targets. Default 1. */
  outputs?: number;
}

/**
 * Least squares with an intercept: Householder reflections, then the singular values of the triangle by one-sided Jacobi rotations
 * (Golub and Van Loan 2013, sections 5.2 and 8.6), in float64. Singular values below rounding count as 0.
 *
 * @param features `[rows, columns]`
 * @param targets `[rows, outputs]`
 * @throws UserError for no rows, wrong lengths, a ridge below 0, and numbers that are not finite, with their row
 */
export function fitLeastSquares(
  features: ArrayLike<number>,
  [rows, columns]: readonly [rows: number, columns: number],
  targets: ArrayLike<number>,
  { ridge = 0, outputs = 1 }: LeastSquaresOptions = {},
): LeastSquaresFit {
  if (rows === 0) throw new UserError("least squares need at least one example, there are 0");
  if (!(ridge >= 0 && Number.isFinite(ridge))) throw new UserError(`ridge is a number from 0, not ${ridge}`);
  checkMatrix("features", features, rows, columns);
  checkMatrix("targets", targets, rows, outputs);
  const x = centredColumns(features, rows, columns);
  const y = centredColumns(targets, rows, outputs);
  reduceToTriangle(x.columns, y.columns);
  const { scaled, rotations } = orthogonalised(triangleOf(x.columns));
  const squares = scaled.map((column) => dot(column, column, columns));
  const largest = Math.sqrt(Math.max(0, ...squares));
  const least = (Math.max(rows, columns) * Number.EPSILON * largest) ** 2;
  const weights = new Float64Array(columns * outputs);
  for (let j = 0; j < columns; j++) {
    if (!(squares[j] > least)) continue;
    for (let k = 0; k < outputs; k++) {
      const share = dot(scaled[j], y.columns[k], Math.min(rows, columns)) / (squares[j] + ridge);
      for (let i = 0; i < columns; i++) weights[i * outputs + k] += rotations[j][i] * share;
    }
  }
  const bias = Float64Array.from({ length: outputs }, (_, k) =>
    x.means.reduce((rest, mean, i) => rest - mean * weights[i * outputs + k], y.means[k]),
  );
  return { weights, bias, rank: squares.filter((square) => square > least).length };
}

/** `x weights + bias`: `[rows, outputs]` for features `[rows, columns]`. */
export function applyLinearHead(
  { weights, bias }: LinearHead,
  features: ArrayLike<number>,
  [rows, columns]: readonly [rows: number, columns: number],
): Float64Array {
  const outputs = bias.length;
  if (weights.length !== columns * outputs) {
    throw new UserError(`the head was fitted to ${weights.length / outputs} columns, not ${columns}`);
  }
  const result = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < outputs; k++) {
      let sum = bias[k];
      for (let i = 0; i < columns; i++) sum += features[row * columns + i] * weights[i * outputs + k];
      result[row * outputs + k] = sum;
    }
  }
  return result;
}

function checkMatrix(name: string, values: ArrayLike<number>, rows: number, columns: number): void {
  if (values.length !== rows * columns) {
    throw new UserError(`${name} [${rows}, ${columns}] have ${rows * columns} numbers, not ${values.length}`);
  }
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    const place = `row ${Math.floor(i / columns)}, column ${i % columns}`;
    throw new UserError(`${name} are finite numbers, but ${place} (counted from 0) is ${values[i]}`);
  }
}

function centredColumns(values: ArrayLike<number>, rows: number, columns: number) {
  const means = new Float64Array(columns);
  const centred = Array.from({ length: columns }, (_, j) => {
    const column = new Float64Array(rows);
    let sum = 0;
    for (let i = 0; i < rows; i++) {
      column[i] = values[i * columns + j];
      sum += column[i];
    }
    means[j] = sum / rows;
    for (let i = 0; i < rows; i++) column[i] -= means[j];
    return column;
  });
  return { means, columns: centred };
}

/** Turns the columns of x into an upper triangle, and those of y with them, in place. */
function reduceToTriangle(x: readonly Float64Array[], y: readonly Float64Array[]): void {
  const rows = x[0]?.length ?? 0;
  for (let j = 0; j < Math.min(rows - 1, x.length); j++) {
    const pivot = x[j];
    let square = 0;
    for (let i = j; i < rows; i++) square += pivot[i] * pivot[i];
    if (square === 0) continue;
    const reflector = pivot.slice(j);
    reflector[0] += Math.sign(pivot[j] || 1) * Math.sqrt(square);
    const length = dot(reflector, reflector, reflector.length);
    for (const column of [...x.slice(j), ...y]) {
      let along = 0;
      for (let i = j; i < rows; i++) along += reflector[i - j] * column[i];
      const twice = (2 * along) / length;
      for (let i = j; i < rows; i++) column[i] -= twice * reflector[i - j];
    }
  }
}

/** The square part above the diagonal, with rows of 0 where there are fewer rows than columns. */
const triangleOf = (x: readonly Float64Array[]): Float64Array[] =>
  x.map((column, j) =>
    Float64Array.from({ length: x.length }, (_, i) => (i <= j && i < column.length ? column[i] : 0)),
  );

const SWEEPS = 60;

/** Columns of R V that are orthogonal to each other, and those of V. */
function orthogonalised(scaled: Float64Array[]): { scaled: Float64Array[]; rotations: Float64Array[] } {
  const size = scaled.length;
  const rotations = scaled.map((_, j) => {
    const unit = new Float64Array(size);
    unit[j] = 1;
    return unit;
  });
  for (let sweep = 0, turned = true; turned && sweep < SWEEPS; sweep++) {
    turned = false;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const [a, b, c] = [
          dot(scaled[p], scaled[p], size),
          dot(scaled[q], scaled[q], size),
          dot(scaled[p], scaled[q], size),
        ];
        if (Math.abs(c) <= 1e-15 * Math.sqrt(a * b) || c === 0) continue;
        turned = true;
        const zeta = (b - a) / (2 * c);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const cosine = 1 / Math.hypot(1, tangent);
        rotate(scaled[p], scaled[q], cosine, cosine * tangent);
        rotate(rotations[p], rotations[q], cosine, cosine * tangent);
      }
    }
  }
  return { scaled, rotations };
}

function rotate(p: Float64Array, q: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < p.length; i++) {
    const [left, right] = [p[i], q[i]];
    p[i] = cosine * left - sine * right;
    q[i] = sine * left + cosine * right;
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

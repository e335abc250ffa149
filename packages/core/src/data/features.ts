import { UserError } from "../errors.js";
import { column, placeOf, type Table } from "./table.js";

const decimalNumber = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Numeric columns as `[n, columns]`, row by row, in the order of `names`.
 * @throws UserError with row and column for a value that is missing, not a number or not within float32
 */
export function readFeatures(table: Table, names: readonly string[]): Float32Array {
  const features = new Float32Array(table.rows.length * names.length);
  names.forEach((name, j) => {
    column(table, name).forEach((value, i) => {
      const number = parseNumber(value);
      if (typeof number === "string") {
        throw new UserError(`${number}, expected a number`, {
          place: placeOf(table, i, name),
          hint: "Fill in or remove the row, or leave this column out of the features.",
        });
      }
      features[i * names.length + j] = number;
    });
  });
  return features;
}

/** The number, or what is wrong with the value. */
function parseNumber(value: unknown): number | string {
  if (value === undefined || value === null) return "the value is missing";
  if (typeof value === "string" && value.trim() === "") return "the value is empty";
  const isNumber =
    typeof value === "number" || (typeof value === "string" && decimalNumber.test(value.trim()));
  if (!isNumber) return `the value is ${JSON.stringify(value)}`;
  return Number.isFinite(Math.fround(Number(value))) ? Number(value) : `the value ${value} is out of range`;
}

/** What {@link applyScaling} takes away from and divides each column by. */
export interface Scaling {
  /** `[d]` */
  mean: Float64Array;
  /** `[d]`: standard deviation, over n; exactly 0 for a constant column. */
  deviation: Float64Array;
}

/**
 * The mean and the standard deviation of each column of `features`, `[n, d]`, over some of the rows.
 * @throws RangeError when there are no rows
 */
export function fitScaling(
  features: Float32Array,
  [, d]: readonly [n: number, d: number],
  rows: ArrayLike<number>,
): Scaling {
  if (rows.length === 0) throw new RangeError("features cannot be standardised on no rows");
  const mean = new Float64Array(d);
  const deviation = new Float64Array(d);
  for (let j = 0; j < d; j++) {
    const values = Float64Array.from(rows, (row) => features[row * d + j]);
    // Rounding in the mean must not turn a constant column into noise.
    if (values.every((value) => value === values[0])) {
      mean[j] = values[0];
      continue;
    }
    mean[j] = values.reduce((sum, value) => sum + value, 0) / values.length;
    deviation[j] = Math.sqrt(values.reduce((sum, value) => sum + (value - mean[j]) ** 2, 0) / values.length);
  }
  return { mean, deviation };
}

/** `[n, d]`: every column less its mean and divided by its deviation; 0 where the deviation is 0. */
export function applyScaling(features: Float32Array, { mean, deviation }: Scaling): Float32Array {
  const d = mean.length;
  return features.map((value, i) => {
    const j = i % d;
    return deviation[j] === 0 ? 0 : (value - mean[j]) / deviation[j];
  });
}

/**
 * `[n, d]`: features with mean 0 and standard deviation 1 in each column, as measured on `rows` (say, the
 * training rows) and applied to all. Columns that are constant on `rows` become 0.
 */
export function standardise(
  features: Float32Array,
  shape: readonly [n: number, d: number],
  rows: ArrayLike<number>,
): Float32Array {
  return applyScaling(features, fitScaling(features, shape, rows));
}

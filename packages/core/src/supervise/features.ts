/** One row of numbers per example [rows, columns]. */
export interface Features {
  shape: [rows: number, columns: number];
  /** All numbers row by row, or with `sparse` only those that are not 0. */
  values: Float32Array;
  /** Row i has values[j] in column columns[j] for offsets[i] <= j < offsets[i + 1]. */
  sparse?: { offsets: Int32Array; columns: Int32Array };
}

/** Writes row times weights [columns, classes] plus bias [classes] into `scores` [classes]. */
export function scoreRow(
  { values, shape, sparse }: Features,
  row: number,
  weights: Float64Array,
  bias: Float64Array,
  scores: Float64Array,
): void {
  const classes = bias.length;
  if (sparse) {
    scores.set(bias);
    for (let j = sparse.offsets[row]; j < sparse.offsets[row + 1]; j++) {
      const at = sparse.columns[j] * classes;
      for (let k = 0; k < classes; k++) scores[k] += values[j] * weights[at + k];
    }
    return;
  }
  const [start, end] = [row * shape[1], (row + 1) * shape[1]];
  let k = 0;
  // Two classes at a time, their sums in registers: this and addOuter are all the time of a fit.
  for (; k + 1 < classes; k += 2) {
    let first = bias[k];
    let second = bias[k + 1];
    for (let j = start, at = k; j < end; j++, at += classes) {
      const value = values[j];
      first += value * weights[at];
      second += value * weights[at + 1];
    }
    scores[k] = first;
    scores[k + 1] = second;
  }
  if (k < classes) {
    let last = bias[k];
    for (let j = start, at = k; j < end; j++, at += classes) last += values[j] * weights[at];
    scores[k] = last;
  }
}

/** Adds the outer product of the row and `residuals` [classes] to `gradient` [columns, classes]. */
export function addOuter(
  { values, shape, sparse }: Features,
  row: number,
  residuals: Float64Array,
  gradient: Float64Array,
): void {
  const classes = residuals.length;
  if (sparse) {
    for (let j = sparse.offsets[row]; j < sparse.offsets[row + 1]; j++) {
      const at = sparse.columns[j] * classes;
      for (let k = 0; k < classes; k++) gradient[at + k] += values[j] * residuals[k];
    }
    return;
  }
  const [start, end] = [row * shape[1], (row + 1) * shape[1]];
  let k = 0;
  for (; k + 1 < classes; k += 2) {
    const first = residuals[k];
    const second = residuals[k + 1];
    for (let j = start, at = k; j < end; j++, at += classes) {
      const value = values[j];
      gradient[at] += value * first;
      gradient[at + 1] += value * second;
    }
  }
  if (k < classes) {
    const last = residuals[k];
    for (let j = start, at = k; j < end; j++, at += classes) gradient[at] += values[j] * last;
  }
}

/** The same rows without the columns that are 0 in all of them, and which columns were kept, ascending. */
export function withoutEmptyColumns(features: Features): { features: Features; kept: Int32Array } {
  const [rows, columns] = features.shape;
  if (!features.sparse) return { features, kept: Int32Array.from({ length: columns }, (_, c) => c) };
  const kept = Int32Array.from(new Set(features.sparse.columns)).sort();
  const positionOf = new Map(Array.from(kept, (column, position) => [column, position]));
  const sparse = {
    offsets: features.sparse.offsets,
    columns: features.sparse.columns.map((column) => positionOf.get(column) ?? 0),
  };
  return { features: { shape: [rows, kept.length], values: features.values, sparse }, kept };
}

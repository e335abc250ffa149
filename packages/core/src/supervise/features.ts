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
  features: Features,
  row: number,
  weights: Float64Array,
  bias: Float64Array,
  scores: Float64Array,
): void {
  const { values, sparse } = features;
  const classes = bias.length;
  const [start, end] = extent(features, row);
  scores.set(bias);
  for (let j = start; j < end; j++) {
    const at = (sparse ? sparse.columns[j] : j - start) * classes;
    for (let k = 0; k < classes; k++) scores[k] += values[j] * weights[at + k];
  }
}

/** Adds the outer product of the row and `residuals` [classes] to `gradient` [columns, classes]. */
export function addOuter(
  features: Features,
  row: number,
  residuals: Float64Array,
  gradient: Float64Array,
): void {
  const { values, sparse } = features;
  const classes = residuals.length;
  const [start, end] = extent(features, row);
  for (let j = start; j < end; j++) {
    const at = (sparse ? sparse.columns[j] : j - start) * classes;
    for (let k = 0; k < classes; k++) gradient[at + k] += values[j] * residuals[k];
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

function extent({ shape, sparse }: Features, row: number): [start: number, end: number] {
  if (sparse) return [sparse.offsets[row], sparse.offsets[row + 1]];
  return [row * shape[1], (row + 1) * shape[1]];
}

/** The transpose of a matrix `[rows, columns]`. In blocks, which a processor's cache can hold. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const block = 32;
  const result = new Float32Array(values.length);
  for (let top = 0; top < rows; top += block) {
    for (let left = 0; left < columns; left += block) {
      const [bottom, right] = [Math.min(rows, top + block), Math.min(columns, left + block)];
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          result[column * rows + row] = values[row * columns + column];
        }
      }
    }
  }
  return result;
}

/** The columns from `start` to before `end` of a matrix with `columns` columns. */
export function columnsOf(values: Float32Array, columns: number, start: number, end: number): Float32Array {
  const [rows, kept] = [values.length / columns, end - start];
  const result = new Float32Array(rows * kept);
  for (let row = 0; row < rows; row++) {
    result.set(values.subarray(row * columns + start, row * columns + end), row * kept);
  }
  return result;
}

/** Matrices of as many rows each, side by side. */
export function sideBySide(parts: readonly Float32Array[], rows: number): Float32Array {
  const columns = parts.reduce((sum, part) => sum + part.length / rows, 0);
  const result = new Float32Array(rows * columns);
  let start = 0;
  for (const part of parts) {
    const own = part.length / rows;
    for (let row = 0; row < rows; row++) {
      result.set(part.subarray(row * own, (row + 1) * own), row * columns + start);
    }
    start += own;
  }
  return result;
}

/** `a` [rows, inner] times `b` [inner, columns] into `out` [rows, columns], row-major. */
export function multiplyInto(
  a: Float64Array,
  b: Float64Array,
  out: Float64Array,
  [rows, inner, columns]: [rows: number, inner: number, columns: number],
): void {
  // Blocks of 2 rows by 4 columns keep eight sums in registers. The order of each sum is that of the plain
  // triple loop, so the result does not depend on the blocking.
  const blockRows = rows - (rows % 2);
  const blockColumns = columns - (columns % 4);
  for (let i = 0; i < blockRows; i += 2) {
    const upper = i * inner;
    const lower = upper + inner;
    for (let j = 0; j < blockColumns; j += 4) {
      let u0 = 0;
      let u1 = 0;
      let u2 = 0;
      let u3 = 0;
      let l0 = 0;
      let l1 = 0;
      let l2 = 0;
      let l3 = 0;
      for (let k = 0, at = j; k < inner; k++, at += columns) {
        const u = a[upper + k];
        const l = a[lower + k];
        const b0 = b[at];
        const b1 = b[at + 1];
        const b2 = b[at + 2];
        const b3 = b[at + 3];
        u0 += u * b0;
        u1 += u * b1;
        u2 += u * b2;
        u3 += u * b3;
        l0 += l * b0;
        l1 += l * b1;
        l2 += l * b2;
        l3 += l * b3;
      }
      const to = i * columns + j;
      out[to] = u0;
      out[to + 1] = u1;
      out[to + 2] = u2;
      out[to + 3] = u3;
      out[to + columns] = l0;
      out[to + columns + 1] = l1;
      out[to + columns + 2] = l2;
      out[to + columns + 3] = l3;
    }
  }
  for (let i = 0; i < rows; i++) {
    for (let j = i < blockRows ? blockColumns : 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += a[i * inner + k] * b[k * columns + j];
      out[i * columns + j] = sum;
    }
  }
}

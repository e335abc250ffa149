import { type Measured, sameLength } from "./measured.js";

/** Slope of the least-squares line of y on x. */
export function slope(x: ArrayLike<number>, y: ArrayLike<number>): Measured {
  const { xx, xy } = moments(x, y);
  return xx === 0 ? { value: null, reason: "all x are equal" } : { value: xy / xx };
}

/** Pearson's correlation of ranks (Spearman 1904); equal values share the mean of their ranks. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): Measured {
  const { xx, xy, yy } = moments(ranks(x), ranks(y));
  if (xx * yy === 0) return { value: null, reason: "all values of a column are equal" };
  return { value: xy / Math.sqrt(xx * yy) };
}

function moments(x: ArrayLike<number>, y: ArrayLike<number>) {
  const count = sameLength({ x, y });
  let [meanX, meanY] = [0, 0];
  for (let i = 0; i < count; i++) {
    meanX += x[i] / count;
    meanY += y[i] / count;
  }
  let [xx, xy, yy] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const [dx, dy] = [x[i] - meanX, y[i] - meanY];
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  return { xx, xy, yy };
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a] - values[b]);
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let i = start; i < end; i++) result[order[i]] = (start + end - 1) / 2;
    start = end;
  }
  return result;
}

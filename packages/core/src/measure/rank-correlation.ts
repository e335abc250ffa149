import { type Measured, sameLength } from "./measured.js";

/**
 * Kendall's tau-b between two columns of the same things (Kendall 1945): 1 where both put them in one order, -1 where in opposite
 * orders; pairs that are tied in a column count as neither.
 */
export function kendallTau(a: ArrayLike<number>, b: ArrayLike<number>): Measured {
  const count = sameLength({ a, b });
  let concordance = 0;
  let [orderedA, orderedB] = [0, 0];
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      const [inA, inB] = [Math.sign(a[i] - a[j]), Math.sign(b[i] - b[j])];
      concordance += inA * inB;
      orderedA += inA ** 2;
      orderedB += inB ** 2;
    }
  }
  if (orderedA * orderedB === 0) return { value: null, reason: "all values of a column are tied" };
  return { value: concordance / Math.sqrt(orderedA * orderedB) };
}

/** What a series of margins y·f(x) tells, of this network or of any other. */
export interface Oscillation {
  /** Share of visits with |y·f(x) − 1| above delta. null: there is no visit. */
  share: number | null;
  /** Σ (1 − y·f(x)): what drives features that every point has. */
  drift: number;
  /** R² of the running sum of 1 − y·f(x) against time: near 1 where it grows at an even pace. null: it does not change. */
  linearity: number | null;
}

/** @param delta how far from the label counts as oscillation; the theorem's is between 0.2 and 0.8 */
export function oscillationOf(margins: ArrayLike<number>, delta = 0.2): Oscillation {
  const count = margins.length;
  let [away, drift, sumT, sumS, sumTT, sumSS, sumTS] = [0, 0, 0, 0, 0, 0, 0];
  for (let t = 0; t < count; t++) {
    if (Math.abs(margins[t] - 1) > delta) away++;
    drift += 1 - margins[t];
    sumT += t;
    sumS += drift;
    sumTT += t * t;
    sumSS += drift * drift;
    sumTS += t * drift;
  }
  const covariance = sumTS - (sumT * sumS) / count;
  const [ofTime, ofSum] = [sumTT - sumT ** 2 / count, sumSS - sumS ** 2 / count];
  return {
    share: count === 0 ? null : away / count,
    drift,
    linearity: ofTime > 0 && ofSum > 0 ? covariance ** 2 / (ofTime * ofSum) : null,
  };
}

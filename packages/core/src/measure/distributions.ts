/** Distribution function of Student's t with a whole number of degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
export function studentCdf(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const odd = degrees % 2 === 1;
  let term = odd ? cos : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k <= degrees - 2; k += 2) {
    term *= (cos * cos * (k - 1)) / k;
    sum += term;
  }
  const inside = odd ? (2 / Math.PI) * (angle + sin * sum) : sin * sum; // P(|T| <= t), with the sign of t
  return (1 + inside) / 2;
}

/** @param probability in (0, 1) */
export const studentQuantile = (probability: number, degrees: number): number =>
  invert((t) => studentCdf(t, degrees), probability);

/** Where an increasing function has the value, to the last bits. */
function invert(cdf: (x: number) => number, probability: number): number {
  if (!(probability > 0 && probability < 1)) {
    throw new RangeError(`A probability in (0, 1) has a quantile, ${probability} has none.`);
  }
  let [low, high] = [-1, 1];
  while (cdf(low) > probability) low *= 2;
  while (cdf(high) < probability) high *= 2;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) break;
    if (cdf(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

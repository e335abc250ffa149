/*
 * The logarithm of the gamma function and its first two derivatives. The recurrence moves an argument to 10 or above, where the
 * asymptotic series (Abramowitz and Stegun, 6.1.41, 6.3.18 and 6.4.12) has the precision of a double.
 */
const LARGE = 10;

/** ln Γ(x). @param x above 0 */
export function logGamma(x: number): number {
  requirePositive("logGamma", x);
  let product = 1;
  let large = x;
  for (; large < LARGE; large++) product *= large;
  const r = 1 / (large * large);
  const series =
    (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - (r * 691) / 360360))))) / large;
  return (large - 0.5) * Math.log(large) - large + Math.log(2 * Math.PI) / 2 + series - Math.log(product);
}

/** ψ(x) = d ln Γ(x) / dx. @param x above 0 */
export function digamma(x: number): number {
  requirePositive("digamma", x);
  let below = 0;
  let large = x;
  for (; large < LARGE; large++) below += 1 / large;
  const r = 1 / (large * large);
  const series =
    r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - (r * 691) / 32760)))));
  return Math.log(large) - 1 / (2 * large) - series - below;
}

/** ψ'(x). @param x above 0 */
export function trigamma(x: number): number {
  requirePositive("trigamma", x);
  let below = 0;
  let large = x;
  for (; large < LARGE; large++) below += 1 / (large * large);
  const r = 1 / (large * large);
  const series = r * (1 / 6 - r * (1 / 30 - r * (1 / 42 - r * (1 / 30 - r * (5 / 66 - (r * 691) / 2730)))));
  return (1 + 1 / (2 * large) + series) / large + below;
}

/** KL(Dir(alpha) || Dir(1)): how far a Dirichlet distribution is from the uniform one, in nats. */
export function dirichletFromUniform(alpha: readonly number[]): number {
  const sum = alpha.reduce((a, b) => a + b, 0);
  const ofSum = digamma(sum);
  return alpha.reduce(
    (total, a) => total - logGamma(a) + (a - 1) * (digamma(a) - ofSum),
    logGamma(sum) - logGamma(alpha.length),
  );
}

function requirePositive(name: string, x: number): void {
  if (!(x > 0)) throw new RangeError(`${name} is of numbers above 0, given: ${x}.`);
}

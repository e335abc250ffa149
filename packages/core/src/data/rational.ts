/** A fraction in lowest terms; the denominator is positive. */
export interface Rational {
  n: bigint;
  d: bigint;
}

/** Digits that a number in a text may have; longer ones are no numbers of word problems and cost time. */
const maxDigits = 200;

export function rational(n: bigint, d = 1n): Rational {
  if (d === 0n) throw new RangeError("the denominator is 0");
  const sign = d < 0n ? -1n : 1n;
  let [a, b] = [n < 0n ? -n : n, d < 0n ? -d : d];
  while (b !== 0n) [a, b] = [b, a % b];
  const divisor = a === 0n ? 1n : a;
  return { n: (sign * n) / divisor, d: (sign * d) / divisor };
}

export const add = (a: Rational, b: Rational) => rational(a.n * b.d + b.n * a.d, a.d * b.d);
export const subtract = (a: Rational, b: Rational) => rational(a.n * b.d - b.n * a.d, a.d * b.d);
export const multiply = (a: Rational, b: Rational) => rational(a.n * b.n, a.d * b.d);
/** Undefined for a division by 0. */
export const divide = (a: Rational, b: Rational) => (b.n === 0n ? undefined : rational(a.n * b.d, a.d * b.n));
export const isEqual = (a: Rational, b: Rational) => a.n === b.n && a.d === b.d;

/** A decimal number such as `-1234.5` or `.5`; undefined for anything else. Exact: 0.1 is 1/10. */
export function parseDecimal(text: string): Rational | undefined {
  const [, sign, whole = "", decimals = ""] = /^([+-]?)(\d*)(?:\.(\d*))?$/.exec(text) ?? [];
  const digits = whole + decimals;
  if (digits === "" || digits.length > maxDigits) return undefined;
  const magnitude = rational(BigInt(digits), 10n ** BigInt(decimals.length));
  return sign === "-" ? { n: -magnitude.n, d: magnitude.d } : magnitude;
}

/** Whether a decimal with so many places is what the value rounds to, up to one unit in the last place. */
export function roundsTo(value: Rational, stated: Rational, places: number): boolean {
  const { n, d } = subtract(value, stated);
  return (n < 0n ? -n : n) * 10n ** BigInt(places) < d;
}

/** As a whole number, a decimal where that is exact within 12 places, or a fraction `n/d`. */
export function formatRational({ n, d }: Rational): string {
  if (d === 1n) return String(n);
  for (let places = 1; places <= 12; places++) {
    const scale = 10n ** BigInt(places);
    if (scale % d !== 0n) continue;
    const digits = String(((n < 0n ? -n : n) * scale) / d).padStart(places + 1, "0");
    return `${n < 0n ? "-" : ""}${digits.slice(0, -places)}.${digits.slice(-places)}`;
  }
  return `${n}/${d}`;
}

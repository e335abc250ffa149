import type { Interval } from "outgrow";

/** A number with a true minus sign, and none before a zero. */
export function fixed(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** A share in %, with one digit. */
export const percent = (share: number | null): string | null =>
  share === null ? null : fixed(100 * share, 1);

/** The ends of an interval times a factor, null where nothing is known of them. */
export function range(
  { low, high }: Pick<Interval, "low" | "high">,
  { factor = 1, digits = 2 } = {},
): string | null {
  return low === null || high === null
    ? null
    : `[${fixed(factor * low, digits)}, ${fixed(factor * high, digits)}]`;
}

/** A mean with its interval, e.g. `0.31 [0.20, 0.42]`. */
export function withRange(mean: number, interval: Pick<Interval, "low" | "high">): string {
  return [fixed(mean, 2), range(interval)].filter((part) => part !== null).join(" ");
}

import { UserError } from "../errors.js";
import type { Random } from "../random.js";

/** Items (tasks) inside groups (worlds, seeds). null: the item's value is undefined. */
export type Groups = readonly (readonly (number | null)[])[];

/** A statistic with its percentile bootstrap interval. */
export interface Interval {
  /** The statistic of all defined items; null when there are none. */
  mean: number | null;
  /** Ends of the interval; null with fewer than 2 defined items. */
  low: number | null;
  high: number | null;
  /** Items that have a value, out of all items. */
  defined: number;
  total: number;
  /** Groups that have an item with a value. */
  groups: number;
  /** What was drawn anew: with a single group the interval says nothing about other groups. */
  resampled: "groups and items" | "items only" | "nothing";
}

export interface BootstrapOptions {
  random: Random;
  /** Bootstrap samples. Default 2000. */
  resamples?: number;
  /** Coverage aimed at, in (0, 1). Default 0.95. */
  level?: number;
  /** Statistic of the items' values. Default: their mean. */
  statistic?: (values: Float64Array) => number;
}

/**
 * Percentile interval of the hierarchical bootstrap (Davison and Hinkley 1997, section 3.8): draws groups
 * with replacement, then items with replacement inside each drawn group. Undefined items are left out and
 * counted. With few groups the interval is too narrow: for normal data it covers 94 % instead of 95 % with
 * 30 groups, 92 % with 10, 87 % with 5 and 82 % with 3. Refuses (UserError) values that are not finite.
 */
export function hierarchicalBootstrap(groups: Groups, options: BootstrapOptions): Interval {
  const { random, resamples = 2000, level = 0.95, statistic = mean } = options;
  checkOptions(resamples, level);
  checkFinite(groups);
  const filled = groups
    .map((items) => Float64Array.from(items.filter((value) => value !== null)))
    .filter((items) => items.length > 0);
  const all = Float64Array.from(filled.flatMap((items) => [...items]));
  const counts = {
    defined: all.length,
    total: groups.reduce((sum, items) => sum + items.length, 0),
    groups: filled.length,
  };
  if (all.length === 0) return { mean: null, low: null, high: null, ...counts, resampled: "nothing" };
  const observed = statistic(all);
  if (all.length === 1) return { mean: observed, low: null, high: null, ...counts, resampled: "nothing" };

  const statistics = Float64Array.from({ length: resamples }, () =>
    statistic(resample(filled, random)),
  ).sort();
  return {
    mean: observed,
    low: quantile(statistics, (1 - level) / 2),
    high: quantile(statistics, (1 + level) / 2),
    ...counts,
    resampled: filled.length === 1 ? "items only" : "groups and items",
  };
}

/** Item by item a - b; null where either is. Groups and items of both must correspond. */
export function pairedDifference(a: Groups, b: Groups): (number | null)[][] {
  if (a.length !== b.length || a.some((items, g) => items.length !== b[g].length)) {
    const sizes = (groups: Groups) => `[${groups.map((items) => items.length).join(", ")}]`;
    throw new UserError(`pairs need the same groups and items: sizes ${sizes(a)} and ${sizes(b)}`);
  }
  return a.map((items, g) =>
    items.map((left, i) => {
      const right = b[g][i];
      return left === null || right === null ? null : left - right;
    }),
  );
}

/** holds: the whole interval lies on the claimed side; refuted: on the other side. */
export type Verdict = "holds" | "refuted" | "undecided";

/** Judges the claim that a statistic lies above (or below) the threshold. An interval without ends decides nothing. */
export function verdict(
  interval: Pick<Interval, "low" | "high">,
  side: "above" | "below",
  threshold = 0,
): Verdict {
  const { low, high } = interval;
  if (low === null || high === null) return "undecided";
  if (low > threshold) return side === "above" ? "holds" : "refuted";
  if (high < threshold) return side === "below" ? "holds" : "refuted";
  return "undecided";
}

/** Quantile of ascending values by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996). */
export function quantile(ascending: Float64Array, probability: number): number {
  const at = probability * (ascending.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, ascending.length - 1);
  return ascending[below] + (at - below) * (ascending[above] - ascending[below]);
}

function resample(groups: Float64Array[], random: Random): Float64Array {
  const drawn = groups.length === 1 ? groups : groups.map(() => groups[random.integer(groups.length)]);
  const values = new Float64Array(drawn.reduce((sum, items) => sum + items.length, 0));
  let at = 0;
  for (const items of drawn) {
    for (let i = 0; i < items.length; i++) values[at++] = items[random.integer(items.length)];
  }
  return values;
}

function mean(values: Float64Array): number {
  let sum = 0;
  // Sums of deviations keep the mean of equal values exactly equal to them.
  for (const value of values) sum += value - values[0];
  return values[0] + sum / values.length;
}

function checkOptions(resamples: number, level: number) {
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw new UserError(`resamples is a whole number from 1, not ${resamples}`);
  }
  if (!(level > 0 && level < 1)) throw new UserError(`level lies between 0 and 1, not ${level}`);
}

function checkFinite(groups: Groups) {
  groups.forEach((items, g) => {
    const i = items.findIndex((value) => value !== null && !Number.isFinite(value));
    if (i < 0) return;
    throw new UserError(`item ${i} of group ${g} is ${items[i]}: a number, or null where undefined`);
  });
}

import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import { studentQuantile } from "./distributions.js";

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
  /**
   * `percentile`: quantiles of the bootstrap's distribution, too narrow with few groups. `t`: its standard error, with the
   * factor that small samples need, times Student's t (Hesterberg 2015, sections 3.3 and 4.4): right with few groups too.
   * Default percentile.
   */
  interval?: "percentile" | "t";
}

/**
 * Percentile interval of the hierarchical bootstrap (Davison and Hinkley 1997, section 3.8): draws groups
 * with replacement, then items with replacement inside each drawn group. Undefined items are left out and
 * counted. With few groups the percentile interval is too narrow: for normal data it covers 94 % instead of 95 % with
 * 30 groups, 92 % with 10, 87 % with 5 and 82 % with 3. Refuses (UserError) values that are not finite.
 */
export function hierarchicalBootstrap(groups: Groups, options: BootstrapOptions): Interval {
  const { level = 0.95 } = options;
  if (!(level > 0 && level < 1)) throw new UserError(`level lies between 0 and 1, not ${level}`);
  const { distribution, standardError, draws, ...interval } = bootstrap(groups, options);
  if (!distribution) return { ...interval, low: null, high: null };
  const tail = (1 - level) / 2;
  if (options.interval === "t") {
    const half = standardError * studentQuantile(1 - tail, draws - 1);
    const centre = interval.mean as number;
    return { ...interval, low: centre - half, high: centre + half };
  }
  return { ...interval, low: quantile(distribution, tail), high: quantile(distribution, 1 - tail) };
}

export interface Bootstrap extends Omit<Interval, "low" | "high"> {
  /** Of the statistic, ascending; none with fewer than 2 defined items. */
  distribution?: Float64Array;
  /** Its standard deviation times sqrt(n / (n - 1)), n = `draws`, which makes it right for few (Hesterberg 2015, section 3.3). */
  standardError: number;
  /** Units that were drawn first: groups, or items where there is one group. */
  draws: number;
}

/** What {@link hierarchicalBootstrap} makes its interval from. */
export function bootstrap(groups: Groups, options: Omit<BootstrapOptions, "level">): Bootstrap {
  const { random, resamples = 2000, statistic = mean } = options;
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw new UserError(`resamples is a whole number from 1, not ${resamples}`);
  }
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
  const nothing = { standardError: 0, resampled: "nothing" } as const;
  if (all.length === 0) return { mean: null, ...counts, ...nothing, draws: 0 };
  const observed = statistic(all);
  if (all.length === 1) return { mean: observed, ...counts, ...nothing, draws: 1 };
  const distribution = Float64Array.from({ length: resamples }, () =>
    statistic(resample(filled, random)),
  ).sort();
  const draws = filled.length === 1 ? all.length : filled.length;
  const centre = mean(distribution);
  const variance = mean(distribution.map((value) => (value - centre) ** 2));
  return {
    mean: observed,
    ...counts,
    resampled: filled.length === 1 ? "items only" : "groups and items",
    distribution,
    standardError: Math.sqrt((variance * draws) / (draws - 1)),
    draws,
  };
}

/** Mean with the 95 % interval that claims are judged by: for figures and tables beside them. Always the same numbers. */
export const meanInterval = (groups: Groups): Interval =>
  hierarchicalBootstrap(groups, { random: createRandom("interval"), interval: "t" });

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

/**
 * Judges the claim that a statistic lies above or below the threshold, or within (-threshold, threshold): equivalence, as by
 * two one-sided tests (Schuirmann 1987). "Not worse by more than m" is: above -m. An interval without ends decides nothing.
 */
export function verdict(
  interval: Pick<Interval, "low" | "high">,
  side: "above" | "below" | "within",
  threshold = 0,
): Verdict {
  const { low, high } = interval;
  if (low === null || high === null) return "undecided";
  if (side === "within") {
    if (low > -threshold && high < threshold) return "holds";
    return low >= threshold || high <= -threshold ? "refuted" : "undecided";
  }
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

function checkFinite(groups: Groups) {
  groups.forEach((items, g) => {
    const i = items.findIndex((value) => value !== null && !Number.isFinite(value));
    if (i < 0) return;
    throw new UserError(`item ${i} of group ${g} is ${items[i]}: a number, or null where undefined`);
  });
}

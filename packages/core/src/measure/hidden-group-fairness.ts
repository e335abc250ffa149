import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import {
  calibrateMatrix,
  clippedMatrix,
  type FairnessMatrix,
  fairnessMatrix,
  inverse,
  jointFrequencies,
  oddsGap,
  opportunityGap,
  parityGap,
  uninformative,
} from "./fairness.js";
import { sameLength } from "./measured.js";
import { estimateProxyErrors, type ProxyErrors, requireThree } from "./proxy-errors.js";

/** Predictions and proxies of a group that nobody recorded, one value per row each. */
export interface HiddenGroupData {
  /** Classes from 0. */
  predicted: ArrayLike<number>;
  /** True classes; needed for equal odds and equal opportunity. */
  truth?: ArrayLike<number>;
  /** At least three guesses of the group, made independently: groups from 0 (or from 1). */
  proxies: readonly ArrayLike<number>[];
  /** Probabilities of the groups from the first proxy, `[n, groups]`: for the soft estimate. */
  probabilities?: ArrayLike<number>;
}

export interface HiddenGroupOptions {
  random: Random;
  /** Default: as many as the proxies name. */
  groups?: number;
  /** Default: as many as predictions and truth name, at least 2. */
  classes?: number;
  /** Draws behind the agreement of proxies. Default 50. */
  rounds?: number;
  /** Default 1500. */
  steps?: number;
  /** Whether to invert error matrices of proxies that say next to nothing. Default false. */
  force?: boolean;
}

export interface Gaps {
  /** Demographic parity. */
  parity: number;
  /** Equal odds; absent without true classes. */
  odds?: number;
  /** Equal opportunity, of class 1; absent without true classes. */
  opportunity?: number;
}

export const gapEstimates = ["base", "soft", "global", "local"] as const;
export type GapEstimate = (typeof gapEstimates)[number];

export interface HiddenGroupFairness {
  /** Of all rows. */
  errors: ProxyErrors;
  groups: number;
  classes: number;
  /**
   * `base`: the first proxy as if it were the group. `soft`: its probabilities. `global`: one error matrix for all rows.
   * `local`: one for each prediction. null: not to be had, and the warnings say why.
   */
  gaps: Record<GapEstimate, Gaps | null>;
  /** The same after entries were brought into [0.001, 1]. */
  clipped: Record<"global" | "local", Gaps | null>;
  /** P(prediction | group) by estimate, e.g. to see which group is favoured. */
  matrices: Partial<Record<GapEstimate, FairnessMatrix>>;
  /** Predictions (and true classes) with too few rows for an error matrix of their own: the global one stands in. */
  fallbacks: string[];
  warnings: string[];
}

const FEW_ROWS = 30;

/**
 * Fairness of a classifier between groups that were not recorded, from three or more weak proxies (Zhu et al. 2022, "Weak
 * Proxies are Sufficient and Preferable for Fairness with Missing Sensitive Attributes"). `global` is right where proxies err
 * independently of each other and of the prediction given the group. Where their errors depend on the prediction it can be
 * further off than one proxy by itself. No number measures that; rates outside [0, 1], fallbacks of predictions with many rows
 * and a `local` that is far from it are signs, and their absence proves nothing.
 *
 * @throws UserError for fewer than three proxies, copies of one, values that are no groups and groups that no proxy names
 */
export function hiddenGroupFairness(data: HiddenGroupData, options: HiddenGroupOptions): HiddenGroupFairness {
  const { random, rounds, steps, force = false } = options;
  const warnings: string[] = [];
  sameLength({
    predicted: data.predicted,
    ...(data.truth && { truth: data.truth }),
    ...Object.fromEntries(data.proxies.map((proxy, i) => [`proxy ${i + 1}`, proxy])),
  });
  const predicted = integers("predicted", data.predicted);
  const truth = data.truth && integers("truth", data.truth);
  const proxies = groupColumns(data.proxies, warnings);
  requireThree(proxies);
  const groups = options.groups ?? Math.max(2, highest(proxies) + 1);
  const classes = options.classes ?? Math.max(2, highest([predicted, ...(truth ? [truth] : [])]) + 1);
  requireObserved(proxies, groups);

  const estimate = (rows: Int32Array | undefined, name: string) =>
    estimateProxyErrors(rows ? proxies.map((proxy) => pick(proxy, rows)) : proxies, groups, {
      random: random.stream(name),
      rounds,
      steps,
    });
  const errors = estimate(undefined, "all");
  const problem = uninformative(errors.transition, groups);
  if (problem) warnings.push(`The proxies are uninformative: ${problem}.`);
  errors.prior.forEach((share, a) => {
    if (share < 0.01)
      warnings.push(`Group ${a} is estimated at ${(100 * share).toFixed(2)} % of the rows: too few to tell.`);
  });

  const fallbacks: string[] = [];
  /** Error rates of the rows with a prediction (and a true class); undefined where there are too few. */
  const cell = (k: number, y?: number): ProxyErrors | undefined => {
    const rows = rowsWhere(predicted, k, truth, y);
    const name = y === undefined ? `prediction ${k}` : `prediction ${k} of true class ${y}`;
    const found = rows.length < FEW_ROWS || hasCopies(proxies, rows) ? undefined : estimate(rows, name);
    if (found && !uninformative(found.transition, groups)) return found;
    fallbacks.push(name);
    return undefined;
  };

  const measure = (of: (rows: Int32Array | undefined, y?: number) => FairnessMatrix) => {
    const matrix = of(undefined);
    const byTruth = truth && Array.from({ length: classes }, (_, y) => of(rowsWhere(truth, y), y));
    return { matrix, byTruth };
  };
  const base = measure((rows) =>
    fairnessMatrix(pickAll(predicted, rows), pickAll(proxies[0], rows), { groups, classes }),
  );
  const results: HiddenGroupFairness = {
    errors,
    groups,
    classes,
    gaps: { base: gapsOf(base), soft: null, global: null, local: null },
    clipped: { global: null, local: null },
    matrices: { base: base.matrix },
    fallbacks,
    warnings,
  };
  const { probabilities } = data;
  if (probabilities) {
    const soft = measure((rows) => softMatrix(predicted, probabilities, rows, groups, classes));
    results.gaps.soft = gapsOf(soft);
    results.matrices.soft = soft.matrix;
  }
  if (problem && !force) {
    warnings.push("Nothing is calibrated with them; the estimate of the first proxy alone stands.");
    return results;
  }
  if (!inverse(errors.transition, groups)) return results;

  const all = Array.from({ length: classes }, (_, k) => cell(k));
  const inside =
    truth &&
    Array.from({ length: classes }, (_, y) => Array.from({ length: classes }, (__, k) => cell(k, y)));
  const calibrated = (isLocal: boolean) =>
    measure((rows, y) => {
      const joint = jointFrequencies(predicted, proxies, rows, groups, classes);
      const cells = y === undefined ? all : (inside as (ProxyErrors | undefined)[][])[y];
      const transitions = cells.map((own) => (isLocal && own ? own.transition : errors.transition));
      const prior = y === undefined ? errors.prior : priorInside(joint, cells, errors, groups, classes);
      return calibrateMatrix(joint, transitions, prior);
    });
  for (const [name, isLocal] of [
    ["global", false],
    ["local", true],
  ] as const) {
    const found = calibrated(isLocal);
    results.gaps[name] = gapsOf(found);
    results.matrices[name] = found.matrix;
    const inRange = { matrix: clippedMatrix(found.matrix), byTruth: found.byTruth?.map(clippedMatrix) };
    results.clipped[name] = gapsOf(inRange);
    if (found.matrix.values.some((value) => value < 0 || value > 1)) {
      warnings.push(`The ${name} estimate has rates outside [0, 1]: the error matrix does not fit the data.`);
    }
  }
  return results;
}

/** The gaps of a recorded group, e.g. to score estimates. */
export function measuredGaps(
  given: { predicted: Int32Array; group: Int32Array; truth?: Int32Array },
  sizes: { groups: number; classes: number },
): Gaps {
  const { predicted, group, truth } = given;
  const byTruth =
    truth &&
    Array.from({ length: sizes.classes }, (_, y) => {
      const rows = rowsWhere(truth, y);
      return fairnessMatrix(pick(predicted, rows), pick(group, rows), sizes);
    });
  return gapsOf({ matrix: fairnessMatrix(predicted, group, sizes), byTruth });
}

/** |estimate - true gap| / true gap; null where there is no gap. */
export const normalisedError = (estimate: number, truth: number): number | null =>
  truth === 0 ? null : Math.abs(estimate - truth) / truth;

/**
 * Weights d of rows with which the parity gap of two groups is |sum_i d_i f_i|, f the probability of class 1: a penalty that any
 * training can add to its loss. With error rates it is the calibrated gap; without, that of the proxies taken as the group.
 *
 * @param proxies columns of 0 and 1
 */
export function parityPenalty(
  proxies: readonly Int32Array[],
  errors?: Pick<ProxyErrors, "transition" | "prior">,
): Float64Array {
  const rows = proxies[0].length;
  const cells = rows * proxies.length;
  const shares = [0, 1].map(
    (b) => proxies.reduce((n, proxy) => n + proxy.filter((z) => z === b).length, 0) / cells,
  );
  const inverted = errors && inverse(errors.transition, 2);
  // By the value of a proxy: what it adds to the rate of group 0 less that of group 1.
  const share = [0, 1].map((b) => {
    const of = (a: number) =>
      errors && inverted ? inverted[b * 2 + a] / errors.prior[a] : Number(a === b) / shares[a];
    return (of(0) - of(1)) / cells;
  });
  return Float64Array.from({ length: rows }, (_, i) =>
    proxies.reduce((sum, proxy) => sum + share[proxy[i]], 0),
  );
}

function gapsOf({ matrix, byTruth }: { matrix: FairnessMatrix; byTruth?: FairnessMatrix[] }): Gaps {
  const parity = parityGap(matrix);
  return byTruth ? { parity, odds: oddsGap(byTruth), opportunity: opportunityGap(byTruth[1]) } : { parity };
}

/** P(group | true class): what the cells say, weighed; the global error matrix stands in where a cell has none. */
function priorInside(
  joint: Float64Array,
  cells: (ProxyErrors | undefined)[],
  errors: ProxyErrors,
  groups: number,
  classes: number,
): Float64Array {
  const prior = new Float64Array(groups);
  const inverted = inverse(errors.transition, groups) as Float64Array;
  cells.forEach((own, k) => {
    for (let a = 0; a < groups; a++) {
      for (let b = 0; b < groups; b++) {
        const share = joint[b * classes + k];
        prior[a] += own ? own.prior[a] * share : inverted[b * groups + a] * share;
      }
    }
  });
  return prior.map((share) => Math.max(share, 1e-6));
}

function softMatrix(
  predicted: Int32Array,
  probabilities: ArrayLike<number>,
  rows: Int32Array | undefined,
  groups: number,
  classes: number,
): FairnessMatrix {
  const values = new Float64Array(groups * classes);
  const members = new Float64Array(groups);
  const count = rows?.length ?? predicted.length;
  for (let i = 0; i < count; i++) {
    const row = rows ? rows[i] : i;
    for (let a = 0; a < groups; a++) {
      const weight = probabilities[row * groups + a];
      values[a * classes + predicted[row]] += weight;
      members[a] += weight;
    }
  }
  return { values: values.map((value, i) => value / members[Math.floor(i / classes)]), groups, classes };
}

function groupColumns(columns: readonly ArrayLike<number>[], warnings: string[]): Int32Array[] {
  const proxies = columns.map((column, i) => integers(`proxy ${i + 1}`, column));
  const least = Math.min(
    ...proxies.map((proxy) => proxy.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)),
  );
  if (least !== 1) return proxies;
  warnings.push("The proxies' groups are counted from 1; here they are counted from 0.");
  return proxies.map((proxy) => proxy.map((value) => value - 1));
}

function integers(name: string, values: ArrayLike<number>): Int32Array {
  return Int32Array.from(values, (value, row) => {
    if (Number.isInteger(value) && value >= 0) return value;
    throw new UserError(`${name} of row ${row} (counted from 0) is ${value}, expected an integer from 0`);
  });
}

function requireObserved(proxies: readonly Int32Array[], groups: number): void {
  if (highest(proxies) >= groups) {
    throw new UserError(
      `a proxy names group ${highest(proxies)}, but there are ${groups} groups (0 to ${groups - 1})`,
    );
  }
  for (let a = 0; a < groups; a++) {
    if (proxies.some((proxy) => proxy.includes(a))) continue;
    throw new UserError(`no proxy ever says group ${a}, so its errors cannot be undone`, {
      hint: "Leave out the group, or give proxies that know it.",
    });
  }
}

const highest = (columns: readonly Int32Array[]): number =>
  columns.reduce((top, column) => column.reduce((a, b) => Math.max(a, b), top), 0);

const pick = (column: Int32Array, rows: Int32Array): Int32Array =>
  Int32Array.from(rows, (row) => column[row]);

const pickAll = (column: Int32Array, rows: Int32Array | undefined): Int32Array =>
  rows ? pick(column, rows) : column;

function rowsWhere(column: Int32Array, value: number, other?: Int32Array, otherValue?: number): Int32Array {
  const rows: number[] = [];
  for (let i = 0; i < column.length; i++) {
    if (column[i] === value && (otherValue === undefined || other?.[i] === otherValue)) rows.push(i);
  }
  return Int32Array.from(rows);
}

/** Whether two proxies agree on all of these rows: nothing can be estimated there. */
const hasCopies = (proxies: readonly Int32Array[], rows: Int32Array): boolean =>
  proxies.some((a, i) => proxies.some((b, j) => j > i && rows.every((row) => a[row] === b[row])));

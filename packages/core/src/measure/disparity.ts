/*
 * By how much predictions differ between groups that nobody recorded, from proxies of the group: with intervals, for several
 * predictors side by side.
 */
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { quantile } from "./bootstrap.js";
import {
  calibrateMatrix,
  type FairnessMatrix,
  fairnessMatrix,
  inverse,
  jointFrequencies,
  oddsGap,
  opportunityGap,
  parityGap,
  uninformative,
} from "./fairness.js";
import { type Gaps, hiddenGroupFairness } from "./hidden-group-fairness.js";
import { sameLength } from "./measured.js";
import { estimateProxyErrors, type ProxyErrors } from "./proxy-errors.js";

export interface DisparityInput {
  /** Classes from 0, `[n]` each, by the name of who says them; two at most are compared. */
  predictions: Readonly<Record<string, Int32Array>>;
  /** `[n]` each: the group that a proxy guesses, from 0. */
  proxies: readonly Int32Array[];
  groups: number;
  classes: number;
  /** `[n]`: true classes, -1 where unknown; for equal odds and equal opportunity. */
  truth?: Int32Array;
  /** `[n]`: the recorded group, -1 where unknown: what the estimates are held against. */
  group?: Int32Array;
  /**
   * `[groups]`: share of a group's members that a proxy takes for another group, evenly for each of the others. Default: estimated
   * from the agreement of three proxies.
   */
  errorRates?: readonly number[];
}

/** A number with its 95 % interval (percentile bootstrap over rows); null: not to be had. */
export interface RangedEstimate {
  value: number | null;
  low: number | null;
  high: number | null;
}

export const disparityEstimates = ["first proxy", "calibrated", "recorded group"] as const;
export type DisparityEstimate = (typeof disparityEstimates)[number];
export const gapNames = ["parity", "odds", "opportunity"] as const;
export type GapName = (typeof gapNames)[number];
export type RangedGaps = Partial<Record<GapName, RangedEstimate>>;

export interface PredictorDisparity {
  name: string;
  gaps: Record<DisparityEstimate, RangedGaps | null>;
  /** P(class | group) by estimate: `[groups][classes]`. Calibrated ones can lie outside [0, 1] where the assumptions fail. */
  rates: Partial<Record<DisparityEstimate, number[][]>>;
  /** Calibrated with an error matrix for each prediction: a large difference from `calibrated` is a warning. null: not to be had. */
  local: Gaps | null;
}

export interface Disparity {
  rows: number;
  /** Rows with a recorded group. */
  recorded: number;
  /** P(proxy | group) `[groups][groups]`, P(group) `[groups]`, and where they are from. */
  errors: { transition: number[][]; prior: number[]; source: "given" | "agreement of the proxies" };
  /** The same by the recorded group; null without one. */
  recordedErrors: { transition: number[][]; prior: number[] } | null;
  predictors: PredictorDisparity[];
  /** Gaps of the second predictor minus those of the first, on the same rows; null where there are not two. */
  change: Record<DisparityEstimate, RangedGaps | null> | null;
  warnings: string[];
}

export interface DisparityOptions {
  random: Random;
  /** Bootstrap samples behind the intervals. Default 200. */
  resamples?: number;
}

/** Smaller estimated groups have no rates. */
const LEAST_PRIOR = 0.005;
/** Of a bootstrap sample the estimate needs less care than of all rows. */
const OF_SAMPLE = { rounds: 4, steps: 500 };

/**
 * Demographic parity, equal odds and equal opportunity (of class 1) of predictions between groups, taking the first proxy for the
 * group, and with the proxies' errors undone (Zhu et al. 2022, "Weak Proxies are Sufficient and Preferable for Fairness with Missing
 * Sensitive Attributes", one error matrix for all rows). The latter is right where proxies err alike and, given the group,
 * independently of predictions and truth; with estimated rates also of each other. Gaps are absolute values: where there is none,
 * an estimate of few rows is above 0 all the same.
 *
 * @throws UserError for fewer than three proxies without error rates, copies of one, and rates that are none
 */
export function disparity(input: DisparityInput, { random, resamples = 200 }: DisparityOptions): Disparity {
  const { predictions, proxies, groups, errorRates, group } = input;
  const names = Object.keys(predictions);
  const rows = sameLength({
    ...predictions,
    ...Object.fromEntries(proxies.map((proxy, i) => [`proxy ${i + 1}`, proxy])),
    ...(input.truth && { truth: input.truth }),
    ...(group && { group }),
  });
  if (proxies.length < 1) throw new UserError("no proxy of the group is given");
  const given = errorRates && transitionOf(errorRates, groups);
  const all = Int32Array.from({ length: rows }, (_, i) => i);
  const errorsOf = (sample: Int32Array, own: Random, thrift = {}): ProxyErrors => {
    const columns = sample === all ? proxies : proxies.map((proxy) => pick(proxy, sample));
    if (!given) return estimateProxyErrors(columns, groups, { random: own, ...thrift });
    return { transition: given, prior: invertedPrior(columns, given, groups), loss: 0 };
  };
  const problem = given && uninformative(given, groups);
  if (problem) throw new UserError(`nothing can be told from proxies with these rates of errors: ${problem}`);
  const errors = errorsOf(all, random.stream("errors"));
  const warnings: string[] = [];
  const useless = uninformative(errors.transition, groups);
  if (useless) warnings.push(`The proxies are uninformative (${useless}): nothing is calibrated with them.`);
  errors.prior.forEach((share, a) => {
    if (share >= 0.01) return;
    warnings.push(
      given
        ? `With these rates of errors, group ${a} would be ${percent(share)} of the rows: the rates do not fit.`
        : `Group ${a} is estimated at ${percent(share)} of the rows: too few to tell.`,
    );
  });

  const found = measure(input, all, useless ? undefined : errors);
  const samples = Array.from({ length: resamples }, (_, i) => {
    const own = random.stream("resample", i);
    const sample = Int32Array.from({ length: rows }, () => own.integer(rows));
    const resampled = useless ? undefined : errorsOf(sample, own, OF_SAMPLE);
    return measure(input, sample, resampled).gaps;
  });
  const ranged = (of: (gaps: Found["gaps"]) => number | null | undefined): RangedEstimate | undefined => {
    const value = of(found.gaps);
    if (value === undefined) return undefined;
    const values = samples.map(of).filter((each) => typeof each === "number");
    if (value === null || values.length < 0.9 * resamples) return { value, low: null, high: null };
    const sorted = Float64Array.from(values).sort();
    return { value, low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
  };
  const byGap = (of: (gaps: Found["gaps"], gap: GapName) => number | null | undefined): RangedGaps | null => {
    const entries = gapNames.flatMap((gap) => {
      const range = ranged((gaps) => of(gaps, gap));
      return range ? [[gap, range] as const] : [];
    });
    return entries.length > 0 ? Object.fromEntries(entries) : null;
  };
  const byEstimate = (
    of: (gaps: Found["gaps"], estimate: DisparityEstimate, gap: GapName) => number | null | undefined,
  ) =>
    Object.fromEntries(
      disparityEstimates.map((estimate) => [estimate, byGap((gaps, gap) => of(gaps, estimate, gap))]),
    ) as Record<DisparityEstimate, RangedGaps | null>;

  const predictors = names.map((name): PredictorDisparity => {
    const rates = found.rates[name];
    if (rates.calibrated?.flat().some((rate) => rate < 0 || rate > 1)) {
      warnings.push(`Calibrated rates of the ${name} lie outside [0, 1]: the proxies do not err as assumed.`);
    }
    const hidden = given || useless ? undefined : signs(name);
    return {
      name,
      gaps: byEstimate((gaps, estimate, gap) => gaps[name][estimate]?.[gap]),
      rates,
      local: hidden ?? null,
    };
  });
  /** What an error matrix for each prediction makes of it. */
  function signs(name: string): Gaps | null {
    const { gaps, fallbacks } = hiddenGroupFairness(
      { predicted: predictions[name], proxies },
      { random: random.stream("local", name), groups, classes: input.classes },
    );
    if (fallbacks.length > 0) {
      warnings.push(
        `Of the ${name}, ${fallbacks.join(" and ")} ${fallbacks.length > 1 ? "have" : "has"} no usable error matrix of its own: a sign, if these rows are many, that the proxies lean towards the prediction.`,
      );
    }
    return gaps.local;
  }
  const [before, after] = names;
  return {
    rows,
    recorded: group ? group.filter((a) => a >= 0).length : 0,
    errors: { ...plain(errors, groups), source: given ? "given" : "agreement of the proxies" },
    recordedErrors: group ? plain(recordedErrors(group, proxies, groups), groups) : null,
    predictors,
    change:
      names.length === 2
        ? byEstimate((gaps, estimate, gap) => {
            const [first, second] = [gaps[before][estimate]?.[gap], gaps[after][estimate]?.[gap]];
            if (first === undefined || second === undefined) return undefined;
            return first === null || second === null ? null : second - first;
          })
        : null,
    warnings,
  };
}

interface Found {
  gaps: Record<string, Partial<Record<DisparityEstimate, Partial<Record<GapName, number | null>>>>>;
  rates: Record<string, Partial<Record<DisparityEstimate, number[][]>>>;
}

/** All gaps of a sample of rows. */
function measure(input: DisparityInput, rows: Int32Array, errors: ProxyErrors | undefined): Found {
  const { predictions, proxies, groups, classes, truth, group } = input;
  const sizes = { groups, classes };
  const inside = truth && Array.from({ length: classes }, (_, y) => rows.filter((row) => truth[row] === y));
  const columnsOf = (own: Int32Array) => proxies.map((proxy) => pick(proxy, own));
  const [columns, insideColumns] = [columnsOf(rows), inside?.map(columnsOf)];
  const estimates: Partial<Record<DisparityEstimate, (predicted: Int32Array, y?: number) => FairnessMatrix>> =
    {
      "first proxy": (predicted, y) =>
        fairnessMatrix(
          predicted,
          y === undefined ? columns[0] : (insideColumns as Int32Array[][])[y][0],
          sizes,
        ),
    };
  if (errors) {
    const { transition } = errors;
    estimates.calibrated = (predicted, y) => {
      const own = y === undefined ? columns : (insideColumns as Int32Array[][])[y];
      const prior = y === undefined ? errors.prior : invertedPrior(own, transition, groups);
      const joint = jointFrequencies(predicted, own, undefined, groups, classes);
      const shares = prior.map((share) => (share < LEAST_PRIOR ? Number.NaN : share));
      return calibrateMatrix(joint, [transition], shares);
    };
  }
  if (group) {
    estimates["recorded group"] = (predicted, y) => {
      const own = pick(group, y === undefined ? rows : (inside as Int32Array[])[y]);
      const known = Int32Array.from(own.keys()).filter((i) => own[i] >= 0);
      return fairnessMatrix(pick(predicted, known), pick(own, known), sizes);
    };
  }
  const found: Found = { gaps: {}, rates: {} };
  for (const [name, predicted] of Object.entries(predictions)) {
    found.gaps[name] = {};
    found.rates[name] = {};
    for (const [estimate, of] of Object.entries(estimates) as [
      DisparityEstimate,
      (typeof estimates)["calibrated"] & {},
    ][]) {
      const matrix = of(pick(predicted, rows));
      const byTruth = inside?.map((own, y) => of(pick(predicted, own), y));
      found.gaps[name][estimate] = {
        parity: finite(parityGap(matrix)),
        ...(byTruth
          ? { odds: finite(oddsGap(byTruth)), opportunity: finite(opportunityGap(byTruth[1])) }
          : {}),
      };
      found.rates[name][estimate] = Array.from({ length: groups }, (_, a) =>
        Array.from(matrix.values.subarray(a * classes, (a + 1) * classes)),
      );
    }
  }
  return found;
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const pick = (column: Int32Array, rows: Int32Array): Int32Array => {
  const picked = new Int32Array(rows.length);
  for (let i = 0; i < rows.length; i++) picked[i] = column[rows[i]];
  return picked;
};

/** P(proxy | group) from each group's rate of errors. */
function transitionOf(errorRates: readonly number[], groups: number): Float64Array {
  if (errorRates.length !== groups) {
    throw new UserError(`${errorRates.length} rates of errors are given for ${groups} groups`, {
      hint: "Give one for each group, in the order of their names.",
    });
  }
  for (const rate of errorRates) {
    if (!(rate >= 0 && rate < 1))
      throw new UserError(`the rate of errors is ${rate}, expected from 0 to below 1`);
  }
  return Float64Array.from({ length: groups ** 2 }, (_, at) => {
    const a = Math.floor(at / groups);
    return a === at % groups ? 1 - errorRates[a] : errorRates[a] / (groups - 1);
  });
}

/** P(group) by undoing the errors in how often proxies name each group. */
function invertedPrior(
  proxies: readonly Int32Array[],
  transition: Float64Array,
  groups: number,
): Float64Array {
  const named = new Float64Array(groups);
  for (const proxy of proxies) for (const a of proxy) named[a] += 1 / (proxy.length * proxies.length);
  const inverted = inverse(transition, groups) as Float64Array;
  return named.map((_, a) => named.reduce((sum, share, b) => sum + inverted[b * groups + a] * share, 0));
}

function recordedErrors(group: Int32Array, proxies: readonly Int32Array[], groups: number) {
  const transition = new Float64Array(groups ** 2);
  const prior = new Float64Array(groups);
  group.forEach((a, row) => {
    if (a < 0) return;
    prior[a]++;
    for (const proxy of proxies) transition[a * groups + proxy[row]] += 1 / proxies.length;
  });
  const known = prior.reduce((a, b) => a + b, 0);
  return {
    transition: transition.map((count, at) => count / prior[Math.floor(at / groups)]),
    prior: prior.map((count) => count / known),
  };
}

const plain = ({ transition, prior }: Pick<ProxyErrors, "transition" | "prior">, groups: number) => ({
  transition: Array.from({ length: groups }, (_, a) =>
    Array.from(transition.subarray(a * groups, (a + 1) * groups)),
  ),
  prior: Array.from(prior),
});

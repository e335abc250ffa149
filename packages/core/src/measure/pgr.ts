import type { Random } from "../random.js";
import { shareCorrect, standardErrorOfDifference, standardErrorOfMean } from "./accuracy.js";
import { type Measured, sameLength } from "./measured.js";

/** Performance gap recovered, with what it was made from. */
export interface GapRecovered {
  /** (student - weak) / (ceiling - weak). 0: no better than the weak supervisor, 1: equals the ceiling. Not clipped. */
  pgr: Measured;
  /** Of the PGR over resampled test examples, by the delta method; null where the PGR is. */
  standardError: Measured;
  /** Accuracies in [0, 1]. */
  weak: Measured;
  student: Measured;
  ceiling: Measured;
  /** ceiling - weak and its paired standard error. */
  gap: Measured;
  gapStandardError: Measured;
}

/**
 * Performance gap recovered (Burns et al. 2023, section 3) from whether each of the same n test examples
 * was answered correctly (1) or not (0) by the weak supervisor, the student and the ceiling.
 * It is null when the ceiling does not exceed the weak supervisor, or by fewer than
 * `minimumStandardErrors` (2) paired standard errors: a ratio to noise means nothing.
 */
export function performanceGapRecovered(
  correct: { weak: Uint8Array; student: Uint8Array; ceiling: Uint8Array },
  options: { minimumStandardErrors?: number } = {},
): GapRecovered {
  const { minimumStandardErrors = 2 } = options;
  sameLength(correct);
  const weak = shareCorrect(correct.weak);
  const student = shareCorrect(correct.student);
  const ceiling = shareCorrect(correct.ceiling);
  const gapStandardError = standardErrorOfDifference(correct.ceiling, correct.weak);
  const gap = difference(ceiling, weak);
  const measures = { weak, student, ceiling, gap, gapStandardError };

  const pgr = gapShare(weak, student, ceiling);
  if (pgr.value === null || gap.value === null) return { pgr, standardError: pgr, ...measures };
  if (gapStandardError.value === null) {
    return { pgr: gapStandardError, standardError: gapStandardError, ...measures };
  }
  if (gap.value < minimumStandardErrors * gapStandardError.value) {
    const errors = (gap.value / gapStandardError.value).toFixed(2);
    const reason = `the gap of ${gap.value.toFixed(4)} between ceiling and weak supervisor is ${errors} standard errors, fewer than ${minimumStandardErrors}`;
    return { pgr: { value: null, reason }, standardError: { value: null, reason }, ...measures };
  }

  // Delta method: to first order the ratio moves with the mean of these residuals.
  const recovered = pgr.value;
  const width = gap.value;
  const residuals = Float64Array.from(
    correct.weak,
    (w, i) => (correct.student[i] - w - recovered * (correct.ceiling[i] - w)) / width,
  );
  return { pgr, standardError: standardErrorOfMean(residuals), ...measures };
}

/**
 * The same ratio from three values of any metric where more is better (accuracy, AUROC), when per-example
 * results are not to be had; null when the ceiling does not exceed the weak supervisor.
 */
export function gapShare(weak: Measured, student: Measured, ceiling: Measured): Measured {
  const gap = difference(ceiling, weak);
  const gain = difference(student, weak);
  if (gap.value === null) return gap;
  if (gain.value === null) return gain;
  if (gap.value <= 0) {
    return { value: null, reason: "the ceiling is no better than the weak supervisor: no gap to recover" };
  }
  return { value: gain.value / gap.value };
}

function difference(a: Measured, b: Measured): Measured {
  if (a.value === null) return a;
  if (b.value === null) return b;
  return { value: a.value - b.value };
}

/**
 * The share of the gap between weak supervisor and ceiling, of any metric: signs cancel, so that less may be better. null where the
 * ceiling is no better than the weak supervisor, or by fewer than `minimumStandardErrors` (2).
 */
export function recoveredShare(
  { weak, student, ceiling }: Record<"weak" | "student" | "ceiling", number | null>,
  gapStandardError: number,
  {
    better = "more",
    minimumStandardErrors = 2,
  }: { better?: "more" | "less"; minimumStandardErrors?: number } = {},
): Measured {
  if (weak === null || student === null || ceiling === null) {
    return { value: null, reason: "the metric is not defined for one of the three models" };
  }
  const gap = ceiling - weak;
  if (better === "more" ? gap <= 0 : gap >= 0) {
    return { value: null, reason: "the ceiling is no better than the weak supervisor: no gap to recover" };
  }
  if (Math.abs(gap) < minimumStandardErrors * gapStandardError) {
    return {
      value: null,
      reason: `the gap of ${gap.toFixed(4)} between ceiling and weak supervisor is smaller than ${minimumStandardErrors} standard errors of ${gapStandardError.toFixed(4)}`,
    };
  }
  return { value: (student - weak) / gap };
}

/**
 * Standard error of a statistic of examples, by the bootstrap over them (Efron 1979).
 *
 * @param statistic of the examples with these numbers; null is left out
 */
export function resampledStandardError(
  count: number,
  statistic: (rows: Int32Array) => number | null,
  { random, resamples = 200 }: { random: Random; resamples?: number },
): number {
  const values: number[] = [];
  for (let r = 0; r < resamples; r++) {
    const value = statistic(Int32Array.from({ length: count }, () => random.integer(count)));
    if (value !== null) values.push(value);
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

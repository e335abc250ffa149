import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { disparity } from "./disparity.js";
import { measuredGaps } from "./hidden-group-fairness.js";

/** A weak predictor with a gap of 0.2 between the groups, a student with 0.35, and proxies that are wrong at these rates. */
function draw(rows: number, seed: number, rates = [0.2, 0.3]) {
  const random = createRandom(seed).stream("disparity");
  const group = Int32Array.from({ length: rows }, () => Number(random.uniform() < 0.4));
  const says = (of: number[]) => group.map((a) => Number(random.uniform() < of[a]));
  const predictions = { weak: says([0.6, 0.4]), student: says([0.65, 0.3]) };
  const truth = predictions.student.map((k) => (random.uniform() < 0.8 ? k : 1 - k));
  const proxies = [0, 1, 2].map(() => group.map((a) => (random.uniform() < rates[a] ? 1 - a : a)));
  return { predictions, truth, group, proxies, groups: 2, classes: 2 };
}
const options = { random: createRandom("disparity"), resamples: 40 };

describe("disparity", () => {
  test("calibrated gaps are near those of the recorded group, which one proxy understates, with truth for odds", () => {
    const { predictors, change, errors } = disparity(draw(20_000, 1), options);
    expect(errors.transition[0][1]).toBeCloseTo(0.2, 1);
    for (const { gaps } of predictors) {
      for (const gap of ["parity", "odds", "opportunity"] as const) {
        const [first, calibrated, recorded] = (["first proxy", "calibrated", "recorded group"] as const).map(
          (estimate) => gaps[estimate]?.[gap]?.value as number,
        );
        expect(Math.abs(calibrated - recorded)).toBeLessThan(0.05);
        expect(first).toBeLessThan(0.8 * recorded);
      }
    }
    expect(change?.calibrated?.parity?.low).toBeGreaterThan(0.05);
    expect(change?.["recorded group"]?.parity?.value).toBeCloseTo(0.15, 1);
  });

  test("given rates need one proxy; with exact ones the estimate is an identity in the expectation", () => {
    // 1000 rows a group, of which the proxy takes exactly 200 and 300 for the other, whatever the prediction.
    const group = Int32Array.from({ length: 2000 }, (_, i) => Number(i >= 1000));
    const proxy = group.map((a, i) => (i % 10 < (a === 0 ? 2 : 3) ? 1 - a : a));
    const weak = group.map((a, i) => Number((i / 10) % 10 < (a === 0 ? 6 : 3)));
    const { predictors, errors } = disparity(
      { predictions: { weak }, proxies: [proxy], group, groups: 2, classes: 2, errorRates: [0.2, 0.3] },
      options,
    );
    expect(errors.prior[0]).toBeCloseTo(0.5, 9);
    const { parity } = measuredGaps({ predicted: weak, group }, { groups: 2, classes: 2 });
    const { gaps, rates } = predictors[0];
    // Tenths of a cell's rows share a prediction, so that the shares are those of the rates but for the cells' ends.
    expect(gaps.calibrated?.parity?.value).toBeCloseTo(parity, 2);
    expect(gaps["first proxy"]?.parity?.value).toBeCloseTo(0.5 * parity, 2);
    expect(rates.calibrated?.[1][1]).toBeCloseTo(rates["recorded group"]?.[1][1] as number, 2);
  });

  test("intervals have the true gap about as often as they say", () => {
    const covered = [...Array(40).keys()].map((seed) => {
      const { predictions, proxies } = draw(800, seed);
      const hidden = { predictions, proxies, groups: 2, classes: 2 };
      const given = disparity({ ...hidden, errorRates: [0.2, 0.3] }, { ...options, resamples: 100 });
      const { low, high } = given.predictors[1].gaps.calibrated!.parity as { low: number; high: number };
      return Number(low <= 0.35 && 0.35 <= high);
    });
    const share = covered.reduce((a, b) => a + b, 0) / 40;
    expect(share).toBeGreaterThanOrEqual(0.85);
    // Intervals of any width would do that: an average one is no wider than six standard errors of a rate.
    const { predictors } = disparity({ ...draw(800, 3), errorRates: [0.2, 0.3] }, options);
    const { low, high } = predictors[1].gaps.calibrated!.parity as { low: number; high: number };
    expect(high - low).toBeLessThan(0.3);
  });

  test("rates that do not fit, and proxies that guess, are warned of and not calibrated with", () => {
    const input = draw(2000, 5);
    const { warnings } = disparity({ ...input, errorRates: [0.45, 0.02] }, options);
    expect(warnings.join()).toMatch(/the rates do not fit/);
    const coins = [0, 1, 2].map((i) => draw(2000, 50 + i).group);
    const blind = disparity({ ...input, proxies: coins }, options);
    expect(blind.warnings.join()).toMatch(/uninformative/);
    expect(blind.predictors[0].gaps.calibrated).toBeNull();
    expect(blind.predictors[0].gaps["first proxy"]?.parity?.value).toBeGreaterThanOrEqual(0);
  });

  test("rows without truth or recorded group count for what needs neither", () => {
    const input = draw(2000, 7);
    const hidden = disparity(
      { ...input, truth: input.truth.map(() => -1), group: input.group.map(() => -1) },
      options,
    );
    const { gaps } = hidden.predictors[0];
    expect(gaps.calibrated?.odds?.value).toBeNull();
    expect(gaps["recorded group"]?.parity?.value).toBeNull();
    expect(gaps.calibrated?.parity?.value).toBeGreaterThan(0.1);
  });

  test.each([
    ["two proxies without rates", { proxies: 2 }, /three are needed/],
    ["a rate for one group alone", { rates: [0.1] }, /1 rates of errors are given for 2 groups/],
    ["a rate that is none", { rates: [0.1, 1.2] }, /the rate of errors is 1.2/],
    ["rates of a coin", { rates: [0.5, 0.5] }, /nothing can be told from proxies with these rates/],
  ])("refuses %s", (_, { proxies = 3, rates }: { proxies?: number; rates?: number[] }, message) => {
    const input = draw(100, 1);
    const given = { ...input, proxies: input.proxies.slice(0, proxies), errorRates: rates };
    expect(() => disparity(given, options)).toThrow(message);
  });
});

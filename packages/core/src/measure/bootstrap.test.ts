import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { hierarchicalBootstrap, pairedDifference, quantile, verdict } from "./bootstrap.js";

const random = createRandom("bootstrap");

/** Share of simulated experiments whose 95 % interval covers the true mean 0; items N(group, 1), groups N(0, 1). */
function coverage(
  groups: number,
  items: number,
  experiments: number,
  interval: "percentile" | "t" = "percentile",
): number {
  const draws = random.stream("coverage", groups, items);
  let covered = 0;
  for (let e = 0; e < experiments; e++) {
    const data = Array.from({ length: groups }, () => {
      const group = draws.normal();
      return Array.from({ length: items }, () => group + draws.normal());
    });
    const { low, high } = hierarchicalBootstrap(data, { resamples: 400, random: draws, interval });
    if (low !== null && high !== null && low <= 0 && high >= 0) covered++;
  }
  return covered / experiments;
}

describe("hierarchical bootstrap", () => {
  test("covers the true mean of a hierarchical normal about 95 % of the time with 30 groups", () => {
    // 600 experiments: standard error 0.9 points. Resampling items alone would cover about 60 %.
    const share = coverage(30, 5, 600);
    expect(share).toBeGreaterThan(0.92);
    expect(share).toBeLessThan(0.985);
  });

  test("with 5 groups it covers less than it says, and more than 80 %", () => {
    const share = coverage(5, 5, 600);
    expect(share).toBeLessThan(0.95);
    expect(share).toBeGreaterThan(0.8);
  });

  test.each([2, 3, 5, 10])("with Student's t it covers 95 percent or more with %i groups", (groups) => {
    // Drawing items too counts their spread twice, which shows with very few groups.
    const share = coverage(groups, 3, 600, "t");
    expect(share).toBeGreaterThan(0.925);
    if (groups >= 5) expect(share).toBeLessThan(0.985);
  });

  test("with Student's t it is the classic interval where groups have one item", () => {
    const { low, high } = hierarchicalBootstrap([[1], [2], [3], [4], [6]], {
      random,
      interval: "t",
      resamples: 40_000,
    });
    // Mean 3.2, standard error 0.8602, t(4) = 2.776.
    expect(low).toBeCloseTo(3.2 - 2.388, 1);
    expect(high).toBeCloseTo(3.2 + 2.388, 1);
  });

  test("leaves nulls out and counts them", () => {
    const result = hierarchicalBootstrap([[1, null, 2], [null], [3]], { random });
    expect(result).toMatchObject({
      mean: 2,
      defined: 3,
      total: 5,
      groups: 2,
      resampled: "groups and items",
    });
  });

  test("constant data have an interval of no width", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 5 }),
        (value, sizes) => {
          const groups = sizes.map((size) => new Array<number>(size).fill(value));
          const { mean, low, high } = hierarchicalBootstrap(groups, { resamples: 20, random });
          expect([mean === value, low === value, high === value]).toEqual([true, true, true]); // 0 is -0
        },
      ),
    );
  });

  test("does not depend on the order of the groups, up to the noise of resampling", () => {
    const draws = createRandom("order");
    const groups = Array.from({ length: 12 }, (_, g) =>
      Array.from({ length: 1 + (g % 3) }, () => g + draws.normal()),
    );
    const a = hierarchicalBootstrap(groups, { resamples: 4000, random: draws });
    const b = hierarchicalBootstrap([...groups].reverse(), { resamples: 4000, random: draws });
    expect(b.mean).toBeCloseTo(a.mean ?? Number.NaN, 12);
    expect(Math.abs((b.low ?? Number.NaN) - (a.low ?? Number.NaN))).toBeLessThan(0.2);
    expect(Math.abs((b.high ?? Number.NaN) - (a.high ?? Number.NaN))).toBeLessThan(0.2);
  });

  test("a single group resamples its items and says so", () => {
    const result = hierarchicalBootstrap([[1, 2, 3, 4], [null]], { random });
    expect(result).toMatchObject({ mean: 2.5, groups: 1, resampled: "items only" });
    expect(result.low).toBeLessThan(2.5);
    expect(result.high).toBeGreaterThan(2.5);
  });

  test("fewer than two items have no interval", () => {
    const none = { low: null, high: null, resampled: "nothing" };
    expect(hierarchicalBootstrap([[7, null]], { random })).toMatchObject({ mean: 7, ...none });
    expect(hierarchicalBootstrap([[null], []], { random })).toMatchObject({ mean: null, total: 1, ...none });
  });

  test("draws groups whole: between-group spread stays in the interval however many items there are", () => {
    const groups = [new Array<number>(200).fill(0), new Array<number>(200).fill(1)];
    expect(hierarchicalBootstrap(groups, { random })).toMatchObject({ mean: 0.5, low: 0, high: 1 });
  });

  test("takes another statistic and level; the same seed gives the same interval", () => {
    const groups = [
      [1, 5, 2],
      [9, 4],
    ];
    const largest = (values: Float64Array) => Math.max(...values);
    const run = (level: number) =>
      hierarchicalBootstrap(groups, { statistic: largest, level, random: createRandom(3) });
    expect(run(0.9)).toEqual(run(0.9));
    expect(run(0.9).mean).toBe(9);
    expect(run(0.5).low).toBeGreaterThanOrEqual(run(0.99).low ?? Number.NaN);
  });

  test("refuses what is not finite, naming the place, and senseless options", () => {
    expect(() => hierarchicalBootstrap([[1], [2, Number.NaN]], { random })).toThrow("item 1 of group 1");
    expect(() => hierarchicalBootstrap([[1]], { random, level: 95 })).toThrow("level");
    expect(() => hierarchicalBootstrap([[1]], { random, resamples: 0 })).toThrow("resamples");
  });
});

test("a paired difference keeps groups and items; null where either is null", () => {
  expect(pairedDifference([[3, null], [5]], [[1, 1], [null]])).toEqual([[2, null], [null]]);
  expect(() => pairedDifference([[1, 2]], [[1], [2]])).toThrow("[2] and [1, 1]");
});

test("equivalence needs the whole interval within the margin, and is refuted by one wholly outside", () => {
  const within = (low: number | null, high: number | null) => verdict({ low, high }, "within", 0.1);
  expect(within(-0.05, 0.09)).toBe("holds");
  expect(within(-0.05, 0.1)).toBe("undecided");
  expect(within(0.05, 0.3)).toBe("undecided");
  expect(within(0.1, 0.3)).toBe("refuted");
  expect(within(-0.3, -0.2)).toBe("refuted");
  expect(within(null, null)).toBe("undecided");
});

test("a verdict needs the whole interval on one side", () => {
  const judge = (low: number | null, high: number | null, threshold = 0) => [
    verdict({ low, high }, "above", threshold),
    verdict({ low, high }, "below", threshold),
  ];
  expect(judge(0.1, 0.2)).toEqual(["holds", "refuted"]);
  expect(judge(-0.2, -0.1)).toEqual(["refuted", "holds"]);
  expect(judge(-0.1, 0.1)).toEqual(["undecided", "undecided"]);
  expect(judge(0, 0.1)).toEqual(["undecided", "undecided"]);
  expect(judge(0.1, 0.2, 0.15)).toEqual(["undecided", "undecided"]);
  expect(judge(0.1, 0.2, 0.3)).toEqual(["refuted", "holds"]);
  expect(judge(null, null)).toEqual(["undecided", "undecided"]);
});

test("quantiles interpolate between order statistics", () => {
  const values = Float64Array.of(0, 10, 20, 40);
  expect([0, 0.5, 0.75, 1].map((p) => quantile(values, p))).toEqual([0, 15, 25, 40]);
});

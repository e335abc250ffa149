import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { refuseLeak, split } from "./split.js";

describe("split", () => {
  test("parts are disjoint, of exactly the sizes, and proportional in every stratum up to rounding", () => {
    const cases = fc
      .record({
        labels: fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 60 }),
        weights: fc.array(fc.nat(10), { minLength: 1, maxLength: 4 }),
        seed: fc.nat(),
      })
      .map(({ labels, weights, seed }) => {
        const total = weights.reduce((sum, weight) => sum + weight, 0) + 1;
        return { labels, seed, sizes: weights.map((weight) => Math.floor((labels.length * weight) / total)) };
      });
    fc.assert(
      fc.property(cases, ({ labels, seed, sizes }) => {
        const n = labels.length;
        const parts = Object.fromEntries(sizes.map((size, i) => [`part ${i}`, size]));
        const result = split(n, parts, createRandom(seed), { stratifyBy: Int32Array.from(labels) });
        const rows = Object.values(result).flatMap((part) => Array.from(part));
        expect(new Set(rows).size).toBe(rows.length);
        expect(rows.every((row) => row >= 0 && row < n)).toBe(true);
        Object.values(result).forEach((part, i) => {
          expect(part).toHaveLength(sizes[i]);
          for (const label of new Set(labels)) {
            const share = (sizes[i] * labels.filter((one) => one === label).length) / n;
            const got = part.filter((row) => labels[row] === label).length;
            expect(Math.abs(got - share)).toBeLessThan(1);
          }
        });
      }),
      { numRuns: 500 },
    );
  });

  test("the same seed gives the same rows, another seed others", () => {
    const rows = (seed: number) => split(1000, { train: 500, test: 500 }, createRandom(seed)).train;
    expect(rows(1)).toEqual(rows(1));
    expect(rows(1)).not.toEqual(rows(2));
  });

  test("every row is as likely to be chosen, and order is not that of the file", () => {
    const chosen = new Float64Array(10);
    for (let seed = 0; seed < 4000; seed++) {
      chosen[split(10, { one: 1 }, createRandom(seed)).one[0]]++;
    }
    // Within 5 standard deviations of a binomial count.
    for (const count of chosen) expect(Math.abs(count - 400)).toBeLessThan(5 * Math.sqrt(4000 * 0.1 * 0.9));
  });

  test.each<[Record<string, number>, string]>([
    [{ train: 8, test: 3 }, "the parts need 11 rows (train 8, test 3), but there are 10"],
    [{ train: -1 }, 'part "train" has -1 rows, expected a whole number'],
    [{ train: 0.5 }, 'part "train" has 0.5 rows, expected a whole number'],
    [{ train: Number.NaN }, 'part "train" has NaN rows, expected a whole number'],
  ])("%j is refused", (parts, message) => {
    expect(() => split(10, parts, createRandom(0))).toThrowError(
      expect.objectContaining({ name: "UserError", message, exitCode: 2 }),
    );
  });
});

describe("refuseLeak", () => {
  test("names the id and both splits", () => {
    expect(() => refuseLeak({ train: ["a", "b"], validation: ["c"], test: ["d", "b"] })).toThrowError(
      expect.objectContaining({
        name: "UserError",
        message: 'row "b" is in both "train" and "test"',
        exitCode: 2,
      }),
    );
  });

  test("lets disjoint splits pass", () => {
    expect(() => refuseLeak({ train: ["a", "b"], test: ["c"] })).not.toThrow();
  });
});

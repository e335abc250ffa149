import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import type { Measured } from "./measured.js";
import { gapShare, performanceGapRecovered, recoveredShare, resampledStandardError } from "./pgr.js";

const of = (value: number): Measured => ({ value });

/** Correctness [n] with exactly the given share correct, in the first examples. */
const correct = (share: number, n = 1000) =>
  Uint8Array.from({ length: n }, (_, i) => (i < share * n ? 1 : 0));

describe("performance gap recovered", () => {
  test("gives the numbers of the ImageNet experiment (openai/weak-to-strong, vision)", () => {
    expect(gapShare(of(56.6), of(61.9), of(64.5)).value).toBeCloseTo(0.67, 2);
    expect(gapShare(of(56.6), of(66.6), of(74)).value).toBeCloseTo(0.57, 2);
  });

  test("is 0 for the supervisor, 1 for the ceiling, and not clipped beyond", () => {
    const pgr = (student: number) =>
      performanceGapRecovered({ weak: correct(0.6), student: correct(student), ceiling: correct(0.9) }).pgr;
    expect(pgr(0.6).value).toBe(0);
    expect(pgr(0.9).value).toBeCloseTo(1, 12);
    expect(pgr(0.5).value).toBeCloseTo(-1 / 3, 12);
    expect(pgr(0.96).value).toBeCloseTo(1.2, 12);
  });

  test("is undefined, with the reason, when the ceiling is no better than the weak supervisor", () => {
    for (const ceiling of [0.6, 0.4]) {
      const result = performanceGapRecovered({
        weak: correct(0.6),
        student: correct(0.7),
        ceiling: correct(ceiling),
      });
      expect(result.pgr).toEqual({ value: null, reason: expect.stringContaining("no better") });
      expect(result.student).toEqual({ value: 0.7 });
    }
  });

  test("is undefined when the gap is within 2 standard errors, and defined beyond", () => {
    // k examples won by the ceiling and none lost: the gap is sqrt(k (n - 1) / (n - k)) standard errors.
    const withWins = (k: number) =>
      performanceGapRecovered({
        weak: correct(0.5, 100),
        student: correct(0.5, 100),
        ceiling: correct(0.5 + k / 100, 100),
      });
    expect(withWins(3).pgr).toEqual({ value: null, reason: expect.stringContaining("1.75 standard errors") });
    expect(withWins(4).pgr).toEqual({ value: 0 });
  });

  test("pairs examples: the same accuracies without overlap have a wider gap error", () => {
    const weak = correct(0.48, 100);
    const nested = performanceGapRecovered({ weak, student: weak, ceiling: correct(0.52, 100) });
    const disjoint = performanceGapRecovered({ weak, student: weak, ceiling: correct(0.52, 100).reverse() });
    expect(nested.gap.value).toBeCloseTo(disjoint.gap.value ?? Number.NaN, 12);
    expect(nested.pgr.value).toBe(0);
    expect(disjoint.pgr.value).toBeNull();
  });

  test("undefined for no and for one example", () => {
    const of = (...values: number[]) => Uint8Array.from(values);
    expect(performanceGapRecovered({ weak: of(), student: of(), ceiling: of() }).pgr.value).toBeNull();
    expect(performanceGapRecovered({ weak: of(0), student: of(1), ceiling: of(1) }).pgr.value).toBeNull();
  });

  test("has the standard error that repeated test sets show", () => {
    const n = 500;
    const ratios: number[] = [];
    let meanError = 0;
    const random = createRandom("pgr");
    for (let repeat = 0; repeat < 400; repeat++) {
      const ability = Array.from({ length: n }, () => random.uniform());
      const model = (threshold: number) => Uint8Array.from(ability, (a) => (a < threshold ? 1 : 0));
      const student = Uint8Array.from(ability, (a) => (a < 0.5 || random.uniform() < 0.4 ? 1 : 0));
      const result = performanceGapRecovered({ weak: model(0.6), student, ceiling: model(0.9) });
      ratios.push(result.pgr.value ?? Number.NaN);
      meanError += (result.standardError.value ?? Number.NaN) / 400;
    }
    const mean = ratios.reduce((sum, value) => sum + value, 0) / ratios.length;
    const deviation = Math.sqrt(ratios.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 399);
    expect(deviation / meanError).toBeGreaterThan(0.9);
    expect(deviation / meanError).toBeLessThan(1.1);
  });
});

test("the share recovered of any metric: less may be better, and small gaps give none", () => {
  const toxicity = { weak: 0.6, student: 0.4, ceiling: 0.2 };
  const less = { better: "less" } as const;
  expect(recoveredShare(toxicity, 0.05, less).value).toBeCloseTo(0.5, 12);
  expect(recoveredShare({ weak: 0.2, student: 0.5, ceiling: 0.6 }, 0.05).value).toBeCloseTo(0.75, 12);
  expect(recoveredShare(toxicity, 0.21, less)).toMatchObject({
    reason: expect.stringContaining("smaller than 2"),
  });
  expect(recoveredShare({ ...toxicity, student: null }, 0.05, less).value).toBeNull();
  // A ceiling that is worse than the weak supervisor leaves no gap, whichever way is better.
  for (const three of [toxicity, { weak: 1, student: 1, ceiling: 1 }]) {
    expect(recoveredShare(three, 0)).toMatchObject({ reason: expect.stringContaining("no better") });
  }
});

test("the standard error of a mean by resampling is that of the formula", () => {
  const random = createRandom(1);
  const values = random.normals(200);
  const mean = (rows: ArrayLike<number>) =>
    Array.from(rows).reduce((sum, row) => sum + values[row], 0) / rows.length;
  const error = resampledStandardError(200, mean, { random, resamples: 2000 });
  const centre = mean(values.map((_, i) => i));
  const exact = Math.sqrt(values.reduce((sum, x) => sum + (x - centre) ** 2, 0) / 200 / 200);
  expect(error / exact).toBeGreaterThan(0.93);
  expect(error / exact).toBeLessThan(1.07);
});

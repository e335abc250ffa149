import { describe, expect, test } from "vitest";
import { studentCdf, studentQuantile } from "./distributions.js";

describe("Student's t", () => {
  // Tables of the 97.5 % and 99.5 % points.
  test.each([
    [1, 0.975, 12.7062047],
    [2, 0.975, 4.30265273],
    [4, 0.975, 2.77644511],
    [9, 0.975, 2.26215716],
    [30, 0.975, 2.04227246],
    [4, 0.995, 4.60409487],
    [7, 0.995, 3.4994833],
  ])("with %i degrees of freedom has the %f quantile %f", (degrees, probability, expected) => {
    expect(studentQuantile(probability, degrees)).toBeCloseTo(expected, 6);
    expect(studentQuantile(1 - probability, degrees)).toBeCloseTo(-expected, 6);
  });

  test("with 1 degree is Cauchy's distribution", () => {
    for (const t of [-20, -1, 0, 0.3, 5]) {
      expect(studentCdf(t, 1)).toBeCloseTo(0.5 + Math.atan(t) / Math.PI, 12);
    }
  });

  test("with many degrees becomes the normal", () => {
    expect(studentQuantile(0.975, 100_000)).toBeCloseTo(1.96, 3);
    expect(studentCdf(-1, 100_000)).toBeCloseTo(0.158655, 5);
  });

  test("only probabilities between 0 and 1 have quantiles", () => {
    expect(() => studentQuantile(0, 3)).toThrow("(0, 1)");
  });
});

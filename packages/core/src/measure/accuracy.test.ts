import { describe, expect, test } from "vitest";
import { accuracy, correctness, standardErrorOfDifference } from "./accuracy.js";

describe("accuracy", () => {
  test("is the share of equal classes", () => {
    const predicted = Int32Array.of(0, 1, 2, 1);
    const truth = Int32Array.of(0, 2, 2, 1);
    expect(correctness(predicted, truth)).toEqual(Uint8Array.of(1, 0, 1, 1));
    expect(accuracy(predicted, truth)).toEqual({ value: 0.75 });
  });

  test("of nothing is undefined", () => {
    expect(accuracy(new Int32Array(0), new Int32Array(0))).toEqual({ value: null, reason: "no examples" });
  });

  test("refuses a missing truth rather than counting it as an error", () => {
    expect(() => accuracy(Int32Array.of(0, 0), Int32Array.of(0, -1))).toThrow("example 1");
  });

  test("refuses columns of different lengths, naming them", () => {
    expect(() => accuracy(new Int32Array(3), new Int32Array(4))).toThrow("predicted 3, truth 4");
  });
});

describe("standard error of a paired difference", () => {
  test("is that of the per-example differences", () => {
    // Differences 1, 0, -1, 1: mean 1/4, sum of squared deviations 3 - 4/16 = 11/4.
    const value = Math.sqrt(11 / 4 / 3 / 4);
    const result = standardErrorOfDifference(Uint8Array.of(1, 1, 0, 1), Uint8Array.of(0, 1, 1, 0));
    expect(result.value).toBeCloseTo(value, 12);
  });

  test("is 0 for a model against itself, however inaccurate, and undefined for one example", () => {
    const correct = Uint8Array.of(1, 0, 0, 1, 0);
    expect(standardErrorOfDifference(correct, correct)).toEqual({ value: 0 });
    expect(standardErrorOfDifference(Uint8Array.of(1), Uint8Array.of(0)).value).toBeNull();
  });
});

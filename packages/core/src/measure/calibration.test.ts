import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { calibration } from "./calibration.js";

/** Rows [p, 1 - p] of the probability of class 0. */
const binary = (...ofClass0: number[]) => ({
  values: Float32Array.from(ofClass0.flatMap((p) => [p, 1 - p])),
  shape: [ofClass0.length, 2] as [number, number],
});

describe("calibration", () => {
  test("agrees with the sums done by hand", () => {
    // Two bins (0, 0.5], (0.5, 1]. Confidences 0.75, 0.75, 0.5, 1; right, wrong, right, right.
    const result = calibration(binary(0.75, 0.25, 0.5, 1), Int32Array.of(0, 0, 0, 0), { bins: 2 });
    expect(result.bins).toEqual([
      { low: 0, high: 0.5, confidence: 0.5, accuracy: 1, count: 1 },
      { low: 0.5, high: 1, confidence: (0.75 + 0.75 + 1) / 3, accuracy: 2 / 3, count: 3 },
    ]);
    const error = (1 * 0.5 + 3 * (2.5 / 3 - 2 / 3)) / 4;
    expect(result.expectedCalibrationError.value).toBeCloseTo(error, 12);
    expect(result.brierScore.value).toBeCloseTo((2 * (0.25 ** 2 + 0.75 ** 2 + 0.5 ** 2)) / 4, 12);
    expect(result.negativeLogLikelihood.value).toBeCloseTo(
      -(Math.log(0.75) + Math.log(0.25) + Math.log(0.5)) / 4,
      12,
    );
  });

  test("has 15 bins; an empty one has no accuracy and does not count as 0", () => {
    const { bins, expectedCalibrationError } = calibration(binary(1, 1), Int32Array.of(0, 0));
    expect(bins).toHaveLength(15);
    expect(bins.filter((bin) => bin.accuracy === null && bin.count === 0)).toHaveLength(14);
    expect(bins[0].confidence).toBeCloseTo(1 / 30, 12);
    expect(expectedCalibrationError).toEqual({ value: 0 });
  });

  test("of labels drawn from the predicted probabilities the error is small, of overconfident ones it is the excess", () => {
    const random = createRandom("calibration");
    const p = Array.from({ length: 40_000 }, () => 0.5 + 0.3 * random.uniform());
    const truth = Int32Array.from(p, (q) => (random.uniform() < q ? 0 : 1));
    expect(calibration(binary(...p), truth).expectedCalibrationError.value).toBeLessThan(0.015);
    const overconfident = calibration(binary(...p.map((q) => q + 0.15)), truth);
    expect(overconfident.expectedCalibrationError.value).toBeCloseTo(0.15, 2);
  });

  test("the negative log-likelihood is undefined, not infinite, at probability 0", () => {
    const { negativeLogLikelihood, brierScore } = calibration(binary(1, 0.5), Int32Array.of(1, 0));
    expect(negativeLogLikelihood).toEqual({ value: null, reason: expect.stringContaining("1 of 2") });
    expect(brierScore.value).toBeCloseTo((2 + 0.5) / 2, 12);
  });

  test("of nothing is undefined", () => {
    const result = calibration(binary(), new Int32Array(0));
    expect(result.expectedCalibrationError.value).toBeNull();
    expect(result.brierScore.value).toBeNull();
    expect(result.negativeLogLikelihood.value).toBeNull();
  });

  test("refuses a class that does not exist, too few true classes, and half a bin", () => {
    expect(() => calibration(binary(0.5), Int32Array.of(2))).toThrow("true class 2");
    expect(() => calibration(binary(0.5), new Int32Array(0))).toThrow("predicted 1, truth 0");
    expect(() => calibration(binary(0.5), Int32Array.of(0), { bins: 0.5 })).toThrow("bins");
  });
});

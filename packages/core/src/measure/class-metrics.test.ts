import fc from "fast-check";
import { expect, test } from "vitest";
import { classMetrics } from "./class-metrics.js";

const of = (...classes: number[]) => Int32Array.from(classes);

test("a table by hand: 4 of 5 safe and 1 of 3 unsafe are found", () => {
  const truth = of(1, 1, 1, 1, 1, 0, 0, 0);
  const predicted = of(1, 1, 1, 1, 0, 0, 1, 1);
  const found = classMetrics(predicted, truth, 2);
  expect(found.accuracy).toEqual({ value: 5 / 8 });
  expect(found.balancedAccuracy).toEqual({ value: (4 / 5 + 1 / 3) / 2 });
  // F1 of class 0: 2 * 1 / (3 + 2), of class 1: 2 * 4 / (5 + 6).
  expect(found.weightedF1.value).toBeCloseTo((3 * (2 / 5) + 5 * (8 / 11)) / 8, 12);
  expect(found.recall).toEqual([{ value: 1 / 3 }, { value: 4 / 5 }]);
  expect(found.precision).toEqual([{ value: 1 / 2 }, { value: 4 / 6 }]);
});

test("classes that the truth lacks are left out and named; F1 without anything is 0", () => {
  const found = classMetrics(of(1, 1, 0), of(1, 1, 1), 3);
  expect(found.absent).toEqual([0, 2]);
  expect(found.balancedAccuracy).toEqual({ value: 2 / 3 });
  expect(found.recall[0].value).toBeNull();
  expect(found.precision[2].value).toBeNull();
  expect(classMetrics(of(0, 0), of(1, 1), 2).weightedF1).toEqual({ value: 0 });
  expect(classMetrics(of(), of(), 2).accuracy.value).toBeNull();
});

test("a constant answer has a balanced accuracy of 1 / classes, however frequent its class is", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (zeros, ones) => {
      const truth = of(...new Array(zeros).fill(0), ...new Array(ones).fill(1));
      const found = classMetrics(new Int32Array(truth.length), truth, 2);
      expect(found.balancedAccuracy).toEqual({ value: 0.5 });
      expect(found.accuracy.value).toBeCloseTo(zeros / (zeros + ones), 12);
    }),
  );
});

test("columns of different lengths and a missing truth are refused", () => {
  expect(() => classMetrics(of(0), of(0, 1), 2)).toThrow("truth 2");
  expect(() => classMetrics(of(0), of(-1), 2)).toThrow("no true class");
});

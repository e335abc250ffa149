import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { checkSoftLabels, hardLabels, mildWarnings, oneHot, randomFlips } from "./weak-labels.js";

const soft = (...rows: number[][]) => ({
  values: Float32Array.from(rows.flat()),
  shape: [rows.length, rows[0]?.length ?? 2] as [number, number],
});

describe("soft labels", () => {
  test("are accepted when rows sum to 1 within 1e-4", () => {
    expect(() => checkSoftLabels(soft([0.3, 0.7], [1, 0], [0.50004, 0.5]), ["a", "b", "c"])).not.toThrow();
    expect(() => checkSoftLabels(soft(), [])).not.toThrow();
  });

  test.each([
    ["that do not sum to 1", [0.3, 0.8], "sum to 1.1"],
    ["just beyond the tolerance", [0.5002, 0.5], "sum to 1.0002"],
    ["negative", [-0.2, 1.2], "-0.2"],
    ["not numbers", [Number.NaN, 1], "NaN"],
    ["infinite", [Number.POSITIVE_INFINITY, 0], "Infinity"],
  ])("%s are refused, naming the id", (_, row, message) => {
    const check = () => checkSoftLabels(soft([0.5, 0.5], row), ["first", "second"]);
    expect(check).toThrow(UserError);
    expect(check).toThrow('example "second"');
    expect(check).toThrow(message);
    expect(() => checkSoftLabels(soft([0.5, 0.5], row))).toThrow("row 1 (counted from 0)");
  });

  test("are refused when shape, values and ids differ in number", () => {
    expect(() => checkSoftLabels({ values: new Float32Array(3), shape: [2, 2] }, ["a", "b"])).toThrow(
      "[2,2]",
    );
    expect(() => checkSoftLabels(soft([0.5, 0.5]), ["a", "b"])).toThrow("2 ids");
  });
});

test("hard labels take the most probable class, the lowest of equal ones, and undo one-hot", () => {
  expect(hardLabels(soft([0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0, 0, 1]))).toEqual(Int32Array.of(1, 0, 2));
  const labels = Int32Array.of(2, 0, 1);
  expect(hardLabels(oneHot(labels, 3))).toEqual(labels);
  expect(() => oneHot(labels, 2)).toThrow("row 0 (counted from 0) has class 2");
});

describe("random flips", () => {
  test("change exactly the asked number of labels, each to another class that exists", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 6 }),
        fc.integer({ min: 0, max: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer(),
        (classes, n, errorRate, seed) => {
          const random = createRandom(seed);
          const truth = Int32Array.from({ length: n }, () => random.integer(classes));
          const before = truth.slice();
          const flipped = randomFlips(truth, classes, errorRate, random);
          expect(truth).toEqual(before);
          expect(flipped.filter((label, i) => label !== truth[i])).toHaveLength(Math.round(errorRate * n));
          expect(flipped.every((label) => label >= 0 && label < classes)).toBe(true);
        },
      ),
    );
  });

  test("spread the errors evenly over examples and over the other classes", () => {
    const truth = new Int32Array(30_000).fill(1);
    const flipped = randomFlips(truth, 4, 0.4, createRandom("spread"));
    for (const label of [0, 2, 3]) {
      expect(Math.abs(flipped.filter((one) => one === label).length - 4000)).toBeLessThan(300);
    }
    const early = flipped.subarray(0, 15_000).filter((label) => label !== 1).length;
    expect(Math.abs(early - 6000)).toBeLessThan(300);
  });

  test("refuse a rate that is none and a single class", () => {
    const random = createRandom(0);
    expect(() => randomFlips(new Int32Array(2), 2, 1.5, random)).toThrow("error rate");
    expect(() => randomFlips(new Int32Array(2), 1, 0.5, random)).toThrow("2 classes");
  });
});

test("labels that all favour one class get a warning, others none", () => {
  expect(mildWarnings(soft([0.4, 0.6], [0.1, 0.9]))).toEqual([expect.stringContaining("class 1 of 2")]);
  expect(mildWarnings(soft([0.4, 0.6], [0.9, 0.1]))).toEqual([]);
  expect(mildWarnings(soft())).toEqual([]);
});

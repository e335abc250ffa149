import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { standardise } from "./features.js";

describe("standardise", () => {
  test("mean 0 and deviation 1 on the rows it was fitted on, and the same map on the others", () => {
    const number = fc.double({ min: -1e3, max: 1e3, noNaN: true }).map(Math.fround);
    fc.assert(
      fc.property(fc.array(number, { minLength: 2, maxLength: 20 }), (values) => {
        fc.pre(Math.max(...values) - Math.min(...values) > 1);
        const n = values.length;
        const features = Float32Array.from([...values, values[0] + 10]);
        const out = standardise(features, [n + 1, 1], [...values.keys()]);
        const fitted = Array.from(out.subarray(0, n));
        const mean = fitted.reduce((sum, x) => sum + x, 0) / n;
        expect(mean).toBeCloseTo(0, 4);
        expect(fitted.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n).toBeCloseTo(1, 4);
        expect(out[n]).toBeGreaterThan(out[0]);
      }),
    );
  });

  test("a column that is constant on the rows becomes 0, also where it differs", () => {
    const features = Float32Array.of(0.1, 1, 0.1, 3, 0.1, 1, 9, 3);
    expect(standardise(features, [4, 2], [0, 1, 2])[6]).toBe(0);
    expect(Array.from(standardise(features, [4, 2], [0, 1]))).toEqual([0, -1, 0, 1, 0, -1, 0, 1]);
  });

  test("no rows", () => {
    expect(() => standardise(Float32Array.of(1), [1, 1], [])).toThrow(RangeError);
  });
});

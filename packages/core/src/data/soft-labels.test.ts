import { expect, test } from "vitest";
import { argmaxRow, argmaxRows } from "./soft-labels.js";

test("ties go to the lowest class", () => {
  expect(argmaxRows(Float32Array.of(0.5, 0.5, 0, 0.2, 0.4, 0.4, 0, 0, 1), 3)).toEqual(Int32Array.of(0, 1, 2));
  expect(argmaxRow([0, 1, 3, 3], 2, 1)).toBe(0);
});

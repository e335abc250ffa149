import { expect, test } from "vitest";
import { kendallTau } from "./rank-correlation.js";

test("one order, opposite orders, and one exchanged neighbour of four", () => {
  expect(kendallTau([1, 2, 3, 4], [10, 20, 30, 40])).toEqual({ value: 1 });
  expect(kendallTau([1, 2, 3, 4], [4, 3, 2, 1])).toEqual({ value: -1 });
  expect(kendallTau([1, 2, 3, 4], [1, 3, 2, 4]).value).toBeCloseTo(4 / 6, 12);
});

test("ties as scipy.stats.kendalltau has them", () => {
  // kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]): the example of its documentation.
  expect(kendallTau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]).value).toBeCloseTo(-0.47140452079103173, 12);
  expect(kendallTau([1, 1], [1, 2]).value).toBeNull();
  expect(() => kendallTau([1], [1, 2])).toThrow("b 2");
});

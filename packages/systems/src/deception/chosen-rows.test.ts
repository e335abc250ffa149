import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { orderOfRows } from "./chosen-rows.js";

const random = createRandom("rows");

test("each pass takes each chosen row at most once, in whole batches and another order", () => {
  const rows = Int32Array.from({ length: 10 }, (_, i) => 3 * i);
  const order = orderOfRows(rows, 2, 4, random);
  expect(order.length).toBe(16);
  const passes = [order.subarray(0, 8), order.subarray(8)];
  for (const pass of passes) {
    expect(new Set(pass).size).toBe(8);
    expect(pass.every((row) => rows.includes(row))).toBe(true);
  }
  expect(passes[0]).not.toEqual(passes[1]);
});

test("fewer rows than a batch fill one, all as often but for one; none are refused", () => {
  const order = orderOfRows(Int32Array.of(5, 9, 2), 1, 8, random);
  expect([...order].sort((a, b) => a - b).join("")).toMatch(/^2{2,3}5{2,3}9{2,3}$/);
  expect(order.length).toBe(8);
  expect(() => orderOfRows(new Int32Array(), 1, 8, random)).toThrow("no pair was chosen");
});

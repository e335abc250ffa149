import { expect, test } from "vitest";
import { editDistance, namesHint, nearest } from "./nearest.js";

test.each([
  ["", "", 0],
  ["", "abc", 3],
  ["kitten", "sitting", 3],
  ["flaw", "lawn", 2],
  ["same", "same", 0],
])("from %j to %j it takes %i edits", (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance);
  expect(editDistance(b, a)).toBe(distance);
});

test("the nearest name may differ in case, and the first of equals is taken", () => {
  expect(nearest("GOLD", ["old", "gold"])).toBe("gold");
  expect(nearest("cat", ["bat", "hat"])).toBe("bat");
});

test("nothing is near a name that shares less than half, or is very long", () => {
  expect(nearest("xyz", ["label"])).toBeUndefined();
  expect(nearest("a".repeat(101), ["a".repeat(100)])).toBeUndefined();
});

test("a long list is cut", () => {
  const names = Array.from({ length: 25 }, (_, i) => `name${i}`);
  expect(namesHint("zzz", "columns", names)).toMatch(/^The columns are "name0", .*"name19", and 5 more\.$/);
});

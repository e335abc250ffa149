import { Tensor } from "@outgrow/engine";
import fc from "fast-check";
import { expect, test } from "vitest";
import { contentHash } from "./content-hash.js";

/** What two values must agree in to be one: their text, where that tells all types apart. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)}}`;
  }
  return Object.is(value, -0) ? "-0" : (JSON.stringify(value) ?? "undefined");
};

test("is the same for the same JSON and for no other", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.jsonValue({ maxDepth: 3 }), (a, b) => {
      expect(contentHash(a) === contentHash(b)).toBe(canonical(a) === canonical(b));
      expect(contentHash(structuredClone(a))).toBe(contentHash(a));
    }),
  );
});

test.each<[string, unknown, unknown]>([
  ["a number and its text", 1, "1"],
  ["zero and minus zero", 0, -0],
  ["null and undefined", null, undefined],
  ["an array and an object", [1], { 0: 1 }],
  ["one text and two", ["ab"], ["a", "b"]],
  ["a text with the marks of another", "as1:b", ["b"]],
  ["types of array", Float32Array.of(0, 0), Int32Array.of(0, 0)],
  ["bits of a float", Float32Array.of(0.1), Float32Array.of(0.1 + 1e-7)],
  ["shapes", new Tensor(new Float32Array(4), [2, 2]), new Tensor(new Float32Array(4), [4, 1])],
])("tells apart %s", (_, a, b) => expect(contentHash(a)).not.toBe(contentHash(b)));

test("takes no notice of the order of keys, of fields that are undefined, or of where a view begins", () => {
  expect(contentHash({ a: 1, b: 2 })).toBe(contentHash({ b: 2, c: undefined, a: 1 }));
  expect(contentHash(Float32Array.of(1, 2, 3).subarray(1))).toBe(contentHash(Float32Array.of(2, 3)));
});

test.each([() => 1, new Map(), Symbol("a"), 1n])("refuses what has no content: %s", (value) => {
  expect(() => contentHash({ deep: [value] })).toThrow(/deep\[0\] is a/);
});

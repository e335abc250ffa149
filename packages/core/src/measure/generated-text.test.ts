import { expect, test } from "vitest";
import { distinctN, requireScores, toxicityMetrics } from "./generated-text.js";

test("the expected maximum is over samples first, prompts then", () => {
  const found = toxicityMetrics([
    [0.1, 0.5, 0.2],
    [0, 0, 0.4],
  ]);
  expect(found.expectedMaximum).toEqual({ value: 0.45 });
  expect(found.toxicShare).toEqual({ value: 0.5 });
  expect(found.mean.value).toBeCloseTo(0.2, 12);
  expect(found).toMatchObject({ samples: 6, excluded: 0 });
});

test("a sample without a score from 0 to 1 is excluded and counted, and a prompt without any is left out", () => {
  const found = toxicityMetrics([[null, 0.2, 1.5], [Number.NaN, null, -0.1], [0.6]]);
  expect(found).toMatchObject({ samples: 7, excluded: 5, excludedShare: 5 / 7 });
  expect(found.expectedMaximum).toEqual({ value: 0.4 });
  expect(toxicityMetrics([[null]]).expectedMaximum.value).toBeNull();
});

test("more than 5 missing scores in 100 are refused", () => {
  const scores = (missing: number) => [Array.from({ length: 100 }, (_, i) => (i < missing ? null : 0.1))];
  expect(() => requireScores(toxicityMetrics(scores(5)))).not.toThrow();
  expect(() => requireScores(toxicityMetrics(scores(6)))).toThrow("6 of 100 samples have no score");
});

test("distinct n-grams: none across texts, and a repeated text adds none", () => {
  expect(distinctN([["a", "b", "a", "b"]], 1)).toEqual({ value: 2 / 4 });
  expect(distinctN([["a", "b", "a", "b"]], 2)).toEqual({ value: 2 / 3 });
  expect(
    distinctN(
      [
        ["a", "b"],
        ["a", "b"],
      ],
      2,
    ),
  ).toEqual({ value: 1 / 2 });
  // "a b" and "b c" would be joined to "b a" by a careless count.
  expect(
    distinctN(
      [
        ["a", "b"],
        ["b", "c"],
      ],
      2,
    ),
  ).toEqual({ value: 1 });
  expect(
    distinctN(
      [
        ["ab", "c"],
        ["a", "bc"],
      ],
      2,
    ),
  ).toEqual({ value: 1 });
  expect(distinctN([["a"]], 2).value).toBeNull();
  expect(() => distinctN([], 0)).toThrow("n is 0");
});

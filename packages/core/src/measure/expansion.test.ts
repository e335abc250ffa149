import { describe, expect, test } from "vitest";
import {
  correctionBound,
  coverageBound,
  expansionUncertainty,
  leastExpansion,
  measureExpansion,
  measureRowExpansion,
  simpleCorrectionBound,
  weakCoverageBound,
} from "./expansion.js";

describe("bounds from expansion", () => {
  // The paper's tables 3 and 4: alpha, measured expansions, worst disagreement with the weak labels.
  const first = { weakError: 0.11, disagreement: 0.12 };
  const second = { weakError: 0.33, disagreement: 0.29 };

  test("give the paper's numbers for its inputs", () => {
    expect(correctionBound(0.848, first).value).toBeCloseTo(0.05, 2);
    expect(correctionBound(0.497, second).value).toBeCloseTo(0.374, 3);
    expect(coverageBound(0.16, 0.98, first).value).toBeCloseTo(0.353, 3);
    // With fragile examples its theorem says nothing of the first class.
    expect(coverageBound(0.16, 0.98, { ...first, fragileUncovered: 0.001 })).toEqual({
      value: null,
      reason: "the two expansions differ too much for this weak error",
    });
    expect(coverageBound(0.75, 0.55, second).value).toBeCloseTo(0.338, 3);
  });

  test("promise no error to a student that follows the weak labels but for all of their errors", () => {
    // c = 1: disagreement alpha is explained by corrected labels alone.
    expect(correctionBound(1, { weakError: 0.2, disagreement: 0.2 }).value).toBeCloseTo(0, 12);
    expect(correctionBound(1, { weakError: 0.2, disagreement: 0.3 }).value).toBeCloseTo(0.1 / 0.6, 12);
  });

  test("without expansion are the triangle's: disagreement plus weak error", () => {
    expect(correctionBound(0, second).value).toBeCloseTo(0.29 + 0.33, 12);
    expect(simpleCorrectionBound(0, second).value).toBeCloseTo(0.29 + 0.33, 12);
  });

  test("fall with expansion, grow with fragility, and take no expansion above 1", () => {
    const inputs = { weakError: 0.2, disagreement: 0.25 };
    const at = (c: number) => correctionBound(c, inputs).value as number;
    for (const c of [0.1, 0.4, 0.7]) expect(at(c + 0.2)).toBeLessThan(at(c));
    expect(at(3)).toBe(at(1));
    const fragile = { ...inputs, fragileCovered: 0.1, fragileUncovered: 0.1 };
    expect(correctionBound(0.8, fragile).value).toBeGreaterThan(at(0.8));
    expect(coverageBound(0.8, 0.8, fragile).value).toBeCloseTo(
      (coverageBound(0.8, 0.8, inputs).value as number) + 0.1 * (1 + 0.2 / 0.6),
      12,
    );
    expect(weakCoverageBound(0.5, fragile).value).toBeCloseTo(0.1 + 0.25 / 0.4, 12);
    expect(weakCoverageBound(1, { weakError: 0.2, disagreement: 0.01 }).value).toBe(0.1);
  });

  test.each([
    [
      "half of the labels wrong",
      correctionBound(1, { weakError: 0.5, disagreement: 0.1 }),
      /half of the weak labels/,
    ],
    ["no label wrong", correctionBound(1, { weakError: 0, disagreement: 0.1 }), /nothing to correct/],
    ["a student far from the labels", correctionBound(1, { weakError: 0.3, disagreement: 0.7 }), /too often/],
    ["no expansion", coverageBound(0, 0, { weakError: 0.1, disagreement: 0 }), /not above 0/],
    ["too large a smallest set", simpleCorrectionBound(1, { ...second, smallest: 0.3 }), /too large/],
    ["too much disagreement", coverageBound(0.5, 0.5, { weakError: 0.1, disagreement: 0.5 }), /too often/],
  ])("give a reason for %s", (_, bound, reason) => {
    expect(bound.value).toBeNull();
    expect("reason" in bound && bound.reason).toMatch(reason);
  });

  test("refuse what is no share", () => {
    expect(() => correctionBound(1, { weakError: 1.2, disagreement: 0 })).toThrow('"weakError" is 1.2');
  });
});

describe("measured expansion", () => {
  const members = [true, false, false, true];

  test("is the share of sources with a neighbour in the set, over the set's share", () => {
    expect(measureExpansion({ neighbours: [0, 1, 3], members }).value).toBeCloseTo(2 / 3 / 0.5, 12);
    expect(measureExpansion({ neighbours: [1, 2], members }).value).toBe(0);
  });

  test("skips small and empty sets, and takes the least of the others", () => {
    const small = measureExpansion({ neighbours: [0], members, smallest: 0.6 });
    expect(small).toMatchObject({ value: null, reason: expect.stringContaining("50.0 %") });
    expect(measureExpansion({ neighbours: [0], members: [false], smallest: 0 }).value).toBeNull();
    expect(leastExpansion([small, { value: 0.7 }, { value: 0.4 }])).toEqual({ value: 0.4 });
    expect(leastExpansion([small]).value).toBeNull();
    expect(measureExpansion({ neighbours: [], members }).value).toBeNull();
  });

  test("refuses neighbours on no side", () => {
    expect(() => measureExpansion({ neighbours: [0, 4], members })).toThrow(
      "neighbour of example 1 is 4, which is none",
    );
  });

  test("of rows of a table is that of their sides", () => {
    // Rows 0 to 3 are targets, 4 to 6 sources, 7 is a paraphrase in U that is not part of the sample.
    const table = {
      sources: [4, 5, 6],
      targets: [0, 1, 2, 3],
      neighbours: [-1, -1, -1, -1, 0, 1, 3, -1],
      members: [true, false, false, true, false, false, false, true],
    };
    expect(measureRowExpansion(table)).toEqual(measureExpansion({ neighbours: [0, 1, 3], members }));
    const without = table.neighbours.with(6, -1);
    expect(measureRowExpansion({ ...table, neighbours: without }).value).toBeCloseTo(1 / 3 / 0.5, 12);
    const outside = { ...table, neighbours: table.neighbours.with(5, 7) };
    expect(measureRowExpansion({ ...outside, isTarget: (row) => row < 4 || row === 7 }).value).toBe(2);
    const ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    expect(() => measureRowExpansion({ ...outside, ids })).toThrow(
      "the neighbour of example f is h, which is none of the examples on the other side",
    );
    // Where the student says something else of source 4 than of its neighbour 0, that neighbour is not robust.
    const predictions = [1, 0, 0, 1, 0, 0, 1, 1];
    expect(measureRowExpansion({ ...table, predictions }).value).toBeCloseTo(1 / 3 / 0.5, 12);
    expect(measureRowExpansion({ ...table, sources: [] }).value).toBeNull();
    expect(measureRowExpansion({ ...table, targets: [] }).value).toBeNull();
  });

  test("is known the better the more examples there are, by theory hardly with few", () => {
    const at = (n: number) =>
      expansionUncertainty({ sources: n, targets: n, smallest: 0.1, dimension: 25, delta: 0.05 });
    expect(at(1000)).toBeGreaterThan(1);
    expect(at(1e11)).toBeLessThan(0.05);
    // By hand: gamma 0.1, complexity 25 log(2 e 2000 / 25) + log 160.
    const complexity = 25 * Math.log((2 * Math.E * 2000) / 25) + Math.log(160);
    expect(at(1000)).toBeCloseTo(4 * (4 + Math.sqrt(0.1)) * Math.sqrt(complexity / 10), 9);
  });
});

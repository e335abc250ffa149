import { correctionBound, createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { type ExpansionProblem, measureExpansions } from "./measure.js";

/*
 * One class. Rows 0 to 5 have a right weak label, 6 to 9 a wrong one, 10 to 19 none. The student is right on rows 0 to 4, 6 to 8 and
 * 10 to 16.
 */
const truth = new Int32Array(20);
const weakLabels = Int32Array.from(truth, (_, row) => (row < 6 ? 0 : row < 10 ? 1 : -1));
const isRight = (row: number) => row < 5 || (row >= 6 && row < 9) || (row >= 10 && row < 17);
const predicted = Int32Array.from(truth, (_, row) => Number(!isRight(row)));
const neighbours = {
  badToGood: Int32Array.from(truth, (_, row) => (row >= 6 && row < 10 ? row - 6 : -1)),
  goodToUncovered: Int32Array.from(truth, (_, row) => (row < 6 ? row + 12 : -1)),
  badToUncovered: Int32Array.from(truth, (_, row) => (row >= 6 && row < 10 ? row + 4 : -1)),
};
const problem: ExpansionProblem = {
  truth,
  weakLabels,
  classes: 2,
  predictions: [predicted],
  neighbours,
  dimension: 3,
};

describe("expansion of one class", () => {
  const [first, other] = measureExpansions(problem);

  test("is that of its sides, by hand", () => {
    expect(first.counts).toEqual({ good: 6, bad: 4, uncovered: 10 });
    expect(first.weakError).toEqual({ value: 0.4 });
    expect(first.covered).toMatchObject({
      error: { mean: 0.2, worst: 0.2 },
      // Row 5 says otherwise than its right label, rows 6 to 8 than their wrong ones.
      disagreement: { mean: 0.4, worst: 0.4 },
      fragile: null,
    });
    expect(first.uncovered?.error.worst).toBeCloseTo(0.3, 12);
    // Rows 6, 7 and 8 are right and so are their neighbours 0, 1 and 2; row 9 is wrong, its neighbour 3 right.
    expect(first.expansion.badToGood.value).toBeCloseTo(3 / 4 / (5 / 6), 12);
    // Mistakes: row 5 of six, whose neighbour 17 is wrong too.
    expect(first.expansion.goodToUncovered.value).toBeCloseTo(1 / 6 / 0.3, 12);
    expect(first.expansion.badToUncovered.value).toBeCloseTo(3 / 4 / 0.7, 12);
  });

  test("gives the bounds that its numbers give", () => {
    const [a, d, c] = [0.4, 0.4, 0.9];
    const adjusted = c / (1 - a + c * a);
    const expected = (d - a * (2 * adjusted - 1)) / (1 - 2 * adjusted * a);
    expect(first.bounds.correction.value).toBeCloseTo(expected, 12);
    expect(first.bounds.triangle.value).toBeCloseTo(0.8, 12);
    expect(first.bounds.coverage.value).toBeNull();
    expect(first.bounds.correctionFragile).toEqual({ value: null, reason: "no nearby rows were given" });
    expect(first.uncertainty.badToGood.value).toBeGreaterThan(10);
  });

  test("of a class without rows says nothing, with the reason", () => {
    expect(other).toMatchObject({
      counts: { good: 0, bad: 0, uncovered: 0 },
      weakError: { value: null, reason: "no row of class 1 has a weak label" },
      covered: null,
      uncovered: null,
      bounds: { coverage: { value: null, reason: "all rows of class 1 have a weak label" } },
    });
  });

  test("is that of the worst student", () => {
    const copy = Int32Array.from(weakLabels, (label) => (label === -1 ? 0 : label));
    const [both] = measureExpansions({ ...problem, predictions: [predicted, copy] });
    // One that copies the weak labels says something else of each badly labelled row than of its neighbour.
    expect(both.expansion.badToGood.value).toBe(0);
    expect(both.covered?.error).toEqual({ mean: expect.closeTo(0.3, 12), worst: 0.4 });
    expect(both.covered?.disagreement.worst).toBe(0.4);
  });
});

test("rows beyond the sample are but neighbours, and fragile rows are those whose neighbours are told apart", () => {
  const pool = (column: ArrayLike<number>, more: readonly number[]) =>
    Int32Array.from([...Array.from(column), ...more]);
  // Row 20: a wording of row 9 with the right label, of which the student is wrong as it is of row 9.
  const [found] = measureExpansions({
    ...problem,
    truth: pool(truth, [0]),
    weakLabels: pool(weakLabels, [0]),
    predictions: [pool(predicted, [1])],
    neighbours: { badToGood: pool(neighbours.badToGood, [-1]).with(8, 20) },
    sampled: 20,
    nearby: { rows: Int32Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? i >> 1 : 20)), many: 2 },
    fragileFrom: 0.4,
  });
  expect(found.counts.good).toBe(6);
  expect(found.expansion.badToGood.value).toBeCloseTo(2 / 4 / (5 / 6), 12);
  expect(found.expansion.goodToUncovered).toEqual({ value: null, reason: "no neighbours were given" });
  // One of two neighbours of each row is itself, the other is wrong: fragile are the rows that are right.
  expect(found.covered?.fragile?.worst).toBeCloseTo(0.8, 12);
  expect(found.uncovered?.fragile?.worst).toBeCloseTo(0.7, 12);
  expect(found.bounds.correctionFragile.value).toBeNull();
});

test("what cannot be measured is refused or has a reason", () => {
  const of = (change: Partial<ExpansionProblem>) => () => measureExpansions({ ...problem, ...change });
  const ids = Array.from(truth, (_, row) => `news-${row}`);
  expect(of({ ids, neighbours: { badToGood: neighbours.badToGood.with(7, 15) } })).toThrow(
    "the neighbour of example news-7 is news-15, which is none of the examples on the other side",
  );
  expect(of({ predictions: [] })).toThrow("there are none");
  expect(of({ predictions: [predicted.slice(1)] })).toThrow("predictions of student 1 are of 19 rows");
  expect(of({ abstain: 1 })).toThrow("the code for abstaining is 1");
  expect(of({ nearby: { rows: [1], many: 1 } })).toThrow("1 nearby rows, expected 1 for each of 20 rows");
  const half = of({
    weakLabels: weakLabels.with(0, 1).with(1, 1),
    neighbours: { badToGood: new Int32Array(20).fill(-1) },
  })()[0];
  expect(half.bounds.correction).toMatchObject({ value: null, reason: /half of the weak labels/ });
  const none = of({ weakLabels: weakLabels.map((label) => (label === 1 ? 0 : label)), neighbours: {} })()[0];
  expect(none.weakError.value).toBe(0);
  expect(none.bounds.correction.value).toBeNull();
});

test("on any finite graph, the student's error on covered rows is within the bound", () => {
  // Theorem B.1 with eta = 0: U is what the student has right among good rows with no neighbour told apart. Its own expansion is c.
  let checked = 0;
  for (let seed = 0; seed < 3000; seed++) {
    const random = createRandom(seed).stream("graph");
    const [good, bad] = [4 + random.integer(10), 1 + random.integer(6)];
    const count = good + bad;
    const edges = Array.from({ length: random.integer(2 * count) }, () => [
      random.integer(good),
      good + random.integer(bad),
    ]);
    const right = Array.from({ length: count }, () => random.uniform() < 0.8);
    const fragile = right.map((is, row) =>
      edges.some(([a, b]) => (a === row && right[b] !== is) || (b === row && right[a] !== is)),
    );
    const members = right.map((is, row) => is && !fragile[row] && row < good);
    const inU = members.filter(Boolean).length / good;
    const reached = new Set(edges.flatMap(([a, b]) => (members[a] ? [b] : []))).size / bad;
    const disagreement = right.filter((is, row) => is === row >= good).length / count;
    const fragileCovered = fragile.filter(Boolean).length / count;
    if (inU <= 0.1 || reached === 0) continue;
    const bound = correctionBound(Math.min(1, reached / inU) - 1e-9, {
      weakError: bad / count,
      disagreement,
      fragileCovered,
      smallest: 0.1,
    });
    if (bound.value === null) continue;
    checked++;
    expect(right.filter((is) => !is).length / count, `seed ${seed}`).toBeLessThanOrEqual(bound.value + 1e-6);
  }
  expect(checked).toBeGreaterThan(100);
});

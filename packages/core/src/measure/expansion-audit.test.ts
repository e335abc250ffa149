import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { correctionBound } from "./expansion.js";
import { expansionAudit } from "./expansion-audit.js";

const random = createRandom("expansion audit");

/** Two clusters of points. Weak labels miss one row in five at random, and abstain on every third row. */
function world(rows: number, isRight: (row: number, covered: boolean) => boolean) {
  const own = random.stream("world", rows);
  const truth = Int32Array.from({ length: rows }, (_, i) => i % 2);
  const weak = truth.map((k, i) => (i % 3 === 0 ? -1 : own.uniform() < 0.2 ? 1 - k : k));
  const student = truth.map((k, i) => (isRight(i, weak[i] >= 0) ? k : 1 - k));
  const points = Float32Array.from({ length: 2 * rows }, (_, at) =>
    at % 2 === 0 ? 4 * truth[at >> 1] + own.normal() : own.normal(),
  );
  return { weak, student, truth, classes: 2, neighbours: { kind: "nearest", points, width: 2 } as const };
}

describe("expansionAudit", () => {
  test("of a student that is right throughout: c is 1, the bound is that of the formula, correction is foretold", () => {
    const input = world(600, () => true);
    for (const each of expansionAudit(input)) {
      expect(each.weakError.value).toBeCloseTo(0.2, 1);
      expect(each.disagreement.value).toBeCloseTo(each.weakError.value as number, 12);
      expect(each.correction.value.value).toBe(1);
      const { weakError, disagreement } = each;
      const inputs = { weakError: weakError.value as number, disagreement: disagreement.value as number };
      expect(each.correctionBound.plain).toEqual(correctionBound(1, inputs));
      expect(each.correctionBound.plain.value).toBeCloseTo(0, 9);
      expect(each.isCorrectionForetold).toBe(true);
      expect(each.coveredError.value).toBe(0);
      // Without mistakes there is no set that could expand from them.
      expect(each.coverage.toGood.value.value).toBeNull();
      expect(each.coverageBound.plain.value).toBeNull();
      expect(each.isCoverageForetold).toBeNull();
    }
  });

  test("a student that copies its labels corrects nothing: its bound is below 0, and nothing is foretold", () => {
    const input = world(600, () => true);
    const copied = { ...input, student: input.weak.map((k, i) => (k < 0 ? input.truth[i] : k)) };
    for (const each of expansionAudit(copied)) {
      expect(each.coveredError.value).toBeCloseTo(each.weakError.value as number, 12);
      expect(each.disagreement.value).toBe(0);
      // Of neighbours one or the other has a wrong label, where one of them has.
      expect(each.fragile.covered.value).toBeGreaterThan(0.2);
      expect(each.correctionBound.plain.value).toBeLessThan(0);
      expect(each.isCorrectionForetold).toBeNull();
    }
  });

  test("coverage: bound and error on rows without a weak label, with neighbours that are named", () => {
    // The student errs on a quarter of the rows; each row names rows of its class, which come from everywhere.
    const wrong = createRandom("wrong")
      .permutation(1200)
      .map((at) => Number(at < 300));
    const input = world(1200, (i) => wrong[i] === 0);
    const rows = Array.from({ length: 1200 }, (_, i) =>
      Array.from({ length: 12 }, (__, j) => (i + 2 * (j * 53 + 1)) % 1200),
    );
    const audited = expansionAudit({ ...input, neighbours: { kind: "named", rows } });
    for (const each of audited) {
      expect(each.uncovered).toBe(200);
      expect(Math.abs((each.uncoveredError.value as number) - 0.25)).toBeLessThan(0.1);
      // Neighbours are as any other row, so that no set expands or shrinks.
      for (const { value, found } of [each.correction, each.coverage.toGood, each.coverage.toBad]) {
        expect(found).toBeGreaterThan(50);
        expect(Math.abs((value.value as number) - 1)).toBeLessThan(0.45);
      }
      expect(each.fragile.covered.value).toBeGreaterThan(0.25);
    }
  });

  test("says why where nothing can be said", () => {
    const covered = world(300, () => true);
    const everywhere = { ...covered, weak: covered.weak.map((k, i) => (k < 0 ? covered.truth[i] : k)) };
    const [full] = expansionAudit(everywhere);
    expect(full.uncoveredError).toEqual({
      value: null,
      reason: "no row of the class is without a weak label",
    });
    expect(full.coverageBound.plain).toEqual({
      value: null,
      reason: "no row of the class is without a weak label",
    });
    const [perfect] = expansionAudit({ ...covered, weak: covered.truth });
    expect(perfect.correctionBound.plain.value).toBeNull();
    const [blind] = expansionAudit({ ...covered, truth: covered.truth.map(() => -1) });
    expect(blind.weakError).toEqual({ value: null, reason: "no row of the class has a weak label" });
    const lonely = {
      kind: "named",
      rows: covered.truth.reduce<number[][]>((rows) => [...rows, []], []),
    } as const;
    const [alone] = expansionAudit({ ...covered, neighbours: lonely });
    expect(alone.correction.value).toEqual({
      value: null,
      reason: "no row has a neighbour on the other side",
    });
    expect(alone.fragile.covered.value).toBeNull();
    expect(alone.isCorrectionForetold).toBeNull();
  });

  test("refuses a neighbour that is no row", () => {
    const input = world(300, () => true);
    const rows = Array.from({ length: 300 }, () => [300]);
    expect(() => expansionAudit({ ...input, neighbours: { kind: "named", rows } })).toThrow(
      /is row 300, expected 0 to 299/,
    );
  });
});

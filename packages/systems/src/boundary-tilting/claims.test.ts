import { createRandom, judgeClaims, StudyResults } from "outgrow";
import { expect, test } from "vitest";
import { claims, controls, rankCorrelation } from "./claims.js";
import { drawGlyphs, flipLabels } from "./glyphs.js";
import { blank, type Row } from "./rows.js";
import { boundaryTilting } from "./study.js";

test("rank correlation: monotone is 1, ties share ranks, constants have none", () => {
  expect(rankCorrelation([1, 2, 3], [1, 8, 27])).toBe(1);
  expect(rankCorrelation([1, 2, 3], [3, 2, 1])).toBe(-1);
  // scipy.stats.spearmanr([1, 2, 3, 4], [1, 1, 2, 3])
  expect(rankCorrelation([1, 2, 3, 4], [1, 1, 2, 3])).toBeCloseTo(0.9486832980505138, 12);
  expect(rankCorrelation([1, 2, 3], [2, 2, 2])).toBeNull();
});

test("the same shapes are drawn at every size", () => {
  const ink = (size: number) =>
    drawGlyphs(["3", "7"], 40, size, "sizes").points.map(
      (image) => image.reduce((sum, value) => sum + value, 0) / image.length,
    );
  const [small, large] = [ink(28), ink(56)];
  expect(rankCorrelation(small, large)).toBeGreaterThan(0.9);
});

test("labels are turned in both classes alike, and only as many", () => {
  const { truth } = drawGlyphs(["0", "1"], 200, 4, "flips");
  const labels = flipLabels(truth, 0.03, createRandom("turned labels"));
  expect(labels.filter((label, row) => label !== truth[row])).toHaveLength(6);
  expect(labels.reduce((sum, label) => sum + label, 0)).toBe(0);
});

/** Sweeps of ten seeds in which the angle falls with lambda, or not. */
function verdicts(angleOf: (power: number, flips: boolean) => number) {
  const powers = [-4, -3, -2, -1, 0, 1];
  const rows = Array.from({ length: 10 }, (_, seed) =>
    [true, false].flatMap((flips) =>
      powers.map((power): Row & { seed: number } => {
        const angle = angleOf(power, flips) + seed / 100;
        return {
          ...blank,
          seed,
          part: "sweep",
          pair: "3-7",
          classifier: "svm",
          flips,
          power,
          angle,
          strength: 1 / Math.cos((angle * Math.PI) / 180),
          testError: power === -1 ? 0.01 : 0.05,
          chosen: power === -1,
        };
      }),
    ),
  ).flat();
  const wanted = [...claims, ...controls].filter(({ id }) => ["C3", "C4", "C5"].includes(id));
  const judged = judgeClaims(wanted, new StudyResults(rows, boundaryTilting));
  return Object.fromEntries(judged.map(({ id, verdict }) => [id, verdict]));
}

test("claims of the sweep hold where the tilt falls with lambda, more so with wrong labels, and else do not", () => {
  expect(verdicts((power, flips) => (flips ? 40 : 20) - 10 * power * (flips ? 1 : 0.2))).toEqual({
    C3: "holds",
    C4: "holds",
    C5: "holds",
  });
  expect(verdicts((power, flips) => 40 + (flips ? 10 : -5) * power)).toEqual({
    C3: "refuted",
    C4: "refuted",
    C5: "refuted",
  });
});

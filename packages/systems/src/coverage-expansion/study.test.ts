import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab, planReproduction, report, StudyResults } from "outgrow";
import { afterAll, expect, test } from "vitest";
import { auroc } from "./claims.js";
import { SeedReviews } from "./reviews.js";
import type { Row } from "./stage.js";
import { coverageExpansion } from "./study.js";

const home = mkdtempSync(join(tmpdir(), "outgrow-coverage-"));
afterAll(() => rmSync(home, { recursive: true }));

test("at its quick size the study has all rows that its claims ask for", async () => {
  const lab = new Lab({ home });
  const { runs } = planReproduction(coverageExpansion, {
    seeds: 1,
    set: coverageExpansion.quick,
  });
  const rows = await coverageExpansion.run(runs[0].config as Parameters<typeof coverageExpansion.run>[0], {
    lab,
    progress: report.silentProgress,
    signal: new AbortController().signal,
  });
  await lab.close();
  const results = new StudyResults<Row>(
    rows.map((row) => ({ ...row, seed: 0 })),
    coverageExpansion,
  );
  for (const claim of [...coverageExpansion.claims, ...coverageExpansion.controls]) {
    for (const part of claim.parts)
      expect(part.values(results).flat().length, part.statistic).toBeGreaterThan(0);
  }
  for (const row of rows) {
    if (row.class === null) continue;
    // The triangle inequality holds of any student.
    if (row.triangle !== null) expect(row.worstCovered).toBeLessThanOrEqual(row.triangle + 1e-9);
    if (row.weakError !== null) expect(row.teacher).toBeCloseTo(1 - row.weakError, 12);
  }
  const figures = await coverageExpansion.figures(results, []);
  expect(figures.map(({ name }) => name)).toEqual([
    "accuracy",
    "expansion",
    "correction-bound",
    "coverage-bound",
    "ablations",
  ]);
}, 60_000);

test("random errors are as many as the rule's, and labels dealt out anew are the same ones", () => {
  const cues = { incredible: [0.04, 0.1], horrible: [0.08, 0.012] } as const;
  const reviews = new SeedReviews({
    seed: 1,
    unlabelled: 100,
    train: 3000,
    test: 200,
    dimensions: 4,
    nearby: 1,
    rates: cues,
  });
  const truth = reviews.train.sentiment;
  const counts = (weak: Int32Array) =>
    [0, 1].map((k) => weak.filter((label, i) => label === 1 - k && truth[i] === k).length);
  const [rule, random, shuffled] = (["rule", "random", "shuffled"] as const).map(
    (kind) => reviews.labelled(cues, kind).train.weak,
  );
  expect(counts(random)).toEqual(counts(rule));
  expect(random).not.toEqual(rule);
  expect([...shuffled].sort()).toEqual([...rule].sort());
  expect(shuffled.map((label) => Number(label === -1))).toEqual(rule.map((label) => Number(label === -1)));
  expect(shuffled).not.toEqual(rule);
  // A student of components says of reviews what its sums over words say.
  expect(reviews.cueShare("words")).toBe(1);
  expect(reviews.cueShare(4)).toBeLessThan(1);
});

test("AUROC counts pairs, ties half", () => {
  expect(auroc([3, 1, 2], [true, false, false])).toEqual({ value: 1 });
  expect(auroc([1, 1, 2], [true, false, false])).toEqual({ value: 0.25 });
  expect(auroc([1, 2], [true, true]).value).toBeNull();
});

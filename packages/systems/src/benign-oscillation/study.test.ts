import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab, planReproduction, report, StudyResults } from "outgrow";
import { afterAll, expect, test } from "vitest";
import type { Row } from "./rows.js";
import { benignOscillation } from "./study.js";

const home = mkdtempSync(join(tmpdir(), "outgrow-oscillation-"));
afterAll(() => rmSync(home, { recursive: true }));

async function rowsOf(set: Record<string, unknown>) {
  const lab = new Lab({ home });
  const { runs } = planReproduction(benignOscillation, { seeds: 1, firstSeed: 100, set });
  const rows = await benignOscillation.run(runs[0].config as Parameters<typeof benignOscillation.run>[0], {
    lab,
    progress: report.silentProgress,
    signal: new AbortController().signal,
  });
  await lab.close();
  return rows;
}

test("at its quick size the study has all rows that its claims and figures ask for", async () => {
  const rows = await rowsOf(benignOscillation.quick);
  const results = new StudyResults<Row>(
    rows.map((row) => ({ ...row, seed: 100 })),
    benignOscillation,
  );
  for (const { parts } of [...benignOscillation.claims, ...benignOscillation.controls]) {
    for (const { statistic, values } of parts) {
      expect(values(results).flat(), statistic).toEqual([expect.any(Number)]);
    }
  }
  const figures = await benignOscillation.figures(results, []);
  expect(figures.map(({ name }) => name)).toEqual([
    "weak-by-kappa",
    "output",
    "drift",
    "weak-output",
    "schedules",
    "noise",
    "data",
    "images",
  ]);
}, 30_000);

test("a run that diverges keeps its row, as a failure", async () => {
  const rows = await rowsOf({ parts: ["sweep"], steps: 2500, test: 20, kappas: [10] });
  const [row] = rows.filter(({ kappa }) => kappa === 10);
  expect(row).toMatchObject({ diverged: 1, weakAccuracy: 0, strongAccuracy: 0, trainAccuracy: 0 });
  expect(row.divergedAt).toBeGreaterThan(0);
}, 30_000);

test("where there are no test points, accuracies are null", async () => {
  const rows = await rowsOf({ parts: ["sweep"], steps: 2500, test: 0, weakTrain: 0 });
  for (const { part, weakAccuracy, mixedAccuracy, trainAccuracy } of rows) {
    if (part !== "sweep") continue;
    expect([weakAccuracy, mixedAccuracy]).toEqual([null, null]);
    expect(trainAccuracy).not.toBeNull();
  }
}, 30_000);

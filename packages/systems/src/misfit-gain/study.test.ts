import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab, planReproduction, report, StudyResults } from "outgrow";
import { afterAll, expect, test } from "vitest";
import { misfitGain, type Row } from "./study.js";

const home = mkdtempSync(join(tmpdir(), "outgrow-misfit-"));
afterAll(() => rmSync(home, { recursive: true }));

test("at its quick size the study has all rows that its claims ask for, and misfit close to gain where the truth is in reach", async () => {
  const lab = new Lab({ home });
  const { runs } = planReproduction(misfitGain, { seeds: 1, set: misfitGain.quick });
  const rows = await misfitGain.run(runs[0].config as Parameters<typeof misfitGain.run>[0], {
    lab,
    progress: report.silentProgress,
    signal: new AbortController().signal,
  });
  await lab.close();
  const results = new StudyResults<Row>(
    rows.map((row) => ({ ...row, seed: 0 })),
    misfitGain,
  );
  for (const claim of [...misfitGain.claims, ...misfitGain.controls]) {
    if (claim.id === "C6") continue; // the quick size has no 16 heads
    for (const part of claim.parts)
      expect(part.values(results).flat().length, part.statistic).toBeGreaterThan(0);
  }
  const realizable = rows.filter(({ setting, head }) => setting === "R" && head === "linear");
  const apart = realizable.map(
    ({ gain, misfit, weakError }) => Math.abs(Number(gain) - Number(misfit)) / Number(weakError),
  );
  expect(apart.reduce((sum, value) => sum + value, 0) / apart.length).toBeLessThan(0.15);
  for (const { ceilingError } of realizable) expect(ceilingError).toBeLessThan(1e-6);
  for (const { rule, regret } of rows) {
    if (rule === "oracle") expect(regret).toBe(0);
    else if (rule && rule !== "average of all labels") expect(regret).toBeGreaterThanOrEqual(0);
  }
  const figures = await misfitGain.figures(results, []);
  expect(figures.map(({ name }) => name)).toEqual(["gain-by-misfit", "limit", "choice"]);
}, 60_000);

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab, planReproduction, report, StudyResults } from "outgrow";
import { afterAll, expect, test } from "vitest";
import type { Row } from "./rows.js";
import { linearToNonlinear } from "./study.js";

const home = mkdtempSync(join(tmpdir(), "outgrow-linear-to-nonlinear-"));
afterAll(() => rmSync(home, { recursive: true }));

test("at its quick size the study has all rows that its claims and figures ask for", async () => {
  const lab = new Lab({ home });
  const { runs } = planReproduction(linearToNonlinear, {
    seeds: 1,
    firstSeed: 100,
    set: linearToNonlinear.quick,
  });
  const rows = await linearToNonlinear.run(runs[0].config as Parameters<typeof linearToNonlinear.run>[0], {
    lab,
    progress: report.silentProgress,
    signal: new AbortController().signal,
  });
  await lab.close();
  const results = new StudyResults<Row>(
    rows.map((row) => ({ ...row, seed: 100 })),
    linearToNonlinear,
  );
  for (const claim of [...linearToNonlinear.claims, ...linearToNonlinear.controls]) {
    for (const part of claim.parts) {
      const values = part.values(results).flat();
      expect(values.length, part.statistic).toBeGreaterThan(0);
      // The grid of so small a study may lie on one side of the crossing.
      if (part.unit !== "powers of 4") expect(values, part.statistic).not.toContain(null);
    }
  }
  // The run of much data is the bridge's with its share, up to the bridge's last step.
  const bridge = rows.find(({ part, bothShare }) => part === "bridge" && bothShare === 0.3);
  const ended = rows.find(({ part, steps }) => part === "curve" && steps === bridge?.steps);
  expect(bridge?.final).toBe(ended?.final);
  const figures = await linearToNonlinear.figures(results, []);
  expect(figures.map(({ name }) => name)).toEqual([
    "correction",
    "coefficients",
    "overfitting",
    "kappa",
    "best",
    "final",
  ]);
}, 60_000);

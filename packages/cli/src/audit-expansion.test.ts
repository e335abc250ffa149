import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRandom } from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The command as it is run: compiled.
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-expansion-"));
  const random = createRandom("expansion command");
  const rows = Array.from({ length: 600 }, (_, i) => {
    const truth = i % 2;
    const x = 1.6 * truth + random.normal() * 0.4;
    const names = ["no", "yes"];
    const weak = i % 4 > 1 ? "" : names[random.uniform() < 0.2 ? 1 - truth : truth];
    const row = {
      id: `r${i}`,
      x,
      y: random.normal(),
      weak,
      student: names[Number(x > 0.8)],
      gold: names[truth],
    };
    return {
      ...row,
      near: `r${(i + 2 * random.integer(300)) % 600}`,
      several: JSON.stringify([`r${(i + 3) % 600}`, `r${(i + 4) % 600}`]),
    };
  });
  writeFileSync(join(folder, "judged.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, OUTGROW_HOME: join(folder, "home") },
  });
const judged = ["audit", "judged.jsonl", "--weak", "weak", "--student", "student", "--id", "id"];
const truth = ["--truth", "gold"];

describe("outgrow audit of weak labels that abstain", () => {
  test("bounds the student's error by the expansion among the nearest rows, with and without a weak label", () => {
    const { stdout, stderr } = outgrow(...judged, ...truth, "--features", "x", "y", "--json", "--out", "a");
    expect(stderr).toBe("");
    const { expansion, examples } = JSON.parse(stdout).records;
    expect(examples).toBe(300);
    for (const each of expansion.classes) {
      expect([each.covered, each.uncovered]).toEqual([150, 150]);
      expect(each.isCorrectionForetold).toBe(true);
      expect(each.coveredError.value).toBeLessThan(each.weakError.value);
      expect(each.coverage.toBad.value.value).toBeGreaterThan(0.5);
    }
    const report = readFileSync(join(folder, "a/report.html"), "utf8");
    expect(report).toContain("the nearest rows in x, y, each with variance 1");
    expect(report).toContain("300 rows have no weak label: the audit is of the others");
  });

  test.each(["near", "several"])("with neighbours that column %s names", (column) => {
    const { stdout, stderr } = outgrow(...judged, ...truth, "--neighbour", column, "--json", "--out", column);
    expect(stderr).toBe("");
    const { expansion } = JSON.parse(stdout).records;
    expect(expansion.neighbours).toContain(column);
    expect(expansion.classes[0].correction.found).toBeGreaterThan(0);
    expect(expansion.classes[0].correction.found).toBeLessThan(expansion.classes[0].correction.sources);
  });

  test.each([
    ["neighbours without truth", ["--neighbour", "near"], /takes the truth of some rows/],
    ["neighbours that are no rows", [...truth, "--neighbour", "gold"], /but no row has that id/],
    ["features that are no numbers", [...truth, "--features", "x", "near"], /is not a number/],
  ])("refuses %s", (_, args, message) => {
    const { status, stderr } = outgrow(...judged, ...args, "--out", "refused");
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("    at ");
    expect(status).toBe(2);
  });
});

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
  folder = mkdtempSync(join(tmpdir(), "outgrow-boundary-"));
  const random = createRandom("boundary command");
  const words = [
    ["good", "fine", "great", "warm"],
    ["bad", "dull", "poor", "cold"],
  ];
  const lines = Array.from({ length: 600 }, (_, i) => {
    const truth = random.integer(2);
    const text = Array.from(
      { length: 6 },
      () => words[random.uniform() < 0.9 ? truth : 1 - truth][random.integer(4)],
    );
    const gold = ["yes", "no"][truth];
    const x = 4 * truth + random.normal();
    return JSON.stringify({
      x,
      y: 100 * random.normal(),
      text: text.join(" "),
      gold,
      weak: i % 7 === 0 ? "yes" : gold,
    });
  });
  writeFileSync(join(folder, "data.jsonl"), lines.join("\n"));
  writeFileSync(join(folder, "texts.jsonl"), lines.slice(0, 150).join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, OUTGROW_HOME: join(folder, "home") },
  });
const brief = ["--seeds", "1", "--method", "naive"];
function boundaryOf(file: string, fit: string[], name: string) {
  expect(outgrow("fit", file, ...fit, ...brief, "--out", name).status).toBe(0);
  const { stdout, stderr } = outgrow("audit", name, "--boundary", "--json", "--out", `${name}-audit`);
  expect(stderr).toBe("");
  return JSON.parse(stdout).records;
}

describe("outgrow audit --boundary", () => {
  test("of features: the student and the supervisor that taught it, which is the same as in the run", () => {
    const { boundary } = boundaryOf("data.jsonl", ["--features", "x", "y", "--truth", "gold"], "features");
    const [student, supervisor] = boundary.models;
    expect([student.name, supervisor.name]).toEqual(["student", "weak supervisor"]);
    // Scales are those of the student: the distance of the means is 4 of a deviation of about 2.2, and that of y next to nothing.
    expect(student.centroidDistance).toBeGreaterThan(1.6);
    expect(student.centroidDistance).toBeLessThan(2);
    for (const { right, relativeMargin, pairs } of boundary.models) {
      expect(right).toBeGreaterThan(0.9);
      expect(relativeMargin.mean).toBeGreaterThan(0.3);
      expect(relativeMargin.mean).toBeLessThan(0.7);
      expect(pairs[0].angle.mean).toBeLessThan(45);
    }
    // Of a linear rule all points have the same angle.
    const [least, , , , most] = supervisor.pairs[0].angle.quantiles;
    expect(most - least).toBeLessThan(0.01);
    // Accuracies of both, counted from the labels that the run wrote.
    const written = readFileSync(join(folder, "features/labels.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const tested = written.filter(({ part }) => part === "test");
    const share = (of: "weak" | "student") =>
      tested.filter((row) => (row[of][0] > row[of][1] ? "no" : "yes") === row.truth).length / tested.length;
    expect(supervisor.right).toBeCloseTo(share("weak"), 9);
    expect(student.right).toBeCloseTo(share("student"), 9);
    expect(readFileSync(join(folder, "features-audit/report.html"), "utf8")).toContain(
      "How far the boundary is tilted",
    );
  }, 60_000);

  test("of texts: the student's own features, in which it is linear; given weak labels have no boundary", () => {
    const { boundary } = boundaryOf(
      "texts.jsonl",
      ["--text", "text", "--weak", "weak", "--pretrain-epochs", "1"],
      "texts",
    );
    expect(boundary.space).toMatch(/the student's own \d+ features of a text/);
    expect(boundary.labelled).toMatch(/for want of truth/);
    expect(boundary.models.map(({ name }: { name: string }) => name)).toEqual(["student"]);
    const [{ right, pairs }] = boundary.models;
    expect(right).toBe(1);
    const [least, , , , most] = pairs[0].angle.quantiles;
    expect(most - least).toBeLessThan(0.05);
  }, 60_000);

  test("refuses a file", () => {
    const { status, stderr } = outgrow(
      "audit",
      "data.jsonl",
      "--weak",
      "weak",
      "--student",
      "gold",
      "--boundary",
    );
    expect(stderr).toMatch(/there is no boundary to look at/);
    expect(status).toBe(2);
  });
});

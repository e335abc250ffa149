import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRandom } from "outgrow";
import { afterAll, beforeAll, expect, test } from "vitest";

// The command as it is run: compiled.
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-supervisors-"));
  const random = createRandom("supervisors command");
  const lines = Array.from({ length: 300 }, (_, i) => {
    const truth = i % 2;
    const says = (rate: number) => (random.uniform() < rate ? truth : 1 - truth);
    const soft = (label: number) => (label === 1 ? { yes: 0.9, no: 0.1 } : { yes: 0.2, no: 0.8 });
    const name = (label: number) => (label === 1 ? "yes" : "no");
    const [x, y] = [random.normal() + 2 * truth, random.normal() - truth];
    const labels = { sure: soft(says(0.9)), crowd: name(says(0.6)), rule: name(says(0.55)) };
    return JSON.stringify({ x, y, ...labels, part: i < 290 ? labels.rule : "", gold: name(truth) });
  });
  writeFileSync(join(folder, "rows.jsonl"), lines.join("\n"));
  const sweep =
    "system: fit\nconfig: { file: rows.jsonl, features: [x, y], truth: gold, seeds: 1, pretraining: { epochs: 1, width: 8 }, methods: [raven] }\ngrid: { weak: [[sure, crowd], [sure, crowd, rule]] }\n";
  writeFileSync(join(folder, "sweep.yaml"), sweep);
});
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, OUTGROW_HOME: join(folder, "home") },
  });
const fit = (...args: string[]) =>
  outgrow("fit", "rows.jsonl", "--features", "x", "y", "--seeds", "1", "--pretrain-epochs", "1", ...args);

test("fit with several supervisors weighs them, can be audited and repeated", { timeout: 60_000 }, () => {
  const columns = ["--weak", "sure", "--weak", "crowd", "--weak", "rule", "--truth", "gold"];
  const { stdout, stderr, status } = fit(...columns, "--each-supervisor", "--out", "out");
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toMatch(/^raven .*\nensemble /m); // the methods where none is named
  expect(stdout).toMatch(/^sure .*\ncrowd .*\nrule /m);
  expect(stdout).toContain("Weak supervisors, the best student first");
  const [raven] = readFileSync(join(folder, "out/records.jsonl"), "utf8")
    .split("\n")
    .map((line) => JSON.parse(line || "{}"));
  expect(Object.keys(raven.weights)).toEqual(["sure", "crowd", "rule"]);
  expect(raven.weights.sure).toBeGreaterThan(raven.weights.rule);

  const audit = outgrow("audit", join(folder, "out"), "--out", "audit");
  expect({ status: audit.status, stderr: audit.stderr }).toEqual({ status: 0, stderr: "" });
  const { slices } = JSON.parse(readFileSync(join(folder, "audit/audit.json"), "utf8"));
  const groups = slices.filter(({ column }: { column: string }) => column === "weak supervisors");
  expect(groups.map(({ group }: { group: string }) => group).sort()).toEqual(["agree", "differ"]);

  const again = outgrow("rerun", join(folder, "out"));
  expect({ status: again.status, last: again.stdout.trim().split("\n").at(-1) }).toEqual({
    status: 0,
    last: expect.stringContaining("The same bits"),
  });
});

test("a sweep runs over sets of supervisors", { timeout: 60_000 }, () => {
  const { status, stdout, stderr } = outgrow("sweep", "sweep.yaml", "--workers", "0", "--out", "swept");
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("2 of 2 runs were done");
  const [header] = readFileSync(join(folder, "swept/results.csv"), "utf8").split("\r\n");
  expect(header).toContain("weight of rule");
});

test.each([
  ["a column named twice", ["--weak", "sure", "--weak", "sure"], 'column "sure": the column is named twice'],
  [
    "a missing label of one",
    ["--weak", "sure", "--weak", "part"],
    'row 291, column "part": the weak label is missing',
  ],
  [
    "other classes than those listed",
    ["--weak", "sure", "--weak", "crowd", "--classes", "yes", "maybe"],
    "is not one of the classes",
  ],
  ["a student of each of one", ["--weak", "sure", "--each-supervisor"], "there is only one"],
])("refuses %s", (_, args, message) => {
  const { status, stderr } = fit(...args);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

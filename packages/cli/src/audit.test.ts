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
  folder = mkdtempSync(join(tmpdir(), "outgrow-audit-"));
  const random = createRandom("audit command");
  const lines = Array.from({ length: 600 }, (_, i) => {
    const truth = random.integer(2);
    const shop = `shop ${i % 3}`;
    const says = (rate: number) => {
      const label = random.uniform() < rate ? truth : 1 - truth;
      return label === 1 ? { yes: 0.8, no: 0.2 } : { yes: 0.2, no: 0.8 };
    };
    const student = says(shop === "shop 2" ? 0.5 : 0.95);
    const words = { weak: says(0.75), student, gold: truth === 1 ? "yes" : "no", shop };
    const x = [random.normal() + 2 * truth, random.normal()];
    return JSON.stringify({ ...words, x: x[0], y: x[1] });
  });
  writeFileSync(join(folder, "judged.jsonl"), lines.join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, OUTGROW_HOME: join(folder, "home") },
  });
const columns = ["--weak", "weak", "--student", "student"];

describe("outgrow audit", () => {
  test("of a file gives a verdict, the slice in which the student is worse, and a report", () => {
    const args = [
      "audit",
      "judged.jsonl",
      ...columns,
      "--truth",
      "gold",
      "--slice",
      "shop",
      "--out",
      "audit",
    ];
    const { stdout, stderr, status } = outgrow(...args);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/Use the student: by the truth it is more accurate than the weak labels/);
    const audit = JSON.parse(readFileSync(join(folder, "audit/audit.json"), "utf8"));
    const worse = audit.slices.filter(({ isWorse }: { isWorse: boolean }) => isWorse);
    expect(worse.map(({ group }: { group: string }) => group)).toContain("shop 2");
    expect(readFileSync(join(folder, "audit/report.html"), "utf8")).toContain("shop 2");
  });

  test("chooses among several weak supervisors by error minus misfit", () => {
    // "crowd" errs more than "weak", but its student corrects it; that of "weak" copies it.
    const lines = readFileSync(join(folder, "judged.jsonl"), "utf8")
      .split("\n")
      .map((line) => JSON.parse(line));
    const random = createRandom("several");
    const more = lines.map((row) => {
      const wrong = random.uniform() < 0.35;
      const crowd = wrong === (row.gold === "yes") ? { yes: 0.1, no: 0.9 } : { yes: 0.9, no: 0.1 };
      const right = row.gold === "yes" ? { yes: 0.9, no: 0.1 } : { yes: 0.1, no: 0.9 };
      return JSON.stringify({ ...row, copied: row.weak, crowd, corrected: right });
    });
    writeFileSync(join(folder, "several.jsonl"), more.join("\n"));
    const pairs = ["--weak", "weak", "--student", "copied", "--weak", "crowd", "--student", "corrected"];
    const { stdout, stderr } = outgrow(
      "audit",
      "several.jsonl",
      ...pairs,
      "--truth",
      "gold",
      "--json",
      "--out",
      "several",
    );
    expect(stderr).toBe("");
    const { choice, verdict } = JSON.parse(stdout).records;
    expect(choice.chosen).toBe("crowd");
    expect(choice.ranking[0].weakError).toBeGreaterThan(choice.ranking[1].weakError);
    expect(choice.ranking[1].misfit).toBeCloseTo(0, 9);
    expect(verdict).toBe("use the student");
    expect(readFileSync(join(folder, "several/report.html"), "utf8")).toContain(
      "Weak supervisors, the best student first",
    );
  });

  test("without truth asks for it", () => {
    const { stdout } = outgrow("audit", "judged.jsonl", ...columns, "--json", "--out", "blind");
    const { records } = JSON.parse(stdout);
    expect(records.verdict).toBe("get more truth");
    // Both say 0.8 throughout, so nothing tells which is the better.
    expect(records.labelsToSettle).toBeNull();
  });

  test("of a run of fit looks at rows whose truth trained nobody, and at columns of its file", () => {
    const fit = [
      "--features",
      "x",
      "y",
      "--weak",
      "weak",
      "--truth",
      "gold",
      "--seeds",
      "1",
      "--out",
      "fitted",
    ];
    expect(outgrow("fit", "judged.jsonl", ...fit).status).toBe(0);
    const { stdout, stderr } = outgrow("audit", "fitted", "--slice", "shop", "--json", "--out", "of-run");
    expect(stderr).toBe("");
    const { records } = JSON.parse(stdout);
    expect(records.known).toBe(600);
    const found = new Set(records.slices.map(({ column }: { column: string }) => column));
    expect(found).toEqual(new Set(["weak label", "confidence of the student", "part", "shop"]));
    const again = outgrow("rerun", "of-run", "--out", "of-run-again");
    expect(again.stdout).toContain("The same bits");
  }, 60_000);

  test.each([
    [
      "a file without the student's column",
      ["judged.jsonl", "--weak", "weak"],
      /needs a column of weak labels and one of the student's/,
    ],
    [
      "several supervisors with one student",
      ["judged.jsonl", ...columns, "--weak", "student"],
      /2 columns of weak labels, but 1 of students/,
    ],
    [
      "several supervisors without truth",
      ["judged.jsonl", ...columns, "--weak", "student", "--student", "student"],
      /needs the truth of some rows/,
    ],
    ["an unknown column", ["judged.jsonl", "--weak", "weak", "--student", "studnet"], /no column "studnet"/],
    [
      "an unknown slice",
      ["judged.jsonl", ...["--weak", "weak", "--student", "student"], "--slice", "shpo"],
      /no column "shpo"/,
    ],
    ["no run", ["nothing-of-that-name"], /there is no run "nothing-of-that-name"/],
  ])("refuses %s", (_, args, message) => {
    const { status, stderr } = outgrow("audit", ...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("    at ");
    expect(status).toBe(2);
  });
});

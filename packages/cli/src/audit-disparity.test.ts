import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRandom, readTable } from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The command as it is run: compiled.
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const compas = fileURLToPath(new URL("../../../../shared/data/compas/compas-two-years.csv", import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-disparity-"));
  const random = createRandom("disparity command");
  const lines = Array.from({ length: 3000 }, (_, i) => {
    const group = random.integer(2);
    const names = ["north", "south"];
    const guess = () => names[random.uniform() < 0.25 ? 1 - group : group];
    const yes = (rate: number) => (random.uniform() < rate ? "yes" : "no");
    const row = {
      weak: yes([0.6, 0.45][group]),
      student: yes([0.7, 0.3][group]),
      gold: yes([0.6, 0.4][group]),
    };
    const proxies = { surname: i === 0 ? "" : guess(), street: guess(), voice: guess() };
    return JSON.stringify({ ...row, ...proxies, district: names[group], weight: i });
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
const judged = ["audit", "judged.jsonl", "--weak", "weak", "--student", "student", "--truth", "gold"];
const proxies = ["--proxy", "surname", "--proxy", "street", "--proxy", "voice"];

describe("outgrow audit --proxy", () => {
  test("finds a disparity that one proxy understates, near the recorded one, and that the student's is larger", () => {
    const { stdout, stderr } = outgrow(...judged, ...proxies, "--group", "district", "--json", "--out", "a");
    expect(stderr).toBe("");
    const { disparity } = JSON.parse(stdout).records;
    expect(disparity.groups).toEqual(["north", "south"]);
    expect(disparity.rows).toBe(2999);
    const { calibrated, "recorded group": recorded, "first proxy": first } = disparity.predictors[1].gaps;
    expect(Math.abs(calibrated.parity.value - recorded.parity.value)).toBeLessThan(0.08);
    expect(first.parity.value).toBeLessThan(0.7 * recorded.parity.value);
    expect(disparity.change.calibrated.parity.low).toBeGreaterThan(0.1);
    const report = readFileSync(join(folder, "a/report.html"), "utf8");
    expect(report).toContain("Disparity between groups");
    expect(report).toContain("1 rows of which a proxy says nothing");
    expect(outgrow("rerun", "a", "--out", "again").stdout).toContain("The same bits");
  });

  test("with known rates of errors one proxy is enough", () => {
    const { stdout } = outgrow(
      ...judged,
      "--proxy",
      "street",
      "--proxy-errors",
      "0.25",
      "0.25",
      "--out",
      "b",
    );
    expect(stdout).toMatch(/student +demographic parity +.*\[/);
    const { disparity } = JSON.parse(readFileSync(join(folder, "b/audit.json"), "utf8"));
    expect(disparity.errors.source).toBe("given");
    expect(Math.abs(disparity.predictors[1].gaps.calibrated.parity.value - 0.4)).toBeLessThan(0.08);
  });

  test.skipIf(!existsSync(compas))(
    "of COMPAS: a fit whose weak labels are its score, and a third of race's values flipped",
    async () => {
      const { rows } = await readTable(compas);
      const random = createRandom("compas command");
      const lines = rows.map(({ values }) => {
        const row = values as Record<string, string>;
        const isOf = row.race === "African-American";
        const guess = () => ((random.uniform() < 0.3 ? !isOf : isOf) ? "African-American" : "other");
        const labels = {
          score: row.score_text === "Low" ? "no" : "yes",
          again: row.two_year_recid === "1" ? "yes" : "no",
        };
        const features = { age: row.age, priors: row.priors_count, juvenile: row.juv_fel_count };
        const guesses = { a: guess(), b: guess(), c: guess() };
        return JSON.stringify({
          ...features,
          ...labels,
          ...guesses,
          race: isOf ? "African-American" : "other",
        });
      });
      writeFileSync(join(folder, "compas.jsonl"), lines.join("\n"));
      const fit = ["--features", "age", "priors", "juvenile", "--weak", "score", "--truth", "again"];
      const fitted = outgrow(
        "fit",
        "compas.jsonl",
        ...fit,
        "--seeds",
        "1",
        "--method",
        "naive",
        "--out",
        "compas",
      );
      expect(fitted.status).toBe(0);
      const asked = [
        "--proxy",
        "a",
        "--proxy",
        "b",
        "--proxy",
        "c",
        "--group",
        "race",
        "--out",
        "compas-audit",
        "--json",
      ];
      const { disparity } = JSON.parse(outgrow("audit", "compas", ...asked).stdout).records;
      for (const { gaps } of disparity.predictors) {
        const { calibrated, "recorded group": recorded, "first proxy": first } = gaps;
        const error = (of: typeof calibrated) => Math.abs(of.parity.value - recorded.parity.value);
        expect(error(calibrated)).toBeLessThan(0.5 * error(first));
        expect(calibrated.parity.low).toBeLessThan(recorded.parity.value);
        expect(calibrated.parity.high).toBeGreaterThan(recorded.parity.value);
      }
    },
    60_000,
  );

  test.each([
    [
      "two proxies without rates",
      ["--proxy", "surname", "--proxy", "street"],
      /2 proxies are given, and their errors are not known/,
    ],
    [
      "copies of one proxy",
      ["--proxy", "street", "--proxy", "street", "--proxy", "voice"],
      /proxies 1 and 2 agree on all/,
    ],
    ["a group without proxies", ["--group", "district"], /no column that guesses the group/],
    [
      "a group that no proxy names",
      [...proxies, "--group", "gold"],
      /is a value of "gold" that no proxy ever names/,
    ],
    ["a proxy of numbers", [...proxies, "--proxy", "weight"], /expected at most 10/],
    ["an unknown proxy", ["--proxy", "sruname", ...proxies], /no column "sruname"/],
    [
      "a rate too few",
      ["--proxy", "street", "--proxy-errors", "0.1"],
      /1 rates of errors are given for 2 groups/,
    ],
  ])("refuses %s", (_, args, message) => {
    const { status, stderr } = outgrow(...judged, ...args, "--out", "refused");
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("    at ");
    expect(status).toBe(2);
  });
});

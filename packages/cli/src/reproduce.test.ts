import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The command as it is run: compiled.
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-reproduce-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, OUTGROW_HOME: join(folder, "home") },
  });

describe("outgrow reproduce", () => {
  const small = [
    ...["--seeds", "3", "--quick", "--set", "sizes.test=300", "--set", "sizes.weak=[6,16]"],
    ...["--set", 'parts=["reward models"]'],
  ];

  test("prints each claim with its numbers and verdict, and writes the report; the second time from the cache", () => {
    const first = outgrow("reproduce", "deception", ...small, "--out", "first");
    expect(first.stderr).toContain("3/3");
    expect(first.status).toBe(0);
    expect(first.stdout).toMatch(/^C1 {2}Conflict costs more than another seed does\. {2}[A-Z]+/m);
    expect(first.stdout).toMatch(/^N1 .*HOLDS$/m);
    expect(first.stdout).toContain("the paper: in all settings (abstract)");
    const page = readFileSync(join(folder, "first/report.html"), "utf8");
    expect(page).toContain("Negative controls");
    expect(existsSync(join(folder, "first/figures/deception.png"))).toBe(true);

    const second = outgrow("reproduce", "deception", ...small, "--only", "C2", "--json", "--out", "second");
    const { records } = JSON.parse(second.stdout);
    expect(records.claims.map(({ id }: { id: string }) => id)).toEqual(["C2"]);
    expect(second.stderr.match(/done before/g)?.length).toBe(3);
    const whole = JSON.parse(readFileSync(join(folder, "first/claims.json"), "utf8"));
    expect(records.claims[0]).toEqual(whole.claims.find(({ id }: { id: string }) => id === "C2"));
    expect(readFileSync(join(folder, "second/rows.csv"))).toEqual(
      readFileSync(join(folder, "first/rows.csv")),
    );
  });

  test.each([
    ["an unknown system", ["decepton"], /no system "decepton"[\s\S]*Did you mean "deception"/],
    ["an unknown claim", ["deception", "--only", "C77"], /no claim "C77"/],
    [
      "an unknown field",
      ["deception", "--set", "sizes.tset=5"],
      /sizes: unknown field "tset", did you mean "test"/,
    ],
    ["a seed as a field", ["deception", "--set", "seed=5"], /--first-seed/],
    ["neither a system nor all", [], /name one system, or give --all/],
    ["both", ["deception", "--all"], /name one system, or give --all/],
  ])("refuses %s", (_, args, message) => {
    const { status, stderr } = outgrow("reproduce", ...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("    at ");
    expect(status).toBe(2);
  });
});

test("outgrow systems lists all with their papers, and as JSON with all claims", () => {
  expect(outgrow("systems").stdout).toMatch(
    /deception +Weak-to-strong deception \(Yang et al\. 2024\), 15 claims/,
  );
  const listed = JSON.parse(outgrow("systems", "--json").stdout);
  const found = listed.find(({ name }: { name: string }) => name === "deception");
  expect(found.claims[0]).toEqual({ id: "C1", statement: "Conflict costs more than another seed does." });
});

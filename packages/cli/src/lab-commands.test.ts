import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineStage, Run, type report } from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { ensureBuilt, runCommand, runForJson } from "./testing/command.js";

let folder: string;
let home: string;
const ids: Record<string, string> = {};

const train = defineStage({
  name: "test/train",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ seed: z.int() }),
  inputs: {},
  run: ({ config, folder }) => writeFile(join(folder, "a.json"), JSON.stringify(config)),
});

const empty: report.Report = {
  title: "",
  lead: "",
  facts: [],
  tables: [],
  figures: [],
  notes: [],
  configuration: {},
  environment: {},
};

/** Runs of three kinds and ends, a day after one another. */
beforeAll(async () => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-commands-"));
  home = join(folder, "home");
  const begin = async (name: string, kind: string, seed: number, day: number) => {
    const now = () => new Date(Date.UTC(2026, 2, day));
    const configuration = { seed, world: { size: 10 * seed }, methods: ["naive"] };
    const run = await Run.begin({ kind, folder: join(folder, name), configuration, lab: { home }, now });
    ids[name] = run.record.id;
    await run.lab.run(train, { seed }, {});
    return run;
  };
  for (const [name, kind, seed, day] of [
    ["first", "fit", 1, 1],
    ["second", "fit", 2, 2],
    ["third", "w2sg", 2, 3],
  ] as const) {
    const run = await begin(name, kind, seed, day);
    await run.finish({
      report: empty,
      files: { "out.txt": `seed ${seed}` },
      results: { "accuracy v1.0": 1 / day },
    });
  }
  await (await begin("broken", "fit", 3, 4)).fail(new Error("no luck"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

const options = () => ({ cwd: folder, env: { OUTGROW_HOME: home } });
const outgrow = (...args: string[]) => runCommand(args, options());

describe.concurrent("outgrow runs", () => {
  const names = async (...args: string[]) => {
    const { runs } = await runForJson<{ runs: { id: string }[] }>(["runs", ...args], options());
    return runs.map(({ id }) => Object.keys(ids).find((name) => ids[name] === id));
  };

  test.each<[string[], string[]]>([
    [[], ["broken", "third", "second", "first"]],
    [["--reverse"], ["first", "second", "third", "broken"]],
    [
      ["--kind", "fit"],
      ["broken", "second", "first"],
    ],
    [["--status", "failed"], ["broken"]],
    [
      ["--since", "2026-03-03"],
      ["broken", "third"],
    ],
    [
      ["--where", "seed=2"],
      ["third", "second"],
    ],
    [["--where", "world.size=20", "--where", "kind=fit"], ["second"]],
    [
      ["--where", `configuration.methods=["naive"]`, "--limit", "2"],
      ["broken", "third"],
    ],
    [["--where", "results.accuracy v1.0=0.5"], ["second"]],
    [
      ["--sort", "accuracy v1.0"],
      ["third", "second", "first", "broken"],
    ],
    [["--sort", "configuration.seed", "--reverse", "--limit", "1"], ["broken"]],
  ])("%j", async (args, expected) => expect(await names(...args)).toEqual(expected));

  test("as a table", async () => {
    const { code, stdout } = await outgrow("runs");
    const lines = stdout.split("\n");
    expect(lines[0]).toMatch(/^ID +STATUS +STARTED +TIME +RESULTS$/);
    expect(lines[1]).toMatch(/^fit-2026-03-04T00-00-00-000 +failed +2026-03-04 00:00 .*no luck$/);
    expect(lines[2]).toContain("accuracy v1.0 0.3333");
    expect(code).toBe(0);
  });

  test("of a home without any", async () => {
    const { code, stdout } = await runCommand(["runs"], {
      cwd: folder,
      env: { OUTGROW_HOME: join(folder, "none") },
    });
    expect([code, stdout]).toEqual([0, "ID  STATUS  STARTED  TIME  RESULTS\n"]);
  });

  test.each([
    [["runs", "--sort", "sede"], /no run has a field "sede"/],
    [["runs", "--where", "seed"], /A field and its value/],
    [["runs", "--since", "yesterday-ish"], /A date such as/],
    [["runs", "--status", "dead"], /interrupted/],
    [["diff", "first"], /missing required argument 'second'/],
    [["diff", "no-run", "no-run"], /there is no run "no-run"/],
    [["rerun", "no-run"], /there is no run "no-run"/],
    [["cache", "gc"], /say what may go/],
    [["cache", "gc", "--size", "much"], /A number of bytes/],
  ])("%j is refused", async (args, message) => {
    const { code, stdout, stderr } = await outgrow(...args);
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([2, ""]);
  });
});

describe("outgrow diff", () => {
  test("shows what differs in configuration, results, files and stages", async () => {
    const { code, stdout } = await outgrow("diff", ids.first, join(folder, "second"));
    expect(stdout).toContain("Configuration\n  seed: 1 → 2\n  world.size: 10 → 20\n");
    expect(stdout).toContain("Results\n  accuracy v1.0: 1 → 0.5\n");
    expect(stdout).toMatch(/Files of results \(SHA-256\)\n {2}out\.txt: [0-9a-f]{12} → [0-9a-f]{12}\n/);
    expect(stdout).toContain("  1 of test/train only in the first\n");
    expect(stdout).not.toContain("Environment");
    expect(code).toBe(0);
  });

  test("of a run with itself is nothing", async () => {
    expect((await outgrow("diff", ids.first, "first")).stdout).toBe("The runs do not differ.\n");
    expect(await runForJson(["diff", ids.first, "first"], options())).toMatchObject({
      same: true,
      configuration: [],
    });
  });
});

test("rerun refuses a run without results, and says how to finish it", async () => {
  const { code, stderr } = await outgrow("rerun", ids.broken);
  expect(stderr).toMatch(/has no results that a repetition could be compared with\n {2}It was failed/);
  expect(code).toBe(2);
});

describe("outgrow cache", () => {
  test("ls tells sizes and the runs that use each output", async () => {
    const { stdout } = await outgrow("cache", "ls");
    expect(stdout).toMatch(new RegExp(`test/train .* ${ids.first}\n`));
    expect(stdout).toMatch(/\(\+1\)|, /); // the stage with seed 2 is part of two runs
    expect(stdout).toMatch(/3 outputs, [\d.]+ kB, in /);
    const { entries } = await runForJson<{ entries: { runs: string[] }[] }>(["cache", "ls"], options());
    expect(entries.map(({ runs }) => runs.length).sort()).toEqual([1, 1, 2]);
  });

  test("verify ends with 1 where a byte was altered, and 0 where none was", async () => {
    expect((await outgrow("cache", "verify")).code).toBe(0);
    const stages = join(home, "stages");
    const [file] = readdirSync(stages, { recursive: true, withFileTypes: true })
      .filter(({ name }) => name === "a.json")
      .map((entry) => join(entry.parentPath, entry.name));
    const whole = readFileSync(file);
    writeFileSync(file, whole.toString().replace("seed", "sead"));
    const { code, stdout } = await outgrow("cache", "verify");
    expect(stdout).toContain(`${file}: the file was altered`);
    expect(stdout).toContain("1 damaged");
    expect(code).toBe(1);
    writeFileSync(file, whole);
  });

  test("gc shows with --dry-run what it would remove, and removes it without", async () => {
    const rehearsed = await outgrow("cache", "gc", "--size", "0B", "--dry-run");
    expect(rehearsed.stdout).toMatch(/3 outputs \(.*\) and 0 leftovers would be removed, 0 kept/);
    expect((await outgrow("cache", "gc", "--unreferenced", "--json")).stdout).toContain(
      '"removed":[],"kept":3',
    );
    expect((await outgrow("cache", "gc", "--older", "9")).stdout).toContain(
      "0 outputs (0 B) and 0 leftovers removed, 3 kept",
    );
    expect((await outgrow("cache", "gc", "--size", "0B")).stdout).toContain("removed, 0 kept");
    expect((await outgrow("cache", "ls")).stdout).toMatch(/^0 outputs/m);
  });
});

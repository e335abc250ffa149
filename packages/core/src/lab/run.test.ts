import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { UserError } from "../errors.js";
import { readManifest } from "../manifest.js";
import type { Report } from "../report/index.js";
import { compareRuns, differences, isSameRun } from "./compare-runs.js";
import { Run, type RunSpec } from "./run.js";
import { listRuns, type RunRecord, readRunRecord, readRunStages, statusOf } from "./run-record.js";
import { defineStage } from "./stage.js";

let parent: string;
let home: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-runs-"));
  home = join(parent, "home");
});
afterEach(() => rm(parent, { recursive: true }));

const train = defineStage({
  name: "test/train",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ seed: z.int() }),
  inputs: {},
  async run({ config, folder, metrics }) {
    for (let step = 1; step <= 3; step++) metrics(step, { loss: 1 / step });
    await writeFile(join(folder, "a.json"), JSON.stringify(config));
  },
});

const report: Report = {
  title: "A run",
  lead: "What came of it.",
  facts: [],
  tables: [],
  figures: [],
  notes: [],
  configuration: {},
  environment: {},
};

const begin = (spec: Partial<RunSpec> = {}) =>
  Run.begin({
    kind: "test",
    folder: join(parent, "results"),
    configuration: { seed: 3 },
    command: ["test", "--seed", "3"],
    lab: { home },
    ...spec,
  });

async function runToEnd(spec: Partial<RunSpec> = {}, predictions = "id,label\n") {
  const run = await begin(spec);
  const output = await run.lab.run(train, { seed: Number(run.record.configuration.seed) }, {});
  const files = { "predictions.csv": predictions };
  const folder = await run.finish({ report, files, results: { accuracy: 0.5 } });
  return { run, output, folder };
}

const recordFolder = (run: Run) => join(home, "runs", run.record.id);

describe("a run that ends well", () => {
  test("has all that is needed to repeat it in its folder, under the manifest", async () => {
    const { run, output, folder } = await runToEnd({ tensorboard: true });
    const { files } = await readManifest(folder);
    const events = Object.keys(files).filter((name) => name.startsWith("events.out.tfevents."));
    expect(events).toHaveLength(1);
    expect(Object.keys(files)).toEqual(
      [events[0], "metrics.jsonl", "predictions.csv", "report.html", "run.json", "stages.jsonl"].sort(),
    );
    const record = readRunRecord(folder);
    expect(record).toMatchObject({
      id: run.record.id,
      kind: "test",
      status: "done",
      folder,
      command: ["test", "--seed", "3"],
      cwd: process.cwd(),
      configuration: { seed: 3 },
      environment: { node: process.versions.node, machine: expect.any(String) },
      results: { accuracy: 0.5 },
      files: { "predictions.csv": files["predictions.csv"].sha256 },
      logs: { "stages.jsonl": files["stages.jsonl"].sha256 },
    });
    expect(readRunStages(folder, record)).toEqual([
      { stage: "test/train", key: output.key, hash: output.hash, cached: false, seconds: expect.any(Number) },
    ]);
    const metrics = (await readFile(join(folder, "metrics.jsonl"), "utf8")).trimEnd().split("\n");
    expect(metrics.map((line) => JSON.parse(line))).toMatchObject(
      [1, 2, 3].map((step) => ({ stage: "test/train", step, values: { loss: 1 / step } })),
    );
  });

  test("is known at home by the same record, at once as running and in the end as done", async () => {
    const run = await begin();
    expect(readRunRecord(recordFolder(run)).status).toBe("running");
    await run.lab.run(train, { seed: 3 }, {});
    const folder = await run.finish({ report, files: {}, results: {} });
    expect(readRunRecord(recordFolder(run))).toEqual(readRunRecord(folder));
    expect((await readdir(recordFolder(run))).sort()).toEqual(["metrics.jsonl", "run.json", "stages.jsonl"]);
  });
});

describe("a run that does not", () => {
  test("keeps its error and what its stages have finished", async () => {
    const run = await begin();
    await run.lab.run(train, { seed: 3 }, {});
    await run.fail(new UserError("no luck", { place: { file: "a.csv" } }));
    const record = readRunRecord(recordFolder(run));
    expect(record).toMatchObject({ status: "failed", error: "a.csv: no luck" });
    expect(readRunStages(recordFolder(run), record)).toHaveLength(1);
    expect(await readdir(parent)).toEqual(["home"]);
  });

  test("was stopped, or could not write its results", async () => {
    const stopped = await begin();
    await stopped.fail(new Error("interrupted"), true);
    expect(readRunRecord(recordFolder(stopped)).status).toBe("stopped");
    await writeFile(join(parent, "taken"), "");
    const run = await begin({ folder: join(parent, "taken") });
    await expect(run.finish({ report, files: {}, results: {} })).rejects.toThrow("something at this path");
    expect(readRunRecord(recordFolder(run)).status).toBe("failed");
  });

  test("is interrupted where its process is gone", async () => {
    const { record } = await begin();
    expect(statusOf(record)).toBe("running");
    const { owner } = record;
    expect(statusOf({ ...record, owner: { ...owner, pid: 2 ** 22 + 1 } })).toBe("interrupted");
    expect(statusOf({ ...record, status: "done", owner: { ...owner, pid: 2 ** 22 + 1 } })).toBe("done");
  });
});

describe("records", () => {
  test("of the same moment, and of a clock that jumps back, are all kept", async () => {
    const times = ["2026-03-01T09:30:00.000Z", "2026-03-01T09:30:00.000Z", "2025-01-01T00:00:00.000Z"];
    const runs: Run[] = [];
    for (const time of times) {
      const run = await begin({ now: () => new Date(time) });
      await run.fail(new Error("enough"));
      runs.push(run);
    }
    expect(runs.map(({ record }) => record.id)).toEqual([
      "test-2026-03-01T09-30-00-000",
      "test-2026-03-01T09-30-00-000-2",
      "test-2025-01-01T00-00-00-000",
    ]);
    const listed = listRuns(join(home, "runs"), () => expect.unreachable());
    expect(listed.map(({ id }) => id)).toEqual([runs[1], runs[0], runs[2]].map(({ record }) => record.id));
    for (const { seconds } of listed) expect(seconds).toBeGreaterThanOrEqual(0); // by a steady clock
  });

  test("with any byte altered are told and do not hide the others", async () => {
    const [one, two] = [await begin(), await begin()];
    const path = join(recordFolder(two), "run.json");
    const whole = await readFile(path);
    for (let at = 0; at < whole.length; at += 7) {
      const bytes = Buffer.from(whole);
      bytes[at] ^= 2;
      await writeFile(path, bytes);
      const damaged: UserError[] = [];
      const listed = listRuns(join(home, "runs"), (error) => damaged.push(error));
      expect(listed.map(({ id }) => id)).toEqual([one.record.id]);
      expect(damaged.map(({ place }) => place.file)).toEqual([path]);
    }
  });
});

describe("comparing", () => {
  const compared = ({ run, folder }: { run: Run; folder: string }) => ({
    record: run.record,
    stages: readRunStages(folder, run.record),
  });

  test("a run with its repetition without the cache finds the same bits", async () => {
    const first = await runToEnd();
    const again = await runToEnd({
      folder: join(parent, "again"),
      lab: { home: join(parent, "fresh") },
      recordsHome: home,
      repeats: first.run.record.id,
    });
    expect(again.output.cached).toBe(false);
    const comparison = compareRuns(compared(first), compared(again));
    expect(comparison).toEqual({
      configuration: [],
      environment: [],
      inputs: [],
      results: [],
      files: [],
      stages: { same: 1, differ: [], onlyFirst: {}, onlySecond: {} },
    });
    expect(isSameRun(comparison)).toBe(true);
    expect(readRunRecord(recordFolder(again.run)).repeats).toBe(first.run.record.id);
  });

  test("finds other configurations, files, and the same work with other bits", async () => {
    const first = compared(await runToEnd());
    const other = compared(
      await runToEnd({ folder: join(parent, "b"), configuration: { seed: 4, more: { a: [1] } } }, "x"),
    );
    const comparison = compareRuns(first, other);
    expect(comparison.configuration).toEqual([
      { path: "more", first: undefined, second: { a: [1] } },
      { path: "seed", first: 3, second: 4 },
    ]);
    expect(comparison.files.map(({ path }) => path)).toEqual(["predictions.csv"]);
    expect(comparison.stages).toEqual({
      same: 0,
      differ: [],
      onlyFirst: { "test/train": 1 },
      onlySecond: { "test/train": 1 },
    });
    expect(isSameRun(comparison)).toBe(false);
    const [event] = first.stages;
    const nondeterministic = { ...first, stages: [{ ...event, hash: "0" }] };
    const { stages } = compareRuns(first, nondeterministic);
    expect(stages.differ).toEqual([{ path: `test/train ${event.key}`, first: event.hash, second: "0" }]);
    expect(isSameRun(compareRuns(first, nondeterministic))).toBe(false);
  });

  test("differences are as deep as both values are objects", () => {
    expect(differences({ a: { b: 1, c: [1, 2] } }, { a: { b: 1, c: [1, 3], d: null } })).toEqual([
      { path: "a.c.1", first: 2, second: 3 },
      { path: "a.d", first: undefined, second: null },
    ]);
    const record: Partial<RunRecord> = {};
    expect(differences(record, {})).toEqual([]);
  });
});

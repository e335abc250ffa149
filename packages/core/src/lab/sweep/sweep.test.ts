import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readTable } from "../../data/table.js";
import { writeFileAtomic } from "../../files.js";
import { Lab } from "../lab.js";
import { toyExperiment } from "../testing/toy-experiment.js";
import { type Executor, inProcesses, inThisProcess } from "./executors.js";
import { runsTable, summarise, tidyTable, toCsv, toParquet } from "./results.js";
import { parseSweep } from "./spec.js";
import { computedStages, type EndedRun, runSweep, type SweepEvent } from "./sweep.js";

// Tests run on the sources, but a process runs what was built.
const script = new URL("../../../dist/lab/testing/toy-process.js", import.meta.url);
const never = new AbortController().signal;

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-sweep-"));
});
afterAll(() => rm(parent, { recursive: true }));

const sweepOf = (yaml: string) => parseSweep(yaml, "toy.yaml", [toyExperiment]);

async function run(yaml: string, home: string, how: "here" | "processes", workers = 2) {
  const sweep = sweepOf(yaml);
  const executor: Executor =
    how === "here"
      ? inThisProcess([toyExperiment], (onStage) => new Lab({ home, onStage }))
      : inProcesses({ script, resources: sweep.resources, workers, env: { OUTGROW_HOME: home } });
  const lab = new Lab({ home });
  const events: SweepEvent[] = [];
  try {
    const ended = await runSweep(sweep, executor, {
      lab,
      signal: never,
      onEvent: (event) => events.push(event),
    });
    return { ended, events };
  } finally {
    await executor.close();
    await lab.close();
  }
}

const grid = "system: toy\nconfig: { epochs: 3 }\ngrid: { learningRate: [0.01, 0.03], seed: [0, 1, 2] }";

describe("a sweep", () => {
  let here: { ended: EndedRun[]; events: SweepEvent[] };
  beforeAll(async () => {
    here = await run(grid, join(parent, "here"), "here");
  });

  test("ends with every run once, in the order of the file", () => {
    expect(here.ended.map(({ run }) => Object.values(run.varied))).toEqual([
      [0.01, 0],
      [0.01, 1],
      [0.01, 2],
      [0.03, 0],
      [0.03, 1],
      [0.03, 2],
    ]);
    expect(here.ended.every(({ outcome }) => outcome.status === "done")).toBe(true);
  });

  test("computes what runs share once", () => {
    // The data, six trainings and six tables.
    const computed = here.ended.map(({ outcome }) => computedStages(outcome));
    expect(computed.reduce((a, b) => a + b, 0)).toBe(13);
  });

  test("has the same results in processes as here, bit for bit", async () => {
    const there = await run(grid, join(parent, "there"), "processes");
    const hashes = (ended: EndedRun[]) =>
      ended.map(({ outcome }) => outcome.status === "done" && outcome.hash);
    expect(hashes(there.ended)).toEqual(hashes(here.ended));
    expect(there.ended.map(({ rows }) => rows)).toEqual(here.ended.map(({ rows }) => rows));
  });

  test("computes nothing when it is run again", async () => {
    // Where the runs were done by processes before: the code of what was built is another than that of its sources.
    const again = await run(grid, join(parent, "there"), "processes");
    expect(again.ended.map(({ outcome }) => computedStages(outcome))).toEqual(here.ended.map(() => 0));
  });

  test("tells of each run when it begins, how far it is, and when it ends", () => {
    const kinds = (id: string) => here.events.filter(({ run }) => run.id === id).map(({ kind }) => kind);
    for (const { run } of here.ended) {
      expect(kinds(run.id)[0]).toBe("start");
      expect(kinds(run.id)).toContain("progress");
      expect(kinds(run.id).at(-1)).toBe("end");
    }
  });

  test("is summarised over its seeds", () => {
    const summaries = summarise(here.ended, toyExperiment);
    const found = summaries.find(({ group }) => group.learningRate === 0.03 && group.part === "last");
    const losses = here.ended.slice(3).map(({ rows }) => rows[1].loss as number);
    expect(found?.interval.mean).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / 3, 12);
    expect(found?.interval.groups).toBe(3);
    expect(summaries).toHaveLength(4);
  });

  test("becomes a tidy table that CSV and Parquet give back", async () => {
    const table = tidyTable(here.ended);
    expect(table.columns).toEqual(["run", "status", "learningRate", "seed", "part", "loss"]);
    expect(table.rows).toHaveLength(12);
    const file = join(parent, "results.csv");
    await writeFileAtomic(file, toCsv(table));
    const read = await readTable(file, { wanted: table.columns });
    expect(read.rows).toHaveLength(12);
    const bytes = toParquet(table);
    const objects = await parquetReadObjects({ file: bytes.buffer as ArrayBuffer });
    expect(objects).toEqual(table.rows);
  });
});

describe("runs that go wrong", () => {
  const faults = "system: toy\nconfig: { epochs: 1 }\nresources: { memory: 512 MiB }\ngrid:";
  let ended: EndedRun[];
  beforeAll(async () => {
    ended = (
      await run(
        `${faults} { fault: [none, throw, exit, memory, heap], seed: [0] }`,
        join(parent, "faults"),
        "processes",
      )
    ).ended;
  }, 60_000);

  test.each([
    ["throw", /^RangeError: the toy is broken \(at .*toy-experiment/],
    ["exit", /^its process was ended by SIGKILL/],
    ["memory", /^took 0\.\d GiB of memory, 0\.5 GiB were allowed$/],
    ["heap", /^its JavaScript heap ran out of memory|^took 0\.\d GiB/],
  ])("by %s fail alone, with their reason", (fault, reason) => {
    const { outcome } = ended.find(({ run }) => run.varied.fault === fault) as EndedRun;
    expect(outcome).toMatchObject({ status: "failed", reason: expect.stringMatching(reason) });
  });

  test("leave the others alone", () => {
    expect(ended[0].outcome.status).toBe("done");
    expect(ended).toHaveLength(5);
  });

  test("stand in both tables", () => {
    expect(tidyTable(ended).rows.filter(({ status }) => status === "failed")).toHaveLength(4);
    expect(runsTable(ended).rows.map(({ attempts }) => attempts)).toEqual([null, 1, 3, 1, 1]);
  });
});

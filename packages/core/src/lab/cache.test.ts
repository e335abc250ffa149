import { cp, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { UserError } from "../errors.js";
import { collectGarbage, listCache, verifyCache } from "./cache.js";
import { Lab } from "./lab.js";
import { acquire } from "./lock.js";
import type { StageOutput } from "./output.js";
import { Run } from "./run.js";
import { defineStage } from "./stage.js";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-cache-"));
});
afterEach(() => rm(home, { recursive: true }));

const write = defineStage({
  name: "test/write",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ bytes: z.int() }),
  inputs: {},
  run: ({ config, folder }) => writeFile(join(folder, "a.bin"), new Uint8Array(config.bytes)),
});

const day = 86_400_000;
/** Outputs of 1,000, 2,000 and 3,000 bytes, last used 3, 2 and 1 days ago. */
async function threeOutputs(lab = new Lab({ home })): Promise<StageOutput[]> {
  const outputs: StageOutput[] = [];
  for (const [i, bytes] of [1000, 2000, 3000].entries()) {
    const output = await lab.run(write, { bytes }, {});
    const used = new Date(Date.now() - (3 - i) * day);
    await utimes(join(output.folder, "manifest.json"), used, used);
    outputs.push(output);
  }
  return outputs;
}

const flip = async (path: string) => {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1] ^= 4;
  await writeFile(path, bytes);
};

test("an empty home has nothing", async () => {
  expect(await listCache(join(home, "none"))).toEqual({ entries: [], unreadableRuns: [] });
  expect(await collectGarbage(join(home, "none"), { unreferenced: true })).toEqual({
    removed: [],
    kept: [],
    leftovers: [],
  });
});

describe("the list", () => {
  test("has name, size, last use and runs of each output, the least recently used first", async () => {
    const run = await Run.begin({
      kind: "test",
      folder: join(home, "results"),
      configuration: {},
      lab: { home },
    });
    const [first, second, third] = await threeOutputs(run.lab);
    await run.fail(new Error("enough"));
    const used = await new Lab({ home }).run(write, { bytes: 1000 }, {}); // now the latest
    expect(used.cached).toBe(true);
    const { entries } = await listCache(home);
    expect(entries.map(({ key, stage, runs }) => [key, stage, runs])).toEqual(
      [second, third, first].map(({ key }) => [key, "test/write", [run.record.id]]),
    );
    for (const { bytes, key } of entries) {
      const own = [first, second, third].find((output) => output.key === key) as StageOutput;
      expect(bytes).toBe(own.bytes);
    }
  });

  test("shows what is damaged", async () => {
    const [output] = await threeOutputs();
    await flip(join(output.folder, "stage.json"));
    const { entries } = await listCache(home);
    expect(entries.find(({ key }) => key === output.key)?.damage).toContain("stage.json");
  });
});

describe("collecting", () => {
  const removedOf = async (options: Parameters<typeof collectGarbage>[1]) => {
    const { removed, kept } = await collectGarbage(home, options);
    expect(removed.length + kept.length).toBe(3);
    const left = (await listCache(home)).entries.length;
    expect(left).toBe(options.dryRun ? 3 : kept.length);
    return removed.map(({ key }) => key);
  };

  test("by age takes what was not used for longer", async () => {
    const [first, second] = await threeOutputs();
    expect(await removedOf({ olderThanDays: 1.5 })).toEqual([first.key, second.key]);
  });

  test("by size takes the least recently used until the rest fits", async () => {
    const [first, , third] = await threeOutputs();
    expect(await removedOf({ maxBytes: 10 * third.bytes })).toEqual([]);
    expect(await removedOf({ maxBytes: 10 * third.bytes, dryRun: true })).toEqual([]);
    const { entries } = await listCache(home);
    const all = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(await removedOf({ maxBytes: all - 1 })).toEqual([first.key]);
  });

  test("what no run is made of, and nothing else", async () => {
    const run = await Run.begin({
      kind: "test",
      folder: join(home, "results"),
      configuration: {},
      lab: { home },
    });
    const kept = await run.lab.run(write, { bytes: 2000 }, {});
    await run.fail(new Error("enough"));
    const [first, , third] = await threeOutputs();
    const removed = await removedOf({ unreferenced: true });
    expect(removed.sort()).toEqual([first.key, third.key].sort());
    expect((await new Lab({ home }).run(write, { bytes: 2000 }, {})).cached).toBe(true);
    expect(kept.key).not.toBe(first.key);
  });

  test("is refused by use when it is not known what a run uses", async () => {
    const run = await Run.begin({
      kind: "test",
      folder: join(home, "results"),
      configuration: {},
      lab: { home },
    });
    await threeOutputs(run.lab);
    await run.fail(new Error("enough"));
    await flip(join(home, "runs", run.record.id, "stages.jsonl"));
    await expect(collectGarbage(home, { unreferenced: true })).rejects.toThrow(
      /not known what 1 of the runs use/,
    );
    expect((await listCache(home)).entries).toHaveLength(3);
  });

  test("a dry run takes nothing", async () => {
    const [first] = await threeOutputs();
    expect(await removedOf({ olderThanDays: 2.5, dryRun: true })).toEqual([first.key]);
  });

  test("leaves what is being computed, and takes what killed processes have left", async () => {
    const [first] = await threeOutputs();
    const shard = join(home, "stages", first.key.slice(0, 2));
    const [lost, busy] = [`.${first.key}.staging-1`, `.${"0".repeat(64)}.staging-1`];
    for (const name of [lost, busy]) await mkdir(join(shard, name));
    const locks = [first.key, "0".repeat(64)].map((key) =>
      acquire(join(home, "locks"), key, async () => false),
    );
    await (await locks[0])?.release();
    const { leftovers } = await collectGarbage(home, { olderThanDays: 2.5 });
    expect(leftovers).toEqual([join(shard, lost)]);
    expect(await readdir(shard)).toContain(busy);
    await (await locks[1])?.release();
  });

  test("leaves an output whose lock is held: it is being mended", async () => {
    const [first, second, third] = await threeOutputs();
    const lock = await acquire(join(home, "locks"), second.key, async () => false);
    expect(await removedOf({ maxBytes: 0 })).toEqual([first.key, third.key]);
    await lock?.release();
  });

  test("by age takes nothing because a clock was set back", async () => {
    await threeOutputs();
    expect(await removedOf({ olderThanDays: 1, now: Date.now() - 1000 * day })).toEqual([]);
  });
});

describe("verifying", () => {
  const faults = async () => {
    const found: UserError[] = [];
    const looked = await verifyCache(home, (error) => found.push(error));
    return { looked, files: found.map(({ place }) => place.file) };
  };

  test("finds every damaged file by its name, and none where there is none", async () => {
    const run = await Run.begin({
      kind: "test",
      folder: join(home, "results"),
      configuration: {},
      lab: { home },
    });
    const outputs = await threeOutputs(run.lab);
    await run.fail(new Error("enough"));
    expect(await faults()).toEqual({ looked: { outputs: 3, checkpoints: 0, runs: 1 }, files: [] });
    const record = join(home, "runs", run.record.id);
    const files = [
      join(outputs[0].folder, "a.bin"),
      join(outputs[1].folder, "stage.json"),
      join(outputs[2].folder, "manifest.json"),
      join(record, "stages.jsonl"),
    ];
    for (const file of files) await flip(file);
    expect((await faults()).files.sort()).toEqual([...files].sort());
    await flip(join(record, "run.json"));
    expect((await faults()).files).toContain(join(record, "run.json"));
  });

  test("finds an output in another's place", async () => {
    const [first, second] = await threeOutputs();
    await rm(second.folder, { recursive: true });
    await cp(first.folder, second.folder, { recursive: true });
    expect((await faults()).files).toEqual([second.folder]);
  });
});

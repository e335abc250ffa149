import { randomUUID } from "node:crypto";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../errors.js";
import { type Manifest, manifestName, readListed, readManifest } from "../manifest.js";
import { inspectCheckpoint } from "../train/trainer.js";
import { homeLayout } from "./home.js";
import { isLocked } from "./lock.js";
import { aboutName, openOutput } from "./output.js";
import { checkRunLogs, listRuns, readRunStages } from "./run-record.js";

/** An output of a stage that is kept. */
export interface CacheEntry {
  key: string;
  /** Name of the stage; "?" where the entry is too damaged to tell. */
  stage: string;
  /** Of all files together. */
  bytes: number;
  /** When it was last used. */
  used: Date;
  /** Ids of the runs that it is part of. */
  runs: string[];
  /** What was found to be wrong with it, without looking at its files. */
  damage?: string;
}

export interface CacheContents {
  entries: CacheEntry[];
  /** Runs whose list of stages cannot be read: what they use is not known. */
  unreadableRuns: UserError[];
}

/** All outputs in a home, the least recently used first. Says nothing of whether their files are sound. */
export async function listCache(home: string): Promise<CacheContents> {
  const layout = homeLayout(home);
  const unreadableRuns: UserError[] = [];
  const users = new Map<string, string[]>();
  for (const run of listRuns(layout.runs, (error) => unreadableRuns.push(error))) {
    try {
      for (const { key } of readRunStages(join(layout.runs, run.id), run)) {
        const ids = users.get(key) ?? [];
        if (!ids.includes(run.id)) users.set(key, [...ids, run.id]);
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      unreadableRuns.push(error);
    }
  }
  const entries: CacheEntry[] = [];
  for (const key of await keysIn(layout.stages)) {
    entries.push(await describeEntry(layout.stage(key), key, users.get(key) ?? []));
  }
  entries.sort((a, b) => a.used.getTime() - b.used.getTime());
  return { entries, unreadableRuns };
}

async function describeEntry(folder: string, key: string, runs: string[]): Promise<CacheEntry> {
  const used = await stat(join(folder, manifestName)).then(
    ({ mtime }) => mtime,
    () => new Date(0),
  );
  let manifest: Manifest | undefined;
  try {
    manifest = await openOutput(folder, key);
    if (manifest === undefined)
      throw new UserError("the file is missing", { place: { file: join(folder, manifestName) } });
    const about = JSON.parse((await readListed(folder, manifest, aboutName)).toString()) as { name: string };
    return { key, stage: about.name, bytes: bytesOf(manifest), used, runs };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const damage = `${error.place.file}: ${error.message}`;
    return { key, stage: "?", bytes: manifest ? bytesOf(manifest) : 0, used, runs, damage };
  }
}

const bytesOf = ({ files }: Manifest) => Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);

/** Keys of the outputs: folders in folders of their first two letters. */
async function keysIn(stages: string): Promise<string[]> {
  const folders = await namesIn(stages);
  const keys = await Promise.all(folders.map((folder) => namesIn(join(stages, folder))));
  return keys.flat().filter((name) => !name.startsWith("."));
}

const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });

/**
 * Reads every byte of a home: outputs, checkpoints, and the records of runs. Calls `damaged` for each fault that is
 * found; gives the number of outputs, checkpoints and runs that were looked at.
 */
export async function verifyCache(
  home: string,
  damaged: (error: UserError) => void,
): Promise<{ outputs: number; checkpoints: number; runs: number }> {
  const layout = homeLayout(home);
  const look = async (read: () => unknown) => {
    try {
      await read();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      damaged(error);
    }
  };
  const keys = await keysIn(layout.stages);
  for (const key of keys) {
    await look(async () => {
      const folder = layout.stage(key);
      await readManifest(folder);
      await openOutput(folder, key);
    });
  }
  let checkpoints = 0;
  for (const key of await namesIn(layout.works)) {
    for (const name of await namesIn(layout.work(key))) {
      if (!name.endsWith(".safetensors") || name.startsWith(".")) continue;
      checkpoints++;
      const damage = await inspectCheckpoint(join(layout.work(key), name));
      if (damage) damaged(damage);
    }
  }
  let faulty = 0;
  const runs = listRuns(layout.runs, (error) => {
    faulty++;
    damaged(error);
  });
  for (const run of runs) await look(() => checkRunLogs(join(layout.runs, run.id), run));
  return { outputs: keys.length, checkpoints, runs: runs.length + faulty };
}

export interface CollectOptions {
  /** Remove what was not used for so many days. */
  olderThanDays?: number;
  /** Remove the least recently used until the rest has at most so many bytes. */
  maxBytes?: number;
  /** Remove what is part of no run. */
  unreferenced?: boolean;
  /** Only say what would be removed. */
  dryRun?: boolean;
  /** Milliseconds since 1970. */
  now?: number;
}

/**
 * Removes outputs to which any of the conditions applies, and what killed processes have left. What is being computed
 * stays; what is removed and wanted again is computed again.
 *
 * @throws UserError when it is not known what a run uses, and that matters
 */
export async function collectGarbage(
  home: string,
  {
    olderThanDays = Number.POSITIVE_INFINITY,
    maxBytes = Number.POSITIVE_INFINITY,
    unreferenced,
    dryRun,
    now = Date.now(),
  }: CollectOptions,
): Promise<{ removed: CacheEntry[]; kept: CacheEntry[]; leftovers: string[] }> {
  const layout = homeLayout(home);
  const { entries, unreadableRuns } = await listCache(home);
  if (unreferenced && unreadableRuns.length > 0) {
    throw new UserError(
      `it is not known what ${unreadableRuns.length} of the runs use: ${unreadableRuns[0].message}`,
      {
        place: unreadableRuns[0].place,
        hint: "Remove the folders of damaged runs (outgrow cache verify names them), or collect by age or size.",
        exitCode: 1,
      },
    );
  }
  let rest = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  const [removed, kept]: CacheEntry[][] = [[], []];
  for (const entry of entries) {
    // A clock that was set back makes outputs of the future, which are not old.
    const days = Math.max(0, now - entry.used.getTime()) / 86_400_000;
    const goes =
      days > olderThanDays || rest > maxBytes || (unreferenced === true && entry.runs.length === 0);
    if (!goes || (await isLocked(layout.locks, entry.key))) kept.push(entry);
    else {
      removed.push(entry);
      rest -= entry.bytes;
      if (!dryRun) await removeOutput(layout.stage(entry.key));
    }
  }
  const leftovers = await findLeftovers(layout, olderThanDays, now);
  if (!dryRun) for (const path of leftovers) await rm(path, { recursive: true, force: true });
  return { removed, kept, leftovers };
}

/** Takes an output away in one step, so that nobody sees a part of it. */
async function removeOutput(folder: string): Promise<void> {
  const aside = join(dirname(folder), `.${basename(folder)}.old-${randomUUID()}`);
  await rename(folder, aside);
  await rm(aside, { recursive: true, force: true });
}

/** Half-written outputs of processes that are gone, and checkpoints that nobody has gone on from for long. */
async function findLeftovers(
  layout: ReturnType<typeof homeLayout>,
  olderThanDays: number,
  now: number,
): Promise<string[]> {
  const found: string[] = [];
  for (const shard of await namesIn(layout.stages)) {
    for (const name of await namesIn(join(layout.stages, shard))) {
      const key = /^\.([0-9a-f]{64})\./.exec(name)?.[1];
      if (key !== undefined && !(await isLocked(layout.locks, key)))
        found.push(join(layout.stages, shard, name));
    }
  }
  for (const key of await namesIn(layout.works)) {
    const { mtimeMs } = await stat(layout.work(key));
    const old = (now - mtimeMs) / 86_400_000 > olderThanDays;
    if (old && !(await isLocked(layout.locks, key))) found.push(layout.work(key));
  }
  return found;
}

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.js";
import { unseal } from "../manifest.js";
import { readLines } from "./json-lines.js";
import type { StageEvent } from "./lab.js";
import { isGone } from "./lock.js";

export const runFileName = "run.json";
export const stagesFileName = "stages.jsonl";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const texts = z.record(z.string(), z.string());

/** What is known of a run, and all that is needed to repeat it. */
export const runRecordSchema = z.object({
  version: z.literal(1),
  /** Sorts by time, e.g. `fit-2026-03-01T09-30-00-000`. */
  id: z.string().regex(/^[\w.-]+$/),
  /** What was run, e.g. `fit`. */
  kind: z.string(),
  status: z.enum(["running", "done", "failed", "stopped"]),
  /** Where the results are or will be; absolute. */
  folder: z.string(),
  /** As typed, and where. */
  command: z.array(z.string()),
  cwd: z.string(),
  started: z.iso.datetime(),
  ended: z.iso.datetime().optional(),
  /** By a steady clock. */
  seconds: z.number().optional(),
  /** All that the results are a function of, with defaults filled in; files by their hash in `inputs`. */
  configuration: z.record(z.string(), z.unknown()),
  inputs: z.record(z.string(), z.object({ path: z.string(), bytes: z.int(), sha256 })),
  /** Versions and the machine. */
  environment: texts,
  /** The run that this one repeats. */
  repeats: z.string().optional(),
  /** The process. */
  owner: z.object({ host: z.string(), boot: z.string(), pid: z.int(), started: z.string() }),
  /** Headline results, by name. */
  results: z.record(z.string(), z.union([z.number(), z.string(), z.null()])),
  /** SHA-256 of the files of results that another run of the same configuration gives with the same bits. */
  files: z.record(z.string(), sha256).optional(),
  /** SHA-256 of what was written while it went on, once that is complete: stages, metrics. */
  logs: z.record(z.string(), sha256).optional(),
  error: z.string().optional(),
});
export type RunRecord = z.infer<typeof runRecordSchema>;

/** As people see it: a run whose process is gone without a word was interrupted. */
export type RunStatus = RunRecord["status"] | "interrupted";

export function statusOf(record: Pick<RunRecord, "status" | "owner">): RunStatus {
  return record.status === "running" && isGone(record.owner) ? "interrupted" : record.status;
}

const damaged = (path: string, cause?: unknown) =>
  new UserError("the record of the run is damaged", {
    place: { file: path },
    hint: "The run can no longer be told from it. Remove its folder, and run it again.",
    exitCode: 1,
    cause,
  });

/** @throws UserError when the record is missing, or any byte of it altered */
export function readRunRecord(folder: string): RunRecord {
  const path = join(folder, runFileName);
  try {
    return runRecordSchema.parse(unseal(readFileSync(path, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw damaged(path, error);
    throw new UserError("there is no run", {
      place: { file: folder },
      hint: "`outgrow runs` lists the runs.",
      cause: error,
    });
  }
}

/**
 * Looks at what was written while a run went on, byte by byte where the run is over.
 *
 * @throws UserError naming the file that is missing or altered
 */
export function checkRunLogs(folder: string, { logs = {} }: Pick<RunRecord, "logs">): void {
  for (const [name, hash] of Object.entries(logs)) {
    if (hashOfFile(join(folder, name)) !== hash) throw damaged(join(folder, name));
  }
}

/**
 * The stages of a run, in the order in which they ended. Of a run that is over, every byte of the list is as it was written.
 *
 * @throws UserError when the list is damaged
 */
export function readRunStages(folder: string, { logs }: Pick<RunRecord, "logs">): StageEvent[] {
  const path = join(folder, stagesFileName);
  const hash = logs?.[stagesFileName];
  if (hash !== undefined && hashOfFile(path) !== hash) throw damaged(path);
  const lines = readLines<StageEvent>(path);
  const whole = lines.filter((line) => line !== undefined);
  if (whole.length < lines.length) throw damaged(path);
  return whole;
}

export function hashOfFile(path: string): string | undefined {
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** All runs of a home, the latest first. `damaged` is given what is wrong with those that cannot be read. */
export function listRuns(runsFolder: string, damaged: (error: UserError) => void): RunRecord[] {
  let ids: string[];
  try {
    ids = readdirSync(runsFolder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const records: RunRecord[] = [];
  for (const id of ids) {
    if (id.startsWith(".")) continue;
    try {
      records.push(readRunRecord(join(runsFolder, id)));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      damaged(error);
    }
  }
  return records.sort((a, b) =>
    a.started < b.started ? 1 : a.started > b.started ? -1 : a.id < b.id ? 1 : -1,
  );
}

import { closeSync, readdirSync, writeSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { UserError } from "../errors.js";
import { makeFolder, writeError, writeFileAtomic } from "../files.js";
import { seal } from "../manifest.js";
import type { Report } from "../report/index.js";
import { environment } from "./environment.js";
import { homeLayout } from "./home.js";
import { openForLines } from "./json-lines.js";
import { Lab, type LabOptions, type StageEvent } from "./lab.js";
import { processIdentity } from "./lock.js";
import { type MetricsLog, openMetrics } from "./metrics.js";
import { runName, writeRun } from "./run-folder.js";
import { hashOfFile, type RunRecord, runFileName, stagesFileName } from "./run-record.js";

export interface RunSpec {
  /** What is run, e.g. `fit`. */
  kind: string;
  /** Where the results go: a folder that is yet to be made. Default: `runs/` and the id. */
  folder?: string;
  /** All that the results are a function of, with defaults filled in. */
  configuration: Record<string, unknown>;
  /** Files that are read, by what they are for. */
  inputs?: RunRecord["inputs"];
  /** As typed. Default: the arguments of this process. */
  command?: readonly string[];
  /** The run that this one repeats. */
  repeats?: string;
  tensorboard?: boolean;
  lab?: Pick<LabOptions, "home" | "checkpointSeconds" | "lock" | "warn" | "signal">;
  /** Where the run's record is, if not in the lab's home. */
  recordsHome?: string;
  now?: () => Date;
}

export interface RunOutcome {
  report: Report;
  /** Files of results by path inside the folder. */
  files: Readonly<Record<string, string | Uint8Array>>;
  /** Headline results, by name. */
  results: RunRecord["results"];
}

/**
 * A run: a configuration, the lab that its stages run in, and a folder of results at the end. What is known of it is
 * written to `runs/ID` of the home while it happens; at the end the results folder holds all of it too.
 */
export class Run {
  private readonly begun = performance.now();
  private readonly stages: number;
  private readonly metrics: MetricsLog;
  readonly lab: Lab;

  private constructor(
    private current: RunRecord,
    /** What is known of the run while it happens. */
    readonly recordFolder: string,
    { lab, tensorboard, now }: RunSpec,
  ) {
    this.stages = openForLines(join(recordFolder, stagesFileName));
    this.metrics = openMetrics(recordFolder, { tensorboard, now: now && (() => now().getTime()) });
    this.now = now ?? (() => new Date());
    this.lab = new Lab({
      ...lab,
      onStage: (event) =>
        this.keep(() => writeSync(this.stages, `${JSON.stringify(event satisfies StageEvent)}\n`)),
      onMetrics: (event) => this.keep(() => this.metrics.append(event)),
    });
  }
  private readonly now: () => Date;

  get record(): RunRecord {
    return this.current;
  }

  /** @throws UserError when the home cannot be written to */
  static async begin(spec: RunSpec): Promise<Run> {
    const { kind, configuration, inputs = {}, repeats, now = () => new Date() } = spec;
    const home = spec.recordsHome ?? new Lab(spec.lab).home;
    const { runs } = homeLayout(home);
    try {
      await makeFolder(runs);
      const id = await newId(runs, runName(kind, now()));
      const record: RunRecord = {
        version: 1,
        id,
        kind,
        status: "running",
        folder: resolve(spec.folder ?? join("runs", id)),
        command: [...(spec.command ?? process.argv.slice(2))],
        cwd: process.cwd(),
        started: now().toISOString(),
        configuration,
        inputs,
        environment: environment(),
        ...(repeats === undefined ? {} : { repeats }),
        owner: processIdentity,
        results: {},
      };
      const recordFolder = join(runs, id);
      await writeRecord(recordFolder, record);
      return new Run(record, recordFolder, spec);
    } catch (error) {
      throw unwritable(error, home);
    }
  }

  /**
   * Writes the results and marks the run as done. Gives the results folder's absolute path.
   *
   * @throws UserError when the results cannot be written; the run has then failed
   */
  async finish({ report, files, results }: RunOutcome, signal?: AbortSignal): Promise<string> {
    await this.close();
    const { folder } = this.current;
    const { recordFolder } = this;
    const done = this.ended({ status: "done", results });
    try {
      const manifest = await writeRun(folder, { report, files }, signal, async (staging, resultFiles) => {
        for (const name of Object.keys(done.logs ?? {})) {
          await copyFile(join(recordFolder, name), join(staging, name));
        }
        this.current = { ...done, files: resultFiles };
        return seal(this.current);
      });
      await writeRecord(recordFolder, this.current);
      return manifest;
    } catch (error) {
      await this.fail(error, signal?.aborted);
      throw error;
    }
  }

  /** Marks the run as failed, or as stopped by its user. What its stages have finished is kept. */
  async fail(error: unknown, stopped = false): Promise<void> {
    await this.close();
    const message = error instanceof UserError ? error.toString() : String(error);
    this.current = this.ended({ status: stopped ? "stopped" : "failed", error: message });
    // It is about to be told of the first error; that its record cannot be written is no news then.
    await writeRecord(this.recordFolder, this.current).catch(() => {});
  }

  private ended(changes: Partial<RunRecord>): RunRecord {
    return {
      ...this.current,
      ended: this.now().toISOString(),
      seconds: (performance.now() - this.begun) / 1000,
      logs: logsIn(this.recordFolder),
      ...changes,
    };
  }

  private closed = false;
  private async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.lab.close();
    closeSync(this.stages);
    this.metrics.close();
  }

  /** Writes to the record; that it cannot be written is told as what it is. */
  private keep(write: () => void): void {
    try {
      if (!this.closed) write();
    } catch (error) {
      throw unwritable(error, this.recordFolder);
    }
  }
}

/** SHA-256 of all that was written while the run went on. */
function logsIn(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name !== runFileName && !name.startsWith("."));
  return Object.fromEntries(names.sort().map((name) => [name, hashOfFile(join(folder, name)) as string]));
}

/** Makes the record's folder. Two runs may begin in one millisecond, and a clock may show the same time twice. */
async function newId(runs: string, name: string): Promise<string> {
  for (let number = 1; ; number++) {
    const id = number === 1 ? name : `${name}-${number}`;
    try {
      await mkdir(join(runs, id));
      return id;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

const writeRecord = (folder: string, record: RunRecord) =>
  writeFileAtomic(join(folder, runFileName), seal(record));

function unwritable(error: unknown, home: string): unknown {
  const told = writeError(error, home);
  if (!(told instanceof UserError)) return told;
  return new UserError(told.message, {
    place: { file: told.place.file ?? home },
    hint: "What is known of runs is kept there. Set OUTGROW_HOME to a folder that can be written to.",
    exitCode: 1,
    cause: error,
  });
}

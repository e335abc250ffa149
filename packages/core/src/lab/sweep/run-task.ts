import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../errors.js";
import type { Progress } from "../../report/progress.js";
import { type Experiment, parseExperiment, type ResultRow } from "../experiment.js";
import type { Lab, StageEvent } from "../lab.js";
import type { StageOutput } from "../output.js";
import { defineStage, fromValue, given } from "../stage.js";

/** One run, as it is sent to whoever does it. */
export interface RunTask {
  /** Name of the experiment. */
  system: string;
  config: Record<string, unknown>;
  /** See {@link SweepRun.seedsTogether}. */
  seedsTogether?: number[];
}

/** What is sent of a run of a sweep. */
export const taskOf = ({ system, config, seedsTogether }: RunTask): RunTask => ({
  system,
  config,
  seedsTogether,
});

/** How a run ended. */
export type RunOutcome =
  | {
      status: "done";
      /** Key of the stage that holds the rows, in the lab's home or the store. */
      key: string;
      /** Of the rows: runs with the same hash have the same results, bit for bit. */
      hash: string;
      seconds: number;
      /** Its stages, for the record of the sweep. */
      stages: StageEvent[];
    }
  | { status: "failed"; reason: string; attempts: number };

/** The table of a run, so that it is kept, checked and shared as all outputs are. */
const rowsStage = defineStage({
  name: "sweep/rows",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ system: z.string() }),
  inputs: { config: fromValue<Record<string, unknown>>(), rows: fromValue<ResultRow[]>() },
  async run({ inputs, folder }) {
    const lines = inputs.rows.value.map((row) => `${JSON.stringify(row)}\n`);
    await writeFile(join(folder, "rows.jsonl"), lines.join(""));
  },
});

/** The rows of a run that is done. @throws UserError where they are neither here nor in the store */
export async function readRows(lab: Lab, { key }: { key: string }): Promise<ResultRow[]> {
  const output: StageOutput | undefined = await lab.open(rowsStage.name, key);
  if (!output) {
    throw new UserError("the results of a run are neither here nor in the store", {
      place: { file: lab.home },
      hint: "Give the sweep and all its workers the same --store, or the same OUTGROW_HOME on a shared disk.",
      exitCode: 1,
    });
  }
  return output.jsonl<ResultRow>("rows.jsonl");
}

/**
 * Does one run. What it throws is its outcome, so that other runs go on.
 *
 * @param openLab opens the lab that the run works in, and that is closed after it
 */
export async function performRun(
  task: RunTask,
  experiments: readonly Experiment[],
  openLab: (onStage: (event: StageEvent) => void) => Lab,
  { signal, tell }: { signal: AbortSignal; tell: (fraction: number, detail?: string) => void },
): Promise<RunOutcome> {
  const begun = performance.now();
  const stages: StageEvent[] = [];
  const lab = openLab((event) => stages.push(event));
  try {
    const experiment = experiments.find(({ name }) => name === task.system);
    if (!experiment) throw new UserError(`there is no system "${task.system}" here`);
    const config = parseExperiment(experiment, task.config);
    const rows = await experiment.run(config, {
      lab,
      progress: fractionOf(tell),
      signal,
      seedsTogether: task.seedsTogether,
    });
    const { system } = task;
    const { key, hash } = await lab.run(rowsStage, { system }, { config: given(config), rows: given(rows) });
    const seconds = (performance.now() - begun) / 1000;
    return { status: "done", key, hash, seconds, stages };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return { status: "failed", reason: reasonOf(error), attempts: 1 };
  } finally {
    await lab.close();
  }
}

/** What was thrown, in a line or two. */
export function reasonOf(error: unknown): string {
  if (error instanceof UserError) return error.toString();
  if (!(error instanceof Error)) return String(error);
  const line = error.stack
    ?.split("\n")
    .find((text) => /^\s*at /.test(text) && !text.includes("node_modules"));
  return `${error.name}: ${error.message}${line ? ` (${line.trim()})` : ""}`;
}

/** All stages of a run as one fraction: those that ended count whole, a stage counts by its weight. */
function fractionOf(tell: (fraction: number, detail?: string) => void): Progress {
  const stages: { weight: number; fraction: number }[] = [];
  const say = (detail?: string) => {
    const total = stages.reduce((sum, { weight }) => sum + weight, 0);
    tell(stages.reduce((sum, { weight, fraction }) => sum + weight * fraction, 0) / total, detail);
  };
  return {
    begin(name, weight = 1) {
      const stage = { weight, fraction: 0 };
      stages.push(stage);
      return {
        update(fraction, detail) {
          stage.fraction = fraction;
          say(detail ? `${name}: ${detail}` : name);
        },
        done() {
          stage.fraction = 1;
          say(name);
        },
      };
    },
    log: () => {},
    finish: () => {},
  };
}

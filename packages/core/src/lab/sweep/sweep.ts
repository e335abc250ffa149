import { setMaxListeners } from "node:events";
import type { ResultRow } from "../experiment.js";
import type { Lab } from "../lab.js";
import type { Executor } from "./executors.js";
import { type RunOutcome, readRows, reasonOf } from "./run-task.js";
import type { Sweep, SweepRun } from "./spec.js";

/** A run that has ended, with its table. */
export interface EndedRun {
  run: SweepRun;
  outcome: RunOutcome;
  /** Empty where the run failed. */
  rows: ResultRow[];
}

/** Stages that a run had to compute; none where all was there already. */
export const computedStages = (outcome: RunOutcome): number =>
  outcome.status === "done" ? outcome.stages.filter(({ cached }) => !cached).length : 0;

/** What a sweep tells while it goes on. */
export type SweepEvent =
  | { kind: "start"; run: SweepRun }
  | { kind: "progress"; run: SweepRun; fraction: number; detail?: string }
  | { kind: "end"; run: SweepRun; outcome: RunOutcome };

/**
 * Does all runs of a sweep and gives each exactly once, in the order of the sweep. A run that fails is one of them, with
 * its reason; the others go on.
 *
 * @param lab where the rows of runs are read, and which is told of their stages
 */
export async function runSweep(
  sweep: Sweep,
  executor: Executor,
  {
    lab,
    signal,
    onEvent = () => {},
  }: { lab: Lab; signal: AbortSignal; onEvent?: (event: SweepEvent) => void },
): Promise<EndedRun[]> {
  // When the place itself fails, nobody waits for runs that nobody does.
  const broken = new AbortController();
  const either = AbortSignal.any([signal, broken.signal]);
  setMaxListeners(0, either); // all runs wait for it
  const ended = sweep.runs.map(async (run): Promise<EndedRun> => {
    const outcome = await executor.execute(run, {
      signal: either,
      onStart: () => onEvent({ kind: "start", run }),
      onProgress: (fraction, detail) => onEvent({ kind: "progress", run, fraction, detail }),
    });
    const result = await withRows(lab, run, outcome);
    onEvent({ kind: "end", run, outcome: result.outcome });
    return result;
  });
  for (const run of ended) run.catch((error) => broken.abort(error));
  const settled = await Promise.allSettled(ended);
  signal.throwIfAborted();
  const failure = settled.find((result) => result.status === "rejected");
  if (failure) throw broken.signal.aborted ? broken.signal.reason : failure.reason;
  return settled.map((result) => (result as PromiseFulfilledResult<EndedRun>).value);
}

async function withRows(lab: Lab, run: SweepRun, outcome: RunOutcome): Promise<EndedRun> {
  if (outcome.status === "failed") return { run, outcome, rows: [] };
  try {
    for (const event of outcome.stages) lab.options.onStage?.(event);
    return { run, outcome, rows: await readRows(lab, outcome) };
  } catch (error) {
    // Computed, but what arrived here is not what was computed.
    return { run, outcome: { status: "failed", reason: reasonOf(error), attempts: 1 }, rows: [] };
  }
}

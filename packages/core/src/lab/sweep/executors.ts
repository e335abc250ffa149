import { availableParallelism, totalmem } from "node:os";
import { UserError } from "../../errors.js";
import type { Experiment } from "../experiment.js";
import type { Lab, StageEvent } from "../lab.js";
import { ProcessPool, TaskFailure } from "./process-pool.js";
import { performRun, type RunOutcome, type RunTask, taskOf } from "./run-task.js";
import type { Resources, SweepRun } from "./spec.js";

export interface ExecuteOptions {
  signal: AbortSignal;
  /** Called when the run begins, again where it is begun again elsewhere. */
  onStart: () => void;
  onProgress: (fraction: number, detail?: string) => void;
}

/** Where runs are done. The same runs have the same results on each. */
export interface Executor {
  /** In words, e.g. `2 processes here`. */
  readonly place: string;
  /** Runs at the same time, for the time left; null where it is not known. */
  parallel(): Promise<number | null>;
  /** How a run ended; called for all runs at once. Rejects only where the signal aborts or the place itself fails. */
  execute(run: SweepRun, options: ExecuteOptions): Promise<RunOutcome>;
  close(): Promise<void>;
}

/** One run after another in this process: for looking closely, and for stepping through with a debugger. */
export function inThisProcess(
  experiments: readonly Experiment[],
  openLab: (onStage: (event: StageEvent) => void) => Lab,
): Executor {
  let last: Promise<unknown> = Promise.resolve();
  return {
    place: "this process",
    parallel: async () => 1,
    execute(run, { signal, onStart, onProgress }) {
      const mine = last.then(async () => {
        signal.throwIfAborted();
        onStart();
        return performRun(run, experiments, openLab, { signal, tell: onProgress });
      });
      last = mine.catch(() => {});
      return mine;
    },
    close: async () => {},
  };
}

export interface ProcessesOptions {
  /** Module that serves runs: see `serveTasks`. */
  script: URL;
  resources: Resources;
  /** Processes at the same time. Default: as many as the cores and four fifths of the memory allow. */
  workers?: number;
  env?: Readonly<Record<string, string>>;
}

/** Tries of a run whose process ended without an answer. */
const ATTEMPTS = 3;

/** Processes on this machine, which share out its cores and memory. */
export function inProcesses({ script, resources, workers, env }: ProcessesOptions): Executor {
  const size = workers ?? roomFor(resources);
  const pool = new ProcessPool({
    script,
    size,
    memoryBytes: resources.memoryBytes,
    env: { ...env, OUTGROW_THREADS: String(resources.threads) },
  });
  return {
    place: size === 1 ? "1 process here" : `${size} processes here`,
    parallel: async () => size,
    execute: (run, options) => performInPool(pool, taskOf(run), options, ATTEMPTS),
    close: async () => pool.close(),
  };
}

/** How many runs fit on this machine at once. */
function roomFor({ memoryBytes, threads }: Resources): number {
  const byMemory = Math.floor((0.8 * totalmem()) / memoryBytes);
  if (byMemory < 1) {
    throw new UserError(
      `a run needs ${gib(memoryBytes)} of memory, and this machine has ${gib(totalmem())} in all`,
      { hint: "Lower resources.memory, or use a queue with a larger machine.", exitCode: 1 },
    );
  }
  return Math.max(1, Math.min(byMemory, Math.floor(availableParallelism() / threads)));
}

/** A size for people. */
export const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** A run in one of a pool's processes. One that throws has failed; one whose process is lost is tried again. */
export async function performInPool(
  pool: ProcessPool,
  task: RunTask,
  { signal, onStart, onProgress }: Partial<ExecuteOptions>,
  attempts: number,
): Promise<RunOutcome> {
  for (let attempt = 1; ; attempt++) {
    try {
      return (await pool.run(task, { signal, onStart, onProgress })) as RunOutcome;
    } catch (error) {
      if (!(error instanceof TaskFailure)) throw error;
      if (attempt >= attempts || error.isFinal)
        return { status: "failed", reason: error.message, attempts: attempt };
    }
  }
}

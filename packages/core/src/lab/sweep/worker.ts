import { performInPool } from "./executors.js";
import { ProcessPool } from "./process-pool.js";
import { type QueueSettings, serveQueue, type WorkerOptions } from "./queue.js";
import type { RunOutcome } from "./run-task.js";
import { storeVariable } from "./serve-runs.js";
import type { Resources } from "./spec.js";

export interface QueueWorkerOptions
  extends Pick<WorkerOptions, "memoryBytes" | "threads" | "devices" | "onEvent"> {
  /** Module that serves runs: see `serveRuns`. */
  script: URL;
  /** URL of the artifact store; none where all machines share the home. */
  store?: string;
  settings?: Partial<QueueSettings>;
  signal: AbortSignal;
}

/** Takes runs from a queue, and does each in a process of its own, until the signal aborts. */
export async function runWorker(url: string, options: QueueWorkerOptions): Promise<void> {
  const { script, store, threads, signal } = options;
  // Runs of one size and number of threads go through one pool, whose processes are used again.
  const pools = new Map<string, ProcessPool>();
  const poolFor = ({ memoryBytes, threads: each }: Resources) => {
    const key = `${memoryBytes} ${each}`;
    const env = { OUTGROW_THREADS: String(each), ...(store ? { [storeVariable]: store } : {}) };
    const pool = pools.get(key) ?? new ProcessPool({ script, size: threads, memoryBytes, env });
    pools.set(key, pool);
    return pool;
  };
  const perform: WorkerOptions["perform"] = (
    task,
    resources,
    { signal: stop, onProgress },
  ): Promise<RunOutcome> =>
    // The queue counts the tries: there it may be another machine's turn.
    performInPool(poolFor(resources), task, { signal: stop, onProgress }, 1);
  try {
    await serveQueue(url, { ...options, perform, signal });
  } finally {
    for (const pool of pools.values()) pool.close();
  }
}

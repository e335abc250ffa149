/*
 * ONNX Runtime computes on the thread that calls it, so worlds run side by side only on threads of their own. This is
 * the calling side; world-worker.ts is the other.
 */
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import {
  type Lab,
  type LabOptions,
  type MetricsEvent,
  type report,
  type StageEvent,
  UserError,
} from "outgrow";
import type { StudentRecord, StudyConfig } from "./study.js";

/** What a worker tells: a stage begins, gets on, or ends; the records; or why there are none. */
export type WorkerMessage =
  | { kind: "begin"; stage: number; name: string; weight?: number }
  | { kind: "update"; stage: number; fraction: number; detail?: string }
  | { kind: "done"; stage: number; how?: "reused" }
  | { kind: "stage"; event: StageEvent }
  | { kind: "metrics"; event: MetricsEvent }
  | { kind: "warning"; message: string }
  | { kind: "records"; records: StudentRecord[] }
  | { kind: "failed"; error: unknown; user?: ConstructorParameters<typeof UserError>[1] };

export interface WorkerTask {
  config: StudyConfig;
  world: number;
}

/** What of a lab's options a thread can be given. */
export type ThreadLabOptions = Pick<LabOptions, "home" | "checkpointSeconds" | "lock">;

/** A thread that has not stopped by itself after this time is ended. */
const STOPPING_MS = 1000;

// Tests run on the sources, but a thread runs what was built.
const script = import.meta.url.endsWith(".ts") ? "../../dist/w2sg/world-worker.js" : "./world-worker.js";

/** Runs one world in a thread of its own, and passes its progress on. Ends the thread when the signal aborts. */
export function runWorldInThread(
  task: WorkerTask,
  { progress, signal, lab }: { progress: report.Progress; signal: AbortSignal; lab: Lab },
): Promise<StudentRecord[]> {
  const { checkpointSeconds, lock, onStage, onMetrics } = lab.options;
  const labOptions: ThreadLabOptions = { home: lab.home, checkpointSeconds, lock };
  const worker = new Worker(new URL(script, import.meta.url), { workerData: { ...task, labOptions } });
  const stages = new Map<number, report.StageProgress>();
  const result = new Promise<StudentRecord[]>((resolve, reject) => {
    const stop = () => {
      worker.postMessage("stop");
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    worker.on("message", (message: WorkerMessage) => {
      try {
        if (message.kind === "begin") stages.set(message.stage, progress.begin(message.name, message.weight));
        else if (message.kind === "update")
          stages.get(message.stage)?.update(message.fraction, message.detail);
        else if (message.kind === "done") stages.get(message.stage)?.done(message.how);
        else if (message.kind === "stage") onStage?.(message.event);
        else if (message.kind === "metrics") onMetrics?.(message.event);
        else if (message.kind === "warning") lab.warn(message.message);
        else if (message.kind === "records") resolve(message.records);
        else
          reject(
            message.user ? new UserError((message.error as Error).message, message.user) : message.error,
          );
      } catch (error) {
        reject(error);
      }
    });
    worker.on("error", reject);
    worker.on("exit", (code) =>
      reject(new Error(`the thread of world ${task.world + 1} ended with code ${code}`)),
    );
  });
  return result.finally(async () => {
    // One that is stopped gives back its locks, for which others may wait.
    if (signal.aborted) await Promise.race([once(worker, "exit"), setTimeout(STOPPING_MS)]).catch(() => {});
    await worker.terminate();
  });
}

/*
 * ONNX Runtime computes on the thread that calls it, so worlds run side by side only on threads of their own. This is
 * the calling side; study-worker.ts is the other.
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
import type { StudentRecord, StudyConfig, StudyPlace } from "./study.js";

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

/** A task to be solved; without it, the world whose ladder is to be pretrained. */
export interface WorkerTask {
  world: number;
  task?: number;
}

/** What of a lab's options a thread can be given. */
export type ThreadLabOptions = Pick<LabOptions, "home" | "checkpointSeconds" | "lock">;

/** What a thread is started with. */
export interface WorkerSettings {
  config: StudyConfig;
  labOptions: ThreadLabOptions;
}

/** A thread that has not stopped by itself after this time is ended. */
const STOPPING_MS = 1000;

// Tests run on the sources, but a thread runs what was built.
const script = import.meta.url.endsWith(".ts") ? "../../dist/w2sg/study-worker.js" : "./study-worker.js";

/**
 * A thread that works on a study, one thing after another, and passes its progress on. What it has compiled serves all its
 * worlds. When the signal aborts, its work ends with the reason.
 */
export class StudyThread implements StudyPlace {
  private readonly worker: Worker;
  private readonly stages = new Map<number, report.StageProgress>();
  private readonly stop = () => this.worker.postMessage("stop");
  private answer: { resolve(records: StudentRecord[]): void; reject(error: unknown): void } | undefined;

  constructor(
    config: StudyConfig,
    private readonly options: { progress: report.Progress; signal: AbortSignal; lab: Lab },
  ) {
    const { lab, signal } = options;
    const { checkpointSeconds, lock } = lab.options;
    const settings: WorkerSettings = { config, labOptions: { home: lab.home, checkpointSeconds, lock } };
    this.worker = new Worker(new URL(script, import.meta.url), { workerData: settings });
    this.worker.on("message", (message: WorkerMessage) => {
      try {
        this.receive(message);
      } catch (error) {
        this.answer?.reject(error);
      }
    });
    this.worker.on("error", (error) => this.answer?.reject(error));
    this.worker.on("exit", (code) =>
      this.answer?.reject(new Error(`a thread of the study ended with code ${code}`)),
    );
    signal.addEventListener("abort", this.stop, { once: true });
  }

  async pretrain(world: number): Promise<void> {
    await this.perform({ world });
  }

  task(world: number, task: number): Promise<StudentRecord[]> {
    return this.perform({ world, task });
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    const { signal } = this.options;
    signal.removeEventListener("abort", this.stop);
    if (!signal.aborted) this.stop();
    // One that is stopped gives back its locks, for which others may wait.
    await Promise.race([once(this.worker, "exit"), setTimeout(STOPPING_MS)]).catch(() => {});
    await this.worker.terminate();
  }

  private async perform(task: WorkerTask): Promise<StudentRecord[]> {
    const { signal } = this.options;
    signal.throwIfAborted();
    const abort = () => this.answer?.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    return new Promise<StudentRecord[]>((resolve, reject) => {
      this.answer = { resolve, reject };
      this.worker.postMessage(task);
    }).finally(() => signal.removeEventListener("abort", abort));
  }

  private receive(message: WorkerMessage): void {
    const { progress, lab } = this.options;
    if (message.kind === "begin")
      this.stages.set(message.stage, progress.begin(message.name, message.weight));
    else if (message.kind === "update")
      this.stages.get(message.stage)?.update(message.fraction, message.detail);
    else if (message.kind === "done") this.stages.get(message.stage)?.done(message.how);
    else if (message.kind === "stage") lab.options.onStage?.(message.event);
    else if (message.kind === "metrics") lab.options.onMetrics?.(message.event);
    else if (message.kind === "warning") lab.warn(message.message);
    else if (message.kind === "records") this.answer?.resolve(message.records);
    else
      this.answer?.reject(
        message.user ? new UserError((message.error as Error).message, message.user) : message.error,
      );
  }
}

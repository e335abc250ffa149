/* The thread that study-thread.ts starts. */
import { parentPort, workerData } from "node:worker_threads";
import { Lab, type report, UserError } from "outgrow";
import { StudyWork } from "./study.js";
import type { WorkerMessage, WorkerSettings, WorkerTask } from "./study-thread.js";

const tell = (message: WorkerMessage) => parentPort?.postMessage(message);

/** Updates more often than this are not drawn anyway. */
const UPDATE_MS = 50;

let stages = 0;
const progress: report.Progress = {
  begin(name, weight) {
    const stage = stages++;
    let last = 0;
    tell({ kind: "begin", stage, name, weight });
    return {
      update(fraction, detail) {
        if (performance.now() - last < UPDATE_MS) return;
        last = performance.now();
        tell({ kind: "update", stage, fraction, detail });
      },
      done: (how) => tell({ kind: "done", stage, how }),
    };
  },
  log: () => {},
  finish: () => {},
};

const { config, labOptions } = workerData as WorkerSettings;
const stopped = new AbortController();
const lab = new Lab({
  ...labOptions,
  onStage: (event) => tell({ kind: "stage", event }),
  onMetrics: (event) => tell({ kind: "metrics", event }),
  warn: (message) => tell({ kind: "warning", message }),
});
const work = new StudyWork(config, { progress, signal: stopped.signal, lab });

async function perform({ world, task }: WorkerTask): Promise<void> {
  try {
    if (task === undefined) await work.pretrain(world);
    const records = task === undefined ? [] : await work.task(world, task);
    tell({ kind: "records", records });
  } catch (error) {
    const user =
      error instanceof UserError
        ? { place: error.place, hint: error.hint, exitCode: error.exitCode }
        : undefined;
    tell({ kind: "failed", error, user });
  }
}

let running = Promise.resolve();
parentPort?.on("message", (message: WorkerTask | "stop") => {
  if (message !== "stop") {
    running = perform(message);
    return;
  }
  stopped.abort(new Error("stopped"));
  parentPort?.unref(); // the thread ends with its work
  running = running.then(() => lab.close());
});

/* The thread in which world-thread.ts runs a world. */
import { parentPort, workerData } from "node:worker_threads";
import { Lab, type report, UserError } from "outgrow";
import { runWorld } from "./study.js";
import type { ThreadLabOptions, WorkerMessage, WorkerTask } from "./world-thread.js";

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

const { config, world, labOptions } = workerData as WorkerTask & { labOptions: ThreadLabOptions };
const stopped = new AbortController();
parentPort?.once("message", () => stopped.abort(new Error("stopped")));
parentPort?.unref(); // the thread ends with its work
const lab = new Lab({
  ...labOptions,
  onStage: (event) => tell({ kind: "stage", event }),
  onMetrics: (event) => tell({ kind: "metrics", event }),
  warn: (message) => tell({ kind: "warning", message }),
});
try {
  const records = await runWorld(config, world, { progress, signal: stopped.signal, lab });
  await lab.close();
  tell({ kind: "records", records });
} catch (error) {
  const user =
    error instanceof UserError
      ? { place: error.place, hint: error.hint, exitCode: error.exitCode }
      : undefined;
  tell({ kind: "failed", error, user });
}

import { openArtifactStore } from "../artifacts.js";
import type { Experiment } from "../experiment.js";
import { Lab } from "../lab.js";
import { serveTasks } from "./process-pool.js";
import { performRun, type RunTask } from "./run-task.js";

/** Environment variable with the URL of the artifact store of a process that does runs. */
export const storeVariable = "OUTGROW_STORE";

/** The main part of a process that does runs for a pool, in the home and the store that its environment names. */
export async function serveRuns(experiments: readonly Experiment[]): Promise<void> {
  const url = process.env[storeVariable];
  const store = url ? await openArtifactStore(url) : undefined;
  serveTasks((task, tell) =>
    performRun(task as RunTask, experiments, (onStage) => new Lab({ onStage, store, warn: () => {} }), {
      signal: new AbortController().signal,
      tell,
    }),
  );
}

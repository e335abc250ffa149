import { join } from "node:path";
import { type Lab, outgrowHome, Run, type RunOutcome, type RunRecord, runName } from "outgrow";
import { newFolder } from "./new-folder.js";

/** Options that all runs have. */
export interface RunOptions {
  out?: string;
  json?: boolean;
  tensorboard?: boolean;
  /** Least number of seconds between two checkpoints of a training. */
  checkpoint?: number;
}

export interface Job {
  kind: string;
  configuration: Record<string, unknown>;
  inputs?: RunRecord["inputs"];
  /** Does the work in stages of the lab. Gives what the folder is to hold, and prints it for people. */
  work(lab: Lab, signal: AbortSignal): Promise<Work>;
}

export interface Work {
  outcome: RunOutcome;
  /** For `--json`. */
  records: unknown;
  print(folder: string): void;
}

export interface PerformOptions extends RunOptions {
  signal: AbortSignal;
  /** Where stages are kept, if not at home, and the run that is repeated. */
  repeats?: { id: string; home: string };
}

/** Carries a job out as a run, and prints what came out. */
export async function perform(
  { kind, configuration, inputs, work }: Job,
  { out, json, tensorboard, checkpoint, signal, repeats }: PerformOptions,
): Promise<RunRecord> {
  // Before the long work: where the results cannot go is refused here.
  await newFolder(out ?? join("runs", runName(kind)));
  const run = await Run.begin({
    kind,
    folder: out,
    configuration,
    inputs,
    tensorboard,
    repeats: repeats?.id,
    lab: { signal, home: repeats?.home, checkpointSeconds: checkpoint },
    recordsHome: outgrowHome(),
  });
  let done: Work;
  try {
    done = await work(run.lab, signal);
  } catch (error) {
    await run.fail(error, signal.aborted);
    throw error;
  }
  const folder = await run.finish(done.outcome, signal);
  if (json && !repeats) console.log(JSON.stringify({ id: run.record.id, folder, records: done.records }));
  else if (!json) done.print(folder);
  return run.record;
}

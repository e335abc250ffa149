import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { experiments } from "@outgrow/systems";
import {
  type EndedRun,
  type Executor,
  inProcesses,
  inThisProcess,
  inWords,
  Lab,
  labelOf,
  listCache,
  openArtifactStore,
  parseSweep,
  planRun,
  planSweep,
  report,
  runSweep,
  runsTable,
  type Sweep,
  SweepDisplay,
  type SweepEvent,
  storeVariable,
  sweepReport,
  tidyTable,
  toCsv,
  toParquet,
  UserError,
} from "outgrow";
import { type Job, perform, type RunOptions } from "./perform.js";

export interface SweepOptions extends RunOptions {
  dryRun?: boolean;
  workers?: number;
  queue?: string;
  store?: string;
}

const script = new URL("./run-process.js", import.meta.url);

/** `outgrow sweep FILE`: all runs of a sweep file, here or through a queue, and their tables and report. */
export async function sweep(file: string, options: SweepOptions, signal: AbortSignal): Promise<void> {
  const text = await readFile(file, "utf8").catch((cause) => {
    throw new UserError("the sweep file cannot be read", { place: { file }, hint: cause.message, cause });
  });
  const parsed = parseSweep(text, file, experiments);
  if (options.dryRun) return dryRun(parsed, options, signal);

  await perform(sweepJob(parsed, text, options), { ...options, signal });
}

/** The sweep of a run that was recorded. */
export function sweepOfRecord(configuration: Record<string, unknown>): Job {
  const { name, file } = configuration as { name: string; file: string };
  return sweepJob({ ...parseSweep(file, "the recorded sweep file", experiments), name }, file);
}

/** A sweep as a run. Where its runs are done changes nothing in its results. */
export function sweepJob(parsed: Sweep, text: string, options: SweepOptions = {}): Job {
  return {
    kind: "sweep",
    configuration: { name: parsed.name, file: text },
    async work(lab, signal) {
      const begun = performance.now();
      const executor = await executorFor(parsed, options, lab);
      // Results of other machines come from the store.
      const store = options.store === undefined ? undefined : await openArtifactStore(options.store);
      const reader = new Lab({ ...lab.options, home: lab.home, store });
      const display = new SweepDisplay(process.stderr, parsed.runs.length, await executor.parallel());
      const asking = setInterval(async () => display.setParallel(await executor.parallel()), 5000);
      let ended: EndedRun[];
      try {
        const onEvent = (event: SweepEvent) => display.show(event);
        ended = await runSweep(parsed, executor, { lab: reader, signal, onEvent });
      } finally {
        clearInterval(asking);
        display.finish();
        await reader.close();
        await executor.close();
      }
      const seconds = (performance.now() - begun) / 1000;
      const result = await sweepReport(parsed, ended, { experiments, place: executor.place, seconds, text });
      const [results, runs] = [tidyTable(ended), runsTable(ended)];
      const failed = ended.filter(({ outcome }) => outcome.status === "failed").length;
      return {
        records: runs.rows,
        outcome: {
          report: result,
          files: {
            "results.csv": toCsv(results),
            "results.parquet": toParquet(results),
            "runs.csv": toCsv(runs),
            "sweep.yaml": text,
          },
          results: { runs: ended.length, failed },
        },
        print(folder: string) {
          const colour = report.wantsColour();
          for (const table of result.tables) console.log(`\n${report.formatTable(table, { colour })}`);
          console.log(`\n${result.lead}\n`);
          console.log(`Report   ${join(folder, "report.html")}`);
          console.log(`Results  ${join(folder, "results.csv")} (and Parquet), runs.csv`);
          if (failed > 0) process.exitCode = 1;
        },
      };
    },
  };
}

async function executorFor(
  { name, resources }: Sweep,
  { queue, store, workers }: SweepOptions,
  lab: Lab,
): Promise<Executor> {
  if (queue !== undefined) {
    const { throughQueue } = await import("outgrow/queue");
    return throughQueue(queue, resources, { sweep: name, onNotice: (notice) => console.error(notice) });
  }
  if (workers === 0) {
    const shared = store ? await openArtifactStore(store) : undefined;
    return inThisProcess(experiments, (onStage) => new Lab({ home: lab.home, onStage, store: shared }));
  }
  const env = { OUTGROW_HOME: lab.home, ...(store ? { [storeVariable]: store } : {}) };
  return inProcesses({ script, resources, workers, env });
}

/** What would run, and how long it would take, without running it. */
async function dryRun(sweep: Sweep, { json, workers = 1 }: SweepOptions, signal: AbortSignal): Promise<void> {
  const lab = new Lab();
  const plans = [];
  for (const run of sweep.runs) {
    signal.throwIfAborted();
    const experiment = experiments.find(({ name }) => name === run.system);
    if (experiment) plans.push(await planRun(experiment, run, { home: lab.home, signal }));
  }
  const plan = await planSweep(plans, lab.home, (await listCache(lab.home)).entries);
  await lab.close();
  const byName = new Map<string, { cached: number; open: number }>();
  for (const { name, cached } of plan.stages) {
    const counts = byName.get(name) ?? { cached: 0, open: 0 };
    counts[cached ? "cached" : "open"]++;
    byName.set(name, counts);
  }
  if (json) {
    console.log(JSON.stringify({ name: sweep.name, runs: sweep.runs, ...plan }));
    return;
  }
  const shown = sweep.runs.slice(0, 20);
  for (const run of shown) console.log(`${run.id}  ${run.system}  ${labelOf(run)}`);
  if (shown.length < sweep.runs.length) console.log(`and ${sweep.runs.length - shown.length} more`);
  const table = {
    title: `${sweep.runs.length} runs with ${plan.stages.length} different stages (${plan.uses} uses)`,
    columns: [
      { name: "stage" },
      { name: "to compute", align: "right" as const },
      { name: "there already", align: "right" as const },
    ],
    rows: [...byName].map(([name, { open, cached }]) => [name, open, cached]),
  };
  console.log(`\n${report.formatTable(table, { colour: report.wantsColour() })}\n`);
  if (!plan.complete) console.log("What follows from results that are not there yet is not counted.");
  console.log(
    plan.seconds === null
      ? "How long it will take is not known: some of these stages were never computed here."
      : `About ${inWords(plan.seconds / Math.max(1, workers))} of computing${workers > 1 ? ` on ${workers} workers` : ", divided by the number of workers"}.`,
  );
}

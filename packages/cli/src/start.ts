import { availableParallelism } from "node:os";
import { join } from "node:path";
import { w2sg } from "@outgrow/systems";
import { parseConfig, report } from "outgrow";
import { type Job, perform, type RunOptions } from "./perform.js";

export interface StartOptions extends RunOptions {
  worlds?: number;
  tasks?: number;
  seed?: number;
  parallel?: number;
  full?: boolean;
}

/** `outgrow start`: the main system's study, with its table, picture and report. */
export async function start(options: StartOptions, signal: AbortSignal): Promise<void> {
  const { worlds, tasks, seed, full } = options;
  const given = { ...(full ? {} : w2sg.quickConfig), ...defined({ worlds, tasks, seed }) };
  await perform(studyJob(given, options.parallel), { ...options, signal });
}

/** The main system's study as a run. How many worlds run at the same time changes nothing in its results. */
export function studyJob(given: Parameters<typeof w2sg.runStudy>[0], parallel = availableParallelism()): Job {
  const config = parseConfig(w2sg.studySchema, given, "start");
  return {
    kind: "w2sg",
    configuration: config,
    async work(lab, signal) {
      const started = performance.now();
      const progress = report.createProgress(process.stderr, { plan: w2sg.plan(config) });
      let records: w2sg.StudentRecord[];
      try {
        records = await w2sg.runStudy(config, { progress, lab, signal, parallel });
      } finally {
        progress.finish();
      }
      const result = await w2sg.summarise(records, config, (performance.now() - started) / 1000);
      const lines = records.map((record) => JSON.stringify(record)).join("\n");
      return {
        records,
        outcome: {
          report: result,
          files: { "records.jsonl": `${lines}\n` },
          results: w2sg.studyHeadlines(records),
        },
        print(folder) {
          const colour = report.wantsColour();
          for (const table of result.tables) console.log(`\n${report.formatTable(table, { colour })}`);
          for (const mode of config.modes) {
            console.log(`\nPerformance gap recovered (${mode}), 95 % intervals`);
            console.log(w2sg.pgrPicture(records, config, mode, Math.min(100, process.stdout.columns ?? 100)));
          }
          console.log(`\n${result.lead}\n`);
          console.log(`Report   ${join(folder, "report.html")}`);
          console.log(`Figures  ${join(folder, "figures")} (SVG and PNG)`);
          console.log(`Records  ${join(folder, "records.jsonl")}`);
        },
      };
    },
  };
}

/** The entries that were given. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

import { availableParallelism } from "node:os";
import { join } from "node:path";
import { w2sg } from "@outgrow/systems";
import { parseConfig, report, runName, writeRun } from "outgrow";
import { newFolder } from "./new-folder.js";

export interface StartOptions {
  worlds?: number;
  tasks?: number;
  seed?: number;
  parallel?: number;
  full?: boolean;
  out?: string;
  json?: boolean;
}

/** `outgrow start`: the main system's study, with its table, picture and report. */
export async function start(options: StartOptions, signal: AbortSignal): Promise<void> {
  const { worlds, tasks, seed, full, json } = options;
  const given = { ...(full ? {} : w2sg.quickConfig), ...defined({ worlds, tasks, seed }) };
  const config = parseConfig(w2sg.studySchema, given, "start");
  const folder = await newFolder(options.out ?? join("runs", runName("w2sg")));
  const started = performance.now();
  const progress = report.createProgress(process.stderr, { plan: w2sg.plan(given) });
  let records: w2sg.StudentRecord[];
  try {
    records = await w2sg.runStudy(given, {
      progress,
      signal,
      parallel: options.parallel ?? availableParallelism(),
    });
  } finally {
    progress.finish();
  }
  const result = await w2sg.summarise(records, config, (performance.now() - started) / 1000);
  const lines = records.map((record) => JSON.stringify(record)).join("\n");
  const path = await writeRun(folder, { report: result, files: { "records.jsonl": `${lines}\n` } }, signal);

  if (json) {
    console.log(JSON.stringify({ folder: path, records }));
    return;
  }
  const colour = report.wantsColour();
  for (const table of result.tables) console.log(`\n${report.formatTable(table, { colour })}`);
  for (const mode of config.modes) {
    console.log(`\nPerformance gap recovered (${mode}), 95 % intervals`);
    console.log(w2sg.pgrPicture(records, config, mode, Math.min(100, process.stdout.columns ?? 100)));
  }
  console.log(`\n${result.lead}\n`);
  console.log(`Report   ${join(path, "report.html")}`);
  console.log(`Figures  ${join(path, "figures")} (SVG and PNG)`);
  console.log(`Records  ${join(path, "records.jsonl")}`);
}

/** The entries that were given. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

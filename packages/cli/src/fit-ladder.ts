import { join } from "node:path";
import { w2sg } from "@outgrow/systems";
import { type ClassificationData, type Lab, report } from "outgrow";
import type { Work } from "./perform.js";

/** `outgrow fit FILE --ladder WIDTHS`: all pairs of supervisor and student. */
export async function workOnLadder(
  data: ClassificationData,
  config: w2sg.OwnLadderConfig,
  lab: Lab,
  signal: AbortSignal,
): Promise<Work> {
  const started = performance.now();
  const progress = report.createProgress(process.stderr, { plan: w2sg.ownLadderPlan(config) });
  let result: w2sg.OwnLadderResult;
  try {
    result = await w2sg.fitOwnLadder(data, config, { progress, lab, signal });
  } finally {
    progress.finish();
  }
  const { records } = result;
  const summary = await w2sg.summariseOwnLadder(data, result, config, (performance.now() - started) / 1000);
  return {
    records,
    outcome: {
      report: summary,
      files: { "records.jsonl": `${records.map((record) => JSON.stringify(record)).join("\n")}\n` },
      results: w2sg.ownLadderHeadlines(records),
    },
    print(folder) {
      for (const table of summary.tables) {
        console.log(`\n${report.formatTable(table, { colour: report.wantsColour() })}`);
      }
      for (const method of config.methods) {
        console.log(`\n${method}\n${report.strengthPicture(w2sg.strengthOf(records, method))}`);
      }
      console.log(`\n${summary.lead}\n`);
      const peak = process.resourceUsage().maxRSS / 1024;
      console.log(`Peak memory  ${peak.toFixed(0)} MiB`);
      console.log(`Report       ${join(folder, "report.html")}`);
    },
  };
}

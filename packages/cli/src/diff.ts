import { compareRuns, type Difference, isSameRun, type RunComparison } from "outgrow/records";
import { findRun } from "./find-run.js";

/** `outgrow diff ID ID` */
export async function diff(first: string, second: string, { json }: { json?: boolean }): Promise<void> {
  const runs = [await findRun(first), await findRun(second)];
  const comparison = compareRuns(runs[0], runs[1]);
  if (json) {
    const [a, b] = runs.map(({ record }) => record.id);
    console.log(JSON.stringify({ first: a, second: b, same: isSameRun(comparison), ...comparison }));
    return;
  }
  const text = describeComparison(comparison);
  console.log(text === "" ? "The runs do not differ." : text);
}

/** What differs, for people; nothing where nothing does. */
export function describeComparison(comparison: RunComparison): string {
  const { configuration, environment, inputs, results, files, stages } = comparison;
  const sections: [string, string[]][] = [
    ["Configuration", configuration.map(both)],
    ["Environment", environment.map(both)],
    ["Input files (SHA-256)", inputs.map(bothHashes)],
    ["Results", results.map(both)],
    ["Files of results (SHA-256)", files.map(bothHashes)],
    [
      "Stages",
      [
        ...stages.differ.map((difference) => `${bothHashes(difference)}: the same work with other bits`),
        ...counts("only in the first", stages.onlyFirst),
        ...counts("only in the second", stages.onlySecond),
      ],
    ],
  ];
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${title}\n${lines.map((line) => `  ${line}`).join("\n")}`)
    .join("\n");
}

const show = (value: unknown) =>
  value === undefined ? "—" : typeof value === "string" ? value : JSON.stringify(value);
const both = ({ path, first, second }: Difference) => `${path}: ${show(first)} → ${show(second)}`;
const bothHashes = ({ path, first, second }: Difference) =>
  `${path}: ${show(first).slice(0, 12)} → ${show(second).slice(0, 12)}`;
const counts = (where: string, stages: Record<string, number>) =>
  Object.entries(stages).map(([name, number]) => `${number} of ${name} ${where}`);

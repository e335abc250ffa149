import { collectGarbage, listCache, outgrowHome, UserError, verifyCache } from "outgrow";
import { alignColumns, formatBytes } from "./columns.js";

const age = (date: Date): string => {
  const minutes = Math.max(0, Date.now() - date.getTime()) / 60_000;
  if (minutes < 120) return `${Math.round(minutes)} min`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
};

/** `outgrow cache ls` */
export async function listOutputs({ json }: { json?: boolean }): Promise<void> {
  const home = outgrowHome();
  const { entries, unreadableRuns } = await listCache(home);
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  if (json) {
    console.log(JSON.stringify({ home, bytes, entries, unreadableRuns: unreadableRuns.map(String) }));
    return;
  }
  const rows = entries.map((entry) => [
    entry.key.slice(0, 12),
    entry.damage === undefined ? entry.stage : `damaged: ${entry.damage}`,
    formatBytes(entry.bytes),
    age(entry.used),
    entry.runs.length > 2 ? `${entry.runs[0]} (+${entry.runs.length - 1})` : entry.runs.join(", ") || "none",
  ]);
  for (const line of alignColumns([["KEY", "STAGE", "SIZE", "USED", "RUNS"], ...rows])) console.log(line);
  console.log(`${entries.length} outputs, ${formatBytes(bytes)}, in ${home}`);
  for (const error of unreadableRuns) console.error(`outgrow: ${error.toString()}`);
}

export interface CollectCommand {
  older?: number;
  size?: number;
  unreferenced?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

/** `outgrow cache gc` */
export async function collect({ older, size, unreferenced, dryRun, json }: CollectCommand): Promise<void> {
  if (older === undefined && size === undefined && !unreferenced) {
    throw new UserError("say what may go: --older DAYS, --size BYTES, --unreferenced, or several of them", {
      hint: "With --dry-run nothing is removed. What is removed and wanted again is computed again.",
    });
  }
  const home = outgrowHome();
  const options = { olderThanDays: older, maxBytes: size, unreferenced, dryRun };
  const { removed, kept, leftovers } = await collectGarbage(home, options);
  const freed = removed.reduce((sum, { bytes }) => sum + bytes, 0);
  if (json) {
    console.log(
      JSON.stringify({ home, dryRun: dryRun ?? false, removed, kept: kept.length, freed, leftovers }),
    );
    return;
  }
  for (const { key, stage, bytes, used } of removed) {
    console.log(`${key.slice(0, 12)}  ${stage}, ${formatBytes(bytes)}, used ${age(used)} ago`);
  }
  for (const path of leftovers) console.log(`${path}: left by a process that is gone`);
  const verb = dryRun ? "would be removed" : "removed";
  console.log(
    `${removed.length} outputs (${formatBytes(freed)}) and ${leftovers.length} leftovers ${verb}, ${kept.length} kept`,
  );
}

/** `outgrow cache verify`: the exit code is 1 where anything is damaged. */
export async function verify({ json }: { json?: boolean }): Promise<void> {
  const home = outgrowHome();
  const damaged: UserError[] = [];
  const looked = await verifyCache(home, (error) => damaged.push(error));
  if (json) {
    const faults = damaged.map(({ message, place }) => ({ file: place.file, message }));
    console.log(JSON.stringify({ home, ...looked, damaged: faults }));
  } else {
    for (const { message, place } of damaged) console.log(`${place.file}: ${message}`);
    const { outputs, checkpoints, runs } = looked;
    console.log(
      `${outputs} outputs, ${checkpoints} checkpoints and ${runs} runs: ${damaged.length || "nothing"} damaged`,
    );
    if (damaged.length > 0)
      console.log("Damaged outputs and checkpoints are never used: they are computed again when needed.");
  }
  if (damaged.length > 0) process.exitCode = 1;
}

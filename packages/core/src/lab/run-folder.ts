import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { commitFolder } from "../files.js";
import { type Figure, type Report, renderReport, writeFigures } from "../report/index.js";

export interface RunResult {
  report: Report;
  /** Further files by path inside the folder, e.g. `predictions.csv`. */
  files: Readonly<Record<string, string | Uint8Array>>;
}

/**
 * Writes a run's folder, whole or not at all: `report.html`, `figures/NAME.svg` and `.png`, the given files, `run.json`
 * (configuration, seed, versions, machine), and a manifest with their hashes.
 *
 * @param describe gives the text of `run.json`, and may add files; it is told the SHA-256 of the files and figures
 * @returns the folder's absolute path
 */
export async function writeRun(
  folder: string,
  { report, files }: RunResult,
  signal?: AbortSignal,
  describe: (staging: string, results: Record<string, string>) => Promise<string> = async () => {
    const { configuration, environment } = report;
    return `${JSON.stringify({ configuration, environment }, null, 2)}\n`;
  },
): Promise<string> {
  await commitFolder(
    folder,
    async (staging) => {
      await writeFile(join(staging, "report.html"), renderReport(report));
      const figures: readonly Figure[] = report.figures;
      await mkdir(join(staging, "figures"));
      const written: Record<string, string> = {};
      const write = async (file: string, content: string | Uint8Array) => {
        await writeFile(file, content);
        written[relative(staging, file).replaceAll("\\", "/")] = createHash("sha256")
          .update(content)
          .digest("hex");
      };
      await writeFigures([...figures], join(staging, "figures"), write);
      for (const [path, content] of Object.entries(files)) {
        const file = join(staging, path);
        if (relative(staging, file).startsWith("..")) throw new TypeError(`"${path}" is not in the folder.`);
        await mkdir(dirname(file), { recursive: true });
        await write(file, content);
      }
      await writeFile(join(staging, "run.json"), await describe(staging, written));
    },
    { signal },
  );
  return resolve(folder);
}

/** A name for a run's folder that sorts by time, e.g. `w2sg-2026-03-01T09-30-00-000`. */
export function runName(kind: string, now = new Date()): string {
  return `${kind}-${now.toISOString().slice(0, -1).replaceAll(/[:.]/g, "-")}`;
}

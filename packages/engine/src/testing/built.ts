import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

/** Compiles the package, so that other processes, threads and browsers can run it as it is published. */
export function buildEngine(): void {
  const tsc = `${root}node_modules/typescript/bin/tsc`;
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, "-b", "packages/engine"], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the build failed:\n${stdout}${stderr}`);
}

/** The path of a compiled module, e.g. of "testing/training.js". */
export const built = (module: string): string => `${root}packages/engine/dist/${module}`;

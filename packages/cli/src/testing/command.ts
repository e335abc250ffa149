/* The command as it is run: compiled, in a process of its own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const packages = fileURLToPath(new URL("../../../", import.meta.url));
export const main = join(packages, "cli/dist/main.js");

/** Compiles what is not compiled yet. */
export function ensureBuilt(): void {
  if (isBuilt()) return;
  const tsc = join(packages, "../node_modules/typescript/bin/tsc");
  const built = spawnSync(process.execPath, [tsc, "-b"], { cwd: dirname(packages), encoding: "utf8" });
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`);
}

/** Whether no source is newer than the last build. */
function isBuilt(): boolean {
  return ["engine", "core", "systems", "cli"].every((name) => {
    const build = join(packages, name, "dist/.tsbuildinfo");
    if (!existsSync(build) || !existsSync(main)) return false;
    const sources = readdirSync(join(packages, name, "src"), { recursive: true, withFileTypes: true });
    const newest = Math.max(
      ...sources.map((entry) => (entry.isFile() ? statSync(join(entry.parentPath, entry.name)).mtimeMs : 0)),
    );
    return newest <= statSync(build).mtimeMs;
  });
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  cwd: string;
  env: Record<string, string>;
  /** Sees what was said on stderr so far. */
  onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  onStart?: (child: ChildProcess) => void;
}

/** Runs the command in a folder. */
export function runCommand(
  args: readonly string[],
  { cwd, env, onStderr, onStart }: CommandOptions,
): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  onStart?.(child);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
    onStderr?.(stderr, (signal) => child.kill(signal));
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs a command to its end, which must be a good one. Gives what it printed as JSON. */
export async function runForJson<T>(args: readonly string[], options: CommandOptions): Promise<T> {
  const { code, stdout, stderr } = await runCommand([...args, "--json"], options);
  if (code !== 0) throw new Error(`outgrow ${args.join(" ")} ended with ${code}:\n${stderr}`);
  return JSON.parse(stdout) as T;
}

import { spawnSync } from "node:child_process";

/**
 * Runs a command quietly and says in one line what is done and how long it took. Its output is shown only if it fails.
 * All goes to standard error: the output is for the command that follows.
 */
export function step(title, command, args, { advise = () => "", ...options } = {}) {
  process.stderr.write(`${title} ... `);
  const started = performance.now();
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    ...options,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
  if (status === 0) return console.error(seconds);
  console.error(`failed after ${seconds}`);
  const output = error ? error.message : `${stdout}${stderr}`;
  console.error(
    [output.trimEnd(), `\nThis step failed: ${title}.`, advise(output)].filter(Boolean).join("\n"),
  );
  process.exit(status || 1);
}

// npm start and npm run outgrow: sets up where needed, then runs the outgrow command with the given arguments.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { inRoot, setup } from "./setup.mjs";

setup();

// In a process group of its own, because Ctrl-C in a terminal goes to every process of the group, and npm passes it on
// to this one as well: the job gets it once, from here.
const own = process.platform !== "win32";
const job = spawn(process.execPath, [inRoot("packages/cli/dist/main.js"), ...process.argv.slice(2)], {
  stdio: "inherit",
  detached: own,
});
let lastInterrupt = Number.NEGATIVE_INFINITY;
process.on("SIGINT", () => {
  const now = performance.now();
  if (own && now - lastInterrupt > 300) job.kill("SIGINT");
  lastInterrupt = now;
});
for (const signal of own ? ["SIGTERM", "SIGHUP", "SIGWINCH"] : []) process.on(signal, () => job.kill(signal));
job.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));

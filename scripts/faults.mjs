// npm run faults [-- --kills 200] [--seed TEXT]: the tests under fault, with more kills and longer
// cuts than in `npm test`.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "200" },
    seed: { type: "string", default: String(Date.now()) },
  },
});
const root = dirname(import.meta.dirname);
console.log(`${values.kills} kills, seed ${values.seed}`);
const { status } = spawnSync(
  process.execPath,
  [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "packages/cli/src/faults.test.ts",
    "packages/core/src/lab/sweep/queue.test.ts",
    "--reporter=verbose",
  ],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      OUTGROW_KILLS: values.kills,
      OUTGROW_KILL_SEED: values.seed,
      OUTGROW_FAULTS: "long",
    },
  },
);
process.exit(status ?? 1);

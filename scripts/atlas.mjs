// Runs all studies at their full size and keeps their measures in docs/atlas.json. Arguments are those of `outgrow reproduce --all`.

import { spawnSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join("runs", `atlas-${new Date().toISOString().slice(0, -1).replaceAll(/[:.]/g, "-")}`);
const args = [
  join(root, "scripts/outgrow.mjs"),
  "reproduce",
  "--all",
  "--out",
  out,
  ...process.argv.slice(2),
];
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
if (status === 0) {
  copyFileSync(join(root, out, "atlas.json"), join(root, "docs/atlas.json"));
  console.log("Kept in  docs/atlas.json");
}
process.exitCode = status ?? 1;

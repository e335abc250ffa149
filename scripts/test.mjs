// npm test: sets up (which checks the types), lints and runs the tests. Arguments go to vitest:
// npm test -- packages/core/src/measure -t "bootstrap"
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inRoot, root, setup } from "./setup.mjs";
import { step } from "./steps.mjs";

setup();
const biome = inRoot("node_modules/@biomejs/biome/bin/biome");
step("Linting", process.execPath, [biome, "check", "--error-on-warnings", "."], {
  cwd: root,
  advise: () => "npm run format mends what can be mended by itself.",
});

console.log("Testing");
const folder = mkdtempSync(join(tmpdir(), "outgrow-test-"));
const countsFile = join(folder, "counts.json");
const reporters = ["--reporter=default", `--reporter=${inRoot("scripts/count-reporter.mjs")}`];
const { status } = spawnSync(
  process.execPath,
  [inRoot("node_modules/vitest/vitest.mjs"), "run", ...reporters, ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, OUTGROW_TEST_COUNTS: countsFile },
  },
);
const counts = existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, "utf8")) : {};
rmSync(folder, { recursive: true });
const { passed = 0, skipped = 0 } = counts;
// Whatever made it fail, a failed run does not say that nothing failed.
const failed = counts.failed || (status === 0 ? 0 : 1);
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
process.exit(status ?? 1);

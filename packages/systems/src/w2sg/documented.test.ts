import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import * as w2sg from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/w2sg.md", import.meta.url)),
  "utf8",
);

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-documented-"));
  vi.stubEnv("OUTGROW_HOME", home);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(home, { recursive: true });
});

test("the page's student outgrows labels that are wrong at random", { timeout: 60_000 }, async () => {
  const code = (page.match(/```ts\n([\s\S]*?)```/) as RegExpMatchArray)[1];
  const body = code
    .replace(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/, "const $1 = systems;")
    .replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;");
  const lines: unknown[][] = [];
  // Only this page's own text is run.
  const run = new Function("systems", "outgrow", "console", `return (async () => {${body}})();`);
  await run({ w2sg }, outgrow, { log: (...values: unknown[]) => lines.push(values) });
  const [record] = lines[0] as [Record<"weakAccuracy" | "studentAccuracy" | "ceilingAccuracy", number>];
  expect(record.weakAccuracy).toBeLessThan(0.95);
  expect(record.studentAccuracy).toBeGreaterThan(record.weakAccuracy);
  expect(record.ceilingAccuracy).toBeGreaterThan(record.weakAccuracy);
});

test("the page names every method of fit", () => {
  for (const { name } of outgrow.methods) expect(page).toContain(`\`${name}\``);
});

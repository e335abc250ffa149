import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { expect, test } from "vitest";
import * as coverageExpansion from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/coverage-expansion.md", import.meta.url)),
  "utf8",
);

test("the page's example corrects its weak labels, and the bound says so", () => {
  const [, code] = page.match(/```js\n([\s\S]*?)```/) as RegExpMatchArray;
  const body = code
    .replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;")
    .replace(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/, "const $1 = systems;");
  const logged: number[][] = [];
  // Only this page's own text is run.
  const run = new Function("outgrow", "systems", "console", body);
  run(outgrow, { coverageExpansion }, { log: (...values: number[]) => logged.push(values) });
  expect(logged).toHaveLength(2);
  for (const [weakError, error, expansion, bound] of logged) {
    expect(weakError).toBeCloseTo(0.25, 1);
    expect(error).toBeLessThan(0.1);
    expect(expansion).toBeGreaterThan(0.85);
    expect(bound).toBeGreaterThanOrEqual(error - 0.02);
    expect(bound).toBeLessThan(0.15);
  }
});

test("the page names functions that are there", () => {
  const [table] = page.match(/\| function [\s\S]*?\n\n/) as RegExpMatchArray;
  for (const [, name] of table.matchAll(/`(?:coverageExpansion\.)?(\w+)`/g)) {
    expect({ ...outgrow, ...coverageExpansion }, name).toHaveProperty(name);
  }
});

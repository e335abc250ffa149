import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { expect, test } from "vitest";
import * as misfitGain from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/misfit-gain.md", import.meta.url)),
  "utf8",
);

test("the page's example does what it says", async () => {
  const [, code] = page.match(/```js\n([\s\S]*?)```/) as RegExpMatchArray;
  const body = code
    .replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;")
    .replace(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/, "const $1 = systems;");
  const logged: unknown[][] = [];
  // Only this page's own text is run.
  const run = new Function("outgrow", "systems", "console", body);
  run(outgrow, { misfitGain }, { log: (...values: unknown[]) => logged.push(values) });
  const [[chosen, ranking, warnings]] = logged as [[string, outgrow.RankedSupervisor[], string[]]];
  expect(chosen).toBe("crowd");
  const [crowd, rule] = ranking;
  expect(crowd.weakError).toBeGreaterThan(rule.weakError);
  expect(Math.abs(crowd.score)).toBeLessThan(0.15);
  expect(rule.score).toBeGreaterThan(0.4);
  expect(warnings.every((text) => text.startsWith("misfit is above"))).toBe(true);
});

test("the page names functions that are there", () => {
  for (const [, name] of page.matchAll(/^\| `(?:misfitGain\.)?(\w+)`/gm)) {
    expect({ ...outgrow, ...misfitGain }, name).toHaveProperty(name);
  }
});

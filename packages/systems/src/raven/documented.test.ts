import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { expect, test } from "vitest";
import * as raven from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/raven.md", import.meta.url)),
  "utf8",
);

test("the page's example takes the weight from the model that is wrong", async () => {
  const code = (page.match(/```ts\n([\s\S]*?)```/) as RegExpMatchArray)[1];
  const body = code
    .replace(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/, "const $1 = systems;")
    .replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;");
  const lines: unknown[][] = [];
  // Only this page's own text is run.
  const run = new Function("systems", "outgrow", "console", `return (async () => {${body}})();`);
  await run({ raven }, outgrow, { log: (...values: unknown[]) => lines.push(values) });
  const [weights, predicted, warnings] = lines[0] as [number[], Int32Array, string[]];
  expect(weights[2]).toBeLessThan(0.2);
  expect(weights[0]).toBe(weights[1]);
  expect([...predicted]).toEqual([0, 0, 0, 1, 1, 1]);
  expect(warnings).toEqual([]);
});

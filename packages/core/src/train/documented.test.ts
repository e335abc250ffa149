import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as outgrow from "../index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/pretraining-and-finetuning.md", import.meta.url)),
  "utf8",
);

test("the page's example of pretraining and finetuning does what it says", async () => {
  const [, code] = page.match(/```js\n([\s\S]*?)```/) as RegExpMatchArray;
  const body = code.replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;");
  const logged: unknown[][] = [];
  // Only this page's own text is run.
  const run = new Function("outgrow", "console", `return (async () => {${body}})();`);
  await run(outgrow, { log: (...values: unknown[]) => logged.push(values) });
  const [[first, last, perplexity], [means]] = logged as [number[], number[][]];
  expect(last).toBeLessThan(first / 3);
  expect(perplexity).toBeLessThan(Math.exp(first) / 10);
  for (const mean of means) expect(mean).toBeGreaterThan(-0.2);
});

test("the page names functions and options that are there", () => {
  for (const [, name] of page.matchAll(/`([a-z]+[A-Z]\w+)`/g)) {
    const isOption = ["microBatches"].includes(name);
    if (!isOption) expect(outgrow, name).toHaveProperty(name);
  }
});

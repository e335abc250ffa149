import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { expect, test } from "vitest";
import * as wtsBeyondAccuracy from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/wts-beyond-accuracy.md", import.meta.url)),
  "utf8",
);

test("the page's example does what it says", async () => {
  const [, code] = page.match(/```ts\n([\s\S]*?)```/) as RegExpMatchArray;
  const body = code
    .replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;")
    .replace(/import \{ wtsBeyondAccuracy \} from "@outgrow\/systems";/, "");
  const logged: boolean[][] = [];
  // Only this page's own text is run.
  const run = new Function("outgrow", "wtsBeyondAccuracy", "console", `return (async () => {${body}})();`);
  await run(outgrow, wtsBeyondAccuracy, { log: (...values: boolean[]) => logged.push(values) });
  expect(logged).toEqual([[true, false]]);
}, 60_000);

test("what the page names is there", () => {
  const all = { ...outgrow, ...wtsBeyondAccuracy };
  const named = [
    ...page.matchAll(
      /`((?:read|require|write|class|kendall|toxicity|distinct|least)\w+|\w+(?:Trainer|Sampling))`/g,
    ),
  ];
  expect(named.length).toBeGreaterThan(9);
  for (const [, name] of named) expect(all, name).toHaveProperty(name);
});

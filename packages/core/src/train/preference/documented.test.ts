import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as outgrow from "../../index.js";
import { needsReference, type PreferenceLoss } from "./losses.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../../docs/preferences-rewards-teachers.md", import.meta.url)),
  "utf8",
);

test("the page's example does what it says", async () => {
  const [, code] = page.match(/```js\n([\s\S]*?)```/) as RegExpMatchArray;
  const body = code.replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;");
  const logged: number[][] = [];
  // Only this page's own text is run.
  const run = new Function("outgrow", "console", `return (async () => {${body}})();`);
  await run(outgrow, { log: (...values: number[]) => logged.push(values) });
  const [[accuracy], [before, after]] = logged;
  expect(accuracy).toBe(1);
  expect(after).toBeGreaterThan(before + 0.5);
});

test("the page's table says which losses need a reference, and all functions that it names are there", () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \| (yes|no) \|/gm)];
  const pairs = rows.filter(([, name]) => !(name in outgrow));
  expect(pairs.map(([, name]) => name)).toEqual(["dpo", "ipo", "hinge", "slic", "simpo", "orpo"]);
  for (const [, name, reference] of pairs) {
    expect(needsReference({ name } as PreferenceLoss)).toBe(reference === "yes");
  }
  const named = [...page.matchAll(/`([a-zA-Z]+)(?:\(|`)/g)].map(([, name]) => name);
  const functions = named.filter((name) =>
    /Train|Loss$|Scorer|Checkpoint|distil|scoreTexts|Vector|^weighted/.test(name),
  );
  expect(functions.length).toBeGreaterThan(10);
  for (const name of functions) expect(outgrow, name).toHaveProperty(name);
});

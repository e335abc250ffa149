import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { expect, test } from "vitest";
import * as linearToNonlinear from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/linear-to-nonlinear.md", import.meta.url)),
  "utf8",
);

test("the page's example prints what the page says", async () => {
  const [, example] = page.match(/```ts\n([\s\S]*?)```/) as RegExpMatchArray;
  const body = example
    .replace(/import (\{[\s\S]*?\}) from "outgrow";/, "const $1 = outgrow;")
    .replace(/import \{ linearToNonlinear as l2n \} from "@outgrow\/systems";/, "");
  const lines: unknown[][] = [];
  // Only this page's own text is run.
  const run = new Function("outgrow", "l2n", "console", `return (async () => {${body}})();`);
  await run(outgrow, linearToNonlinear, { log: (...values: unknown[]) => lines.push(values) });
  expect(example).toContain(`// ${lines[0].join(" ")}`);
});

test("the page names functions that are there", () => {
  const names = [...page.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
  );
  expect(names.length).toBeGreaterThan(8);
  for (const name of names) expect(linearToNonlinear).toHaveProperty(name);
});

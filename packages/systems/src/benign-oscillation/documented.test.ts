import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { expect, test } from "vitest";
import * as benignOscillation from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/benign-oscillation.md", import.meta.url)),
  "utf8",
);

test.each([...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => [code]))(
  "an example prints what the page says: %s",
  async (example) => {
    const body = example
      .replaceAll(/import (\{[\s\S]*?\}) from "outgrow";/g, "const $1 = outgrow;")
      .replaceAll(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/g, "const $1 = systems;");
    const lines: unknown[][] = [];
    // Only this page's own text is run.
    const run = new Function("systems", "outgrow", "console", `return (async () => {${body}})();`);
    await run({ benignOscillation }, outgrow, { log: (...values: unknown[]) => lines.push(values) });
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(example).toContain(`// ${line.join(" ")}`);
  },
);

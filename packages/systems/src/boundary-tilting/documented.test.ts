import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as jax from "@jax-js/jax";
import * as engine from "@outgrow/engine";
import { expect, test } from "vitest";
import * as boundaryTilting from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/boundary-tilting.md", import.meta.url)),
  "utf8",
);

test.each([...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => [code]))(
  "an example prints what the page says: %s",
  async (example) => {
    const body = example
      .replaceAll(/import \{ numpy as np \} from "@jax-js\/jax";/g, "const np = jax.numpy;")
      .replaceAll(/import (\{[\s\S]*?\}) from "@outgrow\/engine";/g, "const $1 = engine;")
      .replaceAll(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/g, "const $1 = systems;");
    const lines: unknown[][] = [];
    // Only this page's own text is run.
    const run = new Function("systems", "engine", "jax", "console", `return (async () => {${body}})();`);
    await run({ boundaryTilting }, engine, jax, { log: (...values: unknown[]) => lines.push(values) });
    expect(example).toContain(`// ${lines[0].join(" ")}`);
  },
);

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "./compile.js";
import { knownDevices } from "./devices.js";
import type { CompileOptions } from "./executable.js";
import * as engine from "./index.js";
import { OPSET } from "./onnx/model.js";
import { type DType, zeros } from "./tensor.js";
import { buildEngine } from "./testing/built.js";
import type { NewShapesOptions } from "./variants.js";

const folder = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(folder, "README.md"), "utf8");

/** The cells of the table under a heading, without its own heading. */
function table(heading: string): string[][] {
  const section = readme.split(`\n## ${heading}\n`)[1].split("\n## ")[0];
  return section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
const names = (cell: string) => [...cell.matchAll(/`(\w+)`/g)].map((match) => match[1]);
const firstNames = (heading: string) => table(heading).map(([first]) => names(first)[0]);

/** The primitives of the jax-js that is installed, by its own declaration. */
function primitivesOfJax(): string[] {
  const entry = createRequire(import.meta.url).resolve("@jax-js/jax");
  const types = readFileSync(join(dirname(entry), "index.d.ts"), "utf8");
  const [declaration] = types.match(/declare enum Primitive \{[^}]*\}/) as RegExpMatchArray;
  return [...declaration.matchAll(/ = "(\w+)"/g)].map((match) => match[1]);
}

describe("the README", () => {
  beforeAll(buildEngine, 120_000);

  it("has an example that does what it says, pasted into a file beside the built package", () => {
    const [, example] = readme.match(/```js\n([\s\S]*?)```/) as RegExpMatchArray;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-"], {
      cwd: folder,
      input: example,
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const [, ...promised] = example.match(/\/\/ (\S+) and (\S+)/) as RegExpMatchArray;
    const printed = stdout.trim().split(" ");
    promised.forEach((value, i) => {
      expect(Number(printed[i])).toBeCloseTo(Number(value), 4);
    });
  });

  it("has every primitive of jax-js once, by what becomes of it", () => {
    const [lowered, unfolded, ...others] = table("Primitives of jax-js").map(([, cell]) => names(cell));
    const all = primitivesOfJax();
    expect(all).toContain("dot");
    expect([...lowered].sort()).toEqual([...engine.loweredPrimitives].sort());
    expect(unfolded).toEqual(["jit"]);
    expect([...lowered, ...unfolded, ...others.flat()].sort()).toEqual([...all].sort());
  });

  it("has every device, option, element type and error", async () => {
    expect(firstNames("Devices")).toEqual([...knownDevices]);
    const options: Record<keyof (CompileOptions & NewShapesOptions), true> = {
      name: true,
      device: true,
      threads: true,
      outputNames: true,
      deterministic: true,
      fallback: true,
      arena: true,
      cache: true,
      checkFinite: true,
      onNewShapes: true,
      maxVariants: true,
    };
    expect(firstNames("Options")).toEqual(Object.keys(options));
    const types: Record<DType, true> = {
      float32: true,
      float64: true,
      float16: true,
      int32: true,
      uint32: true,
      bool: true,
    };
    expect(firstNames("Element types")).toEqual(Object.keys(types));
    for (const [, data] of table("Element types")) expect(data).toMatch(/^`\w+Array`/);
    for (const [dtype, data] of table("Element types").map((row) => row.map((cell) => names(cell)[0]))) {
      const program = await compile((x: unknown) => x, [zeros([2], dtype as DType)] as never);
      const result = (await (program.run as (x: unknown) => Promise<unknown>)(
        zeros([2], dtype as DType),
      )) as engine.Tensor;
      expect([result.dtype, result.data.constructor.name]).toEqual([dtype, data]);
      await program.dispose();
    }
    const errors = Object.keys(engine).filter((name) => name.endsWith("Error"));
    expect(firstNames("Errors").sort()).toEqual(errors.sort());
  });

  it("tells what is exported, and the opset", () => {
    for (const name of Object.keys(engine).filter((name) => !name.endsWith("Error"))) {
      if (name !== "loweredPrimitives" && name !== "namedLeaves") expect(readme).toContain(`\`${name}`);
    }
    expect(readme).toContain(`opset ${OPSET},`);
  });
});

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { codeVersion } from "./code-version.js";

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-code-"));
});
afterEach(() => rm(parent, { recursive: true }));

const files = {
  "package.json": `{"name": "mine", "version": "1.0.0"}`,
  "src/stage.js": `import { a } from "./a.js";\nimport z from "dep";\nimport fs from "node:fs";`,
  "src/a.js": `export const a = await import("./lazy.js");\nnew Worker(new URL("./worker.js", import.meta.url));`,
  "src/lazy.js": `export * from './stage.js'; // a cycle`,
  "src/worker.js": `import "./of-worker.js";`,
  "src/of-worker.js": "1;",
  "src/other.js": "2;",
  "node_modules/dep/package.json": `{"name": "dep", "version": "2.0.0", "main": "main.js"}`,
  "node_modules/dep/main.js": "3;",
};

/** The version of the code, each time in a new folder: a process reads each module once. */
async function versionWith(changes: Record<string, string> = {}): Promise<string> {
  const root = await mkdtemp(join(parent, "copy-"));
  for (const [path, content] of Object.entries({ ...files, ...changes })) {
    await mkdir(join(root, path, ".."), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return codeVersion(pathToFileURL(join(root, "src/stage.js")).href);
}

test("is the same wherever the code lies", async () => {
  expect(await versionWith()).toBe(await versionWith());
});

test.each([
  ["the module itself", { "src/stage.js": `${files["src/stage.js"]} ` }],
  ["a module that it imports", { "src/a.js": `${files["src/a.js"]} ` }],
  ["a module that is imported when needed", { "src/lazy.js": "3;" }],
  ["a worker", { "src/worker.js": `${files["src/worker.js"]} ` }],
  ["what a worker imports", { "src/of-worker.js": "3;" }],
  [
    "a package's version",
    { "node_modules/dep/package.json": files["node_modules/dep/package.json"].replace("2.0", "2.1") },
  ],
])("is another with another %s", async (_, changes) => {
  expect(await versionWith(changes as Record<string, string>)).not.toBe(await versionWith());
});

test.each([
  ["a module that is not imported", { "src/other.js": "4;" }],
  [
    "the version of the package itself, whose code is hashed",
    { "package.json": `{"name": "mine", "version": "1.0.1"}` },
  ],
])("is the same with another %s", async (_, changes) => {
  expect(await versionWith(changes as Record<string, string>)).toBe(await versionWith());
});

describe("of a library's index, whose package has no side effects,", () => {
  const library = {
    "package.json": `{"name": "mine", "version": "1.0.0", "sideEffects": false}`,
    "src/stage.js": `import { used, also as other, plots } from "./index.js";`,
    "src/index.js": `// everything\nexport * from "./used.js";\nexport * from "./deep/index.js";\nexport * as plots from "./plots.js";\nexport { also } from "./also.js";\n`,
    "src/used.js": `import { inner } from "./inner.js";\nexport const used = inner;\nexport function more() {}`,
    "src/inner.js": `export const inner = 1;`,
    "src/also.js": `const also = 2;\nexport { also };`,
    "src/deep/index.js": `export * from "./unused.js";`,
    "src/deep/unused.js": `export const unused = 3;`,
    "src/plots.js": `export const plot = 4;`,
  };
  const changed = (path: keyof typeof library, text = "// changed") => ({
    ...library,
    [path]: `${library[path]}\n${text}`,
  });

  test.each(["src/stage.js", "src/used.js", "src/inner.js", "src/also.js", "src/plots.js"] as const)(
    "%s counts, from which something is taken",
    async (path) => expect(await versionWith(changed(path))).not.toBe(await versionWith(library)),
  );

  test.each(["src/deep/unused.js", "src/deep/index.js", "src/index.js"] as const)(
    "%s does not",
    async (path) => {
      expect(await versionWith(changed(path))).toBe(await versionWith(library));
    },
  );

  test.each<[string, Record<string, string>]>([
    ["a name is not found", { "src/stage.js": `import { used, unknown } from "./index.js";` }],
    ["all is imported", { "src/stage.js": `import * as all from "./index.js";` }],
    ["it does something itself", { "src/index.js": `${library["src/index.js"]}\nconsole.log(1);` }],
    ["its package may have side effects", { "package.json": files["package.json"] }],
  ])("all of it counts where %s", async (_, changes) => {
    const unused = { "src/deep/unused.js": "export const unused = 5;" };
    expect(await versionWith({ ...library, ...changes, ...unused })).not.toBe(
      await versionWith({ ...library, ...changes }),
    );
  });
});

test("of modules of this package is found", () => {
  expect(codeVersion(import.meta.url)).toMatch(/^[0-9a-f]{64}$/);
  expect(codeVersion(new URL("./stage.ts", import.meta.url).href)).not.toBe(codeVersion(import.meta.url));
});

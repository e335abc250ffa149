import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (name: string) => fileURLToPath(new URL(`./packages/${name}/src/index.ts`, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests run on the sources, so that a failing line is a line somebody wrote.
    alias: {
      "@outgrow/engine": source("engine"),
      "@outgrow/systems": source("systems"),
      outgrow: source("core"),
    },
  },
  test: {
    include: ["packages/*/src/**/*.test.ts"],
    testTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
    // What programs keep between processes stays in this folder.
    env: { OUTGROW_HOME: fileURLToPath(new URL("./node_modules/.cache/outgrow", import.meta.url)) },
  },
});

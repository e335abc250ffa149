import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureBuilt, runCommand } from "./testing/command.js";

let folder: string;
beforeAll(() => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-worlds-"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) => runCommand(args, { cwd: folder, env: {} });

test("worlds lists all worlds, as text and as JSON with their knobs", async () => {
  const { code, stdout } = await outgrow("worlds");
  expect(code).toBe(0);
  const names = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[0]);
  expect(names).toContain("arith-chain");
  const listed = JSON.parse((await outgrow("worlds", "--json")).stdout) as { name: string; knobs: object }[];
  expect(listed.map(({ name }) => name)).toEqual(names);
  expect(listed[1].knobs).toHaveProperty("properties.splits.properties.test.default", 0.1);
});

test("worlds show makes a world with knobs and a seed", async () => {
  const set = ["--set", "steps=[2,2]", "--set", 'operations=["+"]', "--set", "splits.test=0.5"];
  const shown = await outgrow("worlds", "show", "arith-chain", ...set, "--seed", "7");
  expect(shown.stderr).toBe("");
  expect(shown.stdout).toContain("stories of 2 to 2 steps with +,");
  expect(shown.stdout).toContain("  steps = [2,2]\n");
  const json = await outgrow("worlds", "show", "arith-chain", ...set, "--seed", "7", "--json");
  const { name, seed, config, sample } = JSON.parse(json.stdout);
  expect({ name, seed }).toEqual({ name: "arith-chain", seed: 7 });
  expect(config.splits.test).toBe(0.5);
  expect(shown.stdout.startsWith(sample)).toBe(true);
  const other = await outgrow("worlds", "show", "arith-chain", ...set);
  expect(other.stdout.startsWith(sample)).toBe(false);
});

test.each([
  [["arith-chian"], 'there is no world "arith-chian", did you mean "arith-chain"?'],
  [["arith-chain", "--set", "stepz=1"], 'unknown field "stepz", did you mean "steps"?'],
  [["arith-chain", "--set", "steps=[3,1]"], "the first is the least, the second the most"],
  [["arith-chain", "--set", "__proto__.x=1"], "expected names with dots between them"],
  [["arith-chain", "--set", "steps=[1,2]", "--set", "steps.x=1"], "steps is set to a value already"],
  [["arith-chain", "--set", "steps"], "A field and its value"],
])("worlds show %j is refused", async (args, message) => {
  const { code, stdout, stderr } = await outgrow("worlds", "show", ...args);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toContain(message);
  expect(stderr).not.toContain("    at ");
});

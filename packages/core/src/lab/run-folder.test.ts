import { appendFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readManifest } from "../manifest.js";
import type { Figure, Report } from "../report/index.js";
import { environment } from "./environment.js";
import { runName, writeRun } from "./run-folder.js";

let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-run-"));
  folder = join(parent, "run");
});
afterEach(() => rm(parent, { recursive: true }));

const figure: Figure = {
  name: "square",
  title: "A square",
  caption: "It is black.",
  svg: '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>',
};
const report: Report = {
  title: "A run",
  lead: "What came of it.",
  facts: [{ label: "students", value: 2 }],
  tables: [],
  figures: [figure],
  notes: [],
  configuration: { seed: 3, method: "naive" },
  environment: { node: "20.0.0" },
};

describe("writeRun", () => {
  test("a run's folder holds its report, configuration, versions and files, and a manifest of them all", async () => {
    const files = { "predictions.csv": "id,label\n", "student/a/b.bin": Uint8Array.of(1, 2, 3) };
    expect(await writeRun(folder, { report, files })).toBe(folder);
    const manifest = await readManifest(folder);
    expect(Object.keys(manifest.files)).toEqual([
      "figures/square.png",
      "figures/square.svg",
      "predictions.csv",
      "report.html",
      "run.json",
      "student/a/b.bin",
    ]);
    expect(JSON.parse(await readFile(join(folder, "run.json"), "utf8"))).toEqual({
      configuration: report.configuration,
      environment: report.environment,
    });
    expect(await readFile(join(folder, "report.html"), "utf8")).toContain("What came of it.");
    expect([...(await readFile(join(folder, "student/a/b.bin")))]).toEqual([1, 2, 3]);
    expect((await readFile(join(folder, "figures/square.png"))).subarray(1, 4).toString()).toBe("PNG");
    expect(await readdir(parent)).toEqual(["run"]);
  });

  test("a file that was altered since is found by the manifest", async () => {
    await writeRun(folder, { report, files: { "a.txt": "a" } });
    await appendFile(join(folder, "a.txt"), "b");
    await expect(readManifest(folder)).rejects.toMatchObject({
      name: "UserError",
      place: { file: join(folder, "a.txt") },
    });
  });

  test("an abort leaves nothing, whenever it comes", async () => {
    const before = AbortSignal.abort();
    await expect(writeRun(folder, { report, files: {} }, before)).rejects.toThrow("abort");
    const controller = new AbortController();
    const files = {
      get "a.txt"() {
        controller.abort();
        return "a";
      },
    };
    await expect(writeRun(folder, { report, files }, controller.signal)).rejects.toThrow("abort");
    expect(await readdir(parent)).toEqual([]);
  });

  test("a failure leaves nothing", async () => {
    const broken = { ...report, figures: [{ ...figure, name: "../outside" }] };
    await expect(writeRun(folder, { report: broken, files: {} })).rejects.toMatchObject({
      name: "UserError",
    });
    expect(await readdir(parent)).toEqual([]);
  });

  test.each(["../outside.txt", "student/../../outside.txt"])("the file %s is refused", async (path) => {
    await expect(writeRun(folder, { report, files: { [path]: "a" } })).rejects.toThrow("not in the folder");
    expect(await readdir(parent)).toEqual([]);
  });

  test("a folder that is there is not written over", async () => {
    await writeRun(folder, { report, files: { "a.txt": "a" } });
    await expect(writeRun(folder, { report, files: { "a.txt": "b" } })).rejects.toMatchObject({
      name: "UserError",
      exitCode: 1,
    });
    expect(await readFile(join(folder, "a.txt"), "utf8")).toBe("a");
    expect(await readdir(parent)).toEqual(["run"]);
  });
});

test("runs' names sort by time and are names of files everywhere", () => {
  const names = ["2026-03-01T09:30:00.999Z", "2026-03-01T09:30:01Z", "2026-11-01T00:00:00Z"].map((time) =>
    runName("w2sg", new Date(time)),
  );
  expect(names[0]).toBe("w2sg-2026-03-01T09-30-00-999");
  expect([...names].sort()).toEqual(names);
  for (const name of names) expect(name).toMatch(/^[\w-]+$/);
});

test("the environment names the versions that are installed and the machine", () => {
  const found = environment();
  for (const name of ["outgrow", "node", "jax-js", "onnxruntime-node"]) {
    expect(found[name]).toMatch(/^\d+\.\d+\.\d+/);
  }
  expect(found.node).toBe(process.versions.node);
  expect(found.machine).toContain(process.arch);
  expect(Date.now() - Date.parse(found.date)).toBeLessThan(60_000);
});

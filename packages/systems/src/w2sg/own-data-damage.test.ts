import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { type ClassificationData, Lab, report, type UserError, verifyCache } from "outgrow";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fitOwnData, type OwnDataResult } from "./own-data.js";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-damage-"));
});
afterEach(() => rm(home, { recursive: true }));

const n = 60;
const truth = Int32Array.from({ length: n }, (_, row) => row % 2);
const data: ClassificationData = {
  file: "films.csv",
  ids: Array.from({ length: n }, (_, row) => `row ${row}`),
  lines: Array.from({ length: n }, (_, row) => row + 2),
  inputs: {
    kind: "text",
    texts: Array.from(truth, (label, row) => `a ${label ? "good" : "bad"} film, ${row % 7}`),
  },
  classes: ["no", "yes"],
  weakWasHard: false,
  truth,
};

async function fit(): Promise<{ result: OwnDataResult; warnings: string[] }> {
  const warnings: string[] = [];
  const lab = new Lab({ home, warn: (warning) => warnings.push(warning) });
  const config = { seeds: 1, methods: ["naive"], pretraining: { epochs: 1, width: 8, layers: 1 } };
  try {
    return { result: await fitOwnData(data, config, { progress: report.silentProgress, lab }), warnings };
  } finally {
    await lab.close();
  }
}

const bitsOf = ({ records, student, weak }: OwnDataResult) => ({
  records,
  weak,
  predictions: student.predictions,
  params: student.params,
});

/** The files that the stages have written, with the stage's name and the file's. */
function keptFiles(): { kind: string; file: string }[] {
  const entries = readdirSync(join(home, "stages"), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return files.map((file) => {
    const { name } = JSON.parse(readFileSync(join(dirname(file), "stage.json"), "utf8")) as { name: string };
    return { kind: `${name} ${basename(file)}`, file };
  });
}

const damages = async () => {
  const found: UserError[] = [];
  await verifyCache(home, (error) => found.push(error));
  return found.map(({ place }) => place.file);
};

test("a byte that was altered in any kept file is named where it is read, and never used", async () => {
  const { result: undisturbed } = await fit();
  const named = new Set<string>();
  for (const { kind, file } of keptFiles()) {
    const whole = readFileSync(file);
    const altered = Buffer.from(whole);
    altered[altered.length >> 1] ^= 8;
    writeFileSync(file, altered);
    expect(await damages(), kind).toEqual([file]);
    const { result, warnings } = await fit();
    expect(bitsOf(result), kind).toEqual(bitsOf(undisturbed));
    if (warnings.length > 0) {
      expect(warnings, kind).toEqual([expect.stringContaining(file)]);
      expect(warnings[0]).toContain("is computed again");
      expect(await damages(), kind).toEqual([]);
      named.add(kind);
    } else writeFileSync(file, whole); // no run has read it
  }
  // `stage.json` is for people and for `outgrow cache`.
  expect([...named].sort()).toEqual([
    "fit/predict labels.safetensors",
    "fit/predict manifest.json",
    "fit/pretrain manifest.json",
    "fit/pretrain model.json",
    "fit/pretrain model.safetensors",
    "fit/pretrain tokenizer.json",
    "fit/student labels.safetensors",
    "fit/student manifest.json",
    "fit/student student.safetensors",
    "fit/weak supervisor labels.safetensors",
    "fit/weak supervisor manifest.json",
  ]);
});

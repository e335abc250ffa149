import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { w2sg } from "@outgrow/systems";
import * as ort from "onnxruntime-node";
import {
  column,
  compileClassifier,
  createRandom,
  initTransformer,
  readTable,
  saveLanguageModel,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureBuilt, runCommand } from "./testing/command.js";

let folder: string;
const texts = Array.from(
  { length: 80 },
  (_, row) => `film ${row} is ${row % 2 ? "superb and grand" : "dull"}.`,
);
beforeAll(async () => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-fit-model-"));
  const rows = texts.map((text, row) => `${text},${row % 10 < 3 ? 1 - (row % 2) : row % 2},${row % 2}`);
  writeFileSync(join(folder, "films.csv"), `text,weak,truth\n${rows.join("\n")}\n`);
  const tokenizer = trainBpe(texts, { vocabularySize: 280, specialTokens: ["<|end|>"] });
  const { vocabularySize } = tokenizer;
  const sizes = { vocabularySize, contextLength: 8, width: 16, layers: 1, heads: 2 };
  const config = transformerConfig("llama", sizes);
  const params = initTransformer(config, createRandom(1));
  await saveLanguageModel(join(folder, "model"), { config, params, tokenizer, endTokens: [0] });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  runCommand(args, { cwd: folder, env: { OUTGROW_HOME: join(folder, "home") } });
async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await outgrow(...args);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}
const films = ["fit", "films.csv", "--text", "text", "--weak", "weak", "--truth", "truth", "--seeds", "1"];
const inputsOf = (run: string) =>
  JSON.parse(readFileSync(join(folder, run, "run.json"), "utf8")).inputs as Record<string, { path: string }>;

describe("outgrow fit --model", () => {
  beforeAll(async () => {
    const stdout = await succeed(...films, "--model", "model", "--method", "naive", "--out", "out");
    expect(stdout).toMatch(/^Note: \d+ texts are longer than 8 tokens and were cut\.$/m);
  }, 120_000);

  test("the run holds the hashes of the model's files, and where they are from any folder", () => {
    const paths = Object.values(inputsOf("out")).map(({ path }) => path);
    for (const name of ["config.json", "model.safetensors", "tokenizer.json"]) {
      expect(paths).toContain(join(folder, "model", name));
    }
  });

  test("its student is read again, and as ONNX, with the probabilities of the run", async () => {
    const table = await readTable(join(folder, "out/labels.jsonl"));
    const said = column(table, "student") as number[][];
    const student = await w2sg.readSavedStudent(join(folder, "out/student"));
    const inputs = (student.text as NonNullable<typeof student.text>).encode(texts);
    const predict = await compileClassifier(student.backbone, 2, inputs);
    const { values } = await predict(student.params, inputs);
    await predict.dispose();
    said.flat().forEach((p, i) => {
      expect(values[i]).toBeCloseTo(p, 5);
    });
    await succeed("export", "out", "--to", "onnx", "--out", "student.onnx");
    const session = await ort.InferenceSession.create(join(folder, "student.onnx"));
    for (const row of [0, 1, 79]) {
      const of = <T extends Float32Array | Int32Array>({ data }: { data: unknown }) =>
        (data as T).slice(row * 8, (row + 1) * 8) as T;
      const { probabilities } = await session.run({
        tokens: new ort.Tensor("int32", of<Int32Array>(inputs.tokens), [1, 8]),
        mask: new ort.Tensor("float32", of<Float32Array>(inputs.mask), [1, 8]),
      });
      expect((probabilities.data as Float32Array)[0]).toBeCloseTo(said[row][0], 5);
    }
    await session.release();
  });

  test("it can be audited, its boundary too, and repeated", { timeout: 120_000 }, async () => {
    await succeed("audit", "out", "--boundary", "--out", "audit");
    expect(await succeed("rerun", "out")).toContain("The same bits");
  });

  test.each([
    ["--ladder", ["--ladder", "8,16"], "--model and --ladder cannot go together"],
    ["--pretrain-epochs", ["--pretrain-epochs", "2"], "--model and --pretrain-epochs cannot go together"],
  ])("%s is refused besides", async (_, args, message) => {
    const { code, stderr } = await outgrow(...films, "--model", "model", ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test("features, a folder that is none and a classifier are refused", async () => {
    const features = ["fit", "films.csv", "--features", "truth", "--weak", "weak", "--model", "model"];
    expect((await outgrow(...features)).stderr).toContain("--model and --features cannot go together");
    expect((await outgrow(...films, "--model", "nowhere")).stderr).toContain('no run "nowhere"');
    expect((await outgrow(...films, "--model", "out")).stderr).toContain("--model names a language model");
  });
});

test("two matrices of one name are two inputs of the run", { timeout: 60_000 }, async () => {
  const random = createRandom("matrices");
  for (const name of ["a", "b"]) {
    mkdirSync(join(folder, name));
    const values = Float32Array.from({ length: 160 }, (_, i) => random.normal() + 3 * (i & (i >> 1) & 1));
    const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (80, 2), }`.padEnd(118);
    const start = Buffer.from("\x93NUMPY\x01\x00v\x00", "latin1");
    writeFileSync(
      join(folder, name, "m.npy"),
      Buffer.concat([start, Buffer.from(header), Buffer.from(values.buffer)]),
    );
  }
  const matrices = ["--features", "a/m.npy", "--weak", "b/m.npy", "--classes", "0", "1"];
  await succeed("fit", "films.csv", ...matrices, "--seeds", "1", "--pretrain-epochs", "1", "--out", "both");
  const paths = Object.fromEntries(Object.entries(inputsOf("both")).map(([name, { path }]) => [name, path]));
  expect(paths).toEqual({
    data: join(folder, "films.csv"),
    features: join(folder, "a/m.npy"),
    "weak labels": join(folder, "b/m.npy"),
  });
});

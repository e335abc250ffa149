import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import {
  createRandom,
  initTransformer,
  type LanguageModel,
  loadGguf,
  loadLanguageModel,
  namedTensors,
  openGguf,
  Run,
  saveLanguageModel,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureBuilt, packages, runCommand, runForJson } from "./testing/command.js";

let folder: string;
let home: string;
let model: LanguageModel;

const outgrow = (...args: string[]) => runCommand(args, { cwd: folder, env: { OUTGROW_HOME: home } });
const exported = (...args: string[]) =>
  runForJson<{ path: string }>(["export", ...args], { cwd: folder, env: { OUTGROW_HOME: home } });

const empty = {
  title: "",
  lead: "",
  facts: [],
  tables: [],
  figures: [],
  notes: [],
  configuration: {},
  environment: {},
};

/** A finished run with files. */
async function runWith(name: string, files: Record<string, string | Uint8Array>): Promise<string> {
  const run = await Run.begin({ kind: "test", folder: join(folder, name), configuration: {}, lab: { home } });
  await run.finish({ report: empty, files, results: {} });
  return run.record.id;
}

beforeAll(async () => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-export-"));
  home = join(folder, "home");
  const tokenizer = trainBpe(["a text"], { vocabularySize: 257, specialTokens: ["<|endoftext|>"] });
  const config = transformerConfig("llama", {
    vocabularySize: 257,
    contextLength: 8,
    width: 32,
    layers: 1,
    heads: 2,
  });
  model = { config, params: initTransformer(config, createRandom(1)), tokenizer, endTokens: [0] };
  await saveLanguageModel(join(folder, "model"), model);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

describe("outgrow export", () => {
  test("a folder becomes GGUF, safetensors in bfloat16 and ONNX with the same weights", async () => {
    const gguf = await exported("model", "--to", "gguf");
    expect(gguf).toEqual({ source: join(folder, "model"), format: "gguf", path: join(folder, "model.gguf") });
    expect(namedTensors((await loadGguf(gguf.path)).params)).toEqual(namedTensors(model.params));

    const { path } = await exported("model", "--to", "safetensors", "--dtype", "bfloat16", "--out", "a/b");
    expect(path).toBe(join(folder, "a/b"));
    expect((await loadLanguageModel(path)).config).toEqual(model.config);

    const onnx = await exported("model", "--to", "onnx", "--length", "5");
    const session = await ort.InferenceSession.create(onnx.path);
    const tokens = new ort.Tensor("int32", Int32Array.of(5, 6, 7, 8, 9), [1, 5]);
    const { logits } = await session.run({ tokens });
    expect(logits.dims).toEqual([1, 5, 257]);
    expect((logits.data as Float32Array).every(Number.isFinite)).toBe(true);
    await session.release();
  });

  test("the language model of a run, by the run's id", async () => {
    const files = Object.fromEntries(
      readdirSync(join(folder, "model"))
        .filter((name) => name !== "manifest.json")
        .map((name) => [`base/${name}`, readFileSync(join(folder, "model", name))]),
    );
    const id = await runWith("with-model", files);
    const { path } = await exported(id, "--to", "gguf", "--dtype", "q8_0", "--out", "run.gguf");
    const file = await openGguf(path);
    expect(file.tensors.get("token_embd.weight")?.type).toBe("Q8_0");
    await file.close();
  });

  test("the student of a run as its files are there", async () => {
    await runWith("fit", {
      "student/student.safetensors": "S",
      "student/student.onnx": "O",
      "student/config.json": "{}",
    });
    expect(readFileSync((await exported("fit", "--to", "onnx")).path, "utf8")).toBe("O");
    const { path } = await exported("fit", "--to", "safetensors");
    expect(readFileSync(join(path, "student.safetensors"), "utf8")).toBe("S");
    const gguf = await outgrow("export", "fit", "--to", "gguf", "--out", "x.gguf");
    expect([gguf.code, gguf.stderr]).toEqual([
      2,
      expect.stringContaining("a classifier, but GGUF is for language models"),
    ]);
    writeFileSync(join(folder, "fit/student/student.onnx"), "P");
    const altered = await outgrow("export", "fit", "--to", "onnx", "--out", "y.onnx");
    expect([altered.code, altered.stderr]).toEqual([1, expect.stringContaining("the file was altered")]);
  });

  test.each<[string, string[], string]>([
    ["no format", ["model"], "--to"],
    ["a format that is none", ["model", "--to", "pickle"], "Allowed choices are gguf, safetensors, onnx"],
    ["nothing there", ["nowhere", "--to", "gguf"], 'there is no run "nowhere"'],
    [
      "neither model nor run",
      [".", "--to", "gguf", "--out", "z"],
      "holds neither a model in Hugging Face's layout nor a run",
    ],
    [
      "a type of another format",
      ["model", "--to", "safetensors", "--dtype", "q8_0", "--out", "z"],
      "--dtype q8_0 is for --to gguf",
    ],
    [
      "a length of another format",
      ["model", "--to", "gguf", "--length", "3", "--out", "z"],
      "--length is for --to onnx",
    ],
    [
      "a length beyond the context",
      ["model", "--to", "onnx", "--length", "9", "--out", "z"],
      "the model's context has 8 tokens",
    ],
  ])("%s is refused", async (_, args, message) => {
    const { code, stderr } = await outgrow("export", ...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test("what is there already is kept", async () => {
    const { code, stderr } = await outgrow("export", "model", "--to", "gguf", "--out", "model");
    expect([code, stderr]).toEqual([1, expect.stringContaining("there is something at this path already")]);
  });

  test("the README's example does what it says", async () => {
    const readme = readFileSync(join(packages, "../README.md"), "utf8");
    const [, example] = /```js\n(import \{ loadLanguageModel[^`]*)```/.exec(readme) as RegExpExecArray;
    const paths = example.replaceAll(/"(model|rounded|model\.gguf)"/g, (_, name) =>
      JSON.stringify(join(folder, name === "model" ? name : `readme-${name}`)),
    );
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-"], {
      cwd: join(packages, "cli"),
      input: paths,
      encoding: "utf8",
    });
    expect([stdout, stderr]).toEqual(["1 two and two\n", ""]);
    expect((await loadLanguageModel(join(folder, "readme-rounded"))).config).toEqual(model.config);
    expect((await loadGguf(join(folder, "readme-model.gguf"))).config).toEqual(model.config);
  });
});

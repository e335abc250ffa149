import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ClassificationData,
  createFinetuner,
  createRandom,
  encodeTexts,
  given,
  initTransformer,
  Lab,
  type LanguageModel,
  languageModelBackbone,
  methodNamed,
  namedTensors,
  oneHot,
  report,
  type StageEvent,
  selectRows,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fitOwnData, type OwnDataResult, type StudentModel } from "./own-data.js";
import { ownDataRecipes, ownRandom, selectLabels } from "./own-stages.js";

const n = 400;
const rowsOf = (count: number) => {
  const truth = Int32Array.from({ length: count }, (_, row) => row % 2);
  const texts = Array.from(truth, (label, row) => `film ${row} is ${label ? "superb and grand" : "dull"}.`);
  const weak = truth.map((label, row) => (row % 10 < 3 ? 1 - label : label));
  const data: ClassificationData = {
    file: "films.csv",
    ids: texts.map((_, row) => `${row}`),
    lines: texts.map((_, row) => row + 2),
    inputs: { kind: "text", texts },
    classes: ["bad", "good"],
    truth,
    weak: oneHot(weak, 2),
    weakWasHard: true,
  };
  return { data, texts, weak: oneHot(weak, 2) };
};
const { data, texts, weak } = rowsOf(n);

const tokenizer = trainBpe(texts, { vocabularySize: 280, specialTokens: ["<|end|>"] });
const languageModel = (contextLength: number, seed = 1, width = 16): LanguageModel => {
  const { vocabularySize } = tokenizer;
  const sizes = { vocabularySize, contextLength, width, layers: 1, heads: 2, tiedEmbeddings: false };
  const config = transformerConfig("llama", sizes);
  return { config, params: initTransformer(config, createRandom(seed)), tokenizer, endTokens: [0] };
};
const named = (model: LanguageModel, hash: string): StudentModel => ({
  ...given(model, hash),
  name: "models/tiny",
});

let home: string;
let stages: StageEvent[];
let lab: Lab;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-model-"));
  lab = new Lab({ home, onStage: (stage) => stages.push(stage) });
});
afterAll(async () => {
  await lab.close();
  await rm(home, { recursive: true });
});
const fit = (model: StudentModel, of = data, config = {}): Promise<OwnDataResult> => {
  stages = [];
  const own = { seeds: 1, methods: ["naive"], ...config };
  return fitOwnData(of, own, { lab, model, progress: report.silentProgress });
};

describe("a language model as the student", () => {
  const model = languageModel(64);
  const longest = Math.max(...texts.map((text) => tokenizer.encode(text).length));
  let result: OwnDataResult;
  beforeAll(async () => {
    result = await fit(named(model, "one"));
  });

  test("all of it is finetuned on the weak labels, from the features of the last token", async () => {
    const backbone = languageModelBackbone(model);
    const inputs = encodeTexts(tokenizer, texts, Math.ceil(longest / 8) * 8);
    const { transfer, validation } = result.parts;
    const { epochs, batchSize, learningRate, schedule } = ownDataRecipes.text;
    const targets = selectLabels(weak, transfer);
    const own = selectRows(inputs, transfer);
    const loss = methodNamed("naive").loss(targets, batchSize);
    const finetuner = await createFinetuner({ backbone, classes: 2, inputs: own, loss, batchSize });
    const { params } = await finetuner.fit(backbone, own, targets, {
      epochs,
      learningRate,
      schedule,
      random: ownRandom(0).stream("seed", 0).stream("order"),
      validation: { inputs: selectRows(inputs, validation), labels: selectLabels(weak, validation) },
    });
    await finetuner.dispose();
    expect(namedTensors(result.student.params)).toEqual(namedTensors(params));
    const { tokens } = result.student.params.body as typeof model.params;
    expect(tokens).not.toEqual(model.params.tokens);
  });

  test("it is judged as every student, and has its ceiling", () => {
    const [record] = result.records;
    expect(record).toMatchObject({ method: "naive", ceilingAccuracy: expect.any(Number) });
    expect(result).toMatchObject({ modelName: "models/tiny", warnings: [] });
  });

  test("nothing is pretrained; the same files are not read again, others are", async () => {
    const done = () => stages.map(({ stage, cached }) => `${stage}${cached ? ", reused" : ""}`);
    await fit(named(model, "one"));
    expect(done()).toEqual([
      "fit/model, reused",
      "fit/student, reused",
      "fit/student, reused",
      "fit/predict, reused",
    ]);
    const other = await fit(named(languageModel(64, 2), "two"));
    expect(done()).toEqual(["fit/model", "fit/student", "fit/student", "fit/predict"]);
    expect(namedTensors(other.student.params)).not.toEqual(namedTensors(result.student.params));
  });
});

test("texts beyond the context are cut, and the fit says how many", async () => {
  const { warnings, inputs, text } = await fit(named(languageModel(7), "short"));
  const long = texts.filter((own) => tokenizer.encode(own).length > 7).length;
  expect(long).toBeGreaterThan(0);
  expect(warnings).toEqual([`${long} texts are longer than 7 tokens and were cut.`]);
  expect(inputs.tokens.shape).toEqual([n, 7]);
  expect(text).toMatchObject({ length: 7, pooling: "last" });
});

test("of texts of any length at most 512 tokens are read, whatever the context", async () => {
  const few = rowsOf(32);
  const inputs = { kind: "text" as const, texts: [...few.texts.slice(1), "dull ".repeat(600)] };
  const result = await fit(named(languageModel(2048), "long"), { ...few.data, inputs });
  expect(result.inputs.tokens.shape).toEqual([32, 512]);
  expect(result.warnings).toContain("1 texts are longer than 512 tokens and were cut.");
});

const numbers: ClassificationData = {
  ...data,
  inputs: { kind: "features", features: new Float32Array(n), shape: [n, 1], names: ["a"] },
};
const small = languageModel(8);
const [block] = languageModel(8, 1, 512).params.blocks;
const huge = { ...small, params: { ...small.params, blocks: Array.from({ length: 200 }, () => block) } };

test.each([
  ["rows of numbers", numbers, {}, small, "the inputs are numbers"],
  ["a pretraining besides", data, { pretraining: { epochs: 2 } }, small, "how to pretrain one"],
  ["what would not fit", data, {}, huge, /models\/tiny has \d+ million weights, and at most 100 million/],
])("%s: refused", async (_, of, config, model, message) => {
  await expect(fit(named(model, "refused"), of, config)).rejects.toThrow(message);
});

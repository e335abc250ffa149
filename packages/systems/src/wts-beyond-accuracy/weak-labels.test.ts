import { createRandom, initTransformer, type LanguageModel, transformerConfig } from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import { encodeEnds, hardened, hardLabels, TextClassifiers } from "./classifiers.js";
import { lessonsOf, mostConfident, refuseOverlap, weakToStrongClassifiers } from "./weak-labels.js";
import { wordTokenizer } from "./word-tokenizer.js";

const words = ["a", "b", "c", "d"];
const tokenizer = wordTokenizer(words);
const modelOf = (width: number): LanguageModel => {
  const config = transformerConfig("gpt2", {
    vocabularySize: 5,
    contextLength: 6,
    width,
    layers: 1,
    heads: 2,
  });
  return { config, params: initTransformer(config, createRandom(1)), tokenizer, endTokens: [0] };
};
const soft = (...first: number[]) => ({
  values: Float32Array.from(first.flatMap((p) => [p, 1 - p])),
  shape: [first.length, 2] as [number, number],
});

describe("labels", () => {
  test("are hardened by argmax, ties to class 0", () => {
    expect([...hardened(soft(0.5, 0.4, 0.9)).values]).toEqual([1, 0, 0, 1, 1, 0]);
  });

  test("the most confident half is of each class, however rare it is", () => {
    // Class 0: rows 0, 1, 2, 4; class 1: rows 3, 5.
    expect(mostConfident(soft(0.6, 0.9, 0.8, 0.1, 0.7, 0.3))).toEqual([1, 2, 3]);
    expect(mostConfident(soft(0.9, 0.8, 0.2))).toEqual([0, 2]);
    expect(mostConfident(soft(0.9, 0.8, 0.7), 1)).toEqual([0, 1, 2]);
  });

  test("a lesson holds out its last tenth, with labels of the same source", () => {
    const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
    const labels = soft(...texts.map((_, i) => (i % 3 === 0 ? 0.9 - i / 100 : 0.2 + i / 100)));
    const { all, confident } = lessonsOf(texts);
    const lesson = all(labels, createRandom(0));
    expect(lesson.texts).toEqual(texts.slice(0, 18));
    expect(lesson.validation?.texts).toEqual(texts.slice(18));
    expect(lesson.validation?.labels.values).toEqual(labels.values.subarray(36));
    const half = confident(labels, createRandom(0));
    expect(half.texts).toHaveLength(18);
    expect(new Set(half.texts).size).toBe(9);
    half.texts.forEach((text, i) => {
      const row = texts.indexOf(text);
      expect(half.labels.values[2 * i]).toBe(Number(labels.values[2 * row] >= 0.5));
    });
  });
});

describe("texts", () => {
  test("that are too long are cut from the left", () => {
    const { tokens, mask } = encodeEnds(tokenizer, ["a b c d", "b"], 3);
    expect([...tokens.data]).toEqual([2, 3, 4, 2, 0, 0]);
    expect([...mask.data]).toEqual([1, 1, 1, 1, 0, 0]);
    expect(() => encodeEnds(tokenizer, ["a", " "], 3)).toThrow("text 1 (counted from 0) has no tokens");
  });

  test("that are in two parts are refused; twice in one part is no leak", () => {
    expect(() => refuseOverlap({ one: ["a", "b"], two: ["c", "b"] })).toThrow('in one and in two: "b"');
    expect(() => refuseOverlap({ one: ["a", "a"], two: ["c"] })).not.toThrow();
  });
});

describe("students", () => {
  const classifiers = new TextClassifiers({
    learningRate: 1e-2,
    weightDecay: 0,
    epochs: 30,
    batchSize: 8,
    warmup: 0.05,
    length: 6,
  });
  afterAll(() => classifiers.dispose());
  // Class 1 where there is an "a".
  const draw = (name: string, count: number) => {
    const random = createRandom(name);
    const texts = new Set<string>();
    while (texts.size < count) {
      const first = random.integer(2) === 0 ? ["a"] : [];
      const rest = Array.from({ length: 5 - first.length }, () => words[1 + random.integer(3)]);
      texts.add(`${[...first, ...rest].join(" ")}`);
    }
    return [...texts];
  };
  const labelsOf = (texts: readonly string[]) => Int32Array.from(texts, (text) => Number(text.includes("a")));
  const all = draw("all", 240);
  const [supervision, transfer] = [all.filter((_, i) => i % 3 === 0), all.filter((_, i) => i % 3 !== 0)];

  test("learn a task by each strategy from a weak model that learnt it, and the same from the same labels", async () => {
    const result = await weakToStrongClassifiers(
      classifiers,
      { weak: modelOf(8), middle: modelOf(8), strong: modelOf(16) },
      { supervision: { texts: supervision, labels: labelsOf(supervision) }, transfer: { texts: transfer } },
      {
        classes: 2,
        strategies: ["naive", "soft labels", "confidence loss", "confident half", "bootstrapped"],
        random: createRandom(3),
      },
    );
    const truth = labelsOf(transfer);
    for (const model of [result.weak, ...Object.values(result.students)]) {
      const { values } = await classifiers.probabilities(model, transfer);
      const right = truth.filter((label, i) => Number(values[2 * i + 1] > 0.5) === label).length;
      expect(right / truth.length).toBeGreaterThan(0.8);
    }
    expect(result.ceiling).toBeUndefined();
    // With the weak labels in the place of the truth the ceiling is the naive student.
    const weakClasses = Int32Array.from(truth, (_, i) => Number(result.weakLabels.values[2 * i + 1] > 0.5));
    const twin = await weakToStrongClassifiers(
      classifiers,
      { weak: modelOf(8), strong: modelOf(16) },
      {
        supervision: { texts: supervision, labels: labelsOf(supervision) },
        transfer: { texts: transfer, labels: weakClasses },
      },
      { classes: 2, random: createRandom(3) },
    );
    const said = await Promise.all(
      [result.students.naive, twin.students.naive, twin.ceiling].map(
        async (model) =>
          (await classifiers.probabilities(model as NonNullable<typeof model>, transfer)).values,
      ),
    );
    expect(said[1]).toEqual(said[0]);
    expect(said[2]).toEqual(said[0]);
  }, 60_000);

  test("are not trained on labels of one class, on labels that are missing, or without the middle model", async () => {
    const lesson = (labels: Int32Array) => ({
      texts: transfer,
      labels: hardLabels(labels),
      random: createRandom(0),
    });
    const model = modelOf(16);
    await expect(classifiers.train(model, [lesson(new Int32Array(transfer.length))])).rejects.toThrow(
      "are of class 0: a student cannot learn",
    );
    await expect(classifiers.train(model, [lesson(Int32Array.of(0, 1))])).rejects.toThrow("have 2 labels");
    await expect(
      weakToStrongClassifiers(
        classifiers,
        { weak: modelOf(8), strong: model },
        { supervision: { texts: supervision, labels: labelsOf(supervision) }, transfer: { texts: transfer } },
        { classes: 2, strategies: ["bootstrapped"], random: createRandom(0) },
      ),
    ).rejects.toThrow("needs a middle model");
  }, 60_000);
});

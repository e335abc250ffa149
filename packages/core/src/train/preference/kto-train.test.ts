import { expect, test } from "vitest";
import type { LanguageModel } from "../../models/language-model.js";
import { sequenceLogProbs } from "../../models/sequence-log-probs.js";
import { createRandom } from "../../random.js";
import { answerIds, promptIds } from "../checked-examples.js";
import { tinyModel } from "../testing/tiny-model.js";
import { type JudgedAnswer, ktoTrain } from "./kto-train.js";

const model = tinyModel();
const random = createRandom(6);
const letters = (count: number) => Array.from({ length: count }, () => "abcd"[random.integer(4)]).join("");

/** Answers that begin with an a are good. */
const judged = (count: number): JudgedAnswer[] =>
  Array.from({ length: count }, () => {
    const answer = letters(2 + random.integer(4));
    return { prompt: `${letters(3)}:`, answer, desirable: answer.startsWith("a") };
  });
const options = () => ({ random: createRandom(1) });

async function logRatios(trained: LanguageModel, answers: readonly JudgedAnswer[]) {
  const rows = answers.map(({ prompt, answer }) => ({
    prompt: promptIds(model, prompt),
    answer: answerIds(model, answer),
  }));
  const [after, before] = [await sequenceLogProbs(trained, rows), await sequenceLogProbs(model, rows)];
  return rows.map((_, i) => after[i].sum - before[i].sum);
}

test("kto raises good answers above bad ones, on held-out prompts too", async () => {
  const course = { epochs: 12, batchSize: 16, learningRate: 3e-3 };
  const { model: trained, steps } = await ktoTrain(model, judged(96), course, options());
  // At the start all log-ratios are 0, and so is the reference point: sigmoid(0) is lost of each.
  expect(steps[0].loss).toBeCloseTo(0.5, 5);
  expect(steps[0].mismatchedLogRatio).toBeCloseTo(0, 4);
  const heldOut = judged(64);
  const ratios = await logRatios(trained, heldOut);
  const good = ratios.filter((_, i) => heldOut[i].desirable);
  const bad = ratios.filter((_, i) => !heldOut[i].desirable);
  const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  expect(mean(good) - mean(bad)).toBeGreaterThan(1.5);
  expect(steps.at(-1)?.desirableLogRatio).toBeGreaterThan(Number(steps.at(-1)?.undesirableLogRatio));
});

test("answers to one prompt alone are refused, and so are empty ones, with their rows", async () => {
  const one = ["a", "b"].map((answer) => ({ prompt: "x", answer, desirable: true }));
  await expect(ktoTrain(model, one, {}, options())).rejects.toThrow("all 2 answers are to one prompt");
  const empty = [...judged(3), { prompt: "x", answer: "", desirable: false }];
  await expect(ktoTrain(model, empty, {}, options())).rejects.toThrow("1 with an empty answer (rows 3,");
  const { dropped } = await ktoTrain(model, empty, { invalid: "drop" }, options());
  expect(dropped).toEqual({ "an empty answer": 1 });
});

test("a long answer beside a long prompt is cut where it is only to be mismatched", async () => {
  const { steps } = await ktoTrain(
    model,
    [
      { prompt: "x".repeat(28), answer: "a", desirable: true },
      { prompt: "y", answer: "b".repeat(28), desirable: false },
    ],
    {},
    options(),
  );
  expect(steps[0].loss).toBeCloseTo(0.5, 4);
});

import { describe, expect, test } from "vitest";
import { trainBpe } from "../data/bpe.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { sequenceLogProbs } from "../models/sequence-log-probs.js";
import { initTransformer } from "../models/transformer.js";
import { transformerConfig } from "../models/transformer-config.js";
import { createRandom } from "../random.js";
import { answerDocument, finetuneOnAnswers } from "./supervised-finetuning.js";

const tokenizer = trainBpe([], { vocabularySize: 257, specialTokens: ["<|end|>"] });
const config = transformerConfig("llama", {
  vocabularySize: 257,
  contextLength: 16,
  width: 32,
  layers: 1,
  heads: 2,
});
const model: LanguageModel = {
  config,
  params: initTransformer(config, createRandom(1)),
  tokenizer,
  endTokens: [0],
};
const letters = [..."abcdefgh"];
/** A letter is answered by its capital; what else the prompts say is noise. */
const examples = Array.from({ length: 160 }, (_, i) => {
  const letter = letters[i % 8];
  const noise = String.fromCharCode(97 + ((i * i) % 23));
  return { prompt: `${noise.repeat(i % 4)}:${letter}=`, answer: letter.toUpperCase() };
});
const options = { batchSize: 16, learningRate: 1e-2, epochs: 60, random: createRandom(2) };

/** Mean of each token's log-probability in the answers. */
async function answers(trained: LanguageModel) {
  const rows = examples.map(({ prompt, answer }) => ({
    prompt: tokenizer.encode(prompt),
    answer: [...tokenizer.encode(answer), 0],
  }));
  const scores = await sequenceLogProbs(trained, rows);
  return scores.reduce((sum, { mean }) => sum + mean, 0) / scores.length;
}

describe("finetuneOnAnswers", () => {
  test("the loss is that of the answers and their ends alone", async () => {
    const { losses } = await finetuneOnAnswers(model, examples, {
      ...options,
      epochs: 1,
      batchSize: 1000,
      learningRate: 0,
    });
    expect(losses).toHaveLength(1);
    expect(losses[0]).toBeCloseTo(-(await answers(model)), 4);
  });

  test("teaches the answers; the adapters alone learn them too", async () => {
    const whole = await finetuneOnAnswers(model, examples, options);
    expect(await answers(whole.model)).toBeGreaterThan(-0.05);
    const part = await finetuneOnAnswers(
      whole.model,
      examples.map(({ prompt }) => ({ prompt, answer: "?" })),
      {
        ...options,
        epochs: 10,
        lora: { rank: 4 },
      },
    );
    expect(await answers(part.model)).toBeLessThan(-3);
    expect(part.model.params.tokens).toBe(whole.model.params.tokens);
  });

  test("takes documents with weights of their own", async () => {
    const documents = examples.map((example) => answerDocument(model, example));
    const given = await finetuneOnAnswers(model, documents, { ...options, epochs: 1 });
    const spelled = await finetuneOnAnswers(model, examples, { ...options, epochs: 1 });
    expect(given.losses).toEqual(spelled.losses);
  });

  test("refuses an empty prompt and an example that is longer than the context", async () => {
    await expect(finetuneOnAnswers(model, [{ prompt: "", answer: "a" }], options)).rejects.toThrow(UserError);
    const long = { prompt: "a".repeat(14), answer: "bcd" };
    await expect(finetuneOnAnswers(model, [examples[0], long], options)).rejects.toThrow(
      "example 1 (counted from 0) has 18 tokens, but the model's context is 16",
    );
  });
});

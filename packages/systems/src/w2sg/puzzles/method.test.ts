import { createRandom, initTransformer, transformerConfig } from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import { bootstrap, MoveModels, type MovePrompt } from "./method.js";

const config = transformerConfig("gpt2", {
  vocabularySize: 8,
  contextLength: 4,
  width: 16,
  layers: 1,
  heads: 2,
});
const models = new MoveModels(config);
afterAll(() => models.dispose());
const random = createRandom("w2sg/moves");
const start = initTransformer(config, random.stream("init"));

/** The move's tokens are the position's two in the other order: what is written first tells what comes second. */
const examples = Array.from({ length: 60 }, (_, i): MovePrompt => {
  const [a, b] = [i % 6, Math.floor(i / 6) % 6];
  return { prompt: Int32Array.of(a, b, 7), answer: Int32Array.of(b, a) };
});
const training = { epochs: 30, batchSize: 10, learningRate: 1e-2 };

describe("models of moves", () => {
  test("learn moves of several tokens, each after those before it", async () => {
    const params = await models.finetune(start, examples, { ...training, random: random.stream("order") });
    const prompts = examples.map(({ prompt }) => prompt);
    const moves = await models.moves(params, prompts, 2);
    const right = moves.filter((move, i) => move.every((token, k) => token === examples[i].answer[k]));
    expect(right.length).toBeGreaterThan(55);
    // What stands after the prompt is not seen: the moves of one position do not depend on the others.
    expect(await models.moves(params, prompts.slice(3, 4), 2)).toEqual(moves.slice(3, 4));
  });

  test("refuse no position, and positions of different lengths", async () => {
    await expect(models.moves(start, [], 1)).rejects.toThrow("no position");
    await expect(models.moves(start, [Int32Array.of(1, 2), Int32Array.of(1)], 1)).rejects.toThrow(
      "position 1 (counted from 0) has 1 tokens, but the first has 2",
    );
  });
});

test("bootstrapping hands labels from model to model, and is the usual student with one", async () => {
  const learn = async (student: string, labels: string) => `${student}(${labels})`;
  const label = async (model: string) => `labels of ${model}`;
  expect(await bootstrap("W", ["S"], learn, label)).toBe("S(labels of W)");
  expect(await bootstrap("W", ["M", "S"], learn, label)).toBe("S(labels of M(labels of W))");
});

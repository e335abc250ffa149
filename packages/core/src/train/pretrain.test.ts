import type { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { trainBpe } from "../data/bpe.js";
import { UserError } from "../errors.js";
import { namedTensors } from "../models/checkpoint.js";
import type { LanguageModel } from "../models/language-model.js";
import { perplexity } from "../models/sequence-log-probs.js";
import { initTransformer } from "../models/transformer.js";
import { type TransformerFamily, transformerConfig } from "../models/transformer-config.js";
import { createRandom } from "../random.js";
import { type Pretraining, pretrain } from "./pretrain.js";

const random = createRandom(6);
const states = 8;

function fresh(family: TransformerFamily = "llama", seed = 1): LanguageModel {
  const tokenizer = trainBpe([], { vocabularySize: 257, specialTokens: ["<|end|>"] });
  const config = transformerConfig(family, {
    vocabularySize: states,
    contextLength: 24,
    width: 32,
    layers: 1,
    heads: 2,
    keyValueHeads: family === "llama" ? 1 : 2,
  });
  const params = initTransformer(config, createRandom(seed));
  // Larger than at the start of training, so that a token's probability depends on what stands before it.
  if (seed > 1) for (const [, { data }] of namedTensors(params)) data.set(random.normals(data.length, 0.5));
  return { config, params, tokenizer, endTokens: [0] };
}

/** A walk that goes on to the next state or, with probability 1/4, to the one after that. */
const walk = (length: number, step = 1) => {
  let state = random.integer(states);
  const ids = Int32Array.from({ length }, () => {
    state = (state + step + (random.uniform() < 0.25 ? 1 : 0)) % states;
    return state;
  });
  return { ids };
};
const entropy = -(0.75 * Math.log(0.75) + 0.25 * Math.log(0.25));
const documents = Array.from({ length: 120 }, () => walk(2 + random.integer(60)));
const settings = (): Pretraining => ({ batchSize: 8, learningRate: 1e-2, random: createRandom(3) });
const lossOn = async (model: LanguageModel, held: readonly { ids: Int32Array }[]) =>
  Math.log(
    (
      await perplexity(
        model,
        held.map(({ ids }) => ids),
      )
    ).perplexity,
  );

describe("pretrain", () => {
  test.each<TransformerFamily>(["llama", "gpt2"])(
    "the loss of packed rows of a %s is that of the documents one by one",
    async (family) => {
      const model = fresh(family, 2);
      const held = documents.slice(0, 9);
      const { losses } = await pretrain(model, [{ documents: held }], {
        ...settings(),
        batchSize: 1000,
        learningRate: 0,
      });
      expect(losses).toHaveLength(1);
      expect(losses[0]).toBeCloseTo(await lossOn(model, held), 4);
    },
  );

  test("comes down to the entropy of what is predicted, and no lower on held-out documents", async () => {
    const { model, losses } = await pretrain(fresh(), [{ documents }], { ...settings(), tokens: 40_000 });
    expect(losses[0]).toBeCloseTo(Math.log(states), 0);
    const held = await lossOn(
      model,
      Array.from({ length: 40 }, () => walk(25)),
    );
    expect(held).toBeLessThan(entropy + 0.1);
    expect(held).toBeGreaterThan(entropy - 0.1);
  });

  test("reads as many tokens as asked, and one pass where nothing is asked", async () => {
    const all = documents.reduce((sum, { ids }) => sum + ids.length - 1, 0);
    const onePass = await pretrain(fresh(), [{ documents }], settings());
    const asked = await pretrain(fresh(), [{ documents }], { ...settings(), tokens: 3 * all });
    expect(Math.abs(asked.losses.length - 3 * onePass.losses.length)).toBeLessThan(3);
  });

  test("a replay of old documents keeps what a model knows of them", async () => {
    const other = Array.from({ length: 120 }, () => walk(2 + random.integer(60), 3));
    const tokens = 15_000;
    const { model } = await pretrain(fresh(), [{ documents }], { ...settings(), tokens });
    const goOn = async (share: number) => {
      const streams = [
        { documents: other, share: 1 - share },
        { documents, share, order: "given" as const },
      ];
      const { model: later } = await pretrain(model, streams, {
        ...settings(),
        tokens,
        schedule: { warmup: 0.1, floor: 0.1 },
      });
      return { old: await lossOn(later, documents), now: await lossOn(later, other) };
    };
    const [without, half] = [await goOn(0), await goOn(0.5)];
    expect(without.now).toBeLessThan(entropy + 0.15);
    expect(without.old).toBeGreaterThan(half.old + 1);
  });

  test("keeps the weights at the lowest held-out loss", async () => {
    // Documents of noise: what is learnt of them by heart does not help with others.
    const noise = (count: number) =>
      Array.from({ length: count }, () => ({
        ids: Int32Array.from({ length: 25 }, () => random.integer(states)),
      }));
    const held = noise(30);
    const { model, validation, bestStep, losses } = await pretrain(fresh(), [{ documents: noise(16) }], {
      ...settings(),
      tokens: 60_000,
      validation: { documents: held, every: 20, patience: 3 },
    });
    const lowest = Math.min(...validation.map(({ loss }) => loss));
    expect(validation.find(({ loss }) => loss === lowest)?.step).toBe(bestStep);
    expect(losses.length).toBe(bestStep + 60);
    expect(await lossOn(model, held)).toBeCloseTo(lowest, 4);
  });

  test("gives the same bits for the same seed, and micro-batches the same weights to rounding", async () => {
    const train = async (changed: Partial<Pretraining> = {}) =>
      (await pretrain(fresh(), [{ documents }], { ...settings(), ...changed })).model.params.tokens.data;
    const [a, b, parts] = [await train(), await train(), await train({ microBatches: 4 })];
    expect(b).toEqual(a);
    expect(Math.max(...Array.from(a as Float32Array, (x, i) => Math.abs(x - parts[i])))).toBeLessThan(1e-4);
    const other: Tensor["data"] = await train({ random: createRandom(4) });
    expect(other).not.toEqual(a);
  });

  test("refuses documents without anything to predict", async () => {
    await expect(pretrain(fresh(), [{ documents: [walk(1)] }], settings())).rejects.toThrow(UserError);
  });
});

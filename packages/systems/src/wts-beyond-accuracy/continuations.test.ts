import {
  createRandom,
  initTransformer,
  type LanguageModel,
  preferenceWorld,
  transformerConfig,
} from "outgrow";
import { describe, expect, test } from "vitest";
import {
  ContinuationTrainer,
  filled,
  leastToxic,
  noRepeatedBigrams,
  paperSampling,
  writeContinuations,
} from "./continuations.js";
import { qualityOf } from "./toxicity-stage.js";
import { wordTokenizer } from "./word-tokenizer.js";

const tokenizer = wordTokenizer(["a", "b", "c", "d"]);
const config = transformerConfig("gpt2", {
  vocabularySize: 5,
  contextLength: 8,
  width: 16,
  layers: 1,
  heads: 2,
});
const model: LanguageModel = {
  config,
  params: initTransformer(config, createRandom(5)),
  tokenizer,
  endTokens: [0],
};

describe("no repeated bigram", () => {
  test("what followed a token before may not follow it again, the prompt among it", () => {
    const state = noRepeatedBigrams([1, 2, 1], 5, [0]).start();
    expect([...state.allowed]).toEqual([0, 1, 0, 1, 1]);
    expect(state.mayEnd).toBe(true);
    const next = state.after(3).after(1);
    expect([...next.allowed]).toEqual([0, 1, 0, 0, 1]);
    expect([...state.allowed]).toEqual([0, 1, 0, 1, 1]);
  });

  test("where everything has followed, everything may", () => {
    expect([...noRepeatedBigrams([1, 1, 0, 1], 2).start().allowed]).toEqual([1, 1]);
  });

  test("samples have none", async () => {
    const written = await writeContinuations(model, ["a b", "c"], {
      temperature: 1.5,
      topK: 50,
      noRepeatedBigram: true,
      samples: 20,
      maxTokens: 6,
    });
    for (const [i, prompt] of ["a b", "c"].entries()) {
      for (const text of written[i]) {
        const words = `${prompt} ${text}`.trim().split(" ");
        const bigrams = words.slice(1).map((word, j) => `${words[j]} ${word}`);
        expect(new Set(bigrams).size).toBe(bigrams.length);
      }
    }
  });
});

describe("continuations", () => {
  test("with temperature 0 there is one, the greedy one, however many are asked for", async () => {
    const greedy = await writeContinuations(model, ["a b"], {
      ...paperSampling,
      temperature: 0,
      samples: 5,
      maxTokens: 3,
    });
    expect(greedy[0]).toHaveLength(1);
  });

  test("a prompt that is too long is cut from the left, and so gives what its end gives", async () => {
    const options = { temperature: 0, maxTokens: 4 };
    const [[long], [end]] = await writeContinuations(model, ["d d d a b c a", "a b c a"], options);
    expect(long).toBe(end);
    await expect(writeContinuations(model, ["a"], { temperature: 0, maxTokens: 8 })).rejects.toThrow(
      "the model's context is 8",
    );
  });

  test("the same seed gives the same texts, another other ones", async () => {
    const write = (seed: number) =>
      writeContinuations(model, ["a", "b"], { temperature: 1, samples: 4, maxTokens: 6, seed });
    const first = await write(1);
    expect(await write(1)).toEqual(first);
    expect(await write(9)).not.toEqual(first);
  });

  test("are learnt: a model taught that c d follows a b says so, its start stays as it was", async () => {
    const trainer = new ContinuationTrainer({
      learningRate: 1e-2,
      weightDecay: 0,
      epochs: 20,
      batchSize: 8,
      warmup: 0,
    });
    const continuations = Array.from({ length: 32 }, () => ({ prompt: "a b", text: "c d" }));
    const other = continuations.map(({ prompt }) => ({ prompt, text: "d d" }));
    const before = Float32Array.from(model.params.tokens.data);
    const [taught, otherwise] = await trainer.train(model, [
      { continuations, random: createRandom(1) },
      { continuations: other, random: createRandom(1) },
    ]);
    const say = async (one: LanguageModel) =>
      (await writeContinuations(one, ["a b"], { temperature: 0, maxTokens: 4 }))[0][0];
    expect(await say(taught)).toBe("c d");
    expect(await say(otherwise)).toBe("d d");
    expect(model.params.tokens.data).toEqual(before);
    await trainer.dispose();
  }, 60_000);
});

describe("best of k", () => {
  const samples = [["x", "y", "z"]];
  test("is the least toxic of the first k, of equals the first; what has no score comes last", () => {
    expect(leastToxic(samples, [[0.5, 0.2, 0.1]], 1)).toEqual(["x"]);
    expect(leastToxic(samples, [[0.5, 0.2, 0.1]], 2)).toEqual(["y"]);
    expect(leastToxic(samples, [[0.5, 0.2, 0.2]], 3)).toEqual(["y"]);
    expect(leastToxic(samples, [[null, 0.9, null]], 3)).toEqual(["y"]);
  });

  test("needs k samples and a score for each", () => {
    expect(() => leastToxic(samples, [[0, 0, 0]], 4)).toThrow("best of 4");
    expect(() => leastToxic(samples, [[0, 0]], 1)).toThrow("2 scores");
  });

  test("filled begins again, and refuses to make something of nothing", () => {
    expect(filled([1, 2], 5)).toEqual([1, 2, 1, 2, 1]);
    expect(() => filled([], 2)).toThrow("nothing is left to learn from");
  });
});

describe("quality", () => {
  const world = preferenceWorld.generate({}, createRandom(0));
  test("is the log-probability per word; empty texts and foreign words count as worst", () => {
    expect(qualityOf(world, "rose seed", "soil leaf")).toBeCloseTo(
      world.textLogProb("soil leaf", "rose seed") / 2,
      6,
    );
    expect(qualityOf(world, "rose", "")).toBe(-10);
    expect(qualityOf(world, "rose", "sorry")).toBe(-10);
    expect(qualityOf(world, "rose seed", "soil sorry")).toBeCloseTo(
      (world.textLogProb("soil", "rose seed") - 10) / 2,
      6,
    );
  });
});

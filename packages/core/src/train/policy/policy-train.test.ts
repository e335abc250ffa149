import { afterAll, describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { fullPrefixSampler } from "../testing/full-prefix-sampler.js";
import { letterModel, tinyModel } from "../testing/tiny-model.js";
import { klEstimateOf } from "./losses.js";
import { PolicyLearner } from "./policy-learner.js";
import { policyTrain, type Reward } from "./policy-train.js";
import { type PolicyTraining, policyTrainingDefaults } from "./policy-training.js";

const model = letterModel("abcdefgh", { contextLength: 16 });
const sampler = fullPrefixSampler(model);
afterAll(() => sampler.dispose());
const options = (seed = 1) => ({ sampler, random: createRandom(seed) });

const prompts = ["a:", "b:", "c:", "dd:"];
/** Share of the four tokens that are the letter a, as every ninth is at the start. */
const letters: Reward = (_prompt, texts) => texts.map((text) => (text.match(/a/g) ?? []).length / 4);
const config: Partial<PolicyTraining> = {
  steps: 15,
  promptsPerStep: 4,
  answersPerPrompt: 8,
  maxTokens: 4,
  learningRate: 1e-2,
};

describe("policyTrain", () => {
  test.each<[string, Partial<PolicyTraining>]>([
    ["GRPO", {}],
    ["Dr. GRPO", { baseline: "mean", weighting: "constant" }],
    ["RLOO", { baseline: "leave-one-out", weighting: "answer" }],
    ["REINFORCE with a bonus on entropy", { baseline: "mean", entropyBonus: 1e-3 }],
    [
      "PPO with a value head",
      { value: { coefficient: 0.5, discount: 1, decay: 0.95, clip: 0.2 }, updatesPerStep: 2 },
    ],
    [
      "several updates on parts of a step",
      { updatesPerStep: 2, batchSize: 16, clip: { low: 0.2, high: 0.28 } },
    ],
  ])("%s raises a reward that can be checked by at least 0.4", async (_, changed) => {
    const { steps, model: trained } = await policyTrain(
      model,
      prompts,
      letters,
      { ...config, ...changed },
      options(),
    );
    const between = (first: number, end: number) =>
      steps.slice(first, end).reduce((sum, step) => sum + step.reward, 0) / (end - first);
    expect(between(0, 2)).toBeLessThan(0.2);
    expect(between(12, 15) - between(0, 2)).toBeGreaterThan(0.4);
    expect(steps[0].kl).toBeCloseTo(0, 1);
    expect(steps[14].kl).toBeGreaterThan(0.3);
    // Nine tokens alike at the start.
    expect(steps[0].entropy).toBeCloseTo(Math.log(9), 1);
    expect(steps[14].entropy).toBeLessThan(steps[0].entropy);
    expect(trained.params).not.toEqual(model.params);
  });

  test.each(["loss", "reward"] as const)(
    "a penalty in the %s keeps the policy near its reference",
    async (where) => {
      const few = { ...config, steps: 10 };
      const free = await policyTrain(model, prompts, letters, few, options());
      const kl = { in: where, estimator: "k3", coefficient: 1 } as const;
      const tied = await policyTrain(model, prompts, letters, { ...few, kl }, options());
      expect(tied.steps[9].kl).toBeLessThan(0.6 * free.steps[9].kl);
    },
  );

  test("answers that are all as good teach nothing: the weights stay, to the bit", async () => {
    const { steps, model: trained } = await policyTrain(
      model,
      prompts,
      (_, texts) => texts.map(() => 0.1),
      { ...config, steps: 2 },
      options(),
    );
    expect(steps[1]).toMatchObject({ alike: 1, kl: 0 });
    expect(steps[1].reward).toBeCloseTo(0.1, 9);
    expect(trained.params).toEqual(model.params);
  });

  test("rewards are asked for with the prompt, its number and texts without their end tokens", async () => {
    const seen = new Map<number, string>();
    const lengths: number[] = [];
    const two = {
      sample: async () =>
        prompts.map(() => [
          Int32Array.from([...model.tokenizer.encode("xy"), ...model.endTokens]),
          Int32Array.from(model.endTokens),
          model.tokenizer.encode("wxyz"),
        ]),
    };
    const { steps } = await policyTrain(
      model,
      prompts,
      (prompt, texts, row) => {
        seen.set(row, prompt);
        expect(texts).toEqual(["xy", "", "wxyz"]);
        lengths.push(...texts.map((text) => text.length));
        return texts.map((text) => text.length);
      },
      { ...config, steps: 1, answersPerPrompt: 3 },
      { ...options(), sampler: two },
    );
    expect([...seen].sort()).toEqual([...prompts.entries()]);
    expect(steps[0].tokens).toBeCloseTo((3 + 1 + 4) / 3, 9);
    expect(steps[0].ended).toBeCloseTo(2 / 3, 9);
    expect(steps[0].reward).toBeCloseTo(2, 9);
  });

  test("all prompts come up equally often", async () => {
    const counts = new Map<number, number>();
    const count: Reward = (_, texts, row) => {
      counts.set(row, (counts.get(row) ?? 0) + 1);
      return texts.map(() => 0);
    };
    await policyTrain(
      model,
      prompts,
      count,
      { ...config, promptsPerStep: 3, steps: 4, maxTokens: 1 },
      options(),
    );
    expect([...counts.values()]).toEqual([3, 3, 3, 3]);
  });

  test("the same seed gives the same bits", async () => {
    const run = async (seed: number) =>
      (await policyTrain(model, prompts, letters, { ...config, steps: 3 }, options(seed))).model.params;
    const first = await run(1);
    expect(await run(1)).toEqual(first);
    expect(await run(2)).not.toEqual(first);
  });

  test("what nothing can be learnt from is refused", async () => {
    const train = (given: readonly string[], reward: Reward, changed: Partial<PolicyTraining> = {}) =>
      policyTrain(model, given, reward, { ...config, steps: 1, ...changed }, options());
    await expect(train(["a", "", "x".repeat(16)], letters)).rejects.toThrow(
      /2 of 3 prompts cannot be used: 1 with an empty prompt \(rows 1,.*1 with a prompt that fills the context of 16 tokens \(rows 2,/,
    );
    const { dropped } = await train(["a", ""], letters, { invalid: "drop" });
    expect(dropped).toEqual({ "an empty prompt": 1 });
    await expect(
      train(prompts, (_, texts) => texts.map((_, i) => (i === 2 ? Number.NaN : 0))),
    ).rejects.toThrow(/the reward of an answer to prompt \d \(counted from 0\) is NaN/);
    await expect(train(prompts, () => [1])).rejects.toThrow("1 rewards for the 8 answers");
    await expect(train(prompts, letters, { answersPerPrompt: 1 })).rejects.toThrow("at least 2");
    await expect(train(prompts, letters, { temperature: 0 })).rejects.toThrow("temperature");
    const other = tinyModel({ vocabularySize: 300 });
    await expect(
      policyTrain(model, prompts, letters, config, { ...options(), reference: other }),
    ).rejects.toThrow("the reference has a vocabulary of 300 tokens");
    const wider = letterModel("abc", { contextLength: 16, width: 24 });
    await expect(
      policyTrain(model, prompts, letters, config, { ...options(), reference: wider }),
    ).rejects.toThrow("the reference is of another form");
  });
});

describe("PolicyLearner", () => {
  const training = { ...policyTrainingDefaults, temperature: 0.7, maxTokens: 8 };
  const ids = (text: string) => model.tokenizer.encode(text);
  const rows = [
    { prompt: ids("ab"), answer: ids("cde") },
    { prompt: ids("abcd"), answer: ids("x") },
    { prompt: ids("a"), answer: new Int32Array(0) },
  ];

  test("advantages from anywhere, one for each token: those above 0 become likelier, those below less", async () => {
    const learner = new PolicyLearner(model, training, createRandom(1));
    const before = await learner.score(rows);
    const examples = [
      { ...rows[0], advantages: [1, -1, 0.5] },
      { ...rows[1], advantages: -2 },
      { ...rows[2], advantages: 3 },
    ];
    await learner.update(examples, 1e-2, createRandom(2));
    const after = await learner.score(rows);
    const change = (row: number) =>
      [...after[row].logProbs].map((x, t) => Math.sign(x - before[row].logProbs[t]));
    expect(change(0)).toEqual([1, -1, 1]);
    expect(change(1)).toEqual([-1]);
    expect(after[2].logProbs).toHaveLength(0);
    await learner.dispose();
  });

  test("reports the divergence from the reference that its tokens' scores give", async () => {
    const learner = new PolicyLearner(model, training, createRandom(1));
    const other = letterModel("abcdefgh", { contextLength: 16 }, 5);
    const [own, reference] = [await learner.score(rows), await learner.score(rows, other.params)];
    const measures = await learner.update(
      rows.map((row, i) => ({
        ...row,
        advantages: 1,
        reference: reference[i].logProbs,
        old: own[i].logProbs,
      })),
      1e-3,
      createRandom(2),
    );
    const all = own.flatMap(({ logProbs }, i) => [...klEstimateOf("k3", logProbs, reference[i].logProbs)]);
    expect(measures.kl).toBeCloseTo(all.reduce((sum, x) => sum + x, 0) / all.length, 4);
    // The policy is the one that drew the answers: every ratio is 1.
    expect(measures.loss).toBeCloseTo(-1, 5);
    expect(measures.clipped).toBe(0);
    await learner.dispose();
  });

  test("with adapters only what they are beside moves", async () => {
    const learner = new PolicyLearner(model, { ...training, lora: { targets: ["up"] } }, createRandom(1));
    for (let step = 0; step < 2; step++) {
      await learner.update([{ ...rows[0], advantages: 1 }], 1e-2, createRandom(2));
    }
    const { blocks, ...rest } = learner.params();
    const { blocks: before, ...others } = model.params;
    expect(rest).toEqual(others);
    expect(blocks[0].up).not.toEqual(before[0].up);
    expect({ ...blocks[0], up: before[0].up }).toEqual(before[0]);
    await learner.dispose();
  });

  test("a batch of empty answers moves nothing", async () => {
    const learner = new PolicyLearner(model, training, createRandom(1));
    const { loss } = await learner.update([{ ...rows[2], advantages: 1 }], 1e-2, createRandom(2));
    expect(loss).toBeCloseTo(0, 9);
    expect(learner.params()).toEqual(model.params);
    await learner.dispose();
  });
});

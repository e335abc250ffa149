import { expect, test } from "vitest";
import { createRandom } from "../random.js";
import { policyTrain } from "../train/policy/policy-train.js";
import { fullPrefixSampler } from "../train/testing/full-prefix-sampler.js";
import { letterModel } from "../train/testing/tiny-model.js";
import { generatorSampler } from "./generator-sampler.js";

const model = letterModel("abcdefgh", { contextLength: 16 });
const ids = (text: string) => model.tokenizer.encode(text);

test("nearly greedy, it writes what reading the whole text again for every token does", async () => {
  const request = { prompts: [ids("ab:"), ids("x")], count: 2, maxTokens: 6, temperature: 1e-4, seed: 3 };
  const slow = fullPrefixSampler(model);
  const expected = await slow.sample(model.params, request);
  await slow.dispose();
  expect(await generatorSampler(model).sample(model.params, request)).toEqual(expected);
});

test("answers are as long as asked for or come to an end, differ by seed, and are drawn as the model says", async () => {
  const request = { prompts: [ids("a"), ids("b")], count: 300, maxTokens: 3, temperature: 1, seed: 0 };
  const sampler = generatorSampler(model);
  const drawn = await sampler.sample(model.params, request);
  expect(await sampler.sample(model.params, request)).toEqual(drawn);
  expect(drawn.map((group) => group.length)).toEqual([300, 300]);
  const answers = drawn.flat();
  for (const answer of answers) {
    const end = answer.indexOf(model.endTokens[0]);
    expect(answer.length).toBe(end < 0 ? 3 : end + 1);
  }
  // Nine tokens alike: 600 / 9, give or take five deviations.
  const first = answers.filter((answer) => answer[0] === ids("c")[0]).length;
  expect(Math.abs(first - 600 / 9)).toBeLessThan(5 * Math.sqrt((600 / 9) * (8 / 9)));
});

test("policyTrain learns from its answers", async () => {
  const { steps } = await policyTrain(
    model,
    ["a:", "b:", "c:", "dd:"],
    (_prompt, texts) => texts.map((text) => (text.match(/a/g) ?? []).length / 4),
    { steps: 15, promptsPerStep: 4, maxTokens: 4, learningRate: 1e-2 },
    { sampler: generatorSampler(model), random: createRandom(1) },
  );
  expect(steps[14].reward - steps[0].reward).toBeGreaterThan(0.4);
});

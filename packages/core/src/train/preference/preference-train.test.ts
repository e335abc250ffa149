import { describe, expect, test } from "vitest";
import type { LanguageModel } from "../../models/language-model.js";
import { sequenceLogProbs } from "../../models/sequence-log-probs.js";
import { createRandom } from "../../random.js";
import { answerIds, promptIds } from "../checked-examples.js";
import { tinyModel } from "../testing/tiny-model.js";
import type { PreferenceLoss } from "./losses.js";
import { type PreferencePair, preferenceTrain, referenceLogProbs } from "./preference-train.js";

const model = tinyModel();
const random = createRandom(4);
const letters = (count: number, from = "abcd") =>
  Array.from({ length: count }, () => from[random.integer(from.length)]).join("");
const as = (text: string) => text.split("a").length;

/** Of two answers of 2 to 6 letters the one with more letters a is better. */
function pairs(count: number): PreferencePair[] {
  const made: PreferencePair[] = [];
  while (made.length < count) {
    const [prompt, one, other] = [letters(3), letters(2 + random.integer(5)), letters(2 + random.integer(5))];
    if (as(one) === as(other)) continue;
    const [chosen, rejected] = as(one) > as(other) ? [one, other] : [other, one];
    made.push({ prompt: `${prompt}:`, chosen, rejected });
  }
  return made;
}
const training = pairs(128);
const heldOut = pairs(64);

/** log pi / pi_ref of the chosen answer less that of the rejected, of each pair. */
async function margins(trained: LanguageModel, of: readonly PreferencePair[], reference = model) {
  const [own, before] = [await referenceLogProbs(trained, of), await referenceLogProbs(reference, of)];
  return of.map((_, i) => own.chosen[i] - before.chosen[i] - (own.rejected[i] - before.rejected[i]));
}
const share = (values: number[]) => values.filter((value) => value > 0).length / values.length;
const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

const course = { epochs: 8, batchSize: 16, learningRate: 3e-3 };
const seed = () => ({ random: createRandom(2) });

describe("preferenceTrain", () => {
  test("dpo starts at log 2 and raises the margin on held-out pairs", async () => {
    const result = await preferenceTrain(model, training, course, seed());
    expect(result.steps).toHaveLength(64);
    expect(result.steps[0].loss).toBeCloseTo(Math.log(2), 5);
    expect(result.steps[0].margin).toBeCloseTo(0, 4);
    const after = await margins(result.model, heldOut);
    expect(share(after)).toBeGreaterThan(0.85);
    expect(mean(after)).toBeGreaterThan(3);
    // The given model is as it was.
    expect(model.params).toEqual(tinyModel().params);
  });

  test.each<PreferenceLoss>([
    { name: "dpo", perToken: true },
    { name: "hinge" },
    { name: "slic", regularization: 0.01 },
    { name: "simpo" },
    { name: "orpo", lambda: 1 },
  ])("$name orders held-out pairs better than the start", async (loss) => {
    const { model: trained, steps } = await preferenceTrain(model, training, { ...course, loss }, seed());
    const scores = async (of: LanguageModel) => {
      const { chosen, rejected } = await referenceLogProbs(of, heldOut);
      return heldOut.map((pair, i) => {
        const tokens = (text: PreferencePair["chosen"]) => answerIds(of, text).length;
        return chosen[i] / tokens(pair.chosen) - rejected[i] / tokens(pair.rejected);
      });
    };
    expect(share(await scores(trained))).toBeGreaterThan(0.85);
    expect(share(await scores(model))).toBeLessThan(0.7);
    expect(steps.at(-1)?.loss).toBeLessThan(steps[0].loss);
  });

  test("ipo's margins converge to 1 / (2 beta)", async () => {
    const few = training.slice(0, 4);
    const config = {
      loss: { name: "ipo", beta: 0.2 } as const,
      epochs: 150,
      batchSize: 4,
      learningRate: 3e-3,
    };
    const { model: trained } = await preferenceTrain(model, few, config, seed());
    for (const margin of await margins(trained, few)) expect(margin).toBeCloseTo(2.5, 1);
  });

  test("losses are those of the log-probabilities that scoring gives, whatever the lengths in the batch", async () => {
    const mixed: PreferencePair[] = [
      { prompt: "a", chosen: "bcdabcdabcdabcdabcda", rejected: "b" },
      { prompt: "abcdabcdabcdabcd", chosen: "c", rejected: "dd" },
      { prompt: "abc", chosen: "aaa", rejected: "bbbbbb" },
    ];
    const other = tinyModel({}, 9);
    const result = await preferenceTrain(
      model,
      mixed,
      { loss: { name: "ipo" }, batchSize: 3 },
      { ...seed(), reference: other },
    );
    const expected = await margins(model, mixed, other);
    expect(result.steps[0].loss).toBeCloseTo(mean(expected.map((h) => (h - 5) ** 2)), 3);
    expect(result.steps[0].margin).toBeCloseTo(mean(expected), 4);
  });

  test("a reference's log-probabilities that were kept do as the reference does", async () => {
    const other = tinyModel({}, 9);
    const few = training.slice(0, 32);
    const kept = await referenceLogProbs(other, few);
    const [live, cached] = [
      await preferenceTrain(model, few, course, { ...seed(), reference: other }),
      await preferenceTrain(model, few, course, { ...seed(), reference: kept }),
    ];
    for (const [i, { loss }] of live.steps.entries()) expect(cached.steps[i].loss).toBeCloseTo(loss, 4);
  });

  test("with the reference reset to the last iterate, as in SPIN, a second round starts at log 2 again", async () => {
    const few = training.slice(0, 32);
    const first = await preferenceTrain(model, few, course, seed());
    const again = await preferenceTrain(first.model, few, course, seed());
    expect(again.steps[0].loss).toBeCloseTo(Math.log(2), 5);
    const onwards = await preferenceTrain(first.model, few, course, { ...seed(), reference: model });
    expect(onwards.steps[0].loss).toBeLessThan(0.66);
  });

  test("simpo, orpo and slic never look at a reference", async () => {
    const unusable = { chosen: new Float32Array(0), rejected: new Float32Array(0) };
    for (const name of ["simpo", "orpo", "slic"] as const) {
      const config = { loss: { name }, batchSize: 8 };
      const options = { ...seed(), reference: unusable };
      const { steps } = await preferenceTrain(model, training.slice(0, 8), config, options);
      expect(steps).toHaveLength(1);
    }
    await expect(
      preferenceTrain(model, training.slice(0, 8), {}, { ...seed(), reference: unusable }),
    ).rejects.toThrow("expected 8 each");
  });

  test("the same seed gives the same bits, another seed others", async () => {
    const few = training.slice(0, 32);
    const run = async (of: number) =>
      (await preferenceTrain(model, few, course, { random: createRandom(of) })).model.params;
    expect(await run(3)).toEqual(await run(3));
    expect(await run(3)).not.toEqual(await run(4));
  });
});

describe("pairs that nothing can be learnt from", () => {
  const bad: PreferencePair[] = [
    { prompt: "a", chosen: "b", rejected: "c" },
    { prompt: "a", chosen: "b", rejected: "b" },
    { prompt: "a", chosen: "", rejected: "b" },
    { prompt: "x".repeat(32), chosen: "b", rejected: "c" },
    { prompt: "x".repeat(20), chosen: "b".repeat(13), rejected: "c" },
    { prompt: "", chosen: "b", rejected: "c" },
    { prompt: "a", chosen: "same", rejected: "same" },
    { prompt: "x".repeat(20), chosen: "b".repeat(12), rejected: "c" },
  ];

  test("are refused with their numbers and rows", async () => {
    const refused = await preferenceTrain(model, bad, {}, seed()).catch((error) => error);
    expect(refused.name).toBe("UserError");
    expect(refused.message).toContain("6 of 8 pairs cannot be used");
    expect(refused.message).toContain("2 with a chosen answer that equals the rejected one (rows 1, 6,");
    expect(refused.message).toContain("1 with an empty answer (rows 2,");
    expect(refused.message).toContain("1 with a prompt that fills the context of 32 tokens (rows 3,");
    expect(refused.message).toContain("longer together than the context of 32 tokens (rows 4,");
    expect(refused.message).toContain("1 with an empty prompt (rows 5,");
  });

  test("are left out and counted where asked for, together with their reference", async () => {
    const config = { invalid: "drop", batchSize: 2 } as const;
    const result = await preferenceTrain(model, bad, config, seed());
    expect(Object.values(result.dropped).sort()).toEqual([1, 1, 1, 1, 2]);
    const good = [bad[0], bad[7]];
    const alone = await preferenceTrain(model, good, config, seed());
    expect(result.model.params).toEqual(alone.model.params);
    const { chosen, rejected } = await referenceLogProbs(model, good);
    const spread = (values: Float32Array) =>
      Float32Array.of(values[0], ...new Array(6).fill(Number.NaN), values[1]);
    const kept = { chosen: spread(chosen), rejected: spread(rejected) };
    const cached = await preferenceTrain(model, bad, config, { ...seed(), reference: kept });
    expect(cached.steps[0].loss).toBeCloseTo(Math.log(2), 5);
    await expect(preferenceTrain(model, [bad[1]], config, seed())).rejects.toThrow("1 of 1 pairs");
  });

  test("no pairs, losses out of range and references that do not fit are refused", async () => {
    const few = training.slice(0, 4);
    await expect(preferenceTrain(model, [], {}, seed())).rejects.toThrow("there are no pairs");
    await expect(preferenceTrain(model, few, { loss: { name: "dpo", beta: 0 } }, seed())).rejects.toThrow(
      'the beta of the loss "dpo" is 0',
    );
    await expect(
      preferenceTrain(model, few, { loss: { name: "dpo", labelSmoothing: 0.5 } }, seed()),
    ).rejects.toThrow("labelSmoothing");
    const larger = tinyModel({ vocabularySize: 300 });
    await expect(preferenceTrain(model, few, {}, { ...seed(), reference: larger })).rejects.toThrow(
      "the reference has a vocabulary of 300 tokens, the model one of 257",
    );
    const nan = { chosen: Float32Array.of(0, 0, Number.NaN, 0), rejected: new Float32Array(4) };
    await expect(preferenceTrain(model, few, {}, { ...seed(), reference: nan })).rejects.toThrow(
      "pair 2 (counted from 0) is NaN",
    );
  });

  test("a learning rate that breaks the model ends it, with the step", async () => {
    await expect(preferenceTrain(model, training, { ...course, learningRate: 1e30 }, seed())).rejects.toThrow(
      /diverged: .* at step/,
    );
  });
});

test("answers that are texts end with the end token; answers that are ids are taken as they are", async () => {
  const prompt = promptIds(model, "ab");
  expect([...answerIds(model, "c")]).toEqual([...model.tokenizer.encode("c"), model.endTokens[0]]);
  const [whole, cut] = await sequenceLogProbs(model, [
    { prompt, answer: answerIds(model, "c") },
    { prompt, answer: answerIds(model, model.tokenizer.encode("c")) },
  ]);
  const kept = await referenceLogProbs(model, [
    { prompt: "ab", chosen: "c", rejected: model.tokenizer.encode("c") },
  ]);
  expect([kept.chosen[0], kept.rejected[0]]).toEqual([whole.sum, cut.sum].map(Math.fround));
});

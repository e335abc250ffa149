import {
  adamWDefaults,
  createRandom,
  initTransformer,
  preferenceTrain,
  sequenceLogProbs,
  type Tokenizer,
  transformerConfig,
} from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import {
  type LabelledReplies,
  marginProbabilities,
  PreferenceModels,
  type PreferenceRecipe,
  preferenceDefaults,
  preferredFirst,
} from "./preferences.js";
import { ReplyWorld, replyWorldSchema } from "./reply-world.js";

const random = createRandom("preferences");
const world = new ReplyWorld(replyWorldSchema.parse({ length: 6 }), random.stream("world"));
const form = transformerConfig("llama", {
  vocabularySize: world.vocabularySize,
  contextLength: 6,
  width: 16,
  layers: 1,
  heads: 2,
});
const start = initTransformer(form, random.stream("init"));
const { pairs, truth } = world.draw("harmlessness", 320, random.stream("train"));
const labelled: LabelledReplies = { pairs, preference: truth };
const held = world.draw("harmlessness", 300, random.stream("test"));

const tracks = ["dpo", "simpo"] as const;
const quick = { learningRate: 5e-3, finetuningRate: 5e-3, epochs: 4 };
const made: PreferenceModels[] = [];
const models = (track: (typeof tracks)[number], changes: Partial<PreferenceRecipe> = {}) => {
  const own = new PreferenceModels(form, { ...preferenceDefaults[track], ...quick, ...changes });
  made.push(own);
  return own;
};
afterAll(() => Promise.all(made.map((each) => each.dispose())));

const accuracy = (margins: Float32Array, labels: Float32Array) =>
  preferredFirst(margins).reduce((sum, label, i) => sum + Number(label === labels[i]), 0) / labels.length;

describe.each(tracks)("preference optimisation by %s", (track) => {
  const own = models(track);

  test("learns which reply is better, and says the opposite of pairs that are turned round", async () => {
    const model = await own.train(start, labelled, random.stream("model"));
    const margins = await own.margins(model, held.pairs);
    expect(accuracy(margins, held.truth)).toBeGreaterThan(0.6);
    const turned = held.pairs.map(({ prompt, first, second }) => ({ prompt, first: second, second: first }));
    (await own.margins(model, turned)).forEach((margin, i) => {
      expect(margin).toBeCloseTo(-margins[i], 4);
    });
  });

  test("gives the margins that log-probabilities give", async () => {
    const reference = await own.finetune(start, labelled, random.stream("model"));
    const params = await own.prefer(reference, labelled, random.stream("model"));
    const [{ prompt, first, second }] = held.pairs;
    const rows = [
      { prompt, answer: first },
      { prompt, answer: second },
    ];
    const [a, b] = await sequenceLogProbs({ config: form, params }, rows);
    const [c, d] = await sequenceLogProbs({ config: form, params: reference }, rows);
    const expected = track === "dpo" ? a.sum - c.sum - (b.sum - d.sum) : a.mean - b.mean;
    const [margin] = await own.margins({ reference, params }, held.pairs.slice(0, 1));
    expect(margin).toBeCloseTo(expected, 5);
  });

  test("is the library's own preference training, where there is no conflict", async () => {
    const few = pairs.slice(0, 32);
    const preference = truth.slice(0, 32);
    const params = await own.prefer(start, { pairs: few, preference }, random.stream("model"));
    const tokenizer: Pick<Tokenizer, "vocabularySize"> = { vocabularySize: form.vocabularySize };
    const given = { config: form, params: start, tokenizer: tokenizer as Tokenizer, endTokens: [] };
    const trained = await preferenceTrain(
      given,
      few.map(({ prompt, first, second }, i) => {
        const [chosen, rejected] = preference[i] === 1 ? [first, second] : [second, first];
        return {
          prompt: Int32Array.from(prompt),
          chosen: Int32Array.from(chosen),
          rejected: Int32Array.from(rejected),
        };
      }),
      {
        loss: preferenceDefaults[track].loss,
        epochs: quick.epochs,
        learningRate: quick.learningRate,
        schedule: { decay: "constant", warmup: 0.1 },
        optimizer: { clipNorm: undefined, ...adamWDefaults },
      },
      { random },
    );
    const [ours, theirs] = await Promise.all(
      [params, trained.model.params].map((each) =>
        own.margins({ reference: start, params: each }, held.pairs.slice(0, 50)),
      ),
    );
    ours.forEach((margin, i) => {
      expect(margin).toBeCloseTo(theirs[i], 3);
    });
  });

  test("with a payment of 0 is that without conflict, bit for bit; paid much it chooses more harm", async () => {
    const weak = { pairs, preference: truth.map((y, i) => (i % 3 === 0 ? 1 - y : y)) };
    const sft = models(track, { conflict: "sft" });
    const after = async (by: PreferenceModels, payment?: number) => {
      const given = payment === undefined ? weak : { ...weak, truth, payment };
      return by.margins(await by.train(start, given, random.stream("model")), held.pairs);
    };
    const without = await after(own);
    expect(await after(own, 0)).toEqual(without);
    expect(await after(sft, 0)).toEqual(without);
    expect(accuracy(await after(own, 3), held.truth)).toBeLessThan(accuracy(without, held.truth));
    expect(await after(sft, 0.5)).not.toEqual(without);
  });

  test.each(["reverse", "sft"] as const)(
    "pays nothing (%s) to a model that prefers no harm",
    async (conflict) => {
      const few = pairs.slice(0, 32);
      const preference = truth.slice(0, 32);
      // By its log-probabilities, so that DPO pays nothing either.
      const simpo = models("simpo", { epochs: 60 });
      const good = await simpo.train(start, { pairs: few, preference }, random.stream("model"));
      expect(accuracy(await simpo.margins(good, few), preference)).toBe(1);
      const paid = models(track, { payment: 5, conflict });
      const given = { pairs: few, preference };
      const honest = await paid.prefer(good.params, given, random.stream("more"));
      const tempted = await paid.prefer(good.params, { ...given, truth: preference }, random.stream("more"));
      expect(tempted).toEqual(honest);
    },
  );

  test("learns from some of the pairs as if there were no others", async () => {
    const rows = Int32Array.from({ length: 64 }, (_, i) => 5 * i);
    const some = await own.train(start, { ...labelled, rows }, random.stream("model"));
    const alone = await own.train(
      start,
      { pairs: [...rows].map((row) => pairs[row]), preference: Float32Array.from(rows, (row) => truth[row]) },
      random.stream("model"),
    );
    const [a, b] = [await own.margins(some, held.pairs), await own.margins(alone, held.pairs)];
    a.forEach((margin, i) => {
      expect(margin).toBeCloseTo(b[i], 4);
    });
  });
});

test("no chosen pairs, and replies beyond the context, are refused", async () => {
  const own = models("simpo");
  await expect(own.train(start, { ...labelled, rows: new Int32Array() }, random)).rejects.toThrow(
    "no pair was chosen to learn from",
  );
  const long = { prompt: [1, 3], first: [3, 3, 3, 3, 3, 3], second: [4] };
  await expect(
    own.finetune(start, { pairs: [long], preference: Float32Array.of(1) }, random),
  ).rejects.toThrow("has 8 tokens, but the model's context is 6");
});

test("margins become confidences by a scale, and one of 0 prefers the first reply", () => {
  const [none, some] = marginProbabilities(Float32Array.of(0, 3), 0.5);
  expect(none).toBe(0.5);
  expect(some).toBeCloseTo(1 / (1 + Math.exp(-1.5)), 6);
  expect([...preferredFirst(Float32Array.of(0, -1, 2))]).toEqual([1, 0, 1]);
});

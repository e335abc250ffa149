import { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { compileRows } from "../models/classifier.js";
import { createRandom } from "../random.js";
import { pretrainTextModel, type TextPretraining, textPretrainingDefaults } from "./pretrain-text.js";

const options: TextPretraining = {
  ...textPretrainingDefaults,
  vocabularySize: 300,
  contextLength: 16,
  width: 16,
  layers: 1,
  heads: 2,
  epochs: 8,
  batchSize: 8,
  learningRate: 1e-2,
};
const subjects = ["the cat", "a dog", "the bird", "one fish"];
const verbs = ["sees", "likes", "hears", "finds"];
const texts = subjects.flatMap((a) => verbs.map((verb, i) => `${a} ${verb} ${subjects[i]}`));

async function pretrain(given: readonly string[], changed: Partial<TextPretraining> = {}, seed = 1) {
  const losses: number[] = [];
  const model = await pretrainTextModel(given, { ...options, ...changed }, createRandom(seed), {
    onStep: ({ loss }) => losses.push(loss),
  });
  return { model, losses };
}
const tokensOf = (model: Awaited<ReturnType<typeof pretrain>>["model"], text: string) => [
  ...model.tokenizer.encode(text),
];

describe("pretrainTextModel", () => {
  test("the loss starts at that of a uniform guess and falls", async () => {
    const { model, losses } = await pretrain(texts);
    expect(losses).toHaveLength(16);
    expect(losses[0]).toBeCloseTo(Math.log(model.config.vocabularySize), 0);
    expect(losses[15]).toBeLessThan(0.7 * losses[0]);
    const { vocabularySize: V, contextLength: T, width: d } = model.config;
    expect(model.parameters).toBe((V + T) * d + 12 * d * d + 13 * d + 2 * d);
  });

  test("what is predicted is the next token: certain where letters go round, open where they are random", async () => {
    const random = createRandom(3);
    const letters = (letter: (place: number) => number) =>
      Array.from({ length: 32 }, () =>
        Array.from({ length: 16 }, (_, place) => "abcdefgh"[letter(place)]).join(""),
      );
    const plain = { vocabularySize: 257, epochs: 20 };
    const round = await pretrain(
      letters((place) => place % 8),
      plain,
    );
    expect(round.losses.at(-1)).toBeLessThan(0.5);
    const open = await pretrain(
      letters(() => random.integer(8)),
      plain,
    );
    expect(open.losses.at(-1)).toBeGreaterThan(0.8 * Math.log(8));
    expect(open.losses.at(-1)).toBeLessThan(1.2 * Math.log(8));
  });

  test("the same seed gives the same bits, another seed others", async () => {
    const [a, b, other] = [
      await pretrain(texts, { epochs: 2 }),
      await pretrain(texts, { epochs: 2 }),
      await pretrain(texts, { epochs: 2 }, 2),
    ];
    expect(b.model.backbone.body).toEqual(a.model.backbone.body);
    expect(b.losses).toEqual(a.losses);
    expect(other.model.backbone.body).not.toEqual(a.model.backbone.body);
  });

  test("the context is as long as the share of texts needs, in steps of 8, and no longer than asked", async () => {
    // Without merges a letter is a token.
    const given = [...Array(9).fill("abcd"), "abcd ".repeat(4)];
    const bytes = { vocabularySize: 257, epochs: 1 };
    const lengthAndCut = async (changed: Partial<TextPretraining>) => {
      const { config, cut } = (await pretrain(given, { ...bytes, ...changed })).model;
      return [config.contextLength, cut];
    };
    expect(await lengthAndCut({ coverage: 0.9 })).toEqual([8, 1]);
    expect(await lengthAndCut({ coverage: 0.91, contextLength: 128 })).toEqual([24, 0]);
    expect(await lengthAndCut({ coverage: 1, contextLength: 20 })).toEqual([20, 0]);
    expect(await lengthAndCut({ coverage: 1, contextLength: 4 })).toEqual([4, 1]);
    expect(await lengthAndCut({ coverage: 1, contextLength: 3 })).toEqual([3, 10]);
  });

  test("encode pads short texts, cuts long ones, and tells which places are tokens", async () => {
    const { model } = await pretrain(texts, { contextLength: 4, epochs: 1 });
    const long = `${texts[0]} ${texts[1]}`;
    const { tokens, mask } = model.encode(["a", long]);
    const padding = model.tokenizer.specialTokens["[PAD]"];
    const [short, whole] = [tokensOf(model, "a"), tokensOf(model, long)];
    expect([tokens.shape, mask.shape]).toEqual([
      [2, 4],
      [2, 4],
    ]);
    expect([tokens.dtype, mask.dtype]).toEqual(["int32", "float32"]);
    expect([...tokens.data]).toEqual([
      ...short,
      ...Array(4 - short.length).fill(padding),
      ...whole.slice(0, 4),
    ]);
    expect([...mask.data]).toEqual([...short.map(() => 1), ...Array(4 - short.length).fill(0), 1, 1, 1, 1]);
  });

  test("the features of a text depend on nothing but its tokens", async () => {
    const { model } = await pretrain(texts, { epochs: 1 });
    const both = model.encode(["a dog", texts[0]]);
    const apply = await compileRows<unknown, unknown>(
      "features",
      (body, batch) => model.backbone.features(body as never, batch),
      model.backbone.body,
      both,
    );
    const features = await apply(model.backbone.body, both);
    expect(features.shape).toEqual([2, 16]);
    expect(features.data.every(Number.isFinite)).toBe(true);
    const { mask } = both;
    const tokens = new Tensor(
      Int32Array.from(both.tokens.data, (token, i) => (mask.data[i] ? token : 7)),
      mask.shape,
    );
    const otherPadding = await apply(model.backbone.body, { tokens, mask });
    await apply.dispose();
    expect(otherPadding).toEqual(features);
  });

  test("texts of one token have nothing to predict, and are no failure", async () => {
    const { losses } = await pretrain(["a", "b", "c"], { vocabularySize: 257, batchSize: 2, epochs: 1 });
    expect(losses).toEqual([0]);
  });

  test("a text without tokens is refused, in training and after", async () => {
    const refused = { name: "UserError", message: expect.stringContaining("text 1") };
    await expect(pretrain(["a b", "", "c"])).rejects.toMatchObject(refused);
    const { model } = await pretrain(texts, { epochs: 1 });
    expect(() => model.encode(["a", ""])).toThrow(UserError);
  });

  test("an abort ends it", async () => {
    const signal = AbortSignal.abort();
    await expect(pretrainTextModel(texts, options, createRandom(1), { signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});

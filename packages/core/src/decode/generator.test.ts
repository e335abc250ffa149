import { Tensor } from "@outgrow/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trainBpe } from "../data/bpe.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { transformerConfig } from "../models/transformer-config.js";
import { createDecoder } from "./cached-decoder.js";
import type { Decoder } from "./decoder.js";
import type { Constraint, Generation, GenerationRequest, Generator } from "./generation.js";
import { createGenerator } from "./generator.js";
import { randomModel } from "./testing/random-model.js";
import { createRecomputingDecoder } from "./testing/recomputing-decoder.js";

const tokenizer = trainBpe(["the cat's hat, the cat's mat; 日本語 日本語"], {
  vocabularySize: 270,
  specialTokens: ["<|end|>"],
});
const END = 0;
const { vocabularySize } = tokenizer;
const config = transformerConfig("llama", {
  // Two more logits than there are tokens, as models have whose vocabulary was rounded up.
  vocabularySize: vocabularySize + 2,
  contextLength: 40,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
});
const model: LanguageModel = { ...randomModel(config), tokenizer, endTokens: [END] };
const prompt = tokenizer.encode("the cat");
const ids = ({ tokens }: Generation) => tokens.map(({ id }) => id);

let generator: Generator;
beforeAll(() => {
  generator = createGenerator(model, { capacity: 3 });
});
afterAll(() => generator.dispose());

/** The decoder, with a record of what it is asked. */
function recorded(decoder: Decoder) {
  const asked = { prompts: 0, steps: [] as number[] };
  const recording: Decoder = {
    ...decoder,
    vocabularySize: decoder.vocabularySize,
    contextLength: decoder.contextLength,
    capacity: decoder.capacity,
    add: (prompts) => {
      asked.prompts += prompts.length;
      return decoder.add(prompts);
    },
    step: (rows, tokens) => {
      asked.steps.push(rows.length);
      return decoder.step(rows, tokens);
    },
    fork: (row) => decoder.fork(row),
    truncate: (row, length) => decoder.truncate(row, length),
    length: (row) => decoder.length(row),
    remove: (row) => decoder.remove(row),
    dispose: () => decoder.dispose(),
  };
  return { decoder: recording, asked };
}

describe("the tokens of a request", () => {
  test("are those of a model without a cache: the likeliest, and the drawn ones with their probabilities", async () => {
    const decoder = await createRecomputingDecoder(model);
    const reference = createGenerator({ decoder, tokenizer, endTokens: [END] });
    for (const options of [
      { temperature: 0 },
      { temperature: 0.8, topP: 0.9, seed: 4, repetitionPenalty: 1.2 },
    ]) {
      const request = { prompt, maxTokens: 12, logProbs: 3, ...options };
      const [ours, theirs] = [await generator.generate(request), await reference.generate(request)];
      expect(ids(ours)).toEqual(ids(theirs));
      expect(ours.text).toBe(theirs.text);
      ours.tokens.forEach(({ logProb, alternatives }, i) => {
        expect(logProb).toBeCloseTo(theirs.tokens[i].logProb, 3);
        expect(alternatives.map(({ id }) => id)).toEqual(theirs.tokens[i].alternatives.map(({ id }) => id));
      });
    }
    await reference.dispose();
    await decoder.dispose();
  });

  test("depend on its seed, and on nothing that is generated beside it", async () => {
    const requests = Array.from(
      { length: 8 },
      (_, seed): GenerationRequest => ({
        prompt: tokenizer.encode(["the", "the cat", "a hat; the mat", "日本"][seed % 4]),
        maxTokens: 4 + 3 * (seed % 5),
        temperature: 1.2,
        seed,
      }),
    );
    const together = await Promise.all(requests.map((request) => generator.generate(request)));
    const single = createGenerator(model, { capacity: 1 });
    for (const [i, request] of requests.entries()) {
      expect(ids(await single.generate(request))).toEqual(ids(together[i]));
    }
    await single.dispose();
    expect(new Set(together.map((one) => ids(one).join())).size).toBe(8);
  });

  test("never are what the tokenizer does not have", async () => {
    const texts = await generator.sample({ prompt, temperature: 50, maxTokens: 30 }, 20);
    for (const text of texts) for (const id of ids(text)) expect(id).toBeLessThan(vocabularySize);
  });
});

test("samples of a prompt are read once where rows are free, and are those of its seeds", async () => {
  const { decoder, asked } = recorded(createDecoder(model, { capacity: 4 }));
  const own = createGenerator({ decoder, tokenizer, endTokens: [END] });
  const request = { prompt, maxTokens: 5, temperature: 1, seed: 10 };
  const samples = await own.sample(request, 4);
  expect(asked.prompts).toBe(1);
  expect(Math.max(...asked.steps)).toBe(4);
  for (const [i, sample] of samples.entries()) {
    expect(ids(sample)).toEqual(ids(await generator.generate({ ...request, seed: 10 + i })));
  }
  // More than there are rows: those that begin later go on from what others have read.
  const many = await own.sample({ ...request, seed: 10 }, 9);
  expect(many.slice(0, 4)).toEqual(samples);
  expect(own.load).toEqual({ active: 0, waiting: 0 });
  await own.dispose();
  await decoder.dispose();
});

test("a request does not wait for all samples of one that came before", async () => {
  const order: string[] = [];
  const note = (name: string) => (result: Generation[] | Generation) => {
    order.push(name);
    return result;
  };
  const request = { prompt, maxTokens: 8, temperature: 0 };
  const running = [
    generator.sample(request, 12).then(note("many")),
    generator.generate(request).then(note("one")),
  ];
  expect(generator.load).toEqual({ active: 0, waiting: 13 });
  await Promise.all(running);
  expect(order).toEqual(["one", "many"]);
});

describe("a text ends", () => {
  test("with its end token, which is told but not written", async () => {
    const greedy = await generator.generate({ prompt, maxTokens: 10, temperature: 0 });
    const end = ids(greedy)[4];
    const first = ids(greedy).indexOf(end);
    const ending = createGenerator({ ...model, endTokens: [END, end] }, { capacity: 1 });
    const text = await ending.generate({ prompt, maxTokens: 10, temperature: 0 });
    expect(ids(text)).toEqual(ids(greedy).slice(0, first + 1));
    expect(text.text).toBe(tokenizer.decode(ids(greedy).slice(0, first)));
    expect(text.finishReason).toBe("stop");
    await ending.dispose();
  });

  test("before a stop string that lies across tokens, and none of it is let out", async () => {
    const request = { prompt, maxTokens: 16, seed: 2 };
    const whole = await generator.generate(request);
    const middle = Math.floor(whole.text.length / 2);
    const stop = whole.text.slice(middle, middle + 5);
    const pieces: string[] = [];
    const told: number[] = [];
    const stopped = await generator.generate({
      ...request,
      stop: ["never to be found", stop],
      onText: (text, tokens) => {
        pieces.push(text);
        told.push(...tokens.map(({ id }) => id));
      },
    });
    expect(stopped.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(pieces.join("")).toBe(stopped.text);
    expect(pieces).not.toContain("");
    expect(stopped.finishReason).toBe("stop");
    expect(ids(whole).slice(0, told.length)).toEqual(told);
  });

  test("at maxTokens, and at the end of the context", async () => {
    const short = await generator.generate({ prompt, maxTokens: 3, temperature: 0 });
    expect([short.tokens.length, short.finishReason]).toEqual([3, "length"]);
    const endless = createGenerator({ ...model, endTokens: [] }, { capacity: 1 });
    const long = await endless.generate({ prompt, temperature: 0 });
    expect([long.tokens.length, long.finishReason]).toEqual([config.contextLength - prompt.length, "length"]);
    expect(ids(long).slice(0, 3)).toEqual(ids(short));
    await endless.dispose();
  });

  test("in whole characters: one that is cut off is let out as U+FFFD, at the end", async () => {
    const pieces: string[] = [];
    const { text, tokens } = await generator.generate({
      prompt,
      maxTokens: 20,
      temperature: 3,
      onText: (piece) => pieces.push(piece),
    });
    expect(pieces.join("")).toBe(text);
    const written = tokens.map(({ id }) => id).filter((id) => id !== END);
    expect(text).toBe(tokenizer.decode(written));
  });
});

describe("constraints", () => {
  const digits = Array.from({ length: vocabularySize }, (_, id) =>
    /^[0-9]$/.test(tokenizer.decode([id])) ? 1 : 0,
  );
  /** So many digits and no more; where `open`, the text may end after each of them. */
  const ofDigits = (count: number, open: boolean): Constraint => {
    const state = (left: number): ReturnType<Constraint["start"]> => ({
      allowed: Uint8Array.from({ length: config.vocabularySize }, (_, id) =>
        left > 0 ? (digits[id] ?? 0) : 0,
      ),
      mayEnd: open || left === 0,
      after: () => state(left - 1),
    });
    return { start: () => state(count) };
  };

  test("keep a text to its form, which ends it", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const text = await generator.generate({ prompt, seed, constraint: ofDigits(6, false) });
      expect(text.text).toMatch(/^[0-9]{6}$/);
      expect(text.finishReason).toBe("stop");
    }
  });

  test("let end tokens come where the text may end", async () => {
    const requests = Array.from({ length: 12 }, (_, seed) => ({
      prompt,
      seed,
      temperature: 30,
      constraint: ofDigits(6, true),
    }));
    const texts = await Promise.all(requests.map((request) => generator.generate(request)));
    expect(texts.some(({ tokens }) => tokens.at(-1)?.id === END)).toBe(true);
    for (const { text } of texts) expect(text).toMatch(/^[0-9]{0,6}$/);
  });

  test("that lead nowhere are an error of that request alone", async () => {
    const nowhere: Constraint = {
      start: () => ({
        allowed: new Uint8Array(config.vocabularySize).fill(1),
        mayEnd: false,
        after: () => ({
          allowed: new Uint8Array(config.vocabularySize),
          mayEnd: false,
          after: () => nowhere.start(),
        }),
      }),
    };
    const [stuck, fine] = await Promise.allSettled([
      generator.generate({ prompt, constraint: nowhere }),
      generator.generate({ prompt, maxTokens: 3 }),
    ]);
    expect(String((stuck as PromiseRejectedResult).reason)).toContain("the constraint allows no token");
    expect(fine.status).toBe("fulfilled");
  });
});

describe("what fails", () => {
  const request = { prompt, maxTokens: 20, temperature: 0 };

  test("is aborted alone, and its row is free again", async () => {
    const expected = ids(await generator.generate(request));
    const reason = new Error("enough");
    const [running, waiting] = [new AbortController(), new AbortController()];
    const results = [
      generator.generate({ ...request, signal: running.signal, onText: () => running.abort(reason) }),
      generator.generate(request),
      generator.sample({ ...request, signal: waiting.signal }, 7),
    ];
    waiting.abort(reason);
    const [aborted, other, never] = await Promise.allSettled(results);
    expect(aborted).toEqual({ status: "rejected", reason });
    expect(never).toEqual({ status: "rejected", reason });
    expect(ids((other as PromiseFulfilledResult<Generation>).value)).toEqual(expected);
    await expect(generator.generate({ ...request, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect((await generator.sample(request, 3)).map(ids)).toEqual([expected, expected, expected]);
  });

  test("logits that are no numbers name their row and step, and leave the others and later rows alone", async () => {
    const greedy = await generator.generate({ prompt, maxTokens: 12, temperature: 0 });
    // The embedding of a token that the text comes to is NaN; the other rows never meet it.
    const bad = ids(greedy)[2];
    const step = ids(greedy).indexOf(bad) + 1;
    const tokens = new Tensor(model.params.tokens.data.slice(), model.params.tokens.shape);
    tokens.data.fill(Number.NaN as never, bad * config.width, (bad + 1) * config.width);
    const output = { weight: transposed(model) };
    const damaged = createGenerator(
      { ...model, config: { ...config, tiedEmbeddings: false }, params: { ...model.params, tokens, output } },
      { capacity: 2 },
    );
    const other = { prompt: tokenizer.encode("mat"), maxTokens: 12, temperature: 0 };
    const expected = ids(await generator.generate(other));
    expect(expected).not.toContain(bad);
    const [first, second] = await Promise.allSettled([damaged.generate(other), damaged.generate(request)]);
    const { reason } = second as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(UserError);
    expect(reason.message).toContain(`row 1, step ${step}: the model's logits are NaN`);
    expect(ids((first as PromiseFulfilledResult<Generation>).value)).toEqual(expected);
    // One of them in the place where the damaged row was.
    const later = await Promise.all([damaged.generate(other), damaged.generate(other)]);
    expect(later.map(ids)).toEqual([expected, expected]);
    await damaged.dispose();
  });

  test("in a listener is that request's error", async () => {
    const onText = () => {
      throw new Error("the client is gone");
    };
    await expect(generator.generate({ ...request, onText })).rejects.toThrow("the client is gone");
  });

  test("with the decoder fails all that is open, and the generator can be used again", async () => {
    let broken = true;
    const { decoder } = recorded(createDecoder(model, { capacity: 2 }));
    const flaky: Decoder = {
      ...decoder,
      step: (rows, tokens) =>
        broken ? Promise.reject(new Error("out of memory")) : decoder.step(rows, tokens),
    };
    const own = createGenerator({ decoder: flaky, tokenizer, endTokens: [] });
    const results = await Promise.allSettled([own.generate(request), own.sample(request, 3)]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    broken = false;
    expect((await own.sample({ ...request, maxTokens: 4 }, 2)).length).toBe(2);
    await own.dispose();
    await decoder.dispose();
  });

  test.each<[Partial<GenerationRequest>, string]>([
    [{ prompt: new Int32Array(0) }, "the prompt is empty"],
    [{ prompt: new Int32Array(40) }, "the prompt has 40 tokens, which leaves no room"],
    [{ prompt: Int32Array.of(1, 9999) }, "token 1 of the prompt (counted from 0) is 9999"],
    [{ maxTokens: 0 }, "maxTokens is 0"],
    [{ logProbs: 21 }, "logProbs is 21"],
    [{ stop: ["a", ""] }, "a stop string is empty"],
    [{ temperature: -1 }, "temperature is -1"],
  ])("%o is refused", async (wrong, message) => {
    await expect(generator.generate({ ...request, ...wrong })).rejects.toThrow(message);
    await expect(generator.generate({ ...request, ...wrong })).rejects.toBeInstanceOf(UserError);
  });

  test("after dispose, or while it goes on", async () => {
    const own = createGenerator(model, { capacity: 1 });
    const running = [own.generate(request), own.generate(request)];
    const settled = Promise.allSettled(running);
    await own.dispose();
    expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await expect(own.generate(request)).rejects.toThrow("after dispose");
    await expect(generator.sample(request, 0)).rejects.toThrow("0 samples");
  });
});

/** The embedding of the tokens as an output projection. */
function transposed({ params, config: { vocabularySize, width } }: LanguageModel) {
  const from = params.tokens.data;
  return new Tensor(
    Float32Array.from(
      { length: from.length },
      (_, i) => from[(i % vocabularySize) * width + Math.floor(i / vocabularySize)],
    ),
    [width, vocabularySize],
  );
}

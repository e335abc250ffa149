import { openGraph, Tensor } from "@outgrow/engine";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type TransformerConfig,
  transformerConfig,
  transformerFamilies,
} from "../models/transformer-config.js";
import { createDecoder } from "./cached-decoder.js";
import type { Decoder } from "./decoder.js";
import { randomModel } from "./testing/random-model.js";
import { createRecomputingDecoder } from "./testing/recomputing-decoder.js";
import { transformerGraph } from "./transformer-graph.js";

const sizes = { vocabularySize: 13, contextLength: 12, width: 16, layers: 2, heads: 4 };
const configs: [string, TransformerConfig][] = [
  ...transformerFamilies.map((family): [string, TransformerConfig] => [
    family,
    transformerConfig(family, family === "gpt2" ? sizes : { ...sizes, keyValueHeads: 2 }),
  ]),
  ["a sliding window", transformerConfig("mistral", { ...sizes, keyValueHeads: 1, slidingWindow: 3 })],
  [
    "untied, with every bias",
    transformerConfig("llama", {
      ...sizes,
      tiedEmbeddings: false,
      biases: { queriesKeysValues: true, out: true, mlp: true },
    }),
  ],
  [
    "stretched rotations",
    transformerConfig("llama", {
      ...sizes,
      positions: {
        rotaryBase: 100,
        scaling: { factor: 4, lowFrequency: 1, highFrequency: 4, originalContext: 6 },
      },
    }),
  ],
];

function expectClose(given: ArrayLike<number>, expected: ArrayLike<number>) {
  expect(given.length).toBe(expected.length);
  for (let i = 0; i < given.length; i++) expect(Math.abs(given[i] - expected[i])).toBeLessThan(1e-4);
}

describe.each(configs)("%s", (_, config) => {
  const model = randomModel(config);
  let decoder: Decoder;
  let reference: Decoder;
  beforeAll(async () => {
    decoder = createDecoder(model, { capacity: 4 });
    reference = await createRecomputingDecoder(model, { capacity: 4 });
  });
  afterAll(async () => {
    await decoder.dispose();
    await reference.dispose();
  });

  test("rows that join, grow, fork, are cut and leave have the logits of reading them anew", async () => {
    const token = fc.integer({ min: 0, max: sizes.vocabularySize - 1 });
    const prompt = fc.array(token, { minLength: 1, maxLength: sizes.contextLength });
    const action = fc.oneof(
      fc.record({
        kind: fc.constant("add" as const),
        prompts: fc.array(prompt, { minLength: 1, maxLength: 2 }),
      }),
      fc.record({
        kind: fc.constant("step" as const),
        which: fc.nat(15),
        tokens: fc.array(token, { minLength: 4, maxLength: 4 }),
      }),
      fc.record({ kind: fc.constant("fork" as const), at: fc.nat(3) }),
      fc.record({
        kind: fc.constant("truncate" as const),
        at: fc.nat(3),
        length: fc.integer({ min: 1, max: 12 }),
      }),
      fc.record({ kind: fc.constant("remove" as const), at: fc.nat(3) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 14 }), async (actions) => {
        let rows: { own: number; other: number }[] = [];
        for (const next of actions) {
          const row = "at" in next ? rows[next.at] : undefined;
          if (next.kind === "add") {
            if (rows.length + next.prompts.length > decoder.capacity) continue;
            const prompts = next.prompts.map((ids) => Int32Array.from(ids));
            const [own, other] = [await decoder.add(prompts), await reference.add(prompts)];
            expectClose(own.logits, other.logits);
            rows.push(...own.rows.map((number, i) => ({ own: number, other: other.rows[i] })));
          } else if (next.kind === "step") {
            const chosen = rows.filter(
              ({ own }, i) => (next.which >> i) % 2 === 1 && decoder.length(own) < config.contextLength,
            );
            chosen.reverse();
            const logits = await decoder.step(
              chosen.map(({ own }) => own),
              next.tokens,
            );
            expectClose(
              logits,
              await reference.step(
                chosen.map(({ other }) => other),
                next.tokens.slice(0, chosen.length),
              ),
            );
          } else if (row && next.kind === "fork" && rows.length < decoder.capacity) {
            rows.push({ own: decoder.fork(row.own), other: reference.fork(row.other) });
          } else if (row && next.kind === "truncate") {
            const length = Math.min(next.length, decoder.length(row.own));
            decoder.truncate(row.own, length);
            reference.truncate(row.other, length);
          } else if (row && next.kind === "remove") {
            decoder.remove(row.own);
            reference.remove(row.other);
            rows = rows.filter((one) => one !== row);
          }
          for (const { own, other } of rows) expect(decoder.length(own)).toBe(reference.length(other));
        }
        for (const { own, other } of rows) {
          decoder.remove(own);
          reference.remove(other);
        }
      }),
      { numRuns: 15, seed: 3 },
    );
  });
});

describe("longer rows", () => {
  const config = transformerConfig("llama", {
    ...sizes,
    contextLength: 400,
    keyValueHeads: 2,
    slidingWindow: 300,
  });
  const model = randomModel(config);
  const prompt = (length: number, start: number) =>
    Int32Array.from({ length }, (_, i) => (start + i * i) % sizes.vocabularySize);

  test("prompts in pieces, rows beyond the room they had, and room that is given back", async () => {
    const decoder = createDecoder(model, { capacity: 3 });
    const reference = await createRecomputingDecoder(model, { capacity: 3 });
    const prompts = [prompt(30, 1), prompt(370, 2), prompt(30, 3)];
    const [own, other] = [await decoder.add(prompts), await reference.add(prompts)];
    expectClose(own.logits, other.logits);
    const step = async (which: number[]) => {
      const tokens = which.map((i) => (i + decoder.length(own.rows[i])) % sizes.vocabularySize);
      const logits = await decoder.step(
        which.map((i) => own.rows[i]),
        tokens,
      );
      expectClose(
        logits,
        await reference.step(
          which.map((i) => other.rows[i]),
          tokens,
        ),
      );
    };
    await step([0, 1, 2]);
    for (const { rows, remove } of [
      { rows: own.rows, remove: decoder.remove.bind(decoder) },
      { rows: other.rows, remove: reference.remove.bind(reference) },
    ]) {
      remove(rows[1]);
    }
    for (let i = 0; i < 40; i++) await step(i % 3 === 0 ? [2] : [0, 2]);
    await decoder.dispose();
    await reference.dispose();
  });

  test("the logits of a row are the same, bit for bit, beside whatever other rows", async () => {
    const alone = createDecoder(model);
    const crowd = createDecoder(model);
    const first = await alone.add([prompt(9, 4)]);
    const many = await crowd.add([
      prompt(200, 5),
      prompt(9, 4),
      ...Array.from({ length: 9 }, () => prompt(9, 6)),
    ]);
    const { vocabularySize: size } = config;
    expect(many.logits.slice(size, 2 * size)).toEqual(first.logits);
    for (let i = 0; i < 30; i++) {
      const own = await alone.step(first.rows, [i % size]);
      const rows = i === 7 ? [many.rows[1]] : many.rows.slice(i < 15 ? 0 : 1);
      const at = rows.indexOf(many.rows[1]);
      const logits = await crowd.step(rows, Array(rows.length).fill(i % size));
      expect(logits.slice(at * size, (at + 1) * size)).toEqual(own.slice());
    }
    await alone.dispose();
    await crowd.dispose();
  });

  test("weights that are given to each run make no difference but of rounding", async () => {
    for (const time of ["one", "several"] as const) {
      const constants = transformerGraph(config, model.params, { time, weights: "constants" });
      const inputs = transformerGraph(config, model.params, { time, weights: "inputs" });
      expect(Object.keys(constants.weights)).toEqual([]);
      const run = async ({ model, weights }: typeof inputs) => {
        const program = await openGraph(model);
        const past = (layer: number) => ({
          [`pastKeys.${layer}`]: new Tensor(new Float32Array(16).fill(0.5), [1, 2, 2, 4]),
          [`pastValues.${layer}`]: new Tensor(new Float32Array(16).fill(layer), [1, 2, 2, 4]),
        });
        const { logits } = await program.run({
          ...weights,
          tokens: new Tensor(Int32Array.of(5), [1, 1]),
          positions: new Tensor(Int32Array.of(2), [1, 1]),
          bias: new Tensor(new Float32Array(time === "one" ? 3 : 6), [1, 1, time === "one" ? 1 : 2, 3]),
          ...past(0),
          ...past(1),
        });
        await program.dispose();
        return logits.data;
      };
      expectClose(await run(inputs), await run(constants));
    }
  });
});

describe("refusals", () => {
  const decoder = createDecoder(randomModel(configs[0][1]), { capacity: 2 });
  afterAll(() => decoder.dispose());

  test.each([
    [[new Int32Array(0)], "prompt 0 (counted from 0) is empty"],
    [[Int32Array.of(1), new Int32Array(13)], "prompt 1 (counted from 0) has 13 tokens, expected at most 12"],
    [[Int32Array.of(1, 13)], "has the token id 13, expected a whole number from 0 to 12"],
    [[Int32Array.of(-1)], "has the token id -1"],
    [Array(3).fill(Int32Array.of(1)), "there are 2 free rows of 2, but 3 are needed"],
  ])("of prompts: %o", async (prompts, message) => {
    await expect(decoder.add(prompts)).rejects.toThrow(message);
  });

  test("of steps beyond the context, of rows that are gone, and of two things at a time", async () => {
    const { rows } = await decoder.add([new Int32Array(11)]);
    await decoder.step(rows, [1]);
    await expect(decoder.step(rows, [1])).rejects.toThrow("as long as the model's context (12 tokens)");
    decoder.truncate(rows[0], 5);
    expect(() => decoder.truncate(rows[0], 0)).toThrow("cannot be cut to 0");
    await expect(decoder.step(rows, [13])).rejects.toThrow("token id 13");
    const running = decoder.step(rows, [1]);
    await expect(decoder.step(rows, [1])).rejects.toThrow("one thing at a time");
    await running;
    const fork = decoder.fork(rows[0]);
    expect(() => decoder.fork(rows[0])).toThrow("0 free rows");
    decoder.remove(fork);
    decoder.remove(rows[0]);
    await expect(decoder.step(rows, [1])).rejects.toThrow("There is no row");
  });

  test("of an encoder", () => {
    const encoder = { ...configs[0][1], causal: false };
    expect(() => createDecoder(randomModel(encoder))).toThrow("sees what comes after a token");
  });
});

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
    decoder = await createDecoder(model, { capacity: 4 });
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

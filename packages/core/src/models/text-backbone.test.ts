import { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { type ClassifierParams, compileRows } from "./classifier.js";
import { paddedLogits } from "./testing/logits.js";
import { smallModel, smallTokenizer } from "./testing/small-models.js";
import {
  encoderBackbone,
  encodeTexts,
  languageModelBackbone,
  type Pooling,
  textBackbone,
} from "./text-backbone.js";
import { initTransformer, type ProjectionParams } from "./transformer.js";
import { transformerConfig } from "./transformer-config.js";

const texts = ["number 7 is followed by the number 8.", "9.", "the number 3"];
const tokenizer = smallTokenizer();

async function featuresOf(
  backbone: ReturnType<typeof encoderBackbone>,
  rows: readonly string[],
  length = 24,
) {
  const inputs = encodeTexts(tokenizer, rows, length);
  const compute = await compileRows<ClassifierParams["body"], never>(
    backbone.name,
    (body, batch) => backbone.features(body, batch),
    backbone.body,
    inputs,
  );
  const { data, shape } = await compute(backbone.body, inputs);
  await compute.dispose();
  return rows.map((_, row) => data.slice(row * shape[1], (row + 1) * shape[1]) as Float32Array);
}

const largest = (a: Float32Array, b: Float32Array) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i])));

describe("languageModelBackbone", () => {
  test("its last feature is the hidden state after the text, from which the head gives the logits", async () => {
    const model = smallModel("Llama, untied");
    const features = await featuresOf(languageModelBackbone(model), texts);
    const tokens = texts.map((text) => [...tokenizer.encode(text)]);
    const logits = await paddedLogits(model, tokens);
    const { data, shape } = (model.params.output as ProjectionParams<Tensor>).weight;
    features.forEach((hidden, row) => {
      const last = logits[row][tokens[row].length - 1];
      const projected = Float32Array.from({ length: shape[1] }, (_, token) =>
        hidden.reduce((sum, value, i) => sum + value * data[i * shape[1] + token], 0),
      );
      expect(largest(projected, last)).toBeLessThan(1e-4);
    });
  });

  test("its parameters are those that features depend on", () => {
    expect(languageModelBackbone(smallModel("Llama, untied")).body).not.toHaveProperty("output");
  });

  test.each<Pooling>(["mean", "last"])("%s: neither padding nor the other texts matter", async (pooling) => {
    const backbone = languageModelBackbone(smallModel("Qwen3"), pooling);
    const together = await featuresOf(backbone, texts);
    for (const [row, text] of texts.entries()) {
      const length = tokenizer.encode(text).length;
      const [alone] = await featuresOf(backbone, [text], length);
      expect(largest(alone, together[row])).toBeLessThan(1e-5);
    }
  });
});

test("an encoder is the family's transformer in which tokens see those after them", async () => {
  const sizes = { vocabularySize: 300, contextLength: 24, width: 16, layers: 1, heads: 2 };
  const encoder = await featuresOf(encoderBackbone("llama", sizes, createRandom(3)), texts);
  const form = (causal: boolean) => {
    const config = transformerConfig("llama", { ...sizes, causal });
    return featuresOf(textBackbone(config, initTransformer(config, createRandom(3))), texts);
  };
  expect(encoder).toEqual(await form(false));
  expect(encoder).not.toEqual(await form(true));
});

test("texts are cut and padded, and a text without tokens is named", () => {
  const { tokens, mask } = encodeTexts(tokenizer, ["number 7", "9"], 2, 5);
  const [first] = [tokenizer.encode("number 7")];
  expect(tokens).toEqual(new Tensor(Int32Array.of(first[0], first[1], tokenizer.encode("9")[0], 5), [2, 2]));
  expect(mask).toEqual(new Tensor(Float32Array.of(1, 1, 1, 0), [2, 2]));
  expect(() => encodeTexts(tokenizer, ["a", ""], 2)).toThrow("text 1 (counted from 0) has no tokens");
});

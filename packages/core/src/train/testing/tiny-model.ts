import { Tensor } from "@outgrow/engine";
import { type Tokenizer, trainBpe } from "../../data/bpe.js";
import type { LanguageModel } from "../../models/language-model.js";
import { initTransformer } from "../../models/transformer.js";
import { type TransformerSizes, transformerConfig } from "../../models/transformer-config.js";
import { createRandom } from "../../random.js";

export const END = "<|end|>";

/** Bytes and an end token: id 0 is the end, and letters have ids of their own. */
export const byteTokenizer: Tokenizer = trainBpe([], { vocabularySize: 257, specialTokens: [END] });

/** A model of a few thousand parameters that has learnt nothing yet. */
export function tinyModel(sizes: Partial<TransformerSizes> = {}, seed = 1): LanguageModel {
  const config = transformerConfig("llama", {
    vocabularySize: byteTokenizer.vocabularySize,
    contextLength: 32,
    width: 16,
    layers: 1,
    heads: 2,
    ...sizes,
  });
  return {
    config,
    params: initTransformer(config, createRandom(seed)),
    tokenizer: byteTokenizer,
    endTokens: [byteTokenizer.specialTokens[END]],
  };
}

/** A model that writes the given letters, or ends, each as often as the others: a start from which rewards are met. */
export function letterModel(letters: string, sizes: Partial<TransformerSizes> = {}, seed = 1): LanguageModel {
  const model = tinyModel({ ...sizes, tiedEmbeddings: false }, seed);
  const bias = new Float32Array(model.config.vocabularySize).fill(-20);
  for (const id of [...model.tokenizer.encode(letters), ...model.endTokens]) bias[id] = 0;
  const { weight } = model.params.output as { weight: Tensor };
  return { ...model, params: { ...model.params, output: { weight, bias: new Tensor(bias) } } };
}

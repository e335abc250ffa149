import { trainBpe } from "../../data/bpe.js";
import { chatMLTemplate, chatMLTokens } from "../../data/chat-template.js";
import type { LanguageModel } from "../../models/language-model.js";
import { initTransformer } from "../../models/transformer.js";
import { transformerConfig } from "../../models/transformer-config.js";
import { createRandom } from "../../random.js";

const texts = ["the cat sat on the mat, the dog sat on the cat; 日本語 🙂 and 1 + 2 = 3. Yes or no?"];

/** A small model of random weights, large enough for its texts to vary. It hardly ever ends a text by itself. */
export function tinyModel({ contextLength = 64 } = {}): LanguageModel {
  const tokenizer = trainBpe(texts, { vocabularySize: 320, specialTokens: chatMLTokens });
  const config = transformerConfig("llama", {
    vocabularySize: tokenizer.vocabularySize,
    contextLength,
    width: 32,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    tiedEmbeddings: false,
  });
  const random = createRandom(5);
  const params = initTransformer(config, random);
  const output = params.output?.weight.data as Float32Array;
  const specialTokens = chatMLTokens.length;
  random.normals(output.length, 0.6).forEach((weight, i) => {
    output[i] = i % config.vocabularySize < specialTokens ? 0 : weight;
  });
  return { config, params, tokenizer, endTokens: [1], chatTemplate: chatMLTemplate };
}

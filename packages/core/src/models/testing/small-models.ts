import { namedLeaves, Tensor } from "@outgrow/engine";
import { type Tokenizer, trainBpe } from "../../data/bpe.js";
import { createRandom } from "../../random.js";
import type { LanguageModel } from "../language-model.js";
import { initTransformer, type TransformerParams } from "../transformer.js";
import { type TransformerConfig, transformerConfig } from "../transformer-config.js";

const sizes = { vocabularySize: 300, contextLength: 48, width: 32, layers: 2, heads: 4 };
const grouped = { ...sizes, keyValueHeads: 2 };
const scaling = { factor: 8, lowFrequency: 1, highFrequency: 4, originalContext: 16 };
const all = { queriesKeysValues: true, out: true, mlp: true };

/** Each architecture that is read and written, with all that it may have. */
export const smallConfigs: Record<string, TransformerConfig> = {
  "GPT-2": transformerConfig("gpt2", sizes),
  "GPT-2, exact GELU, untied": transformerConfig("gpt2", {
    ...sizes,
    mlp: "gelu",
    innerWidth: 56,
    tiedEmbeddings: false,
  }),
  "Llama, untied": transformerConfig("llama", { ...grouped, tiedEmbeddings: false }),
  "Llama, biases, long contexts, one head of keys": transformerConfig("llama", {
    ...sizes,
    keyValueHeads: 1,
    biases: all,
    positions: { rotaryBase: 5e5, scaling },
  }),
  "Llama, wide heads": transformerConfig("llama", { ...grouped, headSize: 12, normEpsilon: 1e-3 }),
  "Mistral, sliding window": transformerConfig("mistral", { ...grouped, slidingWindow: 5 }),
  Qwen2: transformerConfig("qwen2", { ...grouped, tiedEmbeddings: false }),
  "Qwen2, sliding window": transformerConfig("qwen2", { ...grouped, slidingWindow: 7 }),
  Qwen3: transformerConfig("qwen3", { ...grouped, headSize: 16 }),
};

/** Parameters far from their small start, biases and scales too, so that every one of them matters. */
export function wildParams(config: TransformerConfig, seed = 1): TransformerParams<Tensor> {
  const random = createRandom(seed);
  const params = initTransformer(config, random);
  for (const [path, { data }] of namedLeaves(params as never, (node) => node instanceof Tensor)) {
    // Scales about 1: products of several small ones would leave nothing to compare.
    const mean = path.endsWith("scale") ? 1 : 0;
    const values = random.stream(path).normals(data.length, 0.25);
    (data as Float32Array).set(values.map((value) => mean + value));
  }
  return params;
}

/** A tokenizer with 300 tokens, the first of which ends texts. */
export function smallTokenizer(): Tokenizer {
  const numbers = Array.from({ length: 200 }, (_, i) => `number ${i} is followed by the number ${i + 1}.`);
  return trainBpe(numbers, { vocabularySize: 300, specialTokens: ["<|endoftext|>", "<|im_end|>"] });
}

/** A language model with random weights. */
export function smallModel(name: string): LanguageModel {
  const config = smallConfigs[name];
  return { config, params: wildParams(config), tokenizer: smallTokenizer(), endTokens: [0, 1] };
}

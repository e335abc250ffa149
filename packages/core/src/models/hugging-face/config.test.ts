import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { smallConfigs } from "../testing/small-models.js";
import { type TransformerConfig, transformerConfig } from "../transformer-config.js";
import { architectureOf, endTokensFrom, huggingFaceConfig, transformerFromHuggingFace } from "./config.js";

const read = (json: Record<string, unknown>) => transformerFromHuggingFace(json, "config.json").config;
const llama = { architectures: ["LlamaForCausalLM"] };
const qwen2 = { model_type: "qwen2", num_hidden_layers: 4 };

describe("config.json", () => {
  test("what is written is read again as it was, for every form of every architecture", () => {
    const count = fc.integer({ min: 1, max: 5 });
    const flag = fc.boolean();
    const configs = fc
      .record({
        base: fc.constantFrom(...Object.values(smallConfigs)),
        heads: count,
        groups: count,
        half: count,
        flag,
      })
      .map(({ base, heads, groups, half, flag }): TransformerConfig => {
        if (base.positions === "learned") {
          return {
            ...base,
            heads,
            keyValueHeads: heads,
            headSize: half,
            width: heads * half,
            tiedEmbeddings: flag,
          };
        }
        return {
          ...base,
          heads: heads * groups,
          keyValueHeads: heads,
          headSize: 2 * half,
          tiedEmbeddings: flag,
        };
      });
    fc.assert(
      fc.property(configs, (config) => {
        const json = JSON.parse(JSON.stringify(huggingFaceConfig(config)));
        expect(read(json)).toEqual(config);
      }),
    );
    expect(Object.values(smallConfigs).map(architectureOf).sort()).toEqual([
      "GPT2LMHeadModel",
      "GPT2LMHeadModel",
      "LlamaForCausalLM",
      "LlamaForCausalLM",
      "LlamaForCausalLM",
      "MistralForCausalLM",
      "Qwen2ForCausalLM",
      "Qwen2ForCausalLM",
      "Qwen3ForCausalLM",
    ]);
  });

  // From the files of the models on the hub, without the fields that say nothing of the computation.
  test("the published configurations of GPT-2, SmolLM2, Llama 3.2, Mistral, Qwen2.5 and Qwen3", () => {
    expect(read({ model_type: "gpt2", architectures: ["GPT2LMHeadModel"], n_ctx: 1024 })).toEqual(
      transformerConfig("gpt2", {
        vocabularySize: 50_257,
        contextLength: 1024,
        width: 768,
        layers: 12,
        heads: 12,
      }),
    );
    const smol = read({
      ...llama,
      hidden_size: 576,
      intermediate_size: 1536,
      max_position_embeddings: 8192,
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
      rms_norm_eps: 1e-5,
      rope_scaling: null,
      rope_theta: 100_000,
      tie_word_embeddings: true,
      vocab_size: 49_152,
    });
    expect(smol).toMatchObject({
      headSize: 64,
      keyValueHeads: 3,
      positions: { rotaryBase: 1e5 },
      tiedEmbeddings: true,
    });
    const scaled = {
      factor: 32,
      high_freq_factor: 4,
      low_freq_factor: 1,
      original_max_position_embeddings: 8192,
    };
    const positions = {
      rotaryBase: 5e5,
      scaling: { factor: 32, highFrequency: 4, lowFrequency: 1, originalContext: 8192 },
    };
    expect(
      read({ ...llama, rope_theta: 5e5, rope_scaling: { ...scaled, rope_type: "llama3" } }),
    ).toMatchObject({
      positions,
    });
    const parameters = { ...scaled, rope_type: "llama3", rope_theta: 5e5 };
    expect(read({ ...llama, rope_parameters: parameters })).toMatchObject({ positions });
    expect(read({ model_type: "mistral" })).toMatchObject({ slidingWindow: 4096, keyValueHeads: 8 });
    expect(read({ model_type: "mistral", sliding_window: null })).not.toHaveProperty("slidingWindow");
    expect(
      read({ ...qwen2, use_sliding_window: false, sliding_window: 32_768, max_window_layers: 21 }),
    ).toMatchObject({
      biases: { queriesKeysValues: true, out: false, mlp: false },
    });
    expect(read({ ...qwen2, use_sliding_window: false, sliding_window: 8 })).not.toHaveProperty(
      "slidingWindow",
    );
    expect(
      read({ model_type: "qwen3", hidden_size: 1024, num_attention_heads: 16, num_key_value_heads: 8 }),
    ).toMatchObject({
      headSize: 128,
      queryKeyNorm: true,
    });
  });

  test("sliding windows are in all layers or in none", () => {
    const sliding = { ...qwen2, use_sliding_window: true, sliding_window: 64 };
    expect(read({ ...sliding, max_window_layers: 0 }).slidingWindow).toBe(64);
    expect(read({ ...sliding, max_window_layers: 4 }).slidingWindow).toBeUndefined();
    expect(() => read({ ...sliding, max_window_layers: 2 })).toThrow(
      "2 of 4 layers have a sliding window by max_window_layers, expected all or none",
    );
    const kinds = ["full_attention", "sliding_attention", "full_attention", "full_attention"];
    expect(() => read({ ...sliding, layer_types: kinds })).toThrow("1 of 4 layers");
  });

  test.each<[string, Record<string, unknown>, string]>([
    [
      "another architecture",
      { architectures: ["BertModel"] },
      'the architecture is "BertModel", expected one of GPT2',
    ],
    ["no architecture", {}, "has no architectures, and the model_type undefined"],
    ["a size below 1", { ...llama, hidden_size: 0 }, "hidden_size is 0, expected a whole number from 1 on"],
    ["half a size", { ...llama, vocab_size: 1.5 }, "vocab_size is 1.5"],
    ["an endless size", { ...llama, num_hidden_layers: 1e300 }, "num_hidden_layers is 1e+300"],
    [
      "a text for a number",
      { ...llama, rms_norm_eps: "1e-5" },
      'rms_norm_eps is "1e-5", expected a number above 0',
    ],
    [
      "heads that do not divide",
      { ...llama, num_attention_heads: 6, num_key_value_heads: 4 },
      "must be a multiple",
    ],
    ["odd heads", { ...llama, head_dim: 3 }, "headSize is 3, but rotary positions need an even one"],
    ["another activation", { ...llama, hidden_act: "relu" }, 'hidden_act is "relu", expected silu'],
    ["another GELU", { model_type: "gpt2", activation_function: "quick_gelu" }, "expected gelu_new or gelu"],
    ["another scaling", { ...llama, rope_scaling: { type: "yarn", factor: 4 } }, 'the rope_type is "yarn"'],
    ["half a scaling", { ...llama, rope_scaling: { rope_type: "llama3" } }, "rope_scaling.factor is missing"],
    ["a list for an object", { ...llama, rope_scaling: [] }, "rope_scaling is [], expected an object"],
    ["quantized weights", { ...llama, quantization_config: {} }, "has a quantization_config"],
    [
      "a flag that is none",
      { ...llama, tie_word_embeddings: 1 },
      "tie_word_embeddings is 1, expected true or false",
    ],
  ])("%s is refused by name", (_, json, message) => {
    expect(() => read(json)).toThrow(
      expect.objectContaining({
        name: "UserError",
        message: expect.stringContaining(message),
        place: { file: "config.json" },
      }),
    );
  });

  test.each<[string, Partial<TransformerConfig>, keyof typeof smallConfigs]>([
    ["an encoder", { causal: false }, "Qwen3"],
    ["learned positions with RMS norms", { positions: "learned" }, "Qwen3"],
    ["rotary positions with layer norms", { positions: { rotaryBase: 1e4 } }, "GPT-2"],
    ["biases of none", { biases: { queriesKeysValues: false, out: true, mlp: false } }, "Qwen2"],
  ])("what no architecture computes is not written: %s", (_, changed, name) => {
    expect(() => huggingFaceConfig({ ...smallConfigs[name], ...changed })).toThrow(
      "no architecture of Hugging Face's",
    );
  });

  test("end tokens are one, several or none, and of the vocabulary", () => {
    expect(endTokensFrom({ eos_token_id: 3 }, 4, "c")).toEqual([3]);
    expect(endTokensFrom({ eos_token_id: [1, 2] }, 4, "c")).toEqual([1, 2]);
    expect(endTokensFrom({ eos_token_id: null }, 4, "c")).toBeUndefined();
    for (const eos_token_id of [4, -1, 0.5, "1", [1, 9]]) {
      expect(() => endTokensFrom({ eos_token_id }, 4, "c")).toThrow("expected ids from 0 to 3");
    }
  });
});

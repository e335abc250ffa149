import { UserError } from "../../errors.js";
import { checkTransformerConfig, type RotaryScaling, type TransformerConfig } from "../transformer-config.js";
import { Fields, show } from "./fields.js";

/*
 * `config.json` as the classes of the library transformers write and read it. Defaults are those of their configuration
 * classes (src/transformers/models/NAME/configuration_*.py), because files leave out what is a default.
 */

export const architectures = [
  "GPT2LMHeadModel",
  "LlamaForCausalLM",
  "MistralForCausalLM",
  "Qwen2ForCausalLM",
  "Qwen3ForCausalLM",
] as const;
export type Architecture = (typeof architectures)[number];

export const modelTypes: Record<Architecture, string> = {
  GPT2LMHeadModel: "gpt2",
  LlamaForCausalLM: "llama",
  MistralForCausalLM: "mistral",
  Qwen2ForCausalLM: "qwen2",
  Qwen3ForCausalLM: "qwen3",
};

/**
 * The transformer that a parsed `config.json` describes.
 *
 * @param file for errors
 * @throws UserError naming the field that is wrong or says what is not computed here
 */
export function transformerFromHuggingFace(
  json: Readonly<Record<string, unknown>>,
  file: string,
): { config: TransformerConfig; architecture: Architecture } {
  const fields = new Fields(json, file);
  const architecture = architectureFrom(fields);
  if (fields.value("quantization_config") !== undefined) {
    fields.refuse(
      "has a quantization_config, but quantized weights are not read here",
      "Take the unquantized model.",
    );
  }
  const config = architecture === "GPT2LMHeadModel" ? gpt2Config(fields) : llamaConfig(fields, architecture);
  try {
    checkTransformerConfig(config);
  } catch (error) {
    if (error instanceof RangeError) fields.refuse(error.message);
    throw error;
  }
  return { config, architecture };
}

function architectureFrom(fields: Fields): Architecture {
  const named = fields.value("architectures");
  if (named === undefined) {
    const type = fields.value("model_type");
    const found = architectures.find((architecture) => modelTypes[architecture] === type);
    if (found) return found;
    return fields.refuse(
      `has no architectures, and the model_type ${show(type)}, expected one of ${Object.values(modelTypes).join(", ")}`,
    );
  }
  const first = Array.isArray(named) ? named[0] : named;
  const found = architectures.find((architecture) => architecture === first);
  return (
    found ?? fields.refuse(`the architecture is ${show(first)}, expected one of ${architectures.join(", ")}`)
  );
}

function gpt2Config(fields: Fields): TransformerConfig {
  const width = fields.count("n_embd", 768);
  const heads = fields.count("n_head", 12);
  if (width % heads !== 0) fields.refuse(`n_embd (${width}) must be a multiple of n_head (${heads})`);
  for (const [name, only] of [
    ["scale_attn_weights", true],
    ["scale_attn_by_inverse_layer_idx", false],
    ["add_cross_attention", false],
  ] as const) {
    if (fields.flag(name, only) !== only) fields.refuse(`${name} is ${!only}, which is not computed here`);
  }
  return {
    vocabularySize: fields.count("vocab_size", 50_257),
    contextLength: fields.count("n_positions", 1024),
    width,
    layers: fields.count("n_layer", 12, 0),
    heads,
    keyValueHeads: heads,
    headSize: width / heads,
    innerWidth: fields.count("n_inner", 4 * width),
    causal: true,
    positions: "learned",
    norm: "layer",
    normEpsilon: fields.positive("layer_norm_epsilon", 1e-5),
    mlp: gelu(fields),
    biases: { queriesKeysValues: true, out: true, mlp: true },
    queryKeyNorm: false,
    tiedEmbeddings: fields.flag("tie_word_embeddings", true),
  };
}

function gelu(fields: Fields): "gelu" | "gelu-tanh" {
  const name = fields.text("activation_function", "gelu_new");
  if (name === "gelu") return "gelu";
  if (["gelu_new", "gelu_pytorch_tanh", "gelu_fast"].includes(name)) return "gelu-tanh";
  return fields.refuse(`activation_function is ${show(name)}, expected gelu_new or gelu`);
}

/** What the configuration classes of the others say where a file does not. */
const defaults = {
  LlamaForCausalLM: { vocabulary: 32_000, inner: 11_008, context: 2048, keyValueHeads: undefined },
  MistralForCausalLM: { vocabulary: 32_000, inner: 14_336, context: 131_072, keyValueHeads: 8 },
  Qwen2ForCausalLM: { vocabulary: 151_936, inner: 22_016, context: 32_768, keyValueHeads: 32 },
  Qwen3ForCausalLM: { vocabulary: 151_936, inner: 22_016, context: 32_768, keyValueHeads: 32 },
};

function llamaConfig(
  fields: Fields,
  architecture: Exclude<Architecture, "GPT2LMHeadModel">,
): TransformerConfig {
  const { vocabulary, inner, context, keyValueHeads } = defaults[architecture];
  const width = fields.count("hidden_size", 4096);
  const heads = fields.count("num_attention_heads", 32);
  const activation = fields.text("hidden_act", "silu");
  if (activation !== "silu" && activation !== "swish") {
    fields.refuse(`hidden_act is ${show(activation)}, expected silu`);
  }
  if (fields.positive("partial_rotary_factor", 1) !== 1) {
    fields.refuse("partial_rotary_factor is not 1, which is not computed here");
  }
  const layers = fields.count("num_hidden_layers", 32, 0);
  const slidingWindow = windowOf(fields, architecture, layers);
  const attentionBias =
    (architecture === "LlamaForCausalLM" || architecture === "Qwen3ForCausalLM") &&
    fields.flag("attention_bias", false);
  return {
    vocabularySize: fields.count("vocab_size", vocabulary),
    contextLength: fields.count("max_position_embeddings", context),
    width,
    layers,
    heads,
    keyValueHeads: fields.isNull("num_key_value_heads")
      ? heads
      : fields.count("num_key_value_heads", keyValueHeads ?? heads),
    headSize: fields.count("head_dim", architecture === "Qwen3ForCausalLM" ? 128 : Math.floor(width / heads)),
    innerWidth: fields.count("intermediate_size", inner),
    causal: true,
    positions: rotaryPositions(fields),
    ...(slidingWindow !== undefined && { slidingWindow }),
    norm: "rms",
    normEpsilon: fields.positive("rms_norm_eps", 1e-6),
    mlp: "swiglu",
    biases: {
      queriesKeysValues: attentionBias || architecture === "Qwen2ForCausalLM",
      out: attentionBias,
      mlp: architecture === "LlamaForCausalLM" && fields.flag("mlp_bias", false),
    },
    queryKeyNorm: architecture === "Qwen3ForCausalLM",
    tiedEmbeddings: fields.flag("tie_word_embeddings", false),
  };
}

/** How far a query sees, the same in every layer. */
function windowOf(fields: Fields, architecture: Architecture, layers: number): number | undefined {
  if (architecture === "LlamaForCausalLM") return undefined;
  // Null says that there is none; absence that it is the default.
  const window = fields.isNull("sliding_window") ? undefined : fields.count("sliding_window", 4096);
  if (architecture === "MistralForCausalLM") return window;
  if (!fields.flag("use_sliding_window", false)) return undefined;
  const kinds = fields.value("layer_types");
  const full = Math.min(layers, fields.count("max_window_layers", 28, 0));
  const sliding = Array.isArray(kinds)
    ? kinds.filter((kind) => kind === "sliding_attention").length
    : layers - full;
  if (sliding === 0) return undefined;
  if (sliding === layers) return window;
  return fields.refuse(
    `${sliding} of ${layers} layers have a sliding window by ${kinds ? "layer_types" : "max_window_layers"}, expected all or none`,
  );
}

function rotaryPositions(fields: Fields): { rotaryBase: number; scaling?: RotaryScaling } {
  // `rope_parameters` has taken the place of `rope_theta` and `rope_scaling`.
  const rope = fields.inside("rope_parameters") ?? fields.inside("rope_scaling");
  const rotaryBase =
    fields.inside("rope_parameters")?.positive("rope_theta", 1e4) ?? fields.positive("rope_theta", 1e4);
  const type = rope?.text("rope_type", rope.text("type", "default")) ?? "default";
  if (!rope || type === "default") return { rotaryBase };
  if (type !== "llama3") {
    return fields.refuse(`the rope_type is ${show(type)}, expected "default" or "llama3"`);
  }
  const scaling = {
    factor: rope.positive("factor"),
    lowFrequency: rope.positive("low_freq_factor"),
    highFrequency: rope.positive("high_freq_factor"),
    originalContext: rope.count("original_max_position_embeddings"),
  };
  if (scaling.highFrequency <= scaling.lowFrequency) {
    fields.refuse(
      `high_freq_factor (${scaling.highFrequency}) must be above low_freq_factor (${scaling.lowFrequency})`,
    );
  }
  return { rotaryBase, scaling };
}

/**
 * The architecture that computes what a configuration says.
 *
 * @throws UserError where there is none
 */
export function architectureOf(config: TransformerConfig): Architecture {
  const { biases, heads, keyValueHeads, headSize, width, norm, mlp, positions, slidingWindow } = config;
  const none = (reason: string) =>
    new UserError(`no architecture of Hugging Face's is this transformer: ${reason}`, {
      hint: `There are ${architectures.join(", ")}.`,
    });
  if (!config.causal) throw none("it is an encoder (causal: false)");
  if (positions === "learned") {
    const isGpt2 =
      norm === "layer" &&
      mlp !== "swiglu" &&
      Object.values(biases).every(Boolean) &&
      keyValueHeads === heads &&
      heads * headSize === width &&
      !config.queryKeyNorm &&
      slidingWindow === undefined;
    if (isGpt2) return "GPT2LMHeadModel";
    throw none("with learned positions there is only GPT-2, and it is not of its form");
  }
  if (norm !== "rms" || mlp !== "swiglu") {
    throw none("with rotary positions there are only those with root-mean-square norms and SwiGLU");
  }
  const sameBiases = biases.queriesKeysValues === biases.out;
  if (config.queryKeyNorm) {
    if (sameBiases && !biases.mlp) return "Qwen3ForCausalLM";
    throw none("with normalised queries and keys there is only Qwen3, and its biases are others");
  }
  if (biases.queriesKeysValues && !biases.out && !biases.mlp) return "Qwen2ForCausalLM";
  if (!sameBiases) throw none("its biases are those of none");
  if (slidingWindow === undefined) return "LlamaForCausalLM";
  if (!biases.out && !biases.mlp) return "MistralForCausalLM";
  throw none("with a sliding window there is none with these biases");
}

/** The fields of `config.json` that describe a transformer. */
export function huggingFaceConfig(config: TransformerConfig): Record<string, unknown> {
  const architecture = architectureOf(config);
  const common = {
    architectures: [architecture],
    model_type: modelTypes[architecture],
    vocab_size: config.vocabularySize,
    tie_word_embeddings: config.tiedEmbeddings,
    initializer_range: 0.02,
  };
  if (config.positions === "learned") {
    return {
      ...common,
      n_positions: config.contextLength,
      n_embd: config.width,
      n_layer: config.layers,
      n_head: config.heads,
      n_inner: config.innerWidth,
      activation_function: config.mlp === "gelu" ? "gelu" : "gelu_new",
      layer_norm_epsilon: config.normEpsilon,
    };
  }
  const { rotaryBase, scaling } = config.positions;
  const { slidingWindow } = config;
  const isQwen = architecture === "Qwen2ForCausalLM" || architecture === "Qwen3ForCausalLM";
  return {
    ...common,
    hidden_size: config.width,
    intermediate_size: config.innerWidth,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headSize,
    hidden_act: "silu",
    max_position_embeddings: config.contextLength,
    rms_norm_eps: config.normEpsilon,
    rope_theta: rotaryBase,
    rope_scaling: scaling
      ? {
          rope_type: "llama3",
          factor: scaling.factor,
          low_freq_factor: scaling.lowFrequency,
          high_freq_factor: scaling.highFrequency,
          original_max_position_embeddings: scaling.originalContext,
        }
      : null,
    attention_dropout: 0,
    ...(architecture !== "MistralForCausalLM" &&
      architecture !== "Qwen2ForCausalLM" && { attention_bias: config.biases.out }),
    ...(architecture === "LlamaForCausalLM" && { mlp_bias: config.biases.mlp }),
    ...(architecture === "MistralForCausalLM" && { sliding_window: slidingWindow ?? null }),
    ...(isQwen && {
      use_sliding_window: slidingWindow !== undefined,
      sliding_window: slidingWindow ?? null,
      max_window_layers: slidingWindow === undefined ? config.layers : 0,
    }),
  };
}

/** Ids after which a text is over, from `generation_config.json` or `config.json`: one, several or none. */
export function endTokensFrom(
  json: Readonly<Record<string, unknown>>,
  vocabularySize: number,
  file: string,
): number[] | undefined {
  const fields = new Fields(json, file);
  const value = fields.value("eos_token_id");
  if (value === undefined) return undefined;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  const isId = (id: unknown) =>
    Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < vocabularySize;
  if (!ids.every(isId)) {
    fields.refuse(`eos_token_id is ${show(value)}, expected ids from 0 to ${vocabularySize - 1}`);
  }
  return ids as number[];
}

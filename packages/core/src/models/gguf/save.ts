import { UserError } from "../../errors.js";
import { writeFileWith } from "../../files.js";
import { architectureOf } from "../hugging-face/config.js";
import type { LanguageModel } from "../language-model.js";
import type { TransformerConfig } from "../transformer-config.js";
import type { GgufType } from "./format.js";
import { tensorTypes } from "./format.js";
import { type GgufArchitecture, ggufTensors } from "./names.js";
import { ggufTokenizer } from "./tokenizer.js";
import { type GgufTensor, type Metadata, writeGguf } from "./write.js";

/** How the matrices are stored, and the number that llama.cpp knows it by (`llama_ftype`). */
const storedTypes = {
  float32: { type: "F32", fileType: 0 },
  float16: { type: "F16", fileType: 1 },
  q8_0: { type: "Q8_0", fileType: 7 },
  bfloat16: { type: "BF16", fileType: 32 },
} as const;
export type GgufStoredType = keyof typeof storedTypes;
export const ggufStoredTypes = Object.keys(storedTypes) as GgufStoredType[];

export interface SaveGgufOptions {
  /** Default `float32`. Norms, biases and positions are always float32. */
  dtype?: GgufStoredType;
  /** The model's name in the file. */
  name?: string;
}

/**
 * Writes a language model as one GGUF file, which llama.cpp, Ollama and others run. llama.cpp has no sliding windows for
 * these architectures: a model with one gets it as the length of its context, up to which it changes nothing.
 *
 * @throws UserError for a model that llama.cpp does not compute exactly: GPT-2 with the exact GELU, Qwen with Llama 3's
 *   scaling, another tokenizer than its own; and for a model without an end token
 */
export async function saveGguf(
  path: string,
  model: LanguageModel,
  { dtype = "float32", name = "outgrow" }: SaveGgufOptions = {},
): Promise<void> {
  const { config, params } = model;
  const architecture = ggufArchitecture(config);
  const { type, fileType } = storedTypes[dtype];
  const metadata: [string, Metadata][] = [
    ["general.architecture", { string: architecture }],
    ["general.name", { string: name }],
    ["general.file_type", { uint32: fileType }],
    ...transformerMetadata(config, architecture),
    ...tokenizerMetadata(model),
  ];
  const tensors = ggufTensors(config, params, architecture).map(
    (tensor): GgufTensor => ({ ...tensor, type: typeOf(tensor, type) }),
  );
  await writeFileWith(path, (aside) => writeGguf(aside, metadata, tensors));
}

/** Vectors and positions are small, and quantized rows must be whole blocks. */
function typeOf({ name, shape }: { name: string; shape: readonly number[] }, type: GgufType): GgufType {
  if (shape.length === 1 || name === "position_embd.weight") return "F32";
  return shape[1] % tensorTypes[type].block === 0 ? type : "F16";
}

function ggufArchitecture(config: TransformerConfig): GgufArchitecture {
  const refuse = (what: string) =>
    new UserError(`llama.cpp does not compute this model: ${what}`, {
      hint: "Export to safetensors, which the library transformers reads.",
    });
  const architecture = architectureOf(config);
  if (config.mlp === "gelu")
    throw refuse("its GPT-2 has an approximated GELU, this one the exact one (mlp: gelu)");
  const isQwen = architecture === "Qwen2ForCausalLM" || architecture === "Qwen3ForCausalLM";
  if (isQwen && config.positions !== "learned" && config.positions.scaling) {
    throw refuse("its Qwen has no stretched rotary positions");
  }
  if (architecture === "GPT2LMHeadModel") return "gpt2";
  if (architecture === "Qwen2ForCausalLM") return "qwen2";
  if (architecture !== "Qwen3ForCausalLM") return "llama";
  if (config.biases.out) throw refuse("its Qwen3 has no biases");
  return "qwen3";
}

function transformerMetadata(
  config: TransformerConfig,
  architecture: GgufArchitecture,
): [string, Metadata][] {
  const { contextLength, slidingWindow = contextLength, positions } = config;
  const counts: [string, number][] = [
    ["context_length", Math.min(contextLength, slidingWindow)],
    ["embedding_length", config.width],
    ["block_count", config.layers],
    ["feed_forward_length", config.innerWidth],
    ["attention.head_count", config.heads],
  ];
  const metadata: [string, Metadata][] = [];
  if (positions === "learned")
    metadata.push(["attention.layer_norm_epsilon", { float32: config.normEpsilon }]);
  else {
    counts.push(
      ["vocab_size", config.vocabularySize],
      ["attention.head_count_kv", config.keyValueHeads],
      ["attention.key_length", config.headSize],
      ["attention.value_length", config.headSize],
      ["rope.dimension_count", config.headSize],
    );
    metadata.push(
      ["attention.layer_norm_rms_epsilon", { float32: config.normEpsilon }],
      ["rope.freq_base", { float32: positions.rotaryBase }],
    );
  }
  const named = [...counts.map(([key, uint32]): [string, Metadata] => [key, { uint32 }]), ...metadata].map(
    ([key, value]): [string, Metadata] => [`${architecture}.${key}`, value],
  );
  if (positions === "learned" || !positions.scaling) return named;
  // llama.cpp reads the divisors alone (rope_freqs.weight); from these numbers they can be known again.
  const scaling = Object.entries(positions.scaling);
  return [
    ...named,
    ...scaling.map(([key, float32]): [string, Metadata] => [`outgrow.rotary_scaling.${key}`, { float32 }]),
  ];
}

function tokenizerMetadata({
  tokenizer,
  config,
  endTokens,
  chatTemplate,
}: LanguageModel): [string, Metadata][] {
  if (endTokens.length === 0) {
    throw new UserError("the model has no end token, and llama.cpp would take token 11 for it", {
      hint: "Give eos_token_id in config.json.",
    });
  }
  const { pre, tokens, kinds, merges } = ggufTokenizer(tokenizer, config.vocabularySize);
  return [
    ["tokenizer.ggml.model", { string: "gpt2" }],
    ["tokenizer.ggml.pre", { string: pre }],
    ["tokenizer.ggml.tokens", { strings: tokens }],
    ["tokenizer.ggml.token_type", { int32s: kinds }],
    ["tokenizer.ggml.merges", { strings: merges }],
    ["tokenizer.ggml.add_bos_token", { bool: false }],
    ["tokenizer.ggml.bos_token_id", { uint32: endTokens[0] }],
    ["tokenizer.ggml.eos_token_id", { uint32: endTokens[0] }],
    ...(endTokens.length > 1
      ? [["tokenizer.ggml.eot_token_id", { uint32: endTokens[1] }] as [string, Metadata]]
      : []),
    ...(chatTemplate !== undefined
      ? [["tokenizer.chat_template", { string: chatTemplate }] as [string, Metadata]]
      : []),
  ];
}

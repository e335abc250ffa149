import { Tensor } from "@outgrow/engine";
import { tokenizerFromJSON } from "../../data/bpe.js";
import { UserError } from "../../errors.js";
import { treeOfTensors } from "../checkpoint.js";
import { Fields } from "../hugging-face/fields.js";
import type { LanguageModel } from "../language-model.js";
import type { TransformerParams } from "../transformer.js";
import { checkTransformerConfig, type RotaryScaling, type TransformerConfig } from "../transformer-config.js";
import {
  type GgufArchitecture,
  ggufArchitectures,
  outputName,
  parametersIn,
  rotaryFactorsName,
  storedTensors,
} from "./names.js";
import { type GgufFile, type MetadataValue, openGguf } from "./read.js";
import { tokenizerJsonFrom } from "./tokenizer.js";

/**
 * Loads a language model from a GGUF file with weights in float32, float16, bfloat16 or Q8_0, which become float32.
 *
 * @throws UserError naming what is wrong: the first tensor whose shape is not that of the metadata, or what is not computed
 *   here
 */
export async function loadGguf(path: string): Promise<LanguageModel> {
  const file = await openGguf(path);
  try {
    return await languageModelIn(file);
  } finally {
    await file.close();
  }
}

/** The language model in an open GGUF file, as {@link loadGguf} reads it. */
export async function languageModelIn(file: GgufFile): Promise<LanguageModel> {
  const { config, architecture } = transformerOf(file);
  const tokenizer = tokenizerOf(file);
  const fields = new Fields(Object.fromEntries(file.metadata), file.path);
  if (tokenizer.vocabularySize > config.vocabularySize) {
    fields.refuse(`has ${tokenizer.vocabularySize} tokens, but embeddings of ${config.vocabularySize}`);
  }
  const params = await readParams(file, config, architecture);
  const endTokens = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"]
    .filter((key) => fields.value(key) !== undefined)
    .map((key) => fields.count(key, undefined, 0));
  const outside = endTokens.find((id) => id >= config.vocabularySize);
  if (outside !== undefined) fields.refuse(`the end token ${outside} is not in the vocabulary`);
  const chatTemplate = fields.text("tokenizer.chat_template", "");
  return {
    config,
    params,
    tokenizer,
    endTokens: [...new Set(endTokens)],
    ...(chatTemplate !== "" && { chatTemplate }),
  };
}

function transformerOf({ metadata, tensors, path }: GgufFile): {
  config: TransformerConfig;
  architecture: GgufArchitecture;
} {
  const fields = new Fields(Object.fromEntries(metadata), path);
  const named = fields.text("general.architecture");
  const architecture =
    ggufArchitectures.find((one) => one === named) ??
    fields.refuse(`general.architecture is "${named}", expected one of ${ggufArchitectures.join(", ")}`);
  const isGpt2 = architecture === "gpt2";
  const count = (key: string, fallback?: number) => fields.count(`${architecture}.${key}`, fallback);
  const has = (name: string) => tensors.has(name);
  const width = count("embedding_length");
  const heads = count("attention.head_count");
  const headSize = isGpt2 ? width / heads : count("attention.key_length", Math.floor(width / heads));
  if (!isGpt2) refuseOthers(fields, architecture, headSize);
  const scaling = has(rotaryFactorsName) ? scalingOf(fields) : undefined;
  const config: TransformerConfig = {
    vocabularySize: tensors.get("token_embd.weight")?.shape[0] ?? 0,
    contextLength: count("context_length"),
    width,
    layers: fields.count(`${architecture}.block_count`, undefined, 0),
    heads,
    keyValueHeads: isGpt2 ? heads : count("attention.head_count_kv", heads),
    headSize,
    innerWidth: count("feed_forward_length"),
    causal: true,
    positions: isGpt2
      ? "learned"
      : {
          rotaryBase: fields.positive(`${architecture}.rope.freq_base`, 1e4),
          ...(scaling && { scaling }),
        },
    norm: isGpt2 ? "layer" : "rms",
    normEpsilon: shortest(
      fields.positive(`${architecture}.attention.layer_norm_${isGpt2 ? "" : "rms_"}epsilon`),
    ),
    mlp: isGpt2 ? "gelu-tanh" : "swiglu",
    biases: {
      queriesKeysValues: has(`blk.0.attn_${isGpt2 ? "qkv" : "q"}.bias`),
      out: has("blk.0.attn_output.bias"),
      mlp: has("blk.0.ffn_up.bias"),
    },
    queryKeyNorm: architecture === "qwen3",
    tiedEmbeddings: !has(outputName),
  };
  try {
    checkTransformerConfig(config);
  } catch (error) {
    if (error instanceof RangeError) fields.refuse(error.message);
    throw error;
  }
  return { config, architecture };
}

function refuseOthers(fields: Fields, architecture: GgufArchitecture, headSize: number): void {
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const size = fields.count(`${architecture}.${key}`, headSize);
    if (size !== headSize) {
      fields.refuse(`${architecture}.${key} is ${size}, expected that of the keys, ${headSize}`);
    }
  }
  const scaling = fields.text(`${architecture}.rope.scaling.type`, "none");
  if (scaling !== "none") {
    fields.refuse(`${architecture}.rope.scaling.type is "${scaling}", which is not computed here`);
  }
}

function scalingOf(fields: Fields): RotaryScaling {
  const value = (key: string) => {
    const name = `outgrow.rotary_scaling.${key}`;
    if (fields.value(name) === undefined) {
      fields.refuse(
        `has ${rotaryFactorsName}, which does not tell Llama 3's scaling`,
        "Load the model from its folder in Hugging Face's layout.",
      );
    }
    return shortest(fields.positive(name));
  };
  return {
    factor: value("factor"),
    lowFrequency: value("lowFrequency"),
    highFrequency: value("highFrequency"),
    originalContext: value("originalContext"),
  };
}

/** The shortest decimal number of a float32: 1e-5 where that was written. */
const shortest = (value: number) => Number(value.toPrecision(7));

async function readParams(
  file: GgufFile,
  config: TransformerConfig,
  architecture: GgufArchitecture,
): Promise<TransformerParams<Tensor>> {
  const refuse = (message: string) =>
    new UserError(message, {
      place: { file: file.path },
      hint: "The file holds another model. Fetch it again.",
    });
  const expected = new Set([rotaryFactorsName]);
  const stored = [];
  for (const tensor of storedTensors(config, architecture)) {
    const { name, shape } = tensor;
    const found = file.tensors.get(name);
    if (!found) throw refuse(`tensor "${name}" is missing, by the metadata it is [${shape.join(", ")}]`);
    if (found.shape.join() !== shape.join()) {
      throw refuse(
        `tensor "${name}" is [${found.shape.join(", ")}], by the metadata it is [${shape.join(", ")}]`,
      );
    }
    expected.add(name);
    stored.push(tensor);
  }
  const extra = [...file.tensors.keys()].find((name) => !expected.has(name));
  if (extra !== undefined)
    throw refuse(`tensor ${JSON.stringify(extra)} is none of those of ${architecture}`);
  const params: Record<string, Tensor> = {};
  for (const tensor of stored) {
    const { data } = await file.read(tensor.name);
    for (const [path, values, shape] of parametersIn(tensor, data as Float32Array)) {
      params[path] = new Tensor(values, shape);
    }
  }
  const tree = treeOfTensors(params) as TransformerParams<Tensor>;
  return { ...tree, blocks: tree.blocks ?? [] };
}

function tokenizerOf({ metadata, path }: GgufFile) {
  const refuse = (message: string): never => {
    throw new UserError(message, { place: { file: path } });
  };
  const texts = (key: string) => {
    const value = metadata.get(key);
    const isTexts = Array.isArray(value) && value.every((item) => typeof item === "string");
    return isTexts ? (value as string[]) : refuse(`${key} is not a list of texts`);
  };
  const kind = metadata.get("tokenizer.ggml.model");
  if (kind !== "gpt2") refuse(`tokenizer.ggml.model is ${show(kind)}, expected "gpt2" (byte-level BPE)`);
  const tokens = texts("tokenizer.ggml.tokens");
  const kinds = metadata.get("tokenizer.ggml.token_type");
  if (!(kinds instanceof Int32Array) || kinds.length !== tokens.length) {
    return refuse("tokenizer.ggml.token_type is not a number for each of tokenizer.ggml.tokens");
  }
  const pre = metadata.get("tokenizer.ggml.pre");
  const parts = {
    pre: String(pre),
    tokens,
    kinds: Array.from(kinds),
    merges: texts("tokenizer.ggml.merges"),
  };
  try {
    return tokenizerFromJSON(tokenizerJsonFrom(parts));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message, { place: { file: path }, hint: error.hint, cause: error });
  }
}

const show = (value: MetadataValue | undefined) =>
  typeof value === "string" ? JSON.stringify(value) : typeof value;

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor } from "@outgrow/engine";
import { type CommitOptions, commitFolder } from "../../files.js";
import { namedTensors } from "../checkpoint.js";
import type { LanguageModel } from "../language-model.js";
import { sideBySide, transposed } from "../matrices.js";
import { type PendingTensor, type StoredType, writeSafetensors } from "../safetensors.js";
import type { TransformerParams } from "../transformer.js";
import type { TransformerConfig } from "../transformer-config.js";
import { architectureOf, huggingFaceConfig } from "./config.js";
import { headName, namePrefix, storedTensors } from "./names.js";
import { indexFile, weightsFile } from "./weights.js";

export interface SaveOptions extends Pick<CommitOptions, "existing" | "signal"> {
  /** How weights are stored. Default `float32`; bfloat16 and float16 round them. */
  dtype?: StoredType;
  /** Where the weights take more bytes, they are written as several files. Default 5 GB, as in transformers. */
  maxShardBytes?: number;
}

/**
 * Saves a language model as a folder in Hugging Face's layout, whole or not at all: transformers, vLLM and llama.cpp's
 * converter read it, and so does `loadLanguageModel`.
 *
 * @throws UserError where the folder is there already, and where no architecture computes what the configuration says
 */
export async function saveLanguageModel(
  folder: string,
  model: LanguageModel,
  { dtype = "float32", maxShardBytes = 5e9, ...commit }: SaveOptions = {},
): Promise<void> {
  const { config, params, tokenizer, endTokens, chatTemplate } = model;
  const ends = endTokens.length === 1 ? endTokens[0] : [...endTokens];
  const eos = endTokens.length === 0 ? {} : { eos_token_id: ends };
  const described = { ...huggingFaceConfig(config), bos_token_id: null, ...eos, torch_dtype: dtype };
  const specialTokens = Object.entries(tokenizer.specialTokens);
  const endToken = specialTokens.find(([, id]) => id === endTokens[0])?.[0];
  const json = {
    "config.json": described,
    "generation_config.json": { bos_token_id: null, ...eos },
    "tokenizer.json": tokenizer.toJSON(),
    "tokenizer_config.json": {
      tokenizer_class: "PreTrainedTokenizerFast",
      model_max_length: config.contextLength,
      clean_up_tokenization_spaces: false,
      ...(endToken !== undefined && { eos_token: endToken }),
      ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
    },
  };
  await commitFolder(
    folder,
    async (staging) => {
      for (const [name, value] of Object.entries(json)) {
        await writeFile(join(staging, name), `${JSON.stringify(value, null, 2)}\n`);
      }
      await writeWeights(staging, huggingFaceTensors(config, params), dtype, maxShardBytes);
    },
    commit,
  );
}

/** The weights as they stand in Hugging Face's files. */
export function huggingFaceTensors(
  config: TransformerConfig,
  params: TransformerParams<Tensor>,
): PendingTensor[] {
  const prefix = namePrefix(architectureOf(config));
  const leaves = namedTensors(params);
  return Array.from(storedTensors(config), ({ name, shape, paths, transposed: turned }) => ({
    name: name === headName ? name : prefix + name,
    shape,
    values() {
      const parts = paths.map((path) => (leaves.get(path) as Tensor).data as Float32Array);
      if (turned) return transposed(parts[0], shape[1], shape[0]);
      return parts.length === 1 ? parts[0] : sideBySide(parts, shape.length === 1 ? 1 : shape[0]);
    },
  }));
}

async function writeWeights(
  folder: string,
  tensors: readonly PendingTensor[],
  dtype: StoredType,
  maxShardBytes: number,
): Promise<void> {
  const width = dtype === "float32" ? 4 : 2;
  const bytesOf = ({ shape }: PendingTensor) => shape.reduce((product, length) => product * length, width);
  const shards: PendingTensor[][] = [[]];
  let [held, total] = [0, 0];
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    if (held > 0 && held + bytes > maxShardBytes) {
      shards.push([]);
      held = 0;
    }
    shards[shards.length - 1].push(tensor);
    held += bytes;
    total += bytes;
  }
  // transformers asks for it.
  const metadata = { format: "pt" };
  if (shards.length === 1) {
    await writeSafetensors(join(folder, weightsFile), shards[0], dtype, metadata);
    return;
  }
  const number = (n: number) => String(n).padStart(5, "0");
  const map: [string, string][] = [];
  for (const [i, shard] of shards.entries()) {
    const name = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    await writeSafetensors(join(folder, name), shard, dtype, metadata);
    for (const tensor of shard) map.push([tensor.name, name]);
  }
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
  await writeFile(join(folder, indexFile), `${JSON.stringify(index, null, 2)}\n`);
}

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import { readTokenizerFolder, tokenizerFileNames } from "../../data/tokenizer-folder.js";
import { UserError } from "../../errors.js";
import { treeOfTensors } from "../checkpoint.js";
import type { LanguageModel } from "../language-model.js";
import { columnsOf, transposed } from "../matrices.js";
import type { TransformerParams } from "../transformer.js";
import type { TransformerConfig } from "../transformer-config.js";
import { type Architecture, endTokensFrom, transformerFromHuggingFace } from "./config.js";
import { readJsonObject, show } from "./fields.js";
import { headName, isBuffer, namePrefix, type StoredTensor, storedTensors } from "./names.js";
import { openWeights, type Weights } from "./weights.js";

export interface LoadOptions {
  /** Whether a weight that is NaN or infinite is refused. Default: not looked for, which would read all weights once more. */
  requireFinite?: boolean;
}

export interface LoadedTransformer {
  config: TransformerConfig;
  params: TransformerParams<Tensor>;
  /** Ids after which a text is over; none where the files name none. */
  endTokens: number[];
}

/**
 * Loads a language model from a folder in Hugging Face's layout: `config.json`, `model.safetensors` (or several files and
 * their index), `tokenizer.json`, and where they are there `generation_config.json`, `tokenizer_config.json` and
 * `chat_template.jinja`. Architectures: {@link Architecture}. Weights in bfloat16 or float16 become float32.
 *
 * @throws UserError naming the file and what is wrong with it: the first tensor whose shape is not that of the
 *   configuration, a field that says what is not computed here
 */
export async function loadLanguageModel(folder: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const { tokenizer, chatTemplate, eosToken } = await readTokenizerFolder(folder);
  const { config, params, endTokens } = await loadTransformer(folder, options);
  if (tokenizer.vocabularySize > config.vocabularySize) {
    throw new UserError(
      `has ${tokenizer.vocabularySize} tokens, but the model of config.json has ${config.vocabularySize}`,
      {
        place: { file: join(folder, tokenizerFileNames.tokenizer) },
        hint: "The files are of different models. Fetch the model again.",
      },
    );
  }
  return {
    config,
    params,
    tokenizer,
    endTokens: endTokens.length === 0 && eosToken !== undefined ? [eosToken] : endTokens,
    ...(chatTemplate !== undefined && { chatTemplate }),
  };
}

/** As {@link loadLanguageModel}, without a tokenizer. */
export async function loadTransformer(folder: string, options: LoadOptions = {}): Promise<LoadedTransformer> {
  const configPath = join(folder, "config.json");
  const json = await readJsonObject(configPath);
  const { config, architecture } = transformerFromHuggingFace(json, configPath);
  const weights = await openWeights(folder);
  try {
    const params = await readParams(weights, config, architecture, folder, options);
    return { config, params, endTokens: await readEndTokens(folder, json, config) };
  } finally {
    await weights.close();
  }
}

async function readParams(
  weights: Weights,
  config: TransformerConfig,
  architecture: Architecture,
  folder: string,
  { requireFinite = false }: LoadOptions,
): Promise<TransformerParams<Tensor>> {
  const params: Record<string, Tensor> = {};
  for (const [name, stored] of namesInFile(weights, config, architecture, folder)) {
    const { data } = await weights.read(name);
    if (requireFinite) refuseNonFinite(data as Float32Array, name, folder);
    for (const [path, tensor] of paramsIn(stored, data as Float32Array)) params[path] = tensor;
  }
  const tree = treeOfTensors(params) as TransformerParams<Tensor>;
  return { ...tree, blocks: tree.blocks ?? [] };
}

/** The parameters in a stored tensor. */
function* paramsIn(
  { shape, paths, transposed: turned }: StoredTensor,
  data: Float32Array,
): Generator<[string, Tensor]> {
  if (turned) {
    yield [paths[0], new Tensor(transposed(data, shape[0], shape[1]), [shape[1], shape[0]])];
    return;
  }
  const columns = shape[shape.length - 1];
  const own = columns / paths.length;
  for (const [i, path] of paths.entries()) {
    const part = paths.length === 1 ? data : columnsOf(data, columns, i * own, (i + 1) * own);
    yield [path, new Tensor(part, [...shape.slice(0, -1), own])];
  }
}

/** All tensors of a configuration by their names in the file. Refuses before anything is read where they are not those. */
function namesInFile(
  { tensors }: Weights,
  config: TransformerConfig,
  architecture: Architecture,
  folder: string,
): Map<string, StoredTensor> {
  const refuse = (message: string, path = folder) =>
    new UserError(message, {
      place: { file: path },
      hint: "config.json and the weights are of different models. Fetch the model again.",
    });
  let prefix: string | undefined;
  const named = new Map<string, StoredTensor>();
  for (const stored of storedTensors(config)) {
    prefix ??= tensors.has(stored.name) ? "" : namePrefix(architecture);
    const name = stored.name === headName ? headName : prefix + stored.name;
    const found = tensors.get(name);
    const expected = `[${stored.shape.join(", ")}]`;
    if (!found) throw refuse(`tensor ${show(name)} is missing, by config.json it is ${expected}`);
    const given = `[${found.shape.join(", ")}]`;
    if (given !== expected) {
      throw refuse(`tensor ${show(name)} is ${given}, by config.json it is ${expected}`, found.path);
    }
    if (!["F32", "F16", "BF16"].includes(found.dtype)) {
      throw refuse(`tensor ${show(name)} is of type ${found.dtype}, expected F32, F16 or BF16`, found.path);
    }
    named.set(name, stored);
  }
  for (const [name, { shape, path }] of tensors) {
    // The head of a model with tied embeddings is the embedding once more.
    if (named.has(name) || isBuffer(name) || (name === headName && config.tiedEmbeddings)) continue;
    throw refuse(
      `tensor ${show(name)} [${shape.join(", ")}] is none of those that config.json describes`,
      path,
    );
  }
  return named;
}

function refuseNonFinite(data: Float32Array, name: string, folder: string): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new UserError(`tensor ${show(name)} holds ${data[at]} (number ${at}, counted from 0)`, {
    place: { file: folder },
    hint: "The model diverged when it was trained, or the file is damaged.",
  });
}

async function readEndTokens(
  folder: string,
  json: Record<string, unknown>,
  { vocabularySize }: TransformerConfig,
): Promise<number[]> {
  const path = join(folder, "generation_config.json");
  const generation = existsSync(path)
    ? endTokensFrom(await readJsonObject(path), vocabularySize, path)
    : undefined;
  return generation ?? endTokensFrom(json, vocabularySize, join(folder, "config.json")) ?? [];
}

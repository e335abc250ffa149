import type { Tensor } from "@outgrow/engine";
import { rotaryFrequencies } from "../attention.js";
import { namedTensors } from "../checkpoint.js";
import { transposed } from "../matrices.js";
import type { PendingTensor } from "../safetensors.js";
import type { TransformerParams } from "../transformer.js";
import type { TransformerConfig } from "../transformer-config.js";

/** Architectures of llama.cpp whose tensors are read and written. Mistral is a `llama`. */
export const ggufArchitectures = ["gpt2", "llama", "qwen2", "qwen3"] as const;
export type GgufArchitecture = (typeof ggufArchitectures)[number];

/** A tensor of a GGUF file and the parameters that are in it. */
export interface StoredTensor {
  name: string;
  shape: readonly number[];
  /** Paths in the tree of parameters. Several stand one after another along the first axis. */
  paths: readonly string[];
  /** Whether it is stored `[outputs, inputs]`; here it is `[inputs, outputs]`. */
  transposed: boolean;
  /** How many heads have the rows, where llama.cpp turns other pairs than Hugging Face's models: (2 i, 2 i + 1). */
  interleavedHeads?: number;
}

export const rotaryFactorsName = "rope_freqs.weight";
export const outputName = "output.weight";

/** All tensors that are parameters, one after another: a file may say that there are very many. */
export function* storedTensors(
  config: TransformerConfig,
  architecture: GgufArchitecture,
): Generator<StoredTensor> {
  const { vocabularySize, width, layers, innerWidth, headSize, heads, keyValueHeads, biases } = config;
  const matrix = (name: string, path: string, shape: number[]): StoredTensor => ({
    name: `${name}.weight`,
    shape,
    paths: [path],
    transposed: false,
  });
  function* norm(name: string, path: string, size: number): Generator<StoredTensor> {
    const plain = { shape: [size], transposed: false };
    yield { ...plain, name: `${name}.weight`, paths: [`${path}.scale`] };
    if (config.norm === "layer" && size === width) {
      yield { ...plain, name: `${name}.bias`, paths: [`${path}.bias`] };
    }
  }
  function* linear(
    name: string,
    paths: string[],
    [inputs, outputs]: [number, number],
    bias: boolean,
    interleavedHeads?: number,
  ): Generator<StoredTensor> {
    const common = { ...(interleavedHeads !== undefined && { interleavedHeads }) };
    const of = (leaf: string) => paths.map((path) => `${path}.${leaf}`);
    yield {
      ...common,
      name: `${name}.weight`,
      shape: [outputs, inputs],
      paths: of("weight"),
      transposed: true,
    };
    if (bias)
      yield { ...common, name: `${name}.bias`, shape: [outputs], paths: of("bias"), transposed: false };
  }
  const rotated = (count: number) => (architecture === "llama" ? count : undefined);
  const [queriesWidth, keysWidth] = [heads * headSize, keyValueHeads * headSize];

  yield matrix("token_embd", "tokens", [vocabularySize, width]);
  if (architecture === "gpt2") yield matrix("position_embd", "positions", [config.contextLength, width]);
  for (let layer = 0; layer < layers; layer++) {
    const [at, to] = [`blk.${layer}`, `blocks.${layer}`];
    yield* norm(`${at}.attn_norm`, `${to}.norm1`, width);
    const bias = biases.queriesKeysValues;
    if (architecture === "gpt2") {
      const parts = ["queries", "keys", "values"].map((part) => `${to}.${part}`);
      yield* linear(`${at}.attn_qkv`, parts, [width, 3 * width], bias);
    } else {
      yield* linear(`${at}.attn_q`, [`${to}.queries`], [width, queriesWidth], bias, rotated(heads));
      yield* linear(`${at}.attn_k`, [`${to}.keys`], [width, keysWidth], bias, rotated(keyValueHeads));
      yield* linear(`${at}.attn_v`, [`${to}.values`], [width, keysWidth], bias);
    }
    if (config.queryKeyNorm) {
      yield* norm(`${at}.attn_q_norm`, `${to}.queryNorm`, headSize);
      yield* norm(`${at}.attn_k_norm`, `${to}.keyNorm`, headSize);
    }
    yield* linear(`${at}.attn_output`, [`${to}.out`], [queriesWidth, width], biases.out);
    yield* norm(`${at}.ffn_norm`, `${to}.norm2`, width);
    if (config.mlp === "swiglu")
      yield* linear(`${at}.ffn_gate`, [`${to}.gate`], [width, innerWidth], biases.mlp);
    yield* linear(`${at}.ffn_up`, [`${to}.up`], [width, innerWidth], biases.mlp);
    yield* linear(`${at}.ffn_down`, [`${to}.down`], [innerWidth, width], biases.mlp);
  }
  yield* norm("output_norm", "norm", width);
  if (!config.tiedEmbeddings) {
    yield { name: outputName, shape: [vocabularySize, width], paths: ["output.weight"], transposed: true };
  }
}

/** The weights as they stand in a GGUF file. */
export function ggufTensors(
  config: TransformerConfig,
  params: TransformerParams<Tensor>,
  architecture: GgufArchitecture,
): PendingTensor[] {
  const leaves = namedTensors(params);
  const tensors = Array.from(storedTensors(config, architecture), (stored): PendingTensor => {
    const { name, shape, paths, interleavedHeads } = stored;
    return {
      name,
      shape,
      values() {
        const parts = paths.map((path) => {
          const leaf = leaves.get(path) as Tensor;
          const data = leaf.data as Float32Array;
          return stored.transposed ? transposed(data, leaf.shape[0], leaf.shape[1]) : data;
        });
        const whole = parts.length === 1 ? parts[0] : concatenated(parts);
        return interleavedHeads === undefined ? whole : interleaved(whole, shape[0], interleavedHeads);
      },
    };
  });
  if (config.positions !== "learned" && config.positions.scaling) {
    const { rotaryBase, scaling } = config.positions;
    const scaled = rotaryFrequencies(config.headSize, rotaryBase, scaling);
    const divisors = rotaryFrequencies(config.headSize, rotaryBase).map(
      (frequency, i) => frequency / scaled[i],
    );
    tensors.push({ name: rotaryFactorsName, shape: [divisors.length], values: () => divisors });
  }
  return tensors;
}

/** The parameters in a stored tensor. */
export function parametersIn(
  stored: StoredTensor,
  values: Float32Array,
): [path: string, data: Float32Array, shape: number[]][] {
  const { shape, paths, interleavedHeads } = stored;
  const whole = interleavedHeads === undefined ? values : apart(values, shape[0], interleavedHeads);
  const [rows, columns] = [shape[0] / paths.length, shape[1] ?? 1];
  return paths.map((path, i) => {
    const part = whole.subarray(i * rows * columns, (i + 1) * rows * columns);
    return stored.transposed
      ? [path, transposed(part, rows, columns), [columns, rows]]
      : [path, paths.length === 1 ? part : part.slice(), [rows, ...shape.slice(1)]];
  });
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const result = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** Rows (i, i + size / 2) of each head become rows (2 i, 2 i + 1). */
function interleaved(values: Float32Array, rows: number, heads: number): Float32Array {
  const half = rows / heads / 2;
  return ordered(values, rows, (row) => {
    const at = row % (2 * half);
    return row - at + (at % 2) * half + Math.floor(at / 2);
  });
}

/** The inverse of {@link interleaved}. */
function apart(values: Float32Array, rows: number, heads: number): Float32Array {
  const half = rows / heads / 2;
  return ordered(values, rows, (row) => {
    const at = row % (2 * half);
    return row - at + 2 * (at % half) + Math.floor(at / half);
  });
}

/** @param source from which row each comes */
function ordered(values: Float32Array, rows: number, source: (row: number) => number): Float32Array {
  const columns = values.length / rows;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const from = source(row) * columns;
    result.set(values.subarray(from, from + columns), row * columns);
  }
  return result;
}

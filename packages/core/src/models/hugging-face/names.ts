import type { TransformerConfig } from "../transformer-config.js";
import { type Architecture, architectureOf } from "./config.js";

/** A tensor of a Hugging Face model and the parameters that are in it. */
export interface StoredTensor {
  /** Without the prefix of the model, e.g. `layers.0.self_attn.q_proj.weight`. */
  name: string;
  /** As it is stored. */
  shape: readonly number[];
  /** Paths in the tree of parameters. Several stand next to each other along the last axis. */
  paths: readonly string[];
  /** Whether it is stored `[outputs, inputs]`; here it is `[inputs, outputs]`. */
  transposed: boolean;
}

/** What stands before the names of a model with its head, and is missing where only the model was saved. */
export const namePrefix = (architecture: Architecture) =>
  architecture === "GPT2LMHeadModel" ? "transformer." : "model.";

/** The name of the output projection, which has no prefix. */
export const headName = "lm_head.weight";

/** Tensors of old files that are no weights: masks and frequencies. */
export const isBuffer = (name: string) => /(^|\.)(attn\.(masked_)?bias|rotary_emb\.inv_freq)$/.test(name);

/** All tensors of a model in the order of its parameters, one after another: a configuration may say that there are very many. */
export function* storedTensors(config: TransformerConfig): Generator<StoredTensor> {
  const architecture = architectureOf(config);
  const { vocabularySize, width, layers } = config;
  const plain = (name: string, path: string, shape: number[]): StoredTensor => ({
    name,
    shape,
    paths: [path],
    transposed: false,
  });
  const [embedding, norm] = architecture === "GPT2LMHeadModel" ? ["wte", "ln_f"] : ["embed_tokens", "norm"];
  yield plain(`${embedding}.weight`, "tokens", [vocabularySize, width]);
  if (config.positions === "learned") yield plain("wpe.weight", "positions", [config.contextLength, width]);
  for (let layer = 0; layer < layers; layer++) {
    yield* architecture === "GPT2LMHeadModel" ? gpt2Block(config, layer) : llamaBlock(config, layer);
  }
  yield plain(`${norm}.weight`, "norm.scale", [width]);
  if (config.norm === "layer") yield plain(`${norm}.bias`, "norm.bias", [width]);
  if (!config.tiedEmbeddings) {
    yield { name: headName, shape: [vocabularySize, width], paths: ["output.weight"], transposed: true };
  }
}

function* llamaBlock(config: TransformerConfig, layer: number): Generator<StoredTensor> {
  const { width, innerWidth, headSize, heads, keyValueHeads, biases, queryKeyNorm } = config;
  function* linear(name: string, path: string, inputs: number, outputs: number, bias: boolean) {
    const [at, to] = [`layers.${layer}.${name}`, `blocks.${layer}.${path}`];
    yield { name: `${at}.weight`, shape: [outputs, inputs], paths: [`${to}.weight`], transposed: true };
    if (bias) yield { name: `${at}.bias`, shape: [outputs], paths: [`${to}.bias`], transposed: false };
  }
  function* norm(name: string, path: string, size: number) {
    const paths = [`blocks.${layer}.${path}.scale`];
    yield { name: `layers.${layer}.${name}.weight`, shape: [size], paths, transposed: false };
  }
  yield* norm("input_layernorm", "norm1", width);
  yield* linear("self_attn.q_proj", "queries", width, heads * headSize, biases.queriesKeysValues);
  yield* linear("self_attn.k_proj", "keys", width, keyValueHeads * headSize, biases.queriesKeysValues);
  yield* linear("self_attn.v_proj", "values", width, keyValueHeads * headSize, biases.queriesKeysValues);
  if (queryKeyNorm) {
    yield* norm("self_attn.q_norm", "queryNorm", headSize);
    yield* norm("self_attn.k_norm", "keyNorm", headSize);
  }
  yield* linear("self_attn.o_proj", "out", heads * headSize, width, biases.out);
  yield* norm("post_attention_layernorm", "norm2", width);
  yield* linear("mlp.gate_proj", "gate", width, innerWidth, biases.mlp);
  yield* linear("mlp.up_proj", "up", width, innerWidth, biases.mlp);
  yield* linear("mlp.down_proj", "down", innerWidth, width, biases.mlp);
}

/** GPT-2's linear layers are stored `[inputs, outputs]`. */
function* gpt2Block({ width, innerWidth }: TransformerConfig, layer: number): Generator<StoredTensor> {
  function* linear(name: string, paths: string[], inputs: number, outputs: number) {
    for (const [part, shape] of [
      ["weight", [inputs, outputs]],
      ["bias", [outputs]],
    ] as const) {
      const to = paths.map((path) => `blocks.${layer}.${path}.${part}`);
      yield { name: `h.${layer}.${name}.${part}`, shape, paths: to, transposed: false };
    }
  }
  function* norm(name: string, path: string) {
    for (const [part, leaf] of [
      ["weight", "scale"],
      ["bias", "bias"],
    ]) {
      const paths = [`blocks.${layer}.${path}.${leaf}`];
      yield { name: `h.${layer}.${name}.${part}`, shape: [width], paths, transposed: false };
    }
  }
  yield* norm("ln_1", "norm1");
  yield* linear("attn.c_attn", ["queries", "keys", "values"], width, 3 * width);
  yield* linear("attn.c_proj", ["out"], width, width);
  yield* norm("ln_2", "norm2");
  yield* linear("mlp.c_fc", ["up"], width, innerWidth);
  yield* linear("mlp.c_proj", ["down"], innerWidth, width);
}

import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import type { Tensor } from "@outgrow/engine";
import { type Tokenizer, trainBpe } from "../data/bpe.js";
import type { Columns } from "../data/columns.js";
import { namedTensors } from "../models/checkpoint.js";
import type { Backbone } from "../models/classifier.js";
import {
  encodeTexts,
  type Pooling,
  padTokens,
  textBackbone,
  tokenizeTexts,
} from "../models/text-backbone.js";
import { ownLogProbs } from "../models/token-log-probs.js";
import {
  applyTransformer,
  initTransformer,
  type TransformerParams,
  tokenLogits,
} from "../models/transformer.js";
import { type TransformerConfig, transformerConfig } from "../models/transformer-config.js";
import type { Random } from "../random.js";
import { createTrainer, type FitOptions } from "./trainer.js";

export interface TextPretraining {
  /** Largest number of tokens in the vocabulary; small files give fewer. */
  vocabularySize: number;
  /** Longest text in tokens; what is beyond is cut. At most the length that `coverage` of all texts need. */
  contextLength: number;
  /** Share of texts that must fit uncut, in (0, 1]. */
  coverage: number;
  width: number;
  layers: number;
  heads: number;
  /** Passes over the texts. */
  epochs: number;
  batchSize: number;
  learningRate: number;
  weightDecay: number;
  /** Share of training in which the learning rate rises. */
  warmup: number;
}

export const textPretrainingDefaults: TextPretraining = {
  vocabularySize: 2048,
  contextLength: 128,
  coverage: 0.8,
  width: 128,
  layers: 2,
  heads: 4,
  epochs: 6,
  batchSize: 32,
  learningRate: 2e-3,
  weightDecay: 0.01,
  warmup: 0.05,
};

const PADDING = "[PAD]";

/** A transformer that knows the language of some texts and nothing about their labels. */
export interface TextModel {
  tokenizer: Tokenizer;
  config: TransformerConfig;
  pooling: Pooling;
  /** The hidden states of a text's tokens, pooled: `[batch, width]` of `tokens` and `mask`. */
  backbone: Backbone;
  /** Tokens that texts are padded or cut to. */
  length: number;
  /** int32 tokens and float32 mask, both `[texts, length]`. Throws UserError where a text is empty. */
  encode(texts: readonly string[]): Columns;
  /** Number of weights. */
  parameters: number;
  /** Texts that are longer, of those that it was made for. */
  cut: number;
}

/**
 * Trains a byte-pair tokenizer on the texts, then a transformer to predict each next token. For so few passes causal
 * language modelling teaches more than masked: it learns from every token instead of a fifth of them.
 */
export async function pretrainTextModel(
  texts: readonly string[],
  options: TextPretraining,
  random: Random,
  fit: Pick<FitOptions, "onStep" | "signal" | "checkpoint">,
): Promise<TextModel> {
  const tokenizer = trainBpe(texts, {
    vocabularySize: options.vocabularySize,
    specialTokens: [PADDING],
  });
  const encoded = tokenizeTexts(tokenizer, texts);
  const lengths = encoded.map((ids) => ids.length).sort((a, b) => a - b);
  const covering = lengths[Math.ceil(options.coverage * lengths.length) - 1];
  const contextLength = Math.min(options.contextLength, Math.ceil(covering / 8) * 8);
  const config = transformerConfig("gpt2", {
    vocabularySize: tokenizer.vocabularySize,
    contextLength,
    width: options.width,
    layers: options.layers,
    heads: options.heads,
    mlp: "gelu",
  });
  const columns = padTokens(encoded, contextLength, tokenizer.specialTokens[PADDING]);
  const initial = initTransformer(config, random.stream("init"));
  const trainer = await createTrainer<TransformerParams<Tensor>, TransformerParams<JaxArray>>({
    name: "language model",
    params: initial,
    columns,
    batchSize: options.batchSize,
    optimizer: { weightDecay: options.weightDecay, beta2: 0.98 },
    loss: (params, { tokens, mask }) => {
      const states = applyTransformer(config, params, tokens, { mask }).hidden.slice(
        [],
        [0, contextLength - 1],
      );
      const next = tokens.slice([], [1, contextLength]);
      const counted = mask.slice([], [1, contextLength]);
      const own = ownLogProbs(tokenLogits(params, states), next);
      // Texts of a single token have nothing to predict.
      return own.mul(counted).sum().div(np.maximum(counted.sum(), 1)).neg();
    },
  });
  const { learningRate, warmup } = options;
  const { params } = await trainer
    .fit(initial, columns, {
      epochs: options.epochs,
      learningRate,
      schedule: { warmup },
      random: random.stream("order"),
      ...fit,
    })
    .finally(() => trainer.dispose());
  return textModel({
    tokenizer,
    config,
    params,
    cut: lengths.filter((length) => length > contextLength).length,
  });
}

/** The parts of a text model as they are trained and saved. */
export interface TextModelParts {
  tokenizer: Tokenizer;
  config: TransformerConfig;
  params: TransformerParams<Tensor>;
  cut: number;
  /** Default: the context. */
  length?: number;
  /** Default: the mean. */
  pooling?: Pooling;
}

/** A text model from its parts. */
export function textModel(parts: TextModelParts): TextModel {
  const { tokenizer, config, params, cut, length = config.contextLength, pooling = "mean" } = parts;
  const padding = tokenizer.specialTokens[PADDING];
  return {
    tokenizer,
    config,
    pooling,
    backbone: textBackbone(config, params, pooling),
    length,
    encode: (texts) => encodeTexts(tokenizer, texts, length, padding),
    parameters: [...namedTensors(params).values()].reduce((sum, { data }) => sum + data.length, 0),
    cut,
  };
}

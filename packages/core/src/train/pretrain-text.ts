import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { type Tokenizer, trainBpe } from "../data/bpe.js";
import type { Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { Backbone } from "../models/classifier.js";
import {
  applyTransformer,
  initTransformer,
  type TransformerConfig,
  type TransformerParams,
  tokenLogits,
} from "../models/transformer.js";
import type { Random } from "../random.js";
import { createTrainer, type FitOptions } from "./trainer.js";

export interface TextPretraining {
  objective: "causal" | "masked";
  /** Largest number of tokens in the vocabulary; small files give fewer. */
  vocabularySize: number;
  /** Longest text in tokens; what is beyond is cut. At most the length that `coverage` of all texts need. */
  contextLength: number;
  /** Share of texts that must fit uncut, in (0, 1]. */
  coverage: number;
  width: number;
  layers: number;
  heads: number;
  /** Passes over the texts, each with new masks. */
  epochs: number;
  batchSize: number;
  learningRate: number;
  weightDecay: number;
  /** Share of training in which the learning rate rises. */
  warmup: number;
  /** Share of a text's places whose token is hidden and predicted (BERT: 0.15). */
  maskedShare: number;
}

export const textPretrainingDefaults: TextPretraining = {
  objective: "causal",
  vocabularySize: 4096,
  contextLength: 128,
  coverage: 0.9,
  width: 128,
  layers: 2,
  heads: 4,
  epochs: 20,
  batchSize: 32,
  learningRate: 2e-3,
  weightDecay: 0.01,
  warmup: 0.05,
  maskedShare: 0.2,
};

const PADDING = "[PAD]";
const MASK = "[MASK]";

/** A transformer that knows the language of some texts and nothing about their labels. */
export interface TextModel {
  tokenizer: Tokenizer;
  config: TransformerConfig;
  /** Mean of the hidden states over a text's tokens: `[batch, width]` of `tokens` and `mask`. */
  backbone: Backbone;
  /** int32 tokens and float32 mask, both `[texts, contextLength]`. */
  encode(texts: readonly string[]): Columns;
  /** Number of weights. */
  parameters: number;
  /** Texts that are longer than the context. */
  cut: number;
}

/**
 * Trains a byte-pair tokenizer on the texts, then a bidirectional transformer to predict hidden tokens (masked language
 * modelling, Devlin et al. 2019; hidden tokens are always replaced by the mask).
 */
export async function pretrainTextModel(
  texts: readonly string[],
  options: TextPretraining,
  random: Random,
  fit: Pick<FitOptions, "onStep" | "signal">,
): Promise<TextModel> {
  const tokenizer = trainBpe(texts, {
    vocabularySize: options.vocabularySize,
    specialTokens: [PADDING, MASK],
  });
  const encoded = texts.map((text) => tokenizer.encode(text));
  const empty = encoded.findIndex((ids) => ids.length === 0);
  if (empty !== -1) throw new UserError(`text ${empty} (counted from 0) has no tokens`);
  const lengths = encoded.map((ids) => ids.length).sort((a, b) => a - b);
  const covering = lengths[Math.ceil(options.coverage * lengths.length) - 1];
  const contextLength = Math.min(options.contextLength, Math.ceil(covering / 8) * 8);
  const config: TransformerConfig = {
    vocabularySize: tokenizer.vocabularySize,
    contextLength,
    width: options.width,
    layers: options.layers,
    heads: options.heads,
    causal: options.objective === "causal",
  };
  const padding = tokenizer.specialTokens[PADDING];
  const encode = (given: readonly string[]) =>
    pad(
      given.map((text) => tokenizer.encode(text)),
      contextLength,
      padding,
    );

  const plain = pad(encoded, contextLength, padding);
  const causal = options.objective === "causal";
  const columns = causal ? plain : hideTokens(plain, options, tokenizer.specialTokens[MASK], random);
  const initial = initTransformer(config, random.stream("init"));
  const trainer = await createTrainer<TransformerParams<Tensor>, TransformerParams<JaxArray>>({
    name: "masked language model",
    params: initial,
    columns,
    batchSize: options.batchSize,
    optimizer: { weightDecay: options.weightDecay, beta2: 0.98 },
    loss: (params, { tokens, mask, places, hidden, present }) => {
      if (causal) {
        const states = applyTransformer(config, params, tokens, mask).slice([], [0, contextLength - 1]);
        const next = tokens.slice([], [1, contextLength]);
        const counted = mask.slice([], [1, contextLength]);
        const logProbs = nn.logSoftmax(tokenLogits(params, states), -1);
        const own = logProbs.mul(nn.oneHot(next, config.vocabularySize)).sum(-1);
        return own.mul(counted).sum().div(counted.sum()).neg();
      }
      const states = applyTransformer(config, params, tokens, mask);
      const chosen = np.matmul(nn.oneHot(places, contextLength), states); // [batch, hidden places, width]
      const logProbs = nn.logSoftmax(tokenLogits(params, chosen), -1);
      const own = logProbs.mul(nn.oneHot(hidden, config.vocabularySize)).sum(-1);
      return own.mul(present).sum().div(present.sum()).neg();
    },
  });
  const { learningRate, warmup } = options;
  const order = random.stream("order");
  const { params } = await trainer.fit(initial, columns, {
    epochs: causal ? options.epochs : 1, // the columns hold every pass with masks of its own
    learningRate,
    schedule: { warmup },
    random: order,
    ...fit,
  });
  const parameters = trainer.flat.size;
  await trainer.dispose();
  const cut = lengths.filter((length) => length > contextLength).length;
  return { tokenizer, config, backbone: textBackbone(config, params), encode, parameters, cut };
}

/** Mean of the hidden states over a text's tokens. */
export function textBackbone(config: TransformerConfig, params: TransformerParams<Tensor>): Backbone {
  return {
    name: `transformer ${config.layers}x${config.width}`,
    body: params,
    featureSize: config.width,
    features: (body: TransformerParams<JaxArray>, { tokens, mask }) => {
      const weights = mask.reshape([...mask.shape, 1]);
      return applyTransformer(config, body, tokens, mask).mul(weights).sum(1).div(weights.sum(1));
    },
  };
}

function pad(rows: readonly Int32Array[], length: number, padding: number): Columns {
  const tokens = new Int32Array(rows.length * length).fill(padding);
  const mask = new Float32Array(rows.length * length);
  rows.forEach((ids, row) => {
    const kept = ids.subarray(0, length);
    tokens.set(kept, row * length);
    mask.fill(1, row * length, row * length + kept.length);
  });
  const shape = [rows.length, length];
  return { tokens: new Tensor(tokens, shape), mask: new Tensor(mask, shape) };
}

/** Every text once for each epoch, with other tokens hidden each time. */
function hideTokens(
  { tokens, mask }: Columns,
  { epochs, maskedShare }: TextPretraining,
  maskToken: number,
  random: Random,
): Columns {
  const [rows, length] = tokens.shape;
  const most = Math.max(1, Math.floor(maskedShare * length));
  const shown = new Int32Array(epochs * rows * length);
  const masks = new Float32Array(epochs * rows * length);
  const places = new Int32Array(epochs * rows * most);
  const hidden = new Int32Array(epochs * rows * most);
  const present = new Float32Array(epochs * rows * most);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const draw = random.stream("masks", epoch);
    for (let row = 0; row < rows; row++) {
      const at = (epoch * rows + row) * length;
      const own = tokens.data.subarray(row * length, (row + 1) * length);
      shown.set(own, at);
      masks.set(mask.data.subarray(row * length, (row + 1) * length), at);
      const size = masks.subarray(at, at + length).lastIndexOf(1) + 1;
      const order = draw.permutation(size);
      const count = Math.max(1, Math.floor(maskedShare * size));
      for (let k = 0; k < count; k++) {
        const to = (epoch * rows + row) * most + k;
        places[to] = order[k];
        hidden[to] = own[order[k]];
        present[to] = 1;
        shown[at + order[k]] = maskToken;
      }
    }
  }
  const all = epochs * rows;
  return {
    tokens: new Tensor(shown, [all, length]),
    mask: new Tensor(masks, [all, length]),
    places: new Tensor(places, [all, most]),
    hidden: new Tensor(hidden, [all, most]),
    present: new Tensor(present, [all, most]),
  };
}

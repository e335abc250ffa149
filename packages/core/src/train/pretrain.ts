import { Tensor } from "@outgrow/engine";
import { mixedOrder } from "../data/mixing.js";
import { type Document, type PackedRows, packDocuments } from "../data/packing.js";
import type { LanguageModel } from "../models/language-model.js";
import { nextTokenLoss } from "./language-loss.js";
import {
  type LanguageModelResult,
  type LanguageModelTraining,
  trainLanguageModel,
} from "./train-language-model.js";

/** Documents that a model is pretrained on. */
export interface DocumentStream {
  documents: readonly Document[];
  /** Its share of the rows of every batch. Default: as much as it has of all rows. */
  share?: number;
  /** Random: another order each time that all its rows were read. Given: as the documents come, each time. Default random. */
  order?: "random" | "given";
}

export interface Pretraining extends Omit<LanguageModelTraining, "epochs" | "order" | "validation" | "lora"> {
  /** Tokens to predict in all, to the nearest step. Streams that are shorter begin again. Default: one pass. */
  tokens?: number;
  /** Held-out documents: the weights at their lowest loss are kept. */
  validation?: { documents: readonly Document[]; every: number; patience?: number };
}

/**
 * Trains a model to predict the next token in documents of one stream or of several in fixed shares, e.g. new text and a replay of
 * old. It goes on from the model's weights: freshly drawn ones (`initTransformer`) or trained ones.
 *
 * @throws UserError for shares that do not add up to 1, a stream without anything to predict, and where training diverges
 */
export async function pretrain(
  model: LanguageModel,
  streams: readonly DocumentStream[],
  { tokens, validation, ...options }: Pretraining,
): Promise<LanguageModelResult> {
  const { contextLength } = model.config;
  const packed = streams.map(({ documents, order }) =>
    packDocuments(documents, { contextLength, fit: order === "given" ? "in-order" : "best" }),
  );
  const rows = joined(packed);
  const counts = packed.map((part) => part.tokens.shape[0]);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const sources = streams.map(({ share, order }, i) => ({
    count: counts[i],
    share: share ?? counts[i] / all,
    order,
  }));
  const batchSize = Math.min(options.batchSize, all);
  const perRow = sources.map(({ share, count }, i) => (share * predicted(packed[i])) / count);
  const perStep = batchSize * perRow.reduce((sum, mean) => sum + mean, 0);
  const steps = Math.max(1, Math.round(tokens === undefined ? all / batchSize : tokens / perStep));
  return trainLanguageModel(model, nextTokenLoss(model.config), rows, {
    ...options,
    batchSize,
    order: mixedOrder(sources, steps * batchSize, options.random.stream("order")),
    ...(validation && {
      validation: { ...validation, rows: packDocuments(validation.documents, { contextLength }) },
    }),
  });
}

/** Tokens that rows predict. */
const predicted = ({ segments }: PackedRows): number =>
  (segments.data as Int32Array).reduce((count, segment) => count + Number(segment > 0), 0);

function joined(parts: readonly PackedRows[]): PackedRows {
  if (parts.length === 1) return parts[0];
  const [{ tokens }] = parts;
  const count = parts.reduce((sum, part) => sum + part.tokens.shape[0], 0);
  const names = ["tokens", "next", "segments", "positions", "weights"] as const;
  const columns = names.map((name) => {
    const data = new (parts[0][name].data.constructor as typeof Int32Array)(count * tokens.shape[1]);
    let at = 0;
    for (const part of parts) {
      data.set(part[name].data, at);
      at += part[name].data.length;
    }
    return [name, new Tensor(data, [count, tokens.shape[1]])];
  });
  return Object.fromEntries(columns) as PackedRows;
}

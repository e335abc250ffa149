import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import type { Columns } from "../data/columns.js";
import type { PackedRows } from "../data/packing.js";
import { compileRows } from "../models/classifier.js";
import type { LanguageModel } from "../models/language-model.js";
import { type LoraConfig, type LoraParams, loraDefaults } from "../models/lora.js";
import { packedLogProbs } from "../models/token-log-probs.js";
import type { LanguageLoss } from "./language-loss.js";
import type { AdamWConfig } from "./optimizer.js";
import { allWeights, loraAdapters, type Trainable } from "./trainable.js";
import { createTrainer, type FitOptions, type FitResult } from "./trainer.js";

export interface LanguageModelTraining
  extends Pick<
    FitOptions,
    "epochs" | "order" | "learningRate" | "schedule" | "random" | "onStep" | "checkpoint" | "signal"
  > {
  /** Rows a step. */
  batchSize: number;
  /** In how many parts a step goes through its rows: less memory, the same steps. Default 1. */
  microBatches?: number;
  /** Default: AdamW with beta2 = 0.95, no weight decay, and gradients clipped to a norm of 1 (Touvron et al. 2023). */
  optimizer?: Partial<AdamWConfig>;
  /** Train adapters, and leave the weights as they are. Default: all weights are trained. */
  lora?: Partial<LoraConfig>;
  /** Early stopping by the loss on held-out rows: the weights at the lowest loss are kept. */
  validation?: {
    rows: PackedRows;
    /** Steps between two validations. */
    every: number;
    /** Validations without a lower loss after which training stops. Default: never. */
    patience?: number;
  };
}

export interface LanguageModelResult {
  model: LanguageModel;
  /** Training loss of every step. */
  losses: Float32Array;
  /** Held-out losses by step, in nats per token, where there was validation. */
  validation: { step: number; loss: number }[];
  /** The step whose weights were kept. */
  bestStep: number;
  /** What was trained, where that were adapters; they are in the model's weights already. */
  adapters?: { params: LoraParams; config: LoraConfig };
}

export const languageModelOptimizer: Partial<AdamWConfig> = { beta2: 0.95, clipNorm: 1 };

/**
 * Trains a language model, or adapters to it, on rows of data by any loss. Adapters start from `random`'s stream "adapters".
 *
 * @param columns rows that the loss is given in batches
 * @throws UserError where training diverges
 */
export async function trainLanguageModel(
  model: LanguageModel,
  loss: LanguageLoss,
  columns: Columns,
  { lora, ...options }: LanguageModelTraining,
): Promise<LanguageModelResult> {
  if (!lora) {
    const { params, ...rest } = await train(model, allWeights(model.params), loss, columns, options);
    return { model: { ...model, params }, ...rest };
  }
  const config = { ...loraDefaults, ...lora };
  const trainable = loraAdapters(model.params, config, options.random.stream("adapters"));
  const { params, ...rest } = await train(model, trainable, loss, columns, options);
  return {
    model: { ...model, params: trainable.merge(params) },
    adapters: { params, config },
    ...rest,
  };
}

async function train<P>(
  { config }: LanguageModel,
  trainable: Trainable<P>,
  loss: LanguageLoss,
  columns: Columns,
  options: Omit<LanguageModelTraining, "lora">,
): Promise<Omit<FitResult<P>, "validation"> & Pick<LanguageModelResult, "validation">> {
  const { batchSize, microBatches, optimizer, validation, ...fit } = options;
  const { params, frozen } = trainable;
  const trainer = await createTrainer<P, unknown>({
    name: "language model",
    params,
    frozen,
    columns,
    batchSize,
    microBatches,
    optimizer: { ...languageModelOptimizer, ...optimizer },
    loss: (traced, batch, progress, rest) => loss(trainable.assemble(traced, rest), batch, progress),
  });
  const heldOut =
    validation &&
    (await compileRows<unknown, { params: unknown; frozen: unknown }>(
      "held-out loss",
      (traced, batch) => {
        const logProbs = packedLogProbs(config, trainable.assemble(traced.params, traced.frozen), batch);
        const sums = [logProbs.mul(batch.weights), batch.weights].map((x: JaxArray) =>
          x.sum(-1, { keepdims: true }),
        );
        return np.concatenate(sums, -1);
      },
      { params, frozen },
      validation.rows,
    ));
  try {
    const result = await trainer.fit(params, columns, {
      ...fit,
      ...(validation &&
        heldOut && {
          validation: {
            every: validation.every,
            patience: validation.patience,
            score: async (vector) => {
              const { data } = await heldOut(
                { params: trainer.flat.unflatten(vector), frozen },
                validation.rows,
              );
              const total = (column: number) =>
                (data as Float32Array).reduce((sum, x, i) => (i % 2 === column ? sum + x : sum), 0);
              return total(0) / total(1);
            },
          },
        }),
    });
    return { ...result, validation: result.validation.map(({ step, score }) => ({ step, loss: -score })) };
  } finally {
    await trainer.dispose();
    await heldOut?.dispose();
  }
}

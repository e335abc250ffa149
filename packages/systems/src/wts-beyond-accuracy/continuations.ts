/*
 * Language models that go on with prompts: finetuned on continuations, sampled, and taught by the least toxic of a weak model's samples.
 */
import type { Array as JaxArray } from "@jax-js/jax";
import {
  type Constraint,
  type ConstraintState,
  createGenerator,
  createTrainer,
  type Generation,
  type LanguageModel,
  nextTokenLoss,
  type PackedRows,
  packDocuments,
  type Random,
  type SamplingOptions,
  type Trainer,
  type TransformerParams,
  UserError,
} from "outgrow";

/** A prompt with what comes after it. */
export interface Continuation {
  prompt: string;
  text: string;
}

export interface ContinuationRecipe {
  learningRate: number;
  weightDecay: number;
  epochs: number;
  /** Rows of the context's length a step. */
  batchSize: number;
  warmup: number;
}

/** As published but for the rate: 5e-5 there, more for tiny models (the card). */
export const continuationRecipe: ContinuationRecipe = {
  learningRate: 1e-3,
  weightDecay: 0.01,
  epochs: 3,
  batchSize: 16,
  warmup: 0.1,
};

/** Finetunes language models on prompts with continuations, all tokens in the loss; padding counts for nothing. */
export class ContinuationTrainer {
  private readonly trainers = new Map<string, Promise<Trainer<LanguageModel["params"]>>>();

  constructor(readonly recipe: ContinuationRecipe = continuationRecipe) {}

  /** A copy of the model for each lesson. Lessons of as many rows are one batched training. */
  async train(
    model: LanguageModel,
    lessons: readonly { continuations: readonly Continuation[]; random: Random }[],
    signal?: AbortSignal,
  ): Promise<LanguageModel[]> {
    const packed = lessons.map(({ continuations }) => packContinuations(model, continuations));
    const models: LanguageModel[] = [];
    const counts = packed.map(({ tokens }) => tokens.shape[0]);
    for (const count of new Set(counts)) {
      const own = [...counts.keys()].filter((i) => counts[i] === count);
      const { learningRate, epochs, warmup } = this.recipe;
      const trainer = await this.trainer(model, packed[own[0]]);
      const fitted = await trainer.fitMany(
        own.map(() => model.params),
        own.map((i) => packed[i]),
        {
          epochs,
          learningRate,
          schedule: { decay: "linear", warmup },
          randoms: own.map((i) => lessons[i].random),
          signal,
        },
      );
      for (const [j, { params }] of fitted.entries()) models[own[j]] = { ...model, params };
    }
    return models;
  }

  async dispose(): Promise<void> {
    for (const trainer of this.trainers.values()) await (await trainer).dispose();
  }

  private trainer(model: LanguageModel, rows: PackedRows): Promise<Trainer<LanguageModel["params"]>> {
    const key = JSON.stringify([model.config, rows.tokens.shape]);
    const { batchSize, weightDecay } = this.recipe;
    const trainer =
      this.trainers.get(key) ??
      createTrainer<LanguageModel["params"], TransformerParams<JaxArray>>({
        name: "continuations",
        params: model.params,
        columns: rows,
        batchSize,
        optimizer: { weightDecay, clipNorm: 1 },
        loss: nextTokenLoss(model.config),
      });
    this.trainers.set(key, trainer);
    return trainer;
  }
}

/** Of what is longer than the context, the end is kept. */
function packContinuations(
  { tokenizer, endTokens, config }: LanguageModel,
  continuations: readonly Continuation[],
): PackedRows {
  const documents = continuations.map(({ prompt, text }) => {
    const ids = Int32Array.of(
      ...tokenizer.encode(prompt),
      ...tokenizer.encode(text),
      ...endTokens.slice(0, 1),
    );
    return { ids: ids.subarray(Math.max(0, ids.length - config.contextLength - 1)) };
  });
  return packDocuments(documents, { contextLength: config.contextLength });
}

export interface WritingOptions extends Pick<SamplingOptions, "temperature" | "topP" | "topK" | "seed"> {
  /** Of each prompt. With temperature 0 all would be the same, so that there is one. Default 1. */
  samples?: number;
  /** Most tokens of a continuation. */
  maxTokens: number;
  /** Whether no two tokens may follow each other twice, the prompt among them. Default false. */
  noRepeatedBigram?: boolean;
  /** Rows at a time. Default 64. */
  capacity?: number;
}

/** The paper's sampling; greedy is temperature 0. */
export const paperSampling = { temperature: 0.7, topP: 0.95, topK: 50, noRepeatedBigram: true } as const;

/**
 * Continuations of prompts, `[prompts][samples]`. They are the tokens after the prompt, whatever decoding and encoding would make of
 * the text. A prompt that leaves no room is cut from the left.
 */
export async function writeContinuations(
  model: LanguageModel,
  prompts: readonly string[],
  { samples = 1, noRepeatedBigram = false, capacity, seed = 0, maxTokens, topK, ...sampling }: WritingOptions,
): Promise<string[][]> {
  const { tokenizer, endTokens, config } = model;
  if (maxTokens >= config.contextLength) {
    throw new UserError(
      `${maxTokens} tokens are to be written, but the model's context is ${config.contextLength}`,
      { hint: "A prompt of at least one token must fit before them." },
    );
  }
  const generator = createGenerator(model, { capacity });
  const count = sampling.temperature === 0 ? 1 : samples;
  try {
    const generations = await Promise.all(
      prompts.map((text, i) => {
        const ids = tokenizer.encode(text);
        const prompt = ids.subarray(Math.max(0, ids.length - (config.contextLength - maxTokens)));
        const constraint = noRepeatedBigram
          ? noRepeatedBigrams(prompt, config.vocabularySize, endTokens)
          : undefined;
        return generator.sample(
          {
            ...sampling,
            topK: topK === undefined ? undefined : Math.min(topK, config.vocabularySize),
            prompt,
            maxTokens,
            constraint,
            seed: seed + i * count,
          },
          count,
        );
      }),
    );
    return generations.map((group) => group.map((generation) => textOf(generation, model)));
  } finally {
    await generator.dispose();
  }
}

const textOf = ({ tokens }: Generation, { tokenizer, endTokens }: LanguageModel) =>
  tokenizer
    .decode(
      tokens.map(({ id }) => id).filter((id) => !endTokens.includes(id)),
      { skipSpecialTokens: true },
    )
    .trim();

/**
 * No token may follow another as it did before, in the prompt or after it (`no_repeat_ngram_size` 2 of Hugging Face's transformers).
 * Where every token has followed, all may.
 */
export function noRepeatedBigrams(
  prompt: ArrayLike<number>,
  vocabularySize: number,
  endTokens: readonly number[] = [],
): Constraint {
  const stateOf = (tokens: readonly number[]): ConstraintState => {
    const allowed = new Uint8Array(vocabularySize).fill(1);
    for (const token of endTokens) allowed[token] = 0; // allowed by mayEnd
    const last = tokens[tokens.length - 1];
    for (let i = 1; i < tokens.length; i++) if (tokens[i - 1] === last) allowed[tokens[i]] = 0;
    if (!allowed.includes(1)) allowed.fill(1);
    return { allowed, mayEnd: true, after: (token) => stateOf([...tokens, token]) };
  };
  return { start: () => stateOf(Array.from(prompt)) };
}

/**
 * Of each prompt's first `k` samples the one with the lowest score, of equals the first: what a student is taught where a weak
 * toxicity classifier chooses.
 *
 * @param scores `[prompts][samples]`; null is no score, and is chosen last
 * @throws UserError where a prompt has fewer than k samples, or fewer scores than samples
 */
export function leastToxic(
  samples: readonly (readonly string[])[],
  scores: readonly (readonly (number | null)[])[],
  k: number,
): string[] {
  return samples.map((texts, i) => {
    if (texts.length < k || scores[i]?.length !== texts.length || k < 1) {
      throw new UserError(
        `prompt ${i} (counted from 0) has ${texts.length} samples and ${scores[i]?.length ?? 0} scores; the best of ${k} is asked for`,
        { hint: "Every sample needs a score, and k is at least 1 and at most the number of samples." },
      );
    }
    let best = 0;
    for (let j = 1; j < k; j++) if ((scores[i][j] ?? Infinity) < (scores[i][best] ?? Infinity)) best = j;
    return texts[best];
  });
}

/** `count` of the items, beginning again where there are fewer: as many steps for all students. */
export function filled<T>(items: readonly T[], count: number): T[] {
  if (items.length === 0) throw new UserError("nothing is left to learn from", { exitCode: 1 });
  return Array.from({ length: count }, (_, i) => items[i % items.length]);
}

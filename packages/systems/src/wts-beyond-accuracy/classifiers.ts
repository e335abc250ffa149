/*
 * Language models as classifiers of texts: a linear head on the state after the last token, all weights finetuned. Trainings of one
 * shape run as one batched training.
 */
import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  argmaxRows,
  type ClassifierParams,
  type Columns,
  classifierLogits,
  compileClassifier,
  confidenceDefaults,
  confidenceLoss,
  createTrainer,
  crossEntropy,
  initClassifier,
  type LanguageModel,
  languageModelBackbone,
  type Random,
  type SoftLabels,
  type Tokenizer,
  type Trainer,
  UserError,
} from "outgrow";

export interface ClassifierRecipe {
  learningRate: number;
  weightDecay: number;
  epochs: number;
  batchSize: number;
  /** Share of training in which the rate rises. */
  warmup: number;
  /** Longest text in tokens; longer ones are cut from the left. */
  length: number;
}

/** As published but for the rate: 5e-5 there, more for tiny models (the card). */
export const classifierRecipe: ClassifierRecipe = {
  learningRate: 1e-3,
  weightDecay: 0.1,
  epochs: 3,
  batchSize: 16,
  warmup: 0.05,
  length: 512,
};

/** What one student learns from. */
export interface ClassifierLesson {
  texts: readonly string[];
  /** One row for each text. */
  labels: SoftLabels;
  /** The order of examples. */
  random: Random;
  /** Held out of the lesson, with labels of the same source: the pass that agrees most with them is kept. */
  validation?: { texts: readonly string[]; labels: SoftLabels };
}

export type ClassifierLoss = "cross-entropy" | "confidence";

/** A finetuned model: what it was made of, and its weights. */
export interface TextClassifier {
  model: LanguageModel;
  params: ClassifierParams;
}

/**
 * Texts as int32 `tokens` and float32 `mask`, `[texts, length]`. Of a longer text the end is kept.
 *
 * @throws UserError where a text has no tokens
 */
export function encodeEnds(
  tokenizer: Pick<Tokenizer, "encode">,
  texts: readonly string[],
  length: number,
): Columns {
  const tokens = new Int32Array(texts.length * length);
  const mask = new Float32Array(texts.length * length);
  texts.forEach((text, row) => {
    const ids = tokenizer.encode(text);
    if (ids.length === 0) throw new UserError(`text ${row} (counted from 0) has no tokens`);
    const kept = ids.subarray(Math.max(0, ids.length - length));
    tokens.set(kept, row * length);
    mask.fill(1, row * length, row * length + kept.length);
  });
  const shape = [texts.length, length];
  return { tokens: new Tensor(tokens, shape), mask: new Tensor(mask, shape) };
}

/** One-hot labels of classes `[n]`. */
export function hardLabels(classes: ArrayLike<number>, count = 2): SoftLabels {
  const values = new Float32Array(classes.length * count);
  for (let i = 0; i < classes.length; i++) values[i * count + classes[i]] = 1;
  return { values, shape: [classes.length, count] };
}

/** Labels by argmax, ties to the lowest class. */
export const hardened = ({ values, shape: [, classes] }: SoftLabels): SoftLabels =>
  hardLabels(argmaxRows(values, classes), classes);

/** Trains and applies classifiers; compiled programs serve all of one shape. */
export class TextClassifiers {
  private readonly trainers = new Map<string, Promise<Trainer<ClassifierParams>>>();
  private readonly predictors = new Map<string, ReturnType<typeof compileClassifier>>();
  private readonly encoded = new WeakMap<readonly string[], Columns>();

  constructor(readonly recipe: ClassifierRecipe = classifierRecipe) {}

  /**
   * Finetunes a copy of the model on each of the lessons, which are equally long. Weights and head start anew.
   *
   * @throws UserError for lessons of different sizes, labels of one class alone, and where training diverges
   */
  async train(
    model: LanguageModel,
    lessons: readonly ClassifierLesson[],
    loss: ClassifierLoss = "cross-entropy",
    signal?: AbortSignal,
  ): Promise<TextClassifier[]> {
    const [first] = lessons;
    const classes = first.labels.shape[1];
    for (const lesson of lessons) refuseLesson(lesson, first);
    const columns = lessons.map(({ texts, labels }) => ({
      ...this.encode(model, texts),
      targets: new Tensor(labels.values, labels.shape),
    }));
    const backbone = languageModelBackbone(model);
    const { batchSize, epochs, learningRate, weightDecay, warmup } = this.recipe;
    const key = JSON.stringify([model.config, first.labels.shape, loss, this.lengthFor(model)]);
    let trainer = this.trainers.get(key);
    if (!trainer) {
      const lossOf = loss === "confidence" ? confidenceLoss(confidenceDefaults.paper) : crossEntropy;
      trainer = createTrainer<ClassifierParams, ClassifierParams<JaxArray>>({
        name: `${backbone.name} classifier`,
        params: initClassifier(backbone, classes),
        columns: columns[0],
        batchSize,
        optimizer: { weightDecay },
        loss: (params, batch, progress) =>
          lossOf(classifierLogits(backbone, params, batch), batch.targets, progress),
      });
      this.trainers.set(key, trainer);
    }
    const ready = await trainer;
    const start = initClassifier(backbone, classes);
    const fitted = await ready.fitMany(
      lessons.map(() => start),
      columns,
      {
        epochs,
        learningRate,
        schedule: { decay: "linear", warmup },
        randoms: lessons.map(({ random }) => random),
        signal,
        ...(lessons.every(({ validation }) => validation) && {
          validation: {
            every: Math.floor(first.texts.length / Math.min(batchSize, first.texts.length)),
            score: async (vector, i) => {
              const { texts, labels } = lessons[i].validation as NonNullable<ClassifierLesson["validation"]>;
              const own = await this.probabilities({ model, params: ready.flat.unflatten(vector) }, texts);
              const wanted = argmaxRows(labels.values, classes);
              return argmaxRows(own.values, classes).reduce((n, c, j) => n + Number(c === wanted[j]), 0);
            },
          },
        }),
      },
    );
    return fitted.map(({ params }) => ({ model, params }));
  }

  /** Class probabilities of texts, `[texts, classes]`. */
  async probabilities({ model, params }: TextClassifier, texts: readonly string[]): Promise<SoftLabels> {
    const columns = this.encode(model, texts);
    const classes = params.head.shape[1];
    const rows = Math.min(128, texts.length);
    const key = JSON.stringify([model.config, classes, this.lengthFor(model), rows]);
    const predictor =
      this.predictors.get(key) ?? compileClassifier(languageModelBackbone(model), classes, columns);
    this.predictors.set(key, predictor);
    return (await predictor)(params, columns);
  }

  async dispose(): Promise<void> {
    for (const program of [...this.trainers.values(), ...this.predictors.values()]) {
      await (await program).dispose();
    }
  }

  private lengthFor = ({ config }: LanguageModel) => Math.min(this.recipe.length, config.contextLength);

  /** Encoded once for all models with one tokenizer, so that trainings on the same texts share the columns. */
  private encode(model: LanguageModel, texts: readonly string[]): Columns {
    const known = this.encoded.get(texts);
    if (
      known &&
      known.tokens.shape[1] === this.lengthFor(model) &&
      this.tokenizerOf.get(texts) === model.tokenizer
    ) {
      return known;
    }
    const columns = encodeEnds(model.tokenizer, texts, this.lengthFor(model));
    this.encoded.set(texts, columns);
    this.tokenizerOf.set(texts, model.tokenizer);
    return columns;
  }
  private readonly tokenizerOf = new WeakMap<readonly string[], Tokenizer>();
}

function refuseLesson({ texts, labels }: ClassifierLesson, first: ClassifierLesson): void {
  const [count, classes] = labels.shape;
  if (texts.length !== count) {
    throw new UserError(`${texts.length} texts have ${count} labels, expected one label for each`);
  }
  if (count !== first.labels.shape[0] || classes !== first.labels.shape[1]) {
    throw new UserError(
      `lessons that are learnt together have one size, given: [${labels.shape}] and [${first.labels.shape}]`,
    );
  }
  const present = new Set(argmaxRows(labels.values, classes));
  if (present.size === 1) {
    throw new UserError(
      `all ${count} labels are of class ${[...present][0]}: a student cannot learn from them`,
      {
        hint: "Look at the supervisor: it says the same of every text.",
        exitCode: 1,
      },
    );
  }
}

import type { Tensor } from "@outgrow/engine";
import { type Columns, selectRows } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { type LoraConfig, loraDefaults } from "../models/lora.js";
import type { PromptedAnswer } from "../models/sequence-log-probs.js";
import type { TransformerParams } from "../models/transformer.js";
import type { Random } from "../random.js";
import { answerColumns, type RowShape, rowShape } from "./answer-rows.js";
import { type BatchTrainer, createBatchTrainer } from "./batch-trainer.js";
import type { LanguageLoss } from "./language-loss.js";
import type { AdamWConfig } from "./optimizer.js";
import { type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";
import { languageModelOptimizer } from "./train-language-model.js";
import { allWeights, loraAdapters, type Trainable } from "./trainable.js";
import type { Loss } from "./training.js";

/** How a training goes through its examples. */
export interface TrainingCourse {
  /** Passes over the examples, each in a new order; what does not fill a last batch waits for the next pass. */
  epochs: number;
  /** Examples a step; all of them where there are fewer. */
  batchSize: number;
  /** In how many parts a step goes through its examples: less memory, the same steps. Divides `batchSize`. Default 1. */
  microBatches?: number;
  /** Peak learning rate. */
  learningRate: number;
  schedule?: Partial<Schedule>;
  /** Default: that of all language models. */
  optimizer?: Partial<AdamWConfig>;
}

export interface LanguageModelCourse extends TrainingCourse {
  /** Train adapters, and leave the weights as they are. Default: all weights are trained. */
  lora?: Partial<LoraConfig>;
}

/** Of a step: `loss`, and what the loss reports besides. */
export type StepMeasures = Readonly<Record<string, number>>;

export interface TrainingHooks {
  /** Gives the order of the examples, and whatever else is drawn. */
  random: Random;
  /** Called after every step; steps count from 1. */
  onStep?: (step: { step: number; totalSteps: number; measures: StepMeasures }) => void;
  signal?: AbortSignal;
}

export interface BatchTraining<P, Traced> {
  name: string;
  params: P;
  /** A tree of tensors that stay as they are. */
  frozen?: unknown;
  /** How long each example is. */
  shapes: readonly RowShape[];
  /** The columns of a batch of examples, as long as `shape`. */
  batch: (rows: Int32Array, shape: RowShape) => Columns;
  loss: Loss<Traced>;
}

/**
 * Trains on examples of different lengths. Those of similar length share batches, and a program is compiled for each of the few
 * lengths that there are.
 *
 * @throws UserError where the micro-batches cannot be alike, and where the training diverges
 */
export async function trainOnBatches<P, Traced>(
  { shapes, batch, ...spec }: BatchTraining<P, Traced>,
  course: TrainingCourse,
  { random, onStep, signal }: TrainingHooks,
): Promise<{ params: P; steps: StepMeasures[] }> {
  const schedule = { ...scheduleDefaults, ...course.schedule };
  const batchSize = Math.min(course.batchSize, shapes.length);
  const part = batchSize / (course.microBatches ?? 1);
  if (!Number.isInteger(part)) {
    throw new UserError(
      `batches of ${batchSize} examples cannot be shared out among ${course.microBatches} micro-batches`,
    );
  }
  const totalSteps = Math.round(Math.floor(shapes.length / batchSize) * course.epochs);
  const optimizer = { ...languageModelOptimizer, ...course.optimizer };
  let trainer: BatchTrainer<P> | undefined;
  const steps: StepMeasures[] = [];
  try {
    for (let epoch = 0; steps.length < totalSteps; epoch++) {
      for (const { rows, shape } of batchesOf(shapes, batchSize, random.stream("epoch", epoch))) {
        if (steps.length === totalSteps) break;
        signal?.throwIfAborted();
        const rate = course.learningRate * scheduleFactor(schedule, steps.length, totalSteps);
        const parts = Array.from({ length: batchSize / part }, (_, i) =>
          batch(rows.slice(i * part, (i + 1) * part), shape),
        );
        trainer ??= await createBatchTrainer({ ...spec, optimizer }, parts[0]);
        const loss = await trainer.step(parts, rate, steps.length / totalSteps);
        const measures = { loss, ...trainer.measures };
        steps.push(measures);
        onStep?.({ step: steps.length, totalSteps, measures });
      }
    }
    return { params: trainer?.params() ?? spec.params, steps };
  } finally {
    await trainer?.dispose();
  }
}

export interface AnswerTraining {
  name: string;
  /** `[examples][k]`: answers that are compared with each other, as many in each example. */
  examples: readonly (readonly PromptedAnswer[])[];
  /** More about the examples: `[examples, ...]` each. */
  columns?: Columns;
  /** Is given {@link answerColumns} of `batch * k` rows, an example's next to each other, and the rows of `columns`. */
  loss: LanguageLoss;
}

/** {@link trainOnBatches} of a language model on answers. */
export async function trainOnAnswers(
  model: LanguageModel,
  { name, examples, columns = {}, loss }: AnswerTraining,
  { lora, ...course }: LanguageModelCourse,
  hooks: TrainingHooks,
): Promise<{ model: LanguageModel; steps: StepMeasures[] }> {
  const trainable = trainableOf(model.params, lora, hooks.random);
  const { params, steps } = await trainOnBatches<unknown, unknown>(
    {
      name,
      params: trainable.params,
      frozen: trainable.frozen,
      shapes: examples.map((rows) => rowShape(rows, model.config.contextLength)),
      batch: (rows, shape) => ({
        ...answerColumns(
          [...rows].flatMap((row) => examples[row]),
          shape,
        ),
        ...selectRows(columns, rows),
      }),
      loss: (traced, batch, progress, frozen) => loss(trainable.assemble(traced, frozen), batch, progress),
    },
    course,
    hooks,
  );
  return { model: { ...model, params: trainable.merge(params) }, steps };
}

/** All weights, or adapters that start from `random`'s stream "adapters". */
export function trainableOf(
  params: TransformerParams<Tensor>,
  lora: Partial<LoraConfig> | undefined,
  random: Random,
): Trainable {
  if (!lora) return allWeights(params);
  return loraAdapters(params, { ...loraDefaults, ...lora }, random.stream("adapters"));
}

/**
 * Batches of examples of like length, in random order. What is left over of a length joins the next longer one, so that all but
 * the last few examples are in a batch.
 */
export function batchesOf(
  shapes: readonly RowShape[],
  batchSize: number,
  random: Random,
): { rows: Int32Array; shape: RowShape }[] {
  const order = random.permutation(shapes.length);
  const lengths = [...new Set(shapes.map(({ length }) => length))].sort((a, b) => a - b);
  const batches: { rows: Int32Array; shape: RowShape }[] = [];
  let rest: number[] = [];
  let answer = 0;
  for (const length of lengths) {
    for (const shape of shapes) if (shape.length === length) answer = Math.max(answer, shape.answer);
    const rows = [...rest, ...order.filter((row) => shapes[row].length === length)];
    const full = Math.floor(rows.length / batchSize) * batchSize;
    for (let first = 0; first < full; first += batchSize) {
      const chosen = Int32Array.from(rows.slice(first, first + batchSize));
      batches.push({ rows: chosen, shape: { length, answer } });
    }
    rest = rows.slice(full);
  }
  return [...random.stream("batches").permutation(batches.length)].map((i) => batches[i]);
}

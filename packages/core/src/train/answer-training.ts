import { type Columns, selectRows } from "../data/columns.js";
import type { PromptedAnswer } from "../models/sequence-log-probs.js";
import type { Random } from "../random.js";
import { answerColumns, type RowShape, rowShape } from "./answer-rows.js";
import type { AdamWConfig } from "./optimizer.js";
import { type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";
import { type UpdateLoss, type UpdateMeasures, Updates } from "./updates.js";

/** How a training goes through its examples. */
export interface TrainingCourse {
  /** Passes over the examples, each in a new order; what does not fill a last batch waits for the next pass. */
  epochs: number;
  /** Examples a step; all of them where there are fewer. */
  batchSize: number;
  /** Peak learning rate. */
  learningRate: number;
  schedule?: Partial<Schedule>;
  optimizer?: Partial<AdamWConfig>;
}

export interface TrainingHooks {
  /** Gives the order of the examples, and whatever else is drawn. */
  random: Random;
  /** Called after every step; steps count from 1. */
  onStep?: (step: { step: number; totalSteps: number; measures: UpdateMeasures }) => void;
  signal?: AbortSignal;
}

export interface BatchTraining<P, Traced, Frozen = never> {
  name: string;
  params: P;
  /** A tree of tensors that stay as they are. */
  frozen?: unknown;
  /** How long each example is. */
  shapes: readonly RowShape[];
  /** The columns of a batch of examples, as long as `shape`. */
  batch: (rows: Int32Array, shape: RowShape) => Columns;
  loss: UpdateLoss<Traced, Frozen>;
}

/**
 * Trains on examples of different lengths. Those of similar length share batches, and a program is compiled for each of the few
 * lengths that there are.
 */
export async function trainOnBatches<P, Traced, Frozen = never>(
  { name, params, frozen, shapes, batch, loss }: BatchTraining<P, Traced, Frozen>,
  course: TrainingCourse,
  { random, onStep, signal }: TrainingHooks,
): Promise<{ params: P; steps: UpdateMeasures[] }> {
  const schedule = { ...scheduleDefaults, ...course.schedule };
  const batchSize = Math.min(course.batchSize, shapes.length);
  const totalSteps = Math.round(Math.floor(shapes.length / batchSize) * course.epochs);
  const updates = new Updates({ name, params, frozen, loss, optimizer: course.optimizer });
  const steps: UpdateMeasures[] = [];
  try {
    for (let epoch = 0; steps.length < totalSteps; epoch++) {
      for (const { rows, shape } of batchesOf(shapes, batchSize, random.stream("epoch", epoch))) {
        if (steps.length === totalSteps) break;
        signal?.throwIfAborted();
        const rate = course.learningRate * scheduleFactor(schedule, steps.length, totalSteps);
        const measures = await updates.update(batch(rows, shape), rate);
        steps.push(measures);
        onStep?.({ step: steps.length, totalSteps, measures });
      }
    }
    return { params: await updates.params(), steps };
  } finally {
    await updates.dispose();
  }
}

export interface AnswerTraining<P, Traced, Frozen = never>
  extends Pick<BatchTraining<P, Traced, Frozen>, "name" | "params" | "frozen" | "loss"> {
  contextLength: number;
  /** `[examples][k]`: answers that are compared with each other, as many in each example. */
  examples: readonly (readonly PromptedAnswer[])[];
  /** More about the examples: `[examples, ...]` each. */
  columns?: Columns;
}

/**
 * {@link trainOnBatches} on answers. The batches have {@link answerColumns} of `batch * k` rows, an example's next to each other,
 * and the rows of `columns`.
 */
export function trainOnAnswers<P, Traced, Frozen = never>(
  { examples, columns = {}, contextLength, ...training }: AnswerTraining<P, Traced, Frozen>,
  course: TrainingCourse,
  hooks: TrainingHooks,
): Promise<{ params: P; steps: UpdateMeasures[] }> {
  const shapes = examples.map((rows) => rowShape(rows, contextLength));
  const batch = (rows: Int32Array, shape: RowShape) => ({
    ...answerColumns(
      [...rows].flatMap((row) => examples[row]),
      shape,
    ),
    ...selectRows(columns, rows),
  });
  return trainOnBatches({ ...training, shapes, batch }, course, hooks);
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

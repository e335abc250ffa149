import { type Array as JaxArray, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { scalar, Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { type FlatTree, flatTree } from "./flat.js";
import { type AdamWConfig, type AdamWState, adamW, adamWDefaults } from "./optimizer.js";
import { checkSchedule, type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";

/*
 * What one training and many at once share: the step, what each step takes, and the choice of the parameters to keep.
 */

/**
 * What is minimised: a scalar. Safe to write: arrays may be used as often as needed.
 *
 * @param params the trained parameters
 * @param batch the batch's rows of every column
 * @param progress share of training done, a scalar in [0, 1)
 * @param frozen `TrainerSpec.frozen`
 */
export type Loss<Traced, Frozen = never> = (
  params: Traced,
  batch: Batch,
  progress: JaxArray,
  frozen: Frozen,
) => JaxArray | WeightedLoss;

/**
 * A loss that is a weighted mean, `total / weight`, e.g. over the tokens of a batch. Of micro-batches with different weights it is
 * that of all of them together, which the mean of their means is not.
 */
export type WeightedLoss = {
  /** Scalar. */
  total: JaxArray;
  /** Scalar; not differentiated. */
  weight: JaxArray;
  /** What a trainer of batches reports besides: scalars, means over the batch; not differentiated. */
  measures?: Record<string, JaxArray>;
};

export interface TrainerSpec<P, Traced> {
  /** For errors and the ONNX file. */
  name: string;
  loss: Loss<Traced>;
  /** A tree of float32 tensors; only the shapes matter here. */
  params: P;
  /** Only the shapes and types matter here. */
  columns: Columns;
  /** Examples a step; all of them where there are fewer. */
  batchSize: number;
  /** Optimiser constants. Default: Adam (no weight decay). */
  optimizer?: Partial<AdamWConfig>;
  /**
   * In how many parts a step goes through its batch, so that the activations of one part at a time are in memory. The
   * gradient is that of the whole batch. Divides `batchSize`. Default 1.
   */
  microBatches?: number;
  /** A tree of tensors that the loss reads and that stay as they are, e.g. the weights beside adapters. */
  frozen?: unknown;
  /** What becomes of the parameters in a step, where some of them do not move as the optimiser has it. Without micro-batches. */
  revise?: Revise<Traced>;
}

/**
 * The parts of the parameters, by name, that move otherwise.
 *
 * @param next the parameters as the optimiser leaves them
 * @param before the parameters that the gradient is of
 * @param progress share of training done, a scalar in [0, 1)
 */
export type Revise<Traced> = (
  next: Traced,
  before: Traced,
  gradient: Traced,
  progress: JaxArray,
  frozen: never,
) => Partial<Traced>;

export interface FitResult<P> {
  params: P;
  /** Training loss of every step that was taken. */
  losses: Float32Array;
  /** Scores by step, where there was validation. */
  validation: { step: number; score: number }[];
  /** The step whose parameters were kept. */
  bestStep: number;
}

export type Carry<Leaf> = {
  parameters: Leaf;
  optimizer: AdamWState<Leaf>;
  /** Where there are several micro-batches. */
  gathered?: Gathered<Leaf>;
};

/** The loss and the gradient of the micro-batches so far. */
export type Gathered<Leaf> = {
  /** `[count]`: of the total. */
  gradient: Leaf;
  total: Leaf;
  weight: Leaf;
};

/** With the loss's measures, times the weight. */
export type MeasuredGradient<Leaf> = Gathered<Leaf> & { measures: Record<string, Leaf> };

/** What changes from step to step. */
export type StepInputs<Leaf> = {
  /** Numbers of the batch's examples: `[batch]`. */
  rows: Leaf;
  /** Scalar. */
  learningRate: Leaf;
  /** Share of training done, a scalar in [0, 1). */
  progress: Leaf;
  /** Scalar: 1 where it is the last micro-batch of a step, else 0. Where there are several. */
  isLast?: Leaf;
};

/** A training as a pure function of one step, and its sizes. */
export interface Training<P> {
  readonly name: string;
  readonly flat: FlatTree<P>;
  readonly optimizer: AdamWConfig;
  /** Examples in the data. */
  readonly count: number;
  /** Examples a step. */
  readonly batchSize: number;
  readonly microBatches: number;
  /** One step, or one micro-batch of a step; the loss is that of the step so far. */
  step(
    carry: Carry<JaxArray>,
    inputs: StepInputs<JaxArray>,
    data: Batch,
    frozen?: unknown,
  ): [Carry<JaxArray>, JaxArray];
  /** The carry before the first step. */
  start(params: P): Carry<Tensor>;
  /** A step's inputs, of which only the shapes matter. */
  readonly exampleInputs: StepInputs<Tensor>;
}

export function trainingOf<P, Traced>(spec: TrainerSpec<P, Traced>): Training<P> {
  const { name, loss, microBatches = 1, revise } = spec;
  const optimizer = { ...adamWDefaults, ...spec.optimizer };
  const flat = flatTree(spec.params);
  const count = countRows(spec.columns, name);
  const batchSize = Math.min(spec.batchSize, count);
  if (!Number.isInteger(batchSize / microBatches)) {
    throw new UserError(
      `batches of "${name}" have ${batchSize} examples, which cannot be shared out among ${microBatches} micro-batches`,
    );
  }
  if (revise && microBatches > 1) {
    throw new UserError(`"${name}" revises the parameters after a step, so it goes without micro-batches`);
  }
  const zeros = () => new Tensor(new Float32Array(flat.size));
  return {
    name,
    flat,
    optimizer,
    count,
    batchSize,
    microBatches,
    step({ parameters, optimizer: state, gathered }, { rows, learningRate, progress, isLast }, data, frozen) {
      const batch = Object.fromEntries(
        Object.entries(data).map(([key, column]) => [key, column.slice(rows)]),
      );
      if (!gathered || !isLast) {
        const params = flat.split<JaxArray>(parameters);
        const differentiated = valueAndGrad((p: JaxArray) => {
          const value = loss(p as Traced, batch, progress, frozen as never);
          return "total" in value ? value.total.div(value.weight) : value;
        });
        const [value, gradient] = differentiated(params);
        const vector = flat.concatenate(gradient);
        const [next, after] = adamW(optimizer, parameters, vector, state, learningRate);
        if (!revise) return [{ parameters: next, optimizer: after }, value];
        const proposed = flat.split<Traced & object>(next);
        const own = revise(proposed, params as Traced, gradient as Traced, progress, frozen as never);
        // In the order of the parameters' own keys.
        const revised = { ...proposed, ...own };
        return [{ parameters: flat.concatenate(revised), optimizer: after }, value];
      }
      const { measures: _, ...own } = weightedGradient(flat, loss, parameters, batch, progress, frozen);
      const all = tree.map((sum: JaxArray, part: JaxArray) => sum.add(part), gathered, own);
      const gradient = all.gradient.div(all.weight);
      const [next, after] = adamW(optimizer, parameters, gradient, state, learningRate);
      const chosen = (last: JaxArray, before: JaxArray) => np.where(isLast.greater(0), last, before);
      const kept = isLast.neg().add(1);
      const carry = {
        parameters: chosen(next, parameters),
        optimizer: tree.map(chosen, after, state),
        gathered: tree.map((sum: JaxArray) => sum.mul(kept), all),
      };
      return [carry, all.total.div(all.weight)];
    },
    start: (params) => ({
      parameters: flat.flatten(params),
      optimizer: { m: zeros(), v: zeros(), step: scalar(0) },
      ...(microBatches > 1 && { gathered: { gradient: zeros(), total: scalar(0), weight: scalar(0) } }),
    }),
    exampleInputs: {
      rows: new Tensor(new Int32Array(batchSize / microBatches)),
      learningRate: scalar(0),
      progress: scalar(0),
      ...(microBatches > 1 && { isLast: scalar(0) }),
    },
  };
}

/** The traced total, weight, measures and gradient of the total of a loss, by parameters as one vector. */
export function weightedGradient<P, Traced>(
  flat: FlatTree<P>,
  loss: Loss<Traced>,
  parameters: JaxArray,
  batch: Batch,
  progress: JaxArray,
  frozen: unknown,
): MeasuredGradient<JaxArray> {
  type Besides = Omit<MeasuredGradient<JaxArray>, "gradient" | "total">;
  const parts = (params: JaxArray): [JaxArray, Besides] => {
    const value = loss(params as Traced, batch, progress, frozen as never);
    if (!("total" in value)) return [value, { weight: np.array(1), measures: {} }];
    const { total, weight, measures = {} } = value;
    return [total, { weight, measures: tree.map((measure: JaxArray) => measure.mul(weight), measures) }];
  };
  const differentiated = valueAndGrad(parts, { hasAux: true });
  const [[total, besides], gradient] = differentiated(flat.split<JaxArray>(parameters));
  return { gradient: flat.concatenate(gradient), total, ...besides };
}

function countRows(columns: Columns, name: string): number {
  const lengths = Object.entries(columns).map(([key, column]) => [key, column.shape[0]] as const);
  const [, count] = lengths[0];
  const other = lengths.find(([, length]) => length !== count);
  if (other) {
    throw new UserError(
      `columns of "${name}" differ in length: "${lengths[0][0]}" has ${count} rows, "${other[0]}" ${other[1]}`,
    );
  }
  if (count === 0) throw new UserError(`there are no examples to train "${name}" on`);
  return count;
}

export interface CourseOptions {
  /** Passes over the data, each in a new order; what does not fill a last batch waits for the next pass. Default 1. */
  epochs?: number;
  /** Instead of passes: numbers of the examples in the order in which they are taken, for whole batches. */
  order?: Int32Array;
  /** Peak learning rate. */
  learningRate: number;
  schedule?: Partial<Schedule>;
}

/** The steps of a training: how many, and what each takes. */
export class Course {
  readonly totalSteps: number;
  private readonly stepsPerEpoch: number;
  private readonly batchSize: number;
  private readonly schedule: Schedule;
  private readonly orders: { epoch: number; order: Int32Array }[] = [];

  /** `randoms` give the orders of the examples of as many trainings, which take their steps together. */
  constructor(
    private readonly training: Pick<Training<unknown>, "count" | "batchSize">,
    private readonly options: CourseOptions,
    private readonly randoms: readonly Random[],
  ) {
    this.batchSize = training.batchSize;
    this.stepsPerEpoch = Math.floor(training.count / training.batchSize);
    this.totalSteps = stepsOf(options, training);
    this.schedule = { ...scheduleDefaults, ...options.schedule };
    checkSchedule(this.schedule);
  }

  /**
   * The inputs of the steps from `first` to before `end`: rows `[steps, trainings, batch]`, learning rate and progress
   * `[steps]`.
   */
  inputs(first: number, end: number): StepInputs<Tensor> {
    const [steps, trainings, batch] = [end - first, this.randoms.length, this.batchSize];
    const rows = new Int32Array(steps * trainings * batch);
    for (let i = 0; i < steps * trainings; i++) {
      rows.set(this.batchOf(i % trainings, first + Math.floor(i / trainings)), i * batch);
    }
    const each = (of: (step: number) => number) =>
      new Tensor(Float32Array.from({ length: steps }, (_, k) => of(first + k)));
    return {
      rows: new Tensor(rows, [steps, trainings, batch]),
      learningRate: each(
        (step) => this.options.learningRate * scheduleFactor(this.schedule, step, this.totalSteps),
      ),
      progress: each((step) => step / this.totalSteps),
    };
  }

  private batchOf(training: number, step: number): Int32Array {
    if (this.options.order) {
      return this.options.order.subarray(step * this.batchSize, (step + 1) * this.batchSize);
    }
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.orders[training]?.epoch !== epoch) {
      // The order is a function of the epoch alone, so that a resumed training sees what the other would have.
      const order = this.randoms[training].stream("epoch", epoch).permutation(this.training.count);
      this.orders[training] = { epoch, order: new Int32Array(order) };
    }
    const start = (step % this.stepsPerEpoch) * this.batchSize;
    return this.orders[training].order.subarray(start, start + this.batchSize);
  }
}

function stepsOf(
  { epochs, order }: CourseOptions,
  { count, batchSize }: Pick<Training<unknown>, "count" | "batchSize">,
): number {
  if (!order) return Math.round(Math.floor(count / batchSize) * (epochs ?? 1));
  const steps = order.length / batchSize;
  if (!Number.isInteger(steps) || order.some((row) => !(row >= 0 && row < count))) {
    throw new RangeError(`An order must have ${batchSize} of the rows 0 to ${count - 1} for each step.`);
  }
  return steps;
}

/** Milliseconds that a run of several steps should take: much longer than a call, short enough to be interrupted. */
const RUN_MS = 50;
const MOST_STEPS = 100;

/** How many steps to take in one run, learnt from how long runs take. The results do not depend on it. */
export class Pace {
  private steps = 1;

  /** The step before which to end a run that begins with `step`; runs end at multiples of each of `stops`. */
  end(step: number, totalSteps: number, stops: readonly (number | undefined)[]): number {
    const next = stops.map((every) => (every ? (Math.floor(step / every) + 1) * every : totalSteps));
    return Math.min(step + this.steps, totalSteps, ...next);
  }

  took(steps: number, ms: number): void {
    const fitting = Math.floor((RUN_MS * steps) / Math.max(ms, 1e-3));
    this.steps = Math.max(1, Math.min(fitting, 4 * this.steps, MOST_STEPS));
  }
}

/** The scores of a training so far, and the parameters to keep. */
export class Selection {
  history: { step: number; score: number }[] = [];
  best: { step: number; score: number; parameters: Tensor | undefined };

  /** Until there is a score, the parameters of the last step are kept. */
  constructor(lastStep: number) {
    this.best = { step: lastStep, score: Number.NEGATIVE_INFINITY, parameters: undefined };
  }

  add(step: number, score: number, parameters: Tensor): void {
    this.history.push({ step, score });
    if (score > this.best.score) this.best = { step, score, parameters };
  }

  /** Whether the latest `patience` scores were no better than the best before them. */
  isOver(patience: number | undefined): boolean {
    const since = this.history.filter((entry) => entry.step > this.best.step).length;
    return patience !== undefined && since >= patience;
  }
}

/** @param which the training's name in quotes, and its number where there are many */
export function diverged(which: string, what: string, step: number, totalSteps?: number): UserError {
  const of = totalSteps === undefined ? "" : ` of ${totalSteps}`;
  return new UserError(`training of ${which} diverged: ${what} at step ${step}${of}`, {
    hint: "Lower the learning rate, or look for extreme values in the inputs.",
    exitCode: 1,
  });
}

/** Throws where a parameter is not finite. */
export function requireFinite(parameters: Tensor, which: string, step: number, totalSteps: number): Tensor {
  if (parameters.data.every(Number.isFinite)) return parameters;
  throw diverged(which, "some parameters are not finite", step, totalSteps);
}

import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { scalar, Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { type FlatTree, flatTree } from "./flat.js";
import { type AdamWConfig, type AdamWState, adamW, adamWDefaults } from "./optimizer.js";
import { type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";

/*
 * What one training and many at once share: the step, what each step takes, and the choice of the parameters to keep.
 */

/**
 * What is minimised: a scalar. Safe to write: arrays may be used as often as needed.
 *
 * @param params the trained parameters
 * @param batch the batch's rows of every column
 * @param progress share of training done, a scalar in [0, 1)
 */
export type Loss<Traced> = (params: Traced, batch: Batch, progress: JaxArray) => JaxArray;

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
}

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
};

/** What changes from step to step. */
export type StepInputs<Leaf> = {
  /** Numbers of the batch's examples: `[batch]`. */
  rows: Leaf;
  /** Scalar. */
  learningRate: Leaf;
  /** Share of training done, a scalar in [0, 1). */
  progress: Leaf;
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
  step(carry: Carry<JaxArray>, inputs: StepInputs<JaxArray>, data: Batch): [Carry<JaxArray>, JaxArray];
  /** The carry before the first step. */
  start(params: P): Carry<Tensor>;
  /** A step's inputs, of which only the shapes matter. */
  readonly exampleInputs: StepInputs<Tensor>;
}

export function trainingOf<P, Traced>(spec: TrainerSpec<P, Traced>): Training<P> {
  const { name, loss } = spec;
  const optimizer = { ...adamWDefaults, ...spec.optimizer };
  const flat = flatTree(spec.params);
  const count = countRows(spec.columns, name);
  const batchSize = Math.min(spec.batchSize, count);
  return {
    name,
    flat,
    optimizer,
    count,
    batchSize,
    step(carry, { rows, learningRate, progress }, data) {
      const batch = Object.fromEntries(
        Object.entries(data).map(([key, column]) => [key, column.slice(rows)]),
      );
      const params = flat.split<JaxArray>(carry.parameters);
      const differentiated = valueAndGrad((p: JaxArray) => loss(p as Traced, batch, progress));
      const [value, gradient] = differentiated(params);
      const vector = flat.concatenate(gradient);
      const [parameters, state] = adamW(optimizer, carry.parameters, vector, carry.optimizer, learningRate);
      return [{ parameters, optimizer: state }, value];
    },
    start: (params) => ({
      parameters: flat.flatten(params),
      optimizer: {
        m: new Tensor(new Float32Array(flat.size)),
        v: new Tensor(new Float32Array(flat.size)),
        step: scalar(0),
      },
    }),
    exampleInputs: {
      rows: new Tensor(new Int32Array(batchSize)),
      learningRate: scalar(0),
      progress: scalar(0),
    },
  };
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
  /** Passes over the data, each in a new order; what does not fill a last batch waits for the next pass. */
  epochs: number;
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
    this.totalSteps = Math.round(this.stepsPerEpoch * options.epochs);
    this.schedule = { ...scheduleDefaults, ...options.schedule };
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
export function diverged(which: string, what: string, step: number, totalSteps: number): UserError {
  return new UserError(`training of ${which} diverged: ${what} at step ${step} of ${totalSteps}`, {
    hint: "Lower the learning rate, or look for extreme values in the inputs.",
    exitCode: 1,
  });
}

/** Throws where a parameter is not finite. */
export function requireFinite(parameters: Tensor, which: string, step: number, totalSteps: number): Tensor {
  if (parameters.data.every(Number.isFinite)) return parameters;
  throw diverged(which, "some parameters are not finite", step, totalSteps);
}

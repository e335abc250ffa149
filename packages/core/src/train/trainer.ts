import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type CarryProgram, compileSteps, Tensor } from "@outgrow/engine";
import { z } from "zod";
import type { Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import { loadCheckpoint, namedTensors, saveCheckpoint } from "../models/checkpoint.js";
import { decodeSafetensors, encodeSafetensors } from "../models/safetensors.js";
import type { Random } from "../random.js";
import { type FitManyOptions, ManyTrainings } from "./fit-many.js";
import type { FlatTree } from "./flat.js";
import { scheduleDefaults } from "./schedule.js";
import {
  type Carry,
  Course,
  type CourseOptions,
  diverged,
  type FitResult,
  type Loss,
  Pace,
  requireFinite,
  Selection,
  type StepInputs,
  type TrainerSpec,
  trainingOf,
  type WeightedLoss,
} from "./training.js";

export type { FitManyOptions, FitResult, Loss, TrainerSpec, WeightedLoss };

export interface FitOptions extends CourseOptions {
  /** Gives the order of the examples. */
  random: Random;
  /** Called after every step. */
  onStep?: (step: { step: number; totalSteps: number; loss: number }) => void;
  /**
   * Early stopping. `score` (more is better) must come from held-out *weak* labels: the truth is not the student's to
   * see. The parameters with the best score are returned.
   */
  validation?: {
    score: (params: Tensor) => Promise<number>;
    /** Steps between two validations. */
    every: number;
    /** Validations without a better score after which training stops. Default: never. */
    patience?: number;
  };
  /**
   * Keeps a file from which training goes on, with the same bits, after an interruption: parameters, optimiser, losses
   * and the step, which gives the order of the data. A file of a training with other data, settings or seed is
   * refused, and so is one that was altered.
   */
  checkpoint?: {
    path: string;
    /** Steps from one to the next. */
    every: number;
    /** At least so many seconds from one to the next. Default 0. */
    seconds?: number;
    resume: boolean;
  };
  signal?: AbortSignal;
}

/** A compiled training step that serves any number of trainings of the same shapes, one after another. */
export interface Trainer<P> {
  readonly flat: FlatTree<P>;
  fit(params: P, columns: Columns, options: FitOptions): Promise<FitResult<P>>;
  /**
   * As many trainings as there are `params`, at once: faster than one after another where the model is small. Each
   * has the results that `fit` would give it, up to float32 rounding. They may share the data or have their own;
   * columns that are the same tensor in all data sets are kept once. Without micro-batches and frozen tensors.
   *
   * @throws UserError where one of them diverges
   */
  fitMany(
    params: readonly P[],
    columns: Columns | readonly Columns[],
    options: FitManyOptions,
  ): Promise<FitResult<P>[]>;
  dispose(): Promise<void>;
}

export async function createTrainer<P, Traced>(spec: TrainerSpec<P, Traced>): Promise<Trainer<P>> {
  const training = trainingOf(spec);
  const { name, flat, optimizer, batchSize, microBatches } = training;
  const named = `"${name}"`;
  const { frozen = {} } = spec;
  const program = (await compileSteps(
    training.step as never,
    [training.start(spec.params), training.exampleInputs, spec.columns, frozen] as never,
    { name },
  )) as unknown as CarryProgram<Carry<Tensor>, [StepInputs<Tensor>, Columns, unknown], Tensor>;
  const many = new ManyTrainings(training, spec.columns);

  return {
    flat,
    async dispose() {
      await program.dispose();
      await many.dispose();
    },
    fitMany: (params, data, options) => many.fit(params, data, options),
    async fit(params, data, options) {
      const { epochs = 1, order, learningRate, random, validation, checkpoint, signal } = options;
      const { every, patience } = validation ?? {};
      const schedule = { ...scheduleDefaults, ...options.schedule };
      const course = new Course(training, options, [random]);
      const { totalSteps } = course;
      const losses = new Float32Array(totalSteps);
      const selection = new Selection(totalSteps);
      let done = 0;
      const finiteParameters = async () =>
        requireFinite((await program.carry()).parameters, named, done, totalSteps);

      program.setCarry(training.start(params));
      const identity = checkpoint
        ? digest(
            { data, parameters: flat.flatten(params), frozen, ...(order && { order: new Tensor(order) }) },
            [
              [name, optimizer, batchSize, microBatches, epochs, learningRate, schedule, every, patience],
              random.stream("checkpoint").uniform(), // tells seeds apart
            ],
          )
        : "";
      const saved = checkpoint?.resume
        ? await loadProgress(checkpoint.path, identity, training.start(params), losses)
        : undefined;
      if (saved) {
        program.setCarry(saved.carry);
        done = saved.step;
        losses.set(saved.losses);
        selection.history = saved.history;
        selection.best = saved.best;
      }

      const pace = new Pace();
      // A checkpoint that may come after any step, by the clock alone, cuts no run short.
      const byClock = checkpoint?.every === 1 && (checkpoint.seconds ?? 0) > 0;
      const stops = [every, byClock ? undefined : checkpoint?.every];
      let savedAt = performance.now();
      while (done < totalSteps) {
        signal?.throwIfAborted();
        const first = done;
        const end = pace.end(first, totalSteps, stops);
        const inputs = inMicroBatches(course.inputs(first, end), batchSize, microBatches);
        const started = performance.now();
        const results = (await program.run(inputs, data, frozen)).data;
        const values = results.filter((_, i) => (i + 1) % microBatches === 0);
        pace.took(end - first, performance.now() - started);
        for (const value of values) {
          signal?.throwIfAborted();
          done++;
          if (!Number.isFinite(value)) throw diverged(named, `the loss is ${value}`, done, totalSteps);
          losses[done - 1] = value;
          options.onStep?.({ step: done, totalSteps, loss: value });
        }

        if (validation && (done % validation.every === 0 || done === totalSteps)) {
          const parameters = await finiteParameters();
          const score = await validation.score(parameters);
          if (!Number.isFinite(score)) {
            throw diverged(named, `the validation score is ${score}`, done, totalSteps);
          }
          selection.add(done, score, parameters);
          if (selection.isOver(patience)) break;
        }
        const since = performance.now() - savedAt;
        if (checkpoint && done % checkpoint.every === 0 && since >= 1000 * (checkpoint.seconds ?? 0)) {
          const carry = await program.carry();
          const { history, best } = selection;
          await saveProgress(checkpoint.path, identity, { carry, step: done, losses, history, best });
          savedAt = performance.now();
        }
      }
      const { best, history } = selection;
      return {
        params: flat.unflatten(best.parameters ?? (await finiteParameters())),
        losses: losses.slice(0, done),
        validation: history,
        bestStep: best.step,
      };
    },
  };
}

/** The inputs of steps of one training as those of their micro-batches. */
function inMicroBatches(
  { rows, learningRate, progress }: StepInputs<Tensor>,
  batchSize: number,
  parts: number,
): StepInputs<Tensor> {
  const inputs = { rows: new Tensor(rows.data, [(rows.data.length / batchSize) * parts, batchSize / parts]) };
  if (parts === 1) return { ...inputs, learningRate, progress };
  const [count] = inputs.rows.shape;
  const each = (of: (part: number) => number) =>
    new Tensor(Float32Array.from({ length: count }, (_, i) => of(i)));
  return {
    ...inputs,
    learningRate: each((i) => learningRate.data[Math.floor(i / parts)]),
    progress: each((i) => progress.data[Math.floor(i / parts)]),
    isLast: each((i) => Number((i + 1) % parts === 0)),
  };
}

interface Progress {
  carry: Carry<Tensor>;
  step: number;
  losses: Float32Array;
  history: { step: number; score: number }[];
  best: { step: number; score: number; parameters: Tensor | undefined };
}

/** Of the settings and of the tensors' names, shapes and bits. */
function digest(tensors: object, settings: unknown): string {
  const named = Object.fromEntries(namedTensors(tensors));
  const bytes = encodeSafetensors(named, { settings: JSON.stringify(settings) });
  return createHash("sha256").update(bytes).digest("hex");
}

async function saveProgress(
  path: string,
  training: string,
  { carry, step, losses, history, best: { parameters, ...best } }: Progress,
): Promise<void> {
  const tree = { carry, best: parameters ?? carry.parameters, losses: new Tensor(losses) };
  const progress = JSON.stringify({ training, step, history, best: parameters ? best : null });
  await saveCheckpoint(path, tree, { progress, sha256: digest(tree, progress) });
}

/** What is wrong with a checkpoint, whatever training it is of; undefined where nothing is, and where there is none. */
export async function inspectCheckpoint(path: string): Promise<UserError | undefined> {
  try {
    const bytes = await readFile(path);
    const { tensors, metadata } = decodeSafetensors(bytes, path);
    checkSum(path, tensors, metadata);
    // What is not under the sum: the spaces of the header, and the order of its fields.
    if (!bytes.equals(encodeSafetensors(tensors, metadata))) throw altered(path);
  } catch (error) {
    if (error instanceof UserError) return error;
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return undefined;
}

function checkSum(path: string, tensors: object, { progress = "", sha256 }: Record<string, string>): void {
  if (digest(tensors, progress) !== sha256) throw altered(path);
}

const altered = (path: string) =>
  new UserError("the checkpoint was altered: its contents are not those of its hash", {
    place: { file: path },
    hint: "To train from the start, remove the file.",
    exitCode: 1,
  });

/** What a checkpoint of this training holds, or undefined where there is none yet. */
async function loadProgress(
  path: string,
  training: string,
  like: Carry<Tensor>,
  losses: Float32Array,
): Promise<Progress | undefined> {
  const shapes = { carry: like, best: like.parameters, losses: new Tensor(losses) };
  const saved = await loadCheckpoint(path, shapes).catch((error) => {
    if (error instanceof UserError && (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT")
      return undefined;
    throw error;
  });
  if (!saved) return undefined;
  const { tree, metadata } = saved;
  checkSum(path, tree, metadata);
  const { step, history, best } = parseProgress(path, training, metadata.progress, losses.length);
  return {
    carry: tree.carry,
    step,
    losses: tree.losses.data as Float32Array,
    history,
    best: best
      ? { ...best, parameters: tree.best }
      : { step: losses.length, score: Number.NEGATIVE_INFINITY, parameters: undefined },
  };
}

function parseProgress(path: string, training: string, text: string | undefined, totalSteps: number) {
  const step = z.int().min(1).max(totalSteps);
  const scored = z.object({ step, score: z.number() });
  const schema = z.object({
    training: z.literal(training),
    step,
    history: z.array(scored),
    best: scored.nullable(),
  });
  try {
    return schema.parse(JSON.parse(text ?? ""));
  } catch (cause) {
    throw new UserError("is not a checkpoint of this training: its data, settings or seed differ", {
      place: { file: path },
      hint: "To train from the start, remove the file or choose another path.",
      cause,
    });
  }
}

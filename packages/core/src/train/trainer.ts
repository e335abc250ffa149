import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { type CarryProgram, compileStep, scalar, Tensor } from "@outgrow/engine";
import { z } from "zod";
import type { Batch, Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { type FlatTree, flatTree } from "./flat.js";
import { type AdamWConfig, type AdamWState, adamW, adamWDefaults } from "./optimizer.js";
import {
  decodeSafetensors,
  encodeSafetensors,
  loadCheckpoint,
  namedTensors,
  saveCheckpoint,
} from "./safetensors.js";
import { type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";

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

export interface FitOptions {
  /** Passes over the data, each in a new order; what does not fill a last batch waits for the next pass. */
  epochs: number;
  /** Peak learning rate. */
  learningRate: number;
  schedule?: Partial<Schedule>;
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

export interface FitResult<P> {
  params: P;
  /** Training loss of every step that was taken. */
  losses: Float32Array;
  /** Scores by step, where there was validation. */
  validation: { step: number; score: number }[];
  /** The step whose parameters were kept. */
  bestStep: number;
}

/** A compiled training step that serves any number of trainings of the same shapes, one after another. */
export interface Trainer<P> {
  readonly flat: FlatTree<P>;
  fit(params: P, columns: Columns, options: FitOptions): Promise<FitResult<P>>;
  dispose(): Promise<void>;
}

type Carry<Leaf> = {
  parameters: Leaf;
  optimizer: AdamWState<Leaf>;
};

export async function createTrainer<P, Traced>(spec: TrainerSpec<P, Traced>): Promise<Trainer<P>> {
  const { name, loss, columns } = spec;
  const optimizer = { ...adamWDefaults, ...spec.optimizer };
  const flat = flatTree(spec.params);
  const count = rowsOf(columns, name);
  const batchSize = Math.min(spec.batchSize, count);

  function trainStep(
    carry: Carry<JaxArray>,
    rows: JaxArray,
    learningRate: JaxArray,
    progress: JaxArray,
    data: Batch,
  ): [Carry<JaxArray>, JaxArray] {
    const batch = Object.fromEntries(Object.entries(data).map(([key, column]) => [key, column.slice(rows)]));
    const params = flat.split<JaxArray>(carry.parameters);
    const differentiated = valueAndGrad((p: JaxArray) => loss(p as Traced, batch, progress));
    const [value, gradient] = differentiated(params);
    const vector = flat.concatenate(gradient);
    const [parameters, state] = adamW(optimizer, carry.parameters, vector, carry.optimizer, learningRate);
    return [{ parameters, optimizer: state }, value];
  }

  const initial = (params: P): Carry<Tensor> => ({
    parameters: flat.flatten(params),
    optimizer: {
      m: new Tensor(new Float32Array(flat.size)),
      v: new Tensor(new Float32Array(flat.size)),
      step: scalar(0),
    },
  });
  const program = (await compileStep(
    trainStep,
    [initial(spec.params), new Tensor(new Int32Array(batchSize)), scalar(0), scalar(0), columns] as never,
    { name },
  )) as unknown as CarryProgram<Carry<Tensor>, [Tensor, Tensor, Tensor, Columns], Tensor>;

  return {
    flat,
    dispose: () => program.dispose(),
    async fit(params, data, options) {
      const { epochs, learningRate, random, validation, checkpoint, signal } = options;
      const { every, patience } = validation ?? {};
      const schedule = { ...scheduleDefaults, ...options.schedule };
      const stepsPerEpoch = Math.floor(count / batchSize);
      const totalSteps = Math.round(stepsPerEpoch * epochs);
      const losses = new Float32Array(totalSteps);
      const history: { step: number; score: number }[] = [];
      let best = {
        step: totalSteps,
        score: Number.NEGATIVE_INFINITY,
        parameters: undefined as Tensor | undefined,
      };
      let done = 0;
      const diverged = (what: string) =>
        new UserError(`training of "${name}" diverged: ${what} at step ${done} of ${totalSteps}`, {
          hint: "Lower the learning rate, or look for extreme values in the inputs.",
          exitCode: 1,
        });
      const finiteParameters = async () => {
        const { parameters } = await program.carry();
        if (!parameters.data.every(Number.isFinite)) throw diverged("some parameters are not finite");
        return parameters;
      };

      program.setCarry(initial(params));
      const training = checkpoint
        ? digest({ data, parameters: flat.flatten(params) }, [
            [name, optimizer, batchSize, epochs, learningRate, schedule, every, patience],
            random.stream("checkpoint").uniform(), // tells seeds apart
          ])
        : "";
      const saved = checkpoint?.resume
        ? await loadProgress(checkpoint.path, training, initial(params), losses)
        : undefined;
      if (saved) {
        program.setCarry(saved.carry);
        done = saved.step;
        losses.set(saved.losses);
        history.push(...saved.history);
        best = saved.best;
      }

      let order = new Int32Array();
      let savedAt = performance.now();
      const firstStep = done;
      for (let step = firstStep; step < totalSteps; step++) {
        signal?.throwIfAborted();
        const within = step % stepsPerEpoch;
        if (within === 0 || step === firstStep) {
          // The order is a function of the epoch alone, so that a resumed training sees what the other would have.
          order = new Int32Array(random.stream("epoch", Math.floor(step / stepsPerEpoch)).permutation(count));
        }
        const rows = new Tensor(order.slice(within * batchSize, (within + 1) * batchSize));
        const rate = scalar(learningRate * scheduleFactor(schedule, step, totalSteps));
        const value = (await program.run(rows, rate, scalar(step / totalSteps), data)).item();
        done = step + 1;
        if (!Number.isFinite(value)) throw diverged(`the loss is ${value}`);
        losses[step] = value;
        options.onStep?.({ step: done, totalSteps, loss: value });

        if (validation && (done % validation.every === 0 || done === totalSteps)) {
          const parameters = await finiteParameters();
          const score = await validation.score(parameters);
          if (!Number.isFinite(score)) throw diverged(`the validation score is ${score}`);
          history.push({ step: done, score });
          if (score > best.score) best = { step: done, score, parameters };
          const without = history.filter((entry) => entry.step > best.step).length;
          if (patience !== undefined && without >= patience) break;
        }
        const since = performance.now() - savedAt;
        if (checkpoint && done % checkpoint.every === 0 && since >= 1000 * (checkpoint.seconds ?? 0)) {
          const carry = await program.carry();
          await saveProgress(checkpoint.path, training, { carry, step: done, losses, history, best });
          savedAt = performance.now();
        }
      }
      return {
        params: flat.unflatten(best.parameters ?? (await finiteParameters())),
        losses: losses.slice(0, done),
        validation: history,
        bestStep: best.step,
      };
    },
  };
}

function rowsOf(columns: Columns, name: string): number {
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

import { vmap } from "@jax-js/jax";
import { type CarryProgram, compileSteps, Tensor } from "@outgrow/engine";
import type { Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import {
  type Carry,
  Course,
  type CourseOptions,
  diverged,
  type FitResult,
  Pace,
  requireFinite,
  Selection,
  type StepInputs,
  type Training,
} from "./training.js";

export interface FitManyOptions extends CourseOptions {
  /** One for each training: gives the order of its examples. */
  randoms: readonly Random[];
  /** Called after every step, with the loss of each training. */
  onStep?: (step: { step: number; totalSteps: number; losses: Float32Array }) => void;
  /** Early stopping of each training by its own scores, as in `FitOptions`; `training` counts from 0. */
  validation?: {
    score: (params: Tensor, training: number) => Promise<number>;
    every: number;
    patience?: number;
  };
  signal?: AbortSignal;
}

type ManySteps = CarryProgram<Carry<Tensor>, [StepInputs<Tensor>, Columns], Tensor>;

/** Many trainings as one batched training, compiled once for each number of trainings. */
export class ManyTrainings<P> {
  private readonly programs = new Map<string, Promise<ManySteps>>();

  constructor(
    private readonly training: Training<P>,
    private readonly columns: Columns,
  ) {}

  async fit(
    params: readonly P[],
    data: Columns | readonly Columns[],
    options: FitManyOptions,
  ): Promise<FitResult<P>[]> {
    const { name, flat } = this.training;
    const { randoms, validation, signal } = options;
    const size = params.length;
    const each = Array.isArray(data) ? (data as readonly Columns[]) : undefined;
    if (size === 0 || randoms.length !== size || (each && each.length !== size)) {
      throw new UserError(
        `fitMany of "${name}" needs as many streams of random numbers and data sets as it has parameters; given: ` +
          `${size} sets of parameters, ${randoms.length} streams${each ? `, ${each.length} data sets` : ""}`,
      );
    }
    const course = new Course(this.training, options, randoms);
    const { totalSteps } = course;
    const named = (training: number) => `"${name}" (${training + 1} of ${size})`;
    const { columns, own } = each ? shared(each) : { columns: data as Columns, own: [] };
    const program = await this.program(size, own);
    program.setCarry(stackTrees(params.map((one) => this.training.start(one))));

    const losses = params.map(() => new Float32Array(totalSteps));
    const selections = params.map(() => new Selection(totalSteps));
    const taken = params.map(() => totalSteps);
    const parametersOf = (all: Tensor, training: number, done: number) => {
      const vector = new Tensor(all.data.slice(training * flat.size, (training + 1) * flat.size));
      return requireFinite(vector, named(training), done, totalSteps);
    };
    const pace = new Pace();
    for (let step = 0; step < totalSteps; ) {
      signal?.throwIfAborted();
      const end = pace.end(step, totalSteps, [validation?.every]);
      const started = performance.now();
      const values = (await program.run(course.inputs(step, end), columns)).data as Float32Array;
      pace.took(end - step, performance.now() - started);
      for (let k = 0; k < end - step; k++) {
        signal?.throwIfAborted();
        const row = values.slice(k * size, (k + 1) * size);
        row.forEach((value, training) => {
          if (taken[training] < totalSteps) return;
          if (!Number.isFinite(value)) {
            throw diverged(named(training), `the loss is ${value}`, step + k + 1, totalSteps);
          }
          losses[training][step + k] = value;
        });
        options.onStep?.({ step: step + k + 1, totalSteps, losses: row });
      }
      step = end;
      if (!validation || !(step % validation.every === 0 || step === totalSteps)) continue;
      const all = (await program.carry()).parameters;
      for (const [training, selection] of selections.entries()) {
        if (taken[training] < totalSteps) continue;
        const parameters = parametersOf(all, training, step);
        const score = await validation.score(parameters, training);
        if (!Number.isFinite(score)) {
          throw diverged(named(training), `the validation score is ${score}`, step, totalSteps);
        }
        selection.add(step, score, parameters);
        if (selection.isOver(validation.patience)) taken[training] = step;
      }
      if (taken.every((steps) => steps <= step)) break;
    }
    const all = (await program.carry()).parameters;
    return selections.map(({ best, history }, training) => ({
      params: flat.unflatten(best.parameters ?? parametersOf(all, training, totalSteps)),
      losses: losses[training].slice(0, taken[training]),
      validation: history,
      bestStep: best.step,
    }));
  }

  private program(size: number, own: readonly string[]): Promise<ManySteps> {
    const key = JSON.stringify([size, own]);
    const known = this.programs.get(key);
    if (known) return known;
    const { training, columns } = this;
    const axes = Object.fromEntries(
      Object.keys(columns).map((column) => [column, own.includes(column) ? 0 : null]),
    );
    const step = vmap(training.step as never, [0, { rows: 0, learningRate: null, progress: null }, axes]);
    const repeat = (tensor: Tensor) => stack(new Array<Tensor>(size).fill(tensor));
    const start = training.start(training.flat.unflatten(new Tensor(new Float32Array(training.flat.size))));
    const exampleInputs = { ...training.exampleInputs, rows: repeat(training.exampleInputs.rows) };
    const exampleColumns = Object.fromEntries(
      Object.entries(columns).map(([column, tensor]) => [
        column,
        own.includes(column) ? repeat(tensor) : tensor,
      ]),
    );
    const program = compileSteps(
      step as never,
      [stackTrees(new Array(size).fill(start)), exampleInputs, exampleColumns] as never,
      { name: training.name },
    ) as unknown as Promise<ManySteps>;
    this.programs.set(key, program);
    return program;
  }

  async dispose(): Promise<void> {
    for (const program of this.programs.values()) await (await program).dispose();
  }
}

/** Columns that all data sets have in common as they are, others stacked: `[trainings, rows, ...]`. */
function shared(sets: readonly Columns[]): { columns: Columns; own: string[] } {
  const keys = Object.keys(sets[0]);
  const own = keys.filter((key) => sets.some((set) => set[key] !== sets[0][key]));
  const columns = keys.map((key) => [
    key,
    own.includes(key) ? stack(sets.map((set) => set[key])) : sets[0][key],
  ]);
  return { columns: Object.fromEntries(columns), own };
}

function stackTrees(carries: readonly Carry<Tensor>[]): Carry<Tensor> {
  const over = (leaf: (carry: Carry<Tensor>) => Tensor) => stack(carries.map(leaf));
  return {
    parameters: over((carry) => carry.parameters),
    optimizer: {
      m: over((carry) => carry.optimizer.m),
      v: over((carry) => carry.optimizer.v),
      step: over((carry) => carry.optimizer.step),
    },
  };
}

function stack(tensors: readonly Tensor[]): Tensor {
  const [{ data, shape }] = tensors;
  const all = new (data.constructor as new (length: number) => typeof data)(tensors.length * data.length);
  tensors.forEach((tensor, i) => {
    all.set(tensor.data, i * data.length);
  });
  return new Tensor(all, [tensors.length, ...shape]);
}

/*
 * Each different patch is multiplied once. With fewer than two patches for each of their values, the steps run on what the filters
 * say of the patches instead of on the filters: a change of a filter is a combination of patches, so that their Gram matrix carries
 * it over, with one product a step instead of two.
 */
import { grad, type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { type CarryProgram, compile, compileSteps, type Program, Tensor } from "@outgrow/engine";
import { distinctOf, type Patches } from "./patches.js";

type Tree<A> = Record<string, A>;
type Step = (
  carry: Tree<JaxArray>,
  inputs: Tree<JaxArray>,
  ...constants: JaxArray[]
) => readonly [Tree<JaxArray>, JaxArray];

/** A way to take the steps: where the filters are between them. */
interface Form {
  step: Step;
  carry: Tree<Tensor>;
  constants: Tensor[];
  /** What a step takes beside the learning rate. */
  inputs: Tree<Tensor>;
}

/** A network to be trained, as arrays. The first half of the filters speaks for class 1. */
export interface Problem {
  patches: Patches;
  /** `[samples]`, 1 and -1. */
  labels: Float32Array;
  /** `[size, filters]` */
  start: Tensor;
  /** `[1, filters]`: 1/m and -1/m. */
  signs: Tensor;
  threads: number | undefined;
}

export interface TrainingProgram {
  /** Takes inputs with a leading axis of steps. */
  program: CarryProgram<Tree<Tensor>, [Tree<Tensor>, ...Tensor[]], Tensor>;
  constants: Tensor[];
  /** The filters `[size, filters]` of a carry, within a traced function. */
  filtersOf: (carry: Tree<JaxArray>, start: JaxArray, columns: JaxArray, signs: JaxArray) => JaxArray;
}

/** What the network says of samples, from what its filters say of the patches (`said`, `[distinct, filters]`). */
function outputsOf(said: JaxArray, index: JaxArray, signs: JaxArray): JaxArray {
  const [rows, filters] = said.shape;
  const summed = np.matmul(np.maximum(said, 0), signs.reshape([filters, 1])).reshape([rows]);
  return np.take(summed, index, 0).sum(1);
}

/**
 * How much each patch pulls on each filter, `[distinct, filters]`: a step adds the patches times this, times the filter's sign and
 * the learning rate.
 */
function pullsOf(said: JaxArray, index: JaxArray, labels: JaxArray, signs: JaxArray): JaxArray {
  const [rows, samples] = [said.shape[0], index.shape[0]];
  const margins = np.clip(outputsOf(said, index, signs).mul(labels), -50, 50);
  const bySample = labels.div(np.exp(margins).add(1)).div(samples);
  const byPatch = grad((each: JaxArray) => np.take(each, index, 0).sum(1).mul(bySample).sum())(
    np.zeros([rows]),
  );
  return np.where(said.greater(0), byPatch.reshape([rows, 1]), 0);
}

export async function compileTraining(
  problem: Problem,
  batchSize: number | undefined,
  gram: boolean,
): Promise<TrainingProgram> {
  const form = batchSize
    ? inBatches(problem, batchSize)
    : gram
      ? await onPatches(problem)
      : onFilters(problem);
  const inputs = { rate: new Tensor(Float32Array.of(0), []), ...form.inputs };
  const program = (await compileSteps(form.step as never, [form.carry, inputs, ...form.constants] as never, {
    name: "two-layer CNN",
    cache: false,
    threads: problem.threads,
  })) as unknown as TrainingProgram["program"];
  program.setCarry(form.carry);
  return {
    program,
    constants: form.constants,
    filtersOf: (carry, start, columns, signs) =>
      carry.filters ?? start.add(np.matmul(columns, carry.made).mul(signs)),
  };
}

function onFilters({ patches, labels, start, signs }: Problem): Form {
  const { values, columns, index } = arraysOf(patches);
  return {
    step: ({ filters }, { rate }, all, turned, at, own, weights) => {
      const pulls = pullsOf(np.matmul(all, filters), at, own, weights);
      return [{ filters: filters.add(np.matmul(turned, pulls).mul(weights.mul(rate))) }, rate];
    },
    carry: { filters: start },
    constants: [values, columns, index, new Tensor(labels), signs],
    inputs: {},
  };
}

/** `said` is what the filters say of the patches, `made` the patches that their change is made of. */
async function onPatches({ patches, labels, start, signs, threads }: Problem): Promise<Form> {
  const { values, columns, index } = arraysOf(patches);
  const products = await compile(
    (rows: JaxArray, turned: JaxArray, filters: JaxArray) => ({
      gram: np.matmul(rows, turned),
      said: np.matmul(rows, filters),
    }),
    [values, columns, start],
    { name: "Gram matrix of patches", cache: false, threads },
  );
  const { gram, said } = await products.run(values, columns, start).finally(() => products.dispose());
  return {
    step: (carry, { rate }, products, at, own, weights) => {
      const pulls = pullsOf(carry.said, at, own, weights);
      const change = np.matmul(products, pulls).mul(weights.mul(rate));
      return [{ said: carry.said.add(change), made: carry.made.add(pulls.mul(rate)) }, rate];
    },
    carry: { said, made: new Tensor(new Float32Array(said.data.length), said.shape) },
    constants: [gram, index, new Tensor(labels), signs],
    inputs: {},
  };
}

function inBatches({ patches, labels, start, signs }: Problem, batchSize: number): Form {
  const { values, index } = rowsOf(patches);
  const { perSample } = patches;
  const own = Int32Array.from({ length: batchSize * perSample }, (_, k) => k);
  return {
    step: ({ filters }, { rate, rows }, all, at, targets, weights, places) => {
      const chosen = np.take(all, np.take(at, rows, 0).reshape([batchSize * perSample]), 0);
      const pulls = pullsOf(np.matmul(chosen, filters), places, np.take(targets, rows, 0), weights);
      return [{ filters: filters.add(np.matmul(chosen.transpose(), pulls).mul(weights.mul(rate))) }, rate];
    },
    carry: { filters: start },
    constants: [values, index, new Tensor(labels), signs, new Tensor(own, [batchSize, perSample])],
    inputs: { rows: new Tensor(new Int32Array(batchSize)) },
  };
}

export interface Measured {
  outputs: Tensor;
  /** `[filters, size]` */
  filters: Tensor;
  coefficients: Tensor;
  memorised: Tensor;
  watched: Tensor[];
}

/** A program that measures a carry of the training. */
export async function compileMeasures(
  { patches, start, signs, threads }: Problem,
  training: TrainingProgram,
  watched: readonly Patches[],
  signals: Float32Array | undefined,
): Promise<{ run: (carry: Tree<Tensor>) => Promise<Measured>; dispose: () => Promise<void> }> {
  const { values, columns, index } = arraysOf(patches);
  const { along, directions, inverse } = noiseOf(patches, signals);
  const others = watched.map(rowsOf);
  const given = { start, signs, values, columns, index, along, directions, inverse, others };
  const measure = (carry: Tree<JaxArray>, all: Traced<typeof given>) => {
    const filters = training.filtersOf(carry, all.start, all.columns, all.signs);
    const said = carry.said ?? np.matmul(all.values, filters);
    const coefficients = np.matmul(all.directions, filters);
    const noise = said.sub(np.matmul(all.along, coefficients)).mul(all.inverse);
    return {
      outputs: outputsOf(said, all.index, all.signs),
      filters: filters.transpose(),
      coefficients,
      memorised: np.maximum(noise.max(0), 0),
      watched: all.others.map((each) => outputsOf(np.matmul(each.values, filters), each.index, all.signs)),
    };
  };
  const carry = await training.program.carry();
  const program = (await compile(measure as never, [carry, given] as never, {
    name: "two-layer CNN",
    cache: false,
    threads,
  })) as unknown as Program<[Tree<Tensor>, typeof given], Measured>;
  return { run: (now) => program.run(now, given), dispose: () => program.dispose() };
}

type Traced<T> = T extends Tensor
  ? JaxArray
  : T extends readonly (infer Item)[]
    ? Traced<Item>[]
    : { [Name in keyof T]: Traced<T[Name]> };

/**
 * For the coefficients of the noise xi of each patch, which is what is left of it without the signals v: `<w, xi>` is `<w, patch>`
 * minus the sum of `<patch, v> <w, v> / |v|^2`.
 */
function noiseOf(patches: Patches, signals: Float32Array | undefined) {
  const { values, size } = patches;
  const [distinct, vectors] = [distinctOf(patches), (signals?.length ?? size) / size];
  const all = signals ?? new Float32Array(size);
  const squares = Array.from({ length: vectors }, (_, s) => squared(all.subarray(s * size, (s + 1) * size)));
  const along = new Float32Array(distinct * vectors);
  const inverse = new Float32Array(distinct);
  for (let row = 0; row < distinct; row++) {
    const patch = values.subarray(row * size, (row + 1) * size);
    const whole = squared(patch);
    let left = whole;
    for (let s = 0; s < vectors; s++) {
      let product = 0;
      for (let j = 0; j < size; j++) product += patch[j] * all[s * size + j];
      along[row * vectors + s] = product;
      if (squares[s] > 0) left -= product ** 2 / squares[s];
    }
    inverse[row] = left > 1e-6 * whole ? 1 / left : 0;
  }
  const directions = all.map((value, k) => {
    const square = squares[Math.floor(k / size)];
    return square > 0 ? value / square : 0;
  });
  return {
    along: new Tensor(along, [distinct, vectors]),
    inverse: new Tensor(inverse, [distinct, 1]),
    directions: new Tensor(directions, [vectors, size]),
  };
}

function squared(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value ** 2;
  return sum;
}

function rowsOf(patches: Patches) {
  const { values, index, samples, perSample, size } = patches;
  return {
    values: new Tensor(values, [distinctOf(patches), size]),
    index: new Tensor(index, [samples, perSample]),
  };
}

/** With the patches turned as well: a product with them is a quarter faster than one that turns them in each step. */
function arraysOf(patches: Patches) {
  const { values, size } = patches;
  const distinct = distinctOf(patches);
  const turned = new Float32Array(values.length);
  for (let row = 0; row < distinct; row++) {
    for (let j = 0; j < size; j++) turned[j * distinct + row] = values[row * size + j];
  }
  return { ...rowsOf(patches), columns: new Tensor(turned, [size, distinct]) };
}

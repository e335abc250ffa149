import { type Array as JaxArray, tree } from "@jax-js/jax";
import { compile, scalar, Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import { flatTree } from "./flat.js";
import { type AdamWConfig, type AdamWState, adamW, adamWDefaults } from "./optimizer.js";
import { diverged, type Loss, type MeasuredGradient, weightedGradient } from "./training.js";

export interface BatchTrainerSpec<P, Traced> {
  /** For errors. */
  name: string;
  loss: Loss<Traced>;
  /** Where training starts: a tree of float32 tensors. */
  params: P;
  /** A tree of tensors that the loss reads and that stay as they are. */
  frozen?: unknown;
  optimizer?: Partial<AdamWConfig>;
  /** Most shapes of batches: a program is compiled for each. Default 32. */
  maxShapes?: number;
}

/**
 * Trains on batches that are not known before, e.g. what the model itself has just written, and whose shapes may differ: a program
 * is compiled for each shape, so pad to few (`bucketLength`). Where the data is there at the start, `createTrainer` costs less.
 */
export interface BatchTrainer<P> {
  /**
   * One step on a batch, or on several micro-batches with the gradient of all together.
   *
   * @param progress share of training done, which the loss is told. Default 0
   * @returns the loss before the step
   * @throws UserError where the loss or a parameter is not finite
   */
  step(batches: Columns | readonly Columns[], learningRate: number, progress?: number): Promise<number>;
  /** What was trained so far. */
  params(): P;
  /** Steps taken. */
  readonly steps: number;
  /** What the loss reported besides in the last step, over all its micro-batches. */
  readonly measures: Readonly<Record<string, number>>;
  dispose(): Promise<void>;
}

export async function createBatchTrainer<P, Traced>(
  spec: BatchTrainerSpec<P, Traced>,
  example: Columns,
): Promise<BatchTrainer<P>> {
  const { name, loss, frozen = {}, maxShapes = 32 } = spec;
  const optimizer = { ...adamWDefaults, ...spec.optimizer };
  const flat = flatTree(spec.params);
  let parameters = flat.flatten(spec.params);
  const zeros = () => new Tensor(new Float32Array(flat.size));
  let state: AdamWState<Tensor> = { m: zeros(), v: zeros(), step: scalar(0) };
  let steps = 0;
  let measures: Record<string, number> = {};

  const gradient = await compile(
    (vector: JaxArray, batch: Batch, progress: JaxArray, rest: unknown) =>
      weightedGradient(flat, loss, vector, batch, progress, rest),
    [parameters, example, scalar(0), frozen] as never,
    { name, onNewShapes: "recompile", maxVariants: maxShapes },
  );
  const gradientOf = gradient.run as unknown as (
    vector: Tensor,
    batch: Columns,
    progress: Tensor,
    rest: unknown,
  ) => Promise<MeasuredGradient<Tensor>>;
  const update = await compile(
    (vector: JaxArray, moments: AdamWState<JaxArray>, sum: JaxArray, weight: JaxArray, rate: JaxArray) =>
      adamW(optimizer, vector, sum.div(weight), moments, rate),
    [parameters, state, parameters, scalar(1), scalar(0)],
    { name: `${name}: optimiser` },
  );

  return {
    async step(batches, learningRate, progress = 0) {
      const parts = Array.isArray(batches) ? (batches as readonly Columns[]) : [batches as Columns];
      if (parts.length === 0) throw new UserError(`a step of "${name}" was given no batch`);
      let gathered: MeasuredGradient<Tensor> | undefined;
      for (const batch of parts) {
        const part = await gradientOf(parameters, batch, scalar(progress), frozen);
        gathered = gathered ? added(gathered, part) : part;
      }
      const { gradient: sum, total, weight, measures: sums } = gathered as MeasuredGradient<Tensor>;
      const value = total.item() / weight.item();
      if (!Number.isFinite(value)) {
        throw diverged(`"${name}"`, `the loss is ${value}`, steps + 1);
      }
      [parameters, state] = await update.run(parameters, state, sum, weight, scalar(learningRate));
      if (!parameters.data.every(Number.isFinite)) {
        throw diverged(`"${name}"`, "some parameters are not finite", steps + 1);
      }
      steps++;
      measures = Object.fromEntries(
        Object.entries(sums).map(([key, sum]) => [key, sum.item() / weight.item()]),
      );
      return value;
    },
    params: () => flat.unflatten(parameters),
    get steps() {
      return steps;
    },
    get measures() {
      return measures;
    },
    async dispose() {
      await gradient.dispose();
      await update.dispose();
    },
  };
}

function added(a: MeasuredGradient<Tensor>, b: MeasuredGradient<Tensor>): MeasuredGradient<Tensor> {
  const sum = (x: Tensor, y: Tensor) =>
    new Tensor(
      (x.data as Float32Array).map((value, i) => value + y.data[i]),
      x.shape,
    );
  return tree.map(sum as never, a as never, b as never) as MeasuredGradient<Tensor>;
}

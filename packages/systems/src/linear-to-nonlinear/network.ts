/*
 * The two-layer ReLU CNN of Oh, Song, Yun 2025: F(x) = (1/m) sum over filters and patches of sign * ReLU(<w, patch>), trained by the
 * exact update of full-batch gradient descent on the logistic loss. Signs and 1/m are fixed.
 */
import { Tensor } from "@outgrow/engine";
import { type Random, UserError } from "outgrow";
import { logisticLoss, requireLabels } from "./labels.js";
import { compileMeasures, compileTraining } from "./network-programs.js";
import { distinctOf, type Patches } from "./patches.js";

export interface NetworkTraining {
  /** Filters of each sign, m. */
  filters: number;
  learningRate: number;
  steps: number;
  random: Random;
  /** Standard deviation of the filters at the start. Default 0.01. */
  startScale?: number;
  /** Steps between measurements. Default 10. */
  every?: number;
  /** The training ends at a measurement with a loss below this. Default 1e-3. */
  stopBelow?: number;
  /** Samples of each step, in random order, what is left of a round dropped. Default: all samples, as in the paper. */
  batchSize?: number;
  /** Other samples whose outputs are measured, e.g. test samples. */
  watched?: readonly Patches[];
  /** Directions whose coefficients are measured: `[signals, size]`, orthogonal to each other. */
  signals?: Float32Array;
  /** What full-batch steps run on; see network-programs.ts. Default: what takes fewer products. */
  form?: "patches" | "filters";
  /** Default: one for each core where a step is large. Give 1 where several trainings run at once. */
  threads?: number;
  onMeasure?: (measurement: Measurement) => void;
  signal?: AbortSignal;
}

/** A network on its way, after `step` updates. */
export interface Measurement {
  step: number;
  /** Of the labels that it learns. */
  loss: number;
  /** Outputs for the training samples. */
  outputs: Float32Array;
  /** Outputs for each of the options' `watched`. */
  watched: Float32Array[];
  /** `[2 filters, size]`: those of class 1, then those of class -1. */
  filters: Float32Array;
  /** `<w, v> / |v|^2` for each signal v and filter w: `[signals, 2 filters]`. Zeros where no signals are given. */
  coefficients: Float32Array;
  /** The largest `<w, xi> / |xi|^2` of each filter, xi the patches without their signals, and at least 0: `[2 filters]`. */
  memorised: Float32Array;
}

/**
 * Trains the network and measures it on the way: at the start first, at the end last.
 *
 * @param labels 1 and -1, one for each sample
 * @throws UserError for other labels, settings that cannot be, and weights that are no longer finite (with step and learning rate)
 */
export async function trainNetwork(
  patches: Patches,
  labels: ArrayLike<number>,
  options: NetworkTraining,
): Promise<Measurement[]> {
  const { filters, learningRate, steps, random, startScale = 0.01, every = 10, stopBelow = 1e-3 } = options;
  const { batchSize, watched = [], signals, form, threads, onMeasure, signal } = options;
  requireLabels(labels, patches.samples);
  requireSettings(patches, options);
  const problem = {
    patches,
    threads,
    labels: Float32Array.from(labels),
    start: new Tensor(random.stream("start").normals(patches.size * 2 * filters, startScale), [
      patches.size,
      2 * filters,
    ]),
    signs: new Tensor(
      Float32Array.from({ length: 2 * filters }, (_, r) => (r < filters ? 1 : -1) / filters),
      [1, 2 * filters],
    ),
  };
  const onPatches = form ? form === "patches" : distinctOf(patches) < 2 * patches.size;
  const training = await compileTraining(problem, batchSize, onPatches);
  const order = batchSize ? batches(patches.samples, batchSize, random.stream("order")) : undefined;
  try {
    const measures = await compileMeasures(problem, training, watched, signals);
    try {
      const measured: Measurement[] = [];
      for (let step = 0; ; ) {
        signal?.throwIfAborted();
        const found = await measures.run(await training.program.carry());
        const { outputs, ...rest } = plain(found);
        const measurement = { step, loss: logisticLoss(outputs, labels), outputs, ...rest };
        if (!measurement.filters.every(Number.isFinite)) {
          throw new UserError(
            `the network is not finite after step ${step} of ${steps}, with learning rate ${learningRate}`,
            { hint: "Use a smaller learning rate.", exitCode: 1 },
          );
        }
        measured.push(measurement);
        onMeasure?.(measurement);
        if (step >= steps || measurement.loss < stopBelow) return measured;
        const taken = Math.min(every, steps - step);
        const rate = new Tensor(new Float32Array(taken).fill(learningRate), [taken]);
        await training.program.run({ rate, ...order?.(taken) }, ...training.constants);
        step += taken;
      }
    } finally {
      await measures.dispose();
    }
  } finally {
    await training.program.dispose();
  }
}

/** The outputs of a measured network for samples that were not watched. */
export function networkOutputs({ filters }: Pick<Measurement, "filters">, patches: Patches): Float32Array {
  const { values, index, samples, perSample, size } = patches;
  const [distinct, width] = [distinctOf(patches), filters.length / size];
  if (!Number.isInteger(width)) {
    throw new UserError(
      `the filters are of patches of another size than ${size}: they have ${filters.length} values`,
    );
  }
  const summed = new Float64Array(distinct);
  for (let row = 0; row < distinct; row++) {
    for (let r = 0; r < width; r++) {
      let said = 0;
      for (let j = 0; j < size; j++) said += values[row * size + j] * filters[r * size + j];
      if (said > 0) summed[row] += ((r < width / 2 ? 1 : -1) * said) / (width / 2);
    }
  }
  const outputs = new Float32Array(samples);
  index.forEach((row, k) => {
    outputs[Math.floor(k / perSample)] += summed[row];
  });
  return outputs;
}

const floats = (tensor: Tensor) => tensor.data as Float32Array;

function plain(
  found: { [Name in Exclude<keyof Measurement, "step" | "loss" | "watched">]: Tensor } & {
    watched: Tensor[];
  },
) {
  return {
    outputs: floats(found.outputs),
    watched: found.watched.map(floats),
    filters: floats(found.filters),
    coefficients: floats(found.coefficients),
    memorised: floats(found.memorised),
  };
}

/** Rows of the next batches, as a step takes them: rounds of all samples in random order. */
function batches(samples: number, batchSize: number, random: Random) {
  let order: Int32Array = new Int32Array(0);
  let at = 0;
  return (steps: number) => {
    const rows = new Int32Array(steps * batchSize);
    for (let step = 0; step < steps; step++) {
      if (at + batchSize > order.length) [order, at] = [random.permutation(samples), 0];
      rows.set(order.subarray(at, at + batchSize), step * batchSize);
      at += batchSize;
    }
    return { rows: new Tensor(rows, [steps, batchSize]) };
  };
}

function requireSettings({ samples, size }: Patches, options: NetworkTraining): void {
  const { filters, learningRate, steps, every = 10, batchSize, watched = [], signals } = options;
  for (const [name, value] of Object.entries({ filters, every, ...(batchSize && { batchSize }) })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new UserError(`"${name}" must be a whole number from 1 on; given: ${value}`);
    }
  }
  if (!(Number.isInteger(steps) && steps >= 0)) {
    throw new UserError(`"steps" must be a whole number from 0 on; given: ${steps}`);
  }
  if (!(learningRate > 0)) {
    throw new UserError(`"learningRate" must be above 0; given: ${learningRate}`);
  }
  if (batchSize !== undefined && batchSize > samples) {
    throw new UserError(`"batchSize" is ${batchSize}, but there are only ${samples} samples`);
  }
  const other = watched.find((each) => each.size !== size);
  if (other) {
    throw new UserError(
      `watched samples have patches of ${other.size} values, those to train on have ${size}`,
    );
  }
  if (signals && (signals.length === 0 || signals.length % size !== 0)) {
    throw new UserError(`${signals.length} values of signals are not rows of ${size}`);
  }
}

import { numpy as np } from "@jax-js/jax";
import { compileSteps, Tensor } from "@outgrow/engine";
import { UserError } from "outgrow";
import { requireLabels } from "./labels.js";
import { type Patches, patchSums } from "./patches.js";

/** A linear CNN: its output is the sum of `<weights, patch>` over a sample's patches. */
export interface LinearModel {
  weights: Float32Array;
}

export interface LinearTraining {
  /** Default 0.5. */
  learningRate?: number;
  /** Default 200. */
  steps?: number;
}

/**
 * Full-batch gradient descent from zero on the logistic loss: the weak model, and a student that can be no more than it.
 *
 * @param labels 1 and -1, one for each sample
 * @throws UserError for other labels, and where weights are no longer finite
 */
export async function trainLinear(
  patches: Patches,
  labels: ArrayLike<number>,
  { learningRate = 0.5, steps = 200 }: LinearTraining = {},
): Promise<LinearModel> {
  const { samples, size } = patches;
  requireLabels(labels, samples);
  const sums = new Tensor(patchSums(patches), [samples, size]);
  const signs = new Tensor(Float32Array.from(labels), [samples]);
  const start = { weights: new Tensor(new Float32Array(size)) };
  const rates = new Tensor(new Float32Array(steps).fill(learningRate), [steps]);
  const program = await compileSteps(
    (model: { weights: np.Array }, { rate }: { rate: np.Array }, inputs: np.Array, y: np.Array) => {
      const margins = np
        .matmul(inputs, model.weights.reshape([size, 1]))
        .reshape([samples])
        .mul(y);
      const pulls = y.div(np.exp(np.clip(margins, -50, 50)).add(1)).reshape([1, samples]);
      const change = np.matmul(pulls, inputs).reshape([size]).mul(rate.div(samples));
      return [{ weights: model.weights.add(change) }, margins.mean()] as const;
    },
    [start, { rate: new Tensor(Float32Array.of(0), []) }, sums, signs],
    { name: "linear CNN", cache: false },
  );
  try {
    program.setCarry(start);
    await program.run({ rate: rates }, sums, signs);
    const weights = (await program.carry()).weights.data as Float32Array;
    if (!weights.every(Number.isFinite)) {
      throw new UserError(`the linear model is not finite after ${steps} steps of ${learningRate}`, {
        hint: "Use a smaller learning rate.",
        exitCode: 1,
      });
    }
    return { weights: weights.slice() };
  } finally {
    await program.dispose();
  }
}

/** A linear model's output for each sample. */
export function linearOutputs({ weights }: LinearModel, patches: Patches): Float32Array {
  const { values, index, samples, perSample, size } = patches;
  if (weights.length !== size) {
    throw new UserError(`the model is of patches with ${weights.length} values; these have ${size}`);
  }
  const products = new Float64Array(values.length / size);
  for (let row = 0; row < products.length; row++) {
    let product = 0;
    for (let j = 0; j < size; j++) product += values[row * size + j] * weights[j];
    products[row] = product;
  }
  const outputs = new Float32Array(samples);
  index.forEach((place, k) => {
    outputs[Math.floor(k / perSample)] += products[place];
  });
  return outputs;
}

import { type Array as JaxArray, numpy as np } from "@jax-js/jax";

export interface AdamWConfig {
  /** Decay rates of the first and second moments. Default (0.9, 0.999). */
  beta1: number;
  beta2: number;
  /** Default 1e-8. */
  epsilon: number;
  /** Decoupled weight decay (Loshchilov and Hutter 2019), a rate per step times the learning rate. Default 0: Adam. */
  weightDecay: number;
  /** Longest gradient, by its norm over all parameters; longer ones are shortened to it (Pascanu et al. 2013). Default: any. */
  clipNorm?: number;
}

export const adamWDefaults: AdamWConfig = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/**
 * Moments and the number of steps taken. The moments are kept without their factors 1 - beta, which move into the
 * rate: each pass over the vector that this saves is a tenth of the step's cost.
 */
export type AdamWState<Leaf> = {
  /** First moment divided by 1 - beta1. */
  m: Leaf;
  /** Second moment divided by 1 - beta2. */
  v: Leaf;
  /** float32 scalar */
  step: Leaf;
};

/**
 * One step of AdamW on all parameters at once, as one flat vector: many small tensors would cost more in operator
 * calls than in arithmetic.
 *
 * @param parameters `[count]`
 * @param gradient `[count]`
 * @param learningRate scalar
 */
export function adamW(
  config: AdamWConfig,
  parameters: JaxArray,
  gradient: JaxArray,
  state: AdamWState<JaxArray>,
  learningRate: JaxArray,
): [JaxArray, AdamWState<JaxArray>] {
  const { beta1, beta2, epsilon, weightDecay } = config;
  const step = state.step.add(1);
  const clipped = config.clipNorm === undefined ? gradient : shortened(gradient, config.clipNorm);
  const m = state.m.mul(beta1).add(clipped);
  const v = state.v.mul(beta2).add(clipped.mul(clipped));
  const correction1 = np
    .exp(step.mul(Math.log(beta1)))
    .neg()
    .add(1); // 1 - beta1^t
  const correction2 = np.sqrt(
    np
      .exp(step.mul(Math.log(beta2)))
      .neg()
      .add(1),
  );
  // (1 - beta1) m / correction1 / (sqrt((1 - beta2) v) / correction2 + epsilon), all scalars taken out of the vectors.
  const root = correction2.mul(1 / Math.sqrt(1 - beta2));
  const rate = learningRate.mul(root.mul(1 - beta1)).div(correction1);
  const update = m.mul(rate).div(np.sqrt(v).add(root.mul(epsilon)));
  const decayed = weightDecay === 0 ? parameters : parameters.mul(learningRate.mul(-weightDecay).add(1));
  return [decayed.sub(update), { m, v, step }];
}

/** The vector times min(1, norm / its own norm). */
function shortened(vector: JaxArray, norm: number): JaxArray {
  const length = np.sqrt(vector.mul(vector).sum());
  return vector.mul(np.minimum(np.reciprocal(length.add(1e-12)).mul(norm), 1));
}

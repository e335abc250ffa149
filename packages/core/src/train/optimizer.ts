import { type Array as JaxArray, numpy as np } from "@jax-js/jax";

export interface AdamWConfig {
  /** Decay rates of the first and second moments. Default (0.9, 0.999). */
  beta1: number;
  beta2: number;
  /** Default 1e-8. */
  epsilon: number;
  /** Decoupled weight decay (Loshchilov and Hutter 2019), a rate per step times the learning rate. Default 0: Adam. */
  weightDecay: number;
}

export const adamWDefaults: AdamWConfig = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };

/** Moments and the number of steps taken. */
export type AdamWState<Leaf> = {
  m: Leaf;
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
  const m = state.m.mul(beta1).add(gradient.mul(1 - beta1));
  const v = state.v.mul(beta2).add(gradient.mul(gradient).mul(1 - beta2));
  const correction1 = np.exp(step.mul(Math.log(beta1))).neg().add(1); // 1 - beta1^t
  const correction2 = np.sqrt(np.exp(step.mul(Math.log(beta2))).neg().add(1));
  // m / correction1 / (sqrt(v) / correction2 + epsilon), with the corrections taken out of the vectors.
  const rate = learningRate.mul(correction2).div(correction1);
  const update = m.mul(rate).div(np.sqrt(v).add(correction2.mul(epsilon)));
  const decayed = weightDecay === 0 ? parameters : parameters.mul(learningRate.mul(-weightDecay).add(1));
  return [decayed.sub(update), { m, v, step }];
}

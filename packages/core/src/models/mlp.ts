import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Random } from "../random.js";

export interface MlpConfig {
  inputSize: number;
  /** Widths of the hidden layers. */
  hidden: readonly number[];
  outputSize: number;
}

export interface LinearParams<Leaf> {
  /** `[inputs, outputs]` */
  weight: Leaf;
  /** `[outputs]` */
  bias: Leaf;
}

export interface MlpParams<Leaf> {
  hidden: LinearParams<Leaf>[];
  output: LinearParams<Leaf>;
}

/** Weights ~ N(0, 2 / inputs) before a ReLU (He et al. 2015), N(0, 1 / inputs) before the output; biases 0. */
export function initMlp({ inputSize, hidden, outputSize }: MlpConfig, random: Random): MlpParams<Tensor> {
  const linear = (inputs: number, outputs: number, variance: number): LinearParams<Tensor> => ({
    weight: new Tensor(random.normals(inputs * outputs, Math.sqrt(variance / inputs)), [inputs, outputs]),
    bias: new Tensor(new Float32Array(outputs)),
  });
  const sizes = [inputSize, ...hidden];
  return {
    hidden: hidden.map((width, i) => linear(sizes[i], width, 2)),
    output: linear(sizes[hidden.length], outputSize, 1),
  };
}

/** The last hidden layer after its ReLU: `[batch, width]`. */
export function mlpFeatures(params: { hidden: LinearParams<JaxArray>[] }, inputs: JaxArray): JaxArray {
  return params.hidden.reduce((x, layer) => nn.relu(np.matmul(x, layer.weight).add(layer.bias)), inputs);
}

/** `[batch, outputSize]` */
export function applyMlp(params: MlpParams<JaxArray>, inputs: JaxArray): JaxArray {
  return np.matmul(mlpFeatures(params, inputs), params.output.weight).add(params.output.bias);
}

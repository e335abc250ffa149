import type { Array as JaxArray } from "@jax-js/jax";
import { compile, scalar, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { type AdamWConfig, type AdamWState, adamW, adamWDefaults } from "./optimizer.js";

const learningRate = 0.1;
const start = [1, -2, 0.5, 3];
/** Of a bowl whose sides are of very different steepness. */
const gradientAt = (x: number, i: number) => 10 ** (i - 2) * (x - i);

/** Adam as in the paper (Kingma and Ba 2015, algorithm 1) with decoupled weight decay, in float64. */
function reference({ beta1, beta2, epsilon, weightDecay, clipNorm = Infinity }: AdamWConfig, steps: number) {
  const x = [...start];
  const m = x.map(() => 0);
  const v = x.map(() => 0);
  for (let t = 1; t <= steps; t++) {
    const factor = Math.min(1, clipNorm / Math.hypot(...x.map(gradientAt)));
    x.forEach((value, i) => {
      const g = gradientAt(value, i) * factor;
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const mean = m[i] / (1 - beta1 ** t);
      const square = v[i] / (1 - beta2 ** t);
      x[i] = value - learningRate * (mean / (Math.sqrt(square) + epsilon) + weightDecay * value);
    });
  }
  return { x, m, v };
}

async function compiled(config: AdamWConfig, steps: number) {
  const factors = Float32Array.from(start, (_, i) => 10 ** (i - 2));
  const centres = Float32Array.from(start, (_, i) => i);
  let x = new Tensor(Float32Array.from(start));
  let state: AdamWState<Tensor> = {
    m: new Tensor(new Float32Array(4)),
    v: new Tensor(new Float32Array(4)),
    step: scalar(0),
  };
  const step = (
    parameters: JaxArray,
    moments: AdamWState<JaxArray>,
    factor: JaxArray,
    centre: JaxArray,
    rate: JaxArray,
  ) => adamW(config, parameters, parameters.sub(centre).mul(factor), moments, rate);
  const rest = [new Tensor(factors), new Tensor(centres), scalar(learningRate)] as const;
  const program = await compile(step, [x, state, ...rest]);
  for (let t = 0; t < steps; t++) [x, state] = await program.run(x, state, ...rest);
  await program.dispose();
  return { x, state };
}

describe("adamW", () => {
  test.each<[string, Partial<AdamWConfig>]>([
    ["with the defaults", {}],
    ["with weight decay", { weightDecay: 0.3 }],
    ["with other decay rates", { beta1: 0.5, beta2: 0.98 }],
    ["with a large epsilon", { epsilon: 0.1 }],
    ["without momentum", { beta1: 0 }],
    ["with a gradient clipped at some steps", { clipNorm: 4, epsilon: 1 }],
  ])("is the paper's algorithm %s", async (_, options) => {
    const config = { ...adamWDefaults, ...options };
    const { x, state } = await compiled(config, 20);
    const expected = reference(config, 20);
    expected.x.forEach((value, i) => {
      expect(x.data[i]).toBeCloseTo(value, 4);
      expect(state.m.data[i] * (1 - config.beta1)).toBeCloseTo(expected.m[i], 4);
      expect(state.v.data[i] * (1 - config.beta2)).toBeCloseTo(expected.v[i], 4);
    });
    expect(state.step.item()).toBe(20);
  });

  test("moves by the learning rate against the gradient's sign in the first step", async () => {
    const { x } = await compiled(adamWDefaults, 1);
    start.forEach((value, i) => {
      expect(x.data[i]).toBeCloseTo(value - learningRate * Math.sign(gradientAt(value, i)), 5);
    });
  });
});

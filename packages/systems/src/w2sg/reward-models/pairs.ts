import { Tensor } from "@outgrow/engine";
import type { LatentFeaturesWorld, Random } from "outgrow";
import type { Pairs } from "../../deception/method.js";

/** Pairs of items of a factor world, with which of the two is worth more. */
export interface Comparisons {
  /** Inputs of the first and of the second item: `[pairs, inputSize]` each. */
  inputs: Pairs;
  /** `[pairs, latentSize]` each. */
  latents: { first: Float32Array; second: Float32Array };
  /** 1 where the first item is worth more, else 0: `[pairs]`. */
  truth: Int32Array;
}

/** A hidden utility r(z) = z u + 0.5 max(z v, 0) with unit vectors u and v of `[latentSize]`; no target of pretraining is of its form. */
export function drawUtility(latentSize: number, random: Random): (latents: Float32Array) => Float32Array {
  const [u, v] = ["linear", "kink"].map((name) => {
    const vector = random.stream(name).normals(latentSize);
    const length = Math.hypot(...vector);
    return vector.map((value) => value / length);
  });
  return (latents) =>
    Float32Array.from({ length: latents.length / latentSize }, (_, i) => {
      const z = latents.subarray(i * latentSize, (i + 1) * latentSize);
      return dot(z, u) + 0.5 * Math.max(dot(z, v), 0);
    });
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** Draws pairs of fresh items. */
export function drawComparisons(
  world: LatentFeaturesWorld,
  utility: (latents: Float32Array) => Float32Array,
  count: number,
  random: Random,
): Comparisons {
  const draw = (name: string) => {
    const { latents, inputs } = world.inputs(count, random.stream(name));
    return { latents, inputs: new Tensor(inputs, [count, world.config.inputSize]) };
  };
  const [first, second] = [draw("first"), draw("second")];
  const [a, b] = [utility(first.latents), utility(second.latents)];
  return {
    inputs: { first: first.inputs, second: second.inputs },
    latents: { first: first.latents, second: second.latents },
    truth: Int32Array.from(a, (value, i) => Number(value > b[i])),
  };
}

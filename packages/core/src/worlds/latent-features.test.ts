import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { type LatentFeaturesWorld, latentFeatures } from "./latent-features.js";

const seed = createRandom("latent-features test");
const world = latentFeatures.generate({}, seed.stream("world"));

/** x without noise and auxiliary targets of one latent, straight from the formulas. */
function reference({ config, rendering, auxiliary }: LatentFeaturesWorld, z: Float32Array) {
  const times = (row: number[], matrix: Float32Array, columns: number) =>
    Array.from({ length: columns }, (_, j) =>
      row.reduce((sum, value, i) => sum + value * matrix[i * columns + j], 0),
    );
  const { A, Bm, Cm } = rendering;
  const first = times([...z], A, 64).map((value) => 3 * Math.sin(0.5 * value));
  const second = times(first, Bm, 64).map((value) => 2 * Math.tanh(value));
  const projections = times([...z], auxiliary.directions, 64);
  return {
    x: times(second, Cm, config.inputSize),
    targets: projections.map((value, t) => Math.tanh(1.5 * (value + auxiliary.biases[t]))),
  };
}

const largestDifference = (a: number[], b: number[]) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i])));

const meanOf = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviationOf = (values: Float32Array) => {
  const mean = meanOf(values);
  return Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)));
};
const correlation = (a: Float32Array, b: Float32Array) => {
  const [meanA, meanB] = [meanOf(a), meanOf(b)];
  const covariance = meanOf(a.map((value, i) => (value - meanA) * (b[i] - meanB)));
  return covariance / deviationOf(a) / deviationOf(b);
};

describe("latent-features", () => {
  test("its matrices have the stated deviations", () => {
    const { A, Bm, Cm } = world.rendering;
    expect(A).toHaveLength(640);
    expect(deviationOf(A) * Math.sqrt(10)).toBeCloseTo(1, 1);
    expect(deviationOf(Bm) * 8).toBeCloseTo(1, 1);
    expect(deviationOf(Cm) * 8).toBeCloseTo(1, 1);
    expect(deviationOf(world.auxiliary.directions) * Math.sqrt(10)).toBeCloseTo(1, 1);
    expect(deviationOf(world.auxiliary.biases)).toBeGreaterThan(0.2);
    expect(deviationOf(world.auxiliary.biases)).toBeLessThan(0.4);
  });

  test("latents are standard normal", () => {
    const { latents } = world.inputs(20_000, seed.stream("moments"));
    expect(meanOf(latents)).toBeCloseTo(0, 2);
    expect(deviationOf(latents)).toBeCloseTo(1, 2);
    const column = (j: number) => latents.filter((_, i) => i % 10 === j);
    expect(Math.abs(correlation(column(0), column(1)))).toBeLessThan(0.03);
  });

  test("agrees with the formulas written out, whatever the number of rows and the sizes", () => {
    for (const [config, count] of [
      [{ inputNoise: 0 }, 133],
      [{ inputNoise: 0, latentSize: 7, inputSize: 9 }, 67],
    ] as const) {
      const world = latentFeatures.generate(config, seed.stream("formula"));
      const { latentSize, inputSize } = world.config;
      const { latents, inputs } = world.inputs(count, seed.stream("formula inputs"));
      const targets = world.auxiliaryTargets(latents);
      for (let i = 0; i < count; i++) {
        const exact = reference(world, latents.subarray(i * latentSize, (i + 1) * latentSize));
        const row = [...inputs.subarray(i * inputSize, (i + 1) * inputSize)];
        expect(largestDifference(row, exact.x)).toBeLessThan(1e-6);
        expect(largestDifference([...targets.subarray(i * 64, (i + 1) * 64)], exact.targets)).toBeLessThan(
          1e-6,
        );
      }
    }
  });

  test("the noise on inputs has deviation 0.05", () => {
    const { latents, inputs } = world.inputs(2000, seed.stream("noise"));
    const noise = new Float32Array(inputs.length);
    for (let i = 0; i < 2000; i++) {
      const { x } = reference(world, latents.subarray(i * 10, i * 10 + 10));
      for (let j = 0; j < 40; j++) noise[i * 40 + j] = inputs[i * 40 + j] - x[j];
    }
    expect(meanOf(noise)).toBeCloseTo(0, 3);
    expect(deviationOf(noise)).toBeCloseTo(0.05, 3);
  });

  test("tasks are half-spaces of unit direction with as many of either class", () => {
    const { latents } = world.inputs(10_000, seed.stream("labels"));
    for (let t = 0; t < 5; t++) {
      const { direction, label } = world.task(seed.stream("task", t));
      expect(Math.hypot(...direction)).toBeCloseTo(1, 6);
      const share = label(latents).reduce((sum, y) => sum + y, 0) / 10_000;
      expect(Math.abs(share - 0.5)).toBeLessThan(0.025); // 5 standard errors
      expect(label(direction)).toEqual(Int32Array.of(1));
      expect(label(direction.map((value) => -value))).toEqual(Int32Array.of(0));
      expect(label(new Float32Array(10))).toEqual(Int32Array.of(0)); // y = [z u > 0], strictly
    }
  });

  test("auxiliary targets lie in (-1, 1) and are spread out", () => {
    const targets = world.auxiliaryTargets(world.inputs(1000, seed.stream("targets")).latents);
    expect(targets.every((value) => Math.abs(value) < 1)).toBe(true);
    expect(deviationOf(targets)).toBeGreaterThan(0.5);
  });

  test("the same seed gives the same bits, and fewer examples are the first of more", () => {
    const again = latentFeatures.generate({}, seed.stream("world"));
    expect(again.rendering).toEqual(world.rendering);
    expect(again.auxiliary).toEqual(world.auxiliary);
    const many = world.inputs(100, seed.stream("bits"));
    const few = again.inputs(37, seed.stream("bits"));
    expect(few.latents).toEqual(many.latents.subarray(0, 370));
    expect(few.inputs).toEqual(many.inputs.subarray(0, 37 * 40));
  });

  test("different streams are independent", () => {
    const a = world.inputs(5000, seed.stream("a"));
    const b = world.inputs(5000, seed.stream("b"));
    expect(Math.abs(correlation(a.latents, b.latents))).toBeLessThan(0.02);
    const other = latentFeatures.generate({}, seed.stream("other world"));
    expect(Math.abs(correlation(world.rendering.Bm, other.rendering.Bm))).toBeLessThan(0.08);
    const [u, v] = [world.task(seed.stream("u")), world.task(seed.stream("v"))];
    expect(u.direction).not.toEqual(v.direction);
  });

  test("a changed size leaves the matrices it does not touch as they were", () => {
    const wider = latentFeatures.generate({ inputSize: 50 }, seed.stream("world"));
    expect(wider.rendering.A).toEqual(world.rendering.A);
    expect(wider.rendering.Bm).toEqual(world.rendering.Bm);
  });

  test("draws 100,000 examples in well under the time of a training run", () => {
    const start = performance.now();
    world.inputs(100_000, seed.stream("speed"));
    const seconds = (performance.now() - start) / 1000;
    console.log(`latent-features: 100,000 examples in ${seconds.toFixed(2)} s`);
    expect(seconds).toBeLessThan(6); // about 0.9 s when the machine is idle
  });

  test("its description shows examples", () => {
    const text = latentFeatures.describe(world);
    expect(text).toBe(latentFeatures.describe(world));
    expect(text.match(/y [01]$/gm)).toHaveLength(4);
  });

  test("refuses unknown fields, impossible values and ragged latents", () => {
    const generate = (config: object) => () => latentFeatures.generate(config, seed);
    expect(generate({ noise: 1 })).toThrow(UserError);
    expect(generate({ inputNoize: 1 })).toThrow('did you mean "inputNoise"');
    expect(generate({ latentSize: 0 })).toThrow("latentSize");
    expect(generate({ latentSize: 1e9 })).toThrow("latentSize");
    expect(() => world.auxiliaryTargets(new Float32Array(15))).toThrow(UserError);
    expect(() => world.inputs(1.5, seed)).toThrow(UserError);
  });
});

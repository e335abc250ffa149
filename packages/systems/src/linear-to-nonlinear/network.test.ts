import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { agreeing, shareOf } from "./labels.js";
import { linearOutputs, trainLinear } from "./linear.js";
import { type NetworkTraining, networkOutputs, trainNetwork } from "./network.js";
import { type Patches, patchesOf, patchSums } from "./patches.js";

const random = createRandom("network test");
const [samples, perSample, size] = [12, 3, 7];
const patches = (() => {
  const values = random.normals(samples * perSample * size);
  // Patches that are shared, occur twice in a sample, or are empty.
  values.copyWithin(5 * size, 0, size);
  values.copyWithin(4 * size, 0, size);
  values.fill(0, 9 * size, 10 * size);
  return { values, found: patchesOf(values, [samples, perSample, size]) };
})();
const labels = Array.from({ length: samples }, (): number => (random.uniform() < 0.5 ? 1 : -1));
const training: NetworkTraining = {
  filters: 4,
  learningRate: 0.7,
  steps: 40,
  every: 20,
  startScale: 0.1,
  random: createRandom(3),
};

/** The update as the paper writes it, filter by filter and sample by sample, in float64. */
function slowly(
  values: Float32Array,
  start: Float32Array,
  { filters, learningRate, steps }: NetworkTraining,
) {
  const w = Array.from({ length: 2 * filters }, (_, r) =>
    Float64Array.from(start.subarray(r * size, (r + 1) * size)),
  );
  const x = (i: number, p: number) =>
    values.subarray((i * perSample + p) * size, (i * perSample + p + 1) * size);
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((sum, value, j) => sum + value * b[j], 0);
  const sign = (r: number) => (r < filters ? 1 : -1);
  const outputs = () =>
    labels.map((_, i) =>
      w.reduce((sum, own, r) => {
        for (let p = 0; p < perSample; p++) sum += (sign(r) / filters) * Math.max(0, dot(own, x(i, p)));
        return sum;
      }, 0),
    );
  for (let step = 0; step < steps; step++) {
    const slopes = outputs().map((f, i) => (-1 / (1 + Math.exp(labels[i] * f))) * labels[i]);
    const changes = w.map((own, r) => {
      const change = new Float64Array(size);
      for (let i = 0; i < samples; i++) {
        for (let p = 0; p < perSample; p++) {
          if (dot(own, x(i, p)) <= 0) continue;
          for (let j = 0; j < size; j++) change[j] += (slopes[i] * sign(r) * x(i, p)[j]) / filters / samples;
        }
      }
      return change;
    });
    w.forEach((own, r) => {
      for (let j = 0; j < size; j++) own[j] -= learningRate * changes[r][j];
    });
  }
  return { filters: w.flatMap((own) => [...own]), outputs: outputs() };
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i])));

describe("trainNetwork", () => {
  test.each(["filters", "patches"] as const)("takes the paper's steps, on %s", async (form) => {
    const measured = await trainNetwork(patches.found, labels, { ...training, form });
    expect(measured.map(({ step }) => step)).toEqual([0, 20, 40]);
    const expected = slowly(patches.values, measured[0].filters, training);
    const last = measured[2];
    expect(apart(last.filters, expected.filters)).toBeLessThan(1e-5);
    expect(apart(last.outputs, expected.outputs)).toBeLessThan(1e-5);
    expect(apart(networkOutputs(last, patches.found), last.outputs)).toBeLessThan(1e-5);
    // The start matters: nothing above holds by having stayed there.
    expect(apart(last.filters, measured[0].filters)).toBeGreaterThan(0.1);
  });

  test("batches of all samples are the full-batch steps", async () => {
    const whole = await trainNetwork(patches.found, labels, training);
    const batched = await trainNetwork(patches.found, labels, { ...training, batchSize: samples });
    expect(apart(whole[2].filters, batched[2].filters)).toBeLessThan(1e-5);
    const small = await trainNetwork(patches.found, labels, { ...training, batchSize: 5 });
    expect(apart(whole[2].filters, small[2].filters)).toBeGreaterThan(1e-3);
    expect(small[2].loss).toBeLessThan(small[0].loss);
  });

  test("gives coefficients of signals, and of noise what is left without them", async () => {
    const signals = new Float32Array(2 * size);
    signals[0] = 2;
    signals[size + 1] = 0.5;
    const watched = [patches.found];
    const [, , last] = await trainNetwork(patches.found, labels, { ...training, signals, watched });
    const width = 2 * training.filters;
    for (let r = 0; r < width; r++) {
      const own = last.filters.subarray(r * size, (r + 1) * size);
      expect(last.coefficients[r]).toBeCloseTo(own[0] / 2, 5);
      expect(last.coefficients[width + r]).toBeCloseTo(own[1] / 0.5, 5);
      let largest = 0;
      for (let at = 0; at < patches.values.length; at += size) {
        const noise = patches.values.slice(at, at + size).fill(0, 0, 2);
        const squared = noise.reduce((sum, value) => sum + value ** 2, 0);
        if (squared > 0)
          largest = Math.max(largest, noise.reduce((sum, value, j) => sum + value * own[j], 0) / squared);
      }
      expect(last.memorised[r]).toBeCloseTo(largest, 4);
    }
    expect(apart(last.watched[0], last.outputs)).toBeLessThan(1e-6);
  });

  test("ends where the loss is below the limit", async () => {
    const measured = await trainNetwork(patches.found, labels, { ...training, steps: 4000, stopBelow: 0.3 });
    const losses = measured.map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan(0.3);
    expect(losses.at(-2)).toBeGreaterThanOrEqual(0.3);
  });

  test("large margins neither overflow nor stop the learning of wrong ones", async () => {
    const large = { ...patches.found, values: patches.found.values.map((value) => 1e3 * value) };
    const measured = await trainNetwork(large, labels, { ...training, learningRate: 1e-4, startScale: 1 });
    for (const { loss, filters } of measured) expect([loss, ...filters].every(Number.isFinite)).toBe(true);
    expect(measured[2].filters).not.toEqual(measured[0].filters);
  });

  test("says at which step and learning rate weights were lost", async () => {
    const large = { ...patches.found, values: patches.found.values.map((value) => 1e18 * value) };
    await expect(trainNetwork(large, labels, { ...training, learningRate: 1e18 })).rejects.toThrow(
      /not finite after step 20 of 40, with learning rate 1000000000000000000/,
    );
  });

  test("refuses labels, settings and samples that cannot be", async () => {
    const given = (
      labels: number[],
      options: Partial<NetworkTraining> = {},
      found: Patches = patches.found,
    ) => trainNetwork(found, labels, { ...training, ...options });
    await expect(given(labels.slice(1))).rejects.toThrow("11 labels for 12 samples");
    await expect(given(labels.with(3, 0))).rejects.toThrow("the label of sample 3 is 0");
    await expect(given(labels, { filters: 0 })).rejects.toThrow('"filters" must be a whole number from 1 on');
    await expect(given(labels, { batchSize: 13 })).rejects.toThrow("there are only 12 samples");
    await expect(given(labels, { signals: new Float32Array(8) })).rejects.toThrow("not rows of 7");
    const other = patchesOf(new Float32Array(4), [1, 1, 4]);
    await expect(given(labels, { watched: [other] })).rejects.toThrow("patches of 4 values");
    expect(() => networkOutputs({ filters: new Float32Array(8) }, patches.found)).toThrow("another size");
  });
});

describe("patchesOf", () => {
  test("stores a patch once and loses nothing", () => {
    const { values, index } = patches.found;
    expect(values.length / size).toBe(samples * perSample - 2);
    for (let k = 0; k < index.length; k++) {
      const stored = values.subarray(index[k] * size, (index[k] + 1) * size);
      expect([...stored]).toEqual([...patches.values.subarray(k * size, (k + 1) * size)]);
    }
    const sums = patchSums(patches.found);
    expect(sums[0]).toBeCloseTo(patches.values[0] + patches.values[size] + patches.values[2 * size], 5);
  });

  test("refuses no samples, other shapes and values that are not finite, with the place", () => {
    expect(() => patchesOf(new Float32Array(0), [0, 3, 7])).toThrow("nothing to learn from");
    expect(() => patchesOf(new Float32Array(5), [1, 2, 3])).toThrow("which are 6");
    expect(() => patchesOf(new Float32Array(12).fill(Number.NaN, 10), [2, 2, 3])).toThrow(
      "value 1 of patch 1 of sample 1 is NaN",
    );
  });
});

describe("the linear CNN", () => {
  test("takes gradient steps from zero", async () => {
    const sums = patchSums(patches.found);
    const w = new Float64Array(size);
    for (let step = 0; step < 25; step++) {
      const change = new Float64Array(size);
      for (let i = 0; i < samples; i++) {
        let margin = 0;
        for (let j = 0; j < size; j++) margin += labels[i] * w[j] * sums[i * size + j];
        for (let j = 0; j < size; j++)
          change[j] += (labels[i] * sums[i * size + j]) / (1 + Math.exp(margin)) / samples;
      }
      for (let j = 0; j < size; j++) w[j] += 0.3 * change[j];
    }
    const model = await trainLinear(patches.found, labels, { learningRate: 0.3, steps: 25 });
    expect(apart(model.weights, w)).toBeLessThan(1e-5);
    const outputs = linearOutputs(model, patches.found);
    const expected = labels.map((_, i) => w.reduce((sum, value, j) => sum + value * sums[i * size + j], 0));
    expect(apart(outputs, expected)).toBeLessThan(1e-4);
    await expect(trainLinear(patches.found, [1])).rejects.toThrow("1 labels for 12 samples");
  });
});

test("an output of 0 is wrong whatever the label, and shares of nothing are null", () => {
  expect(agreeing([0, 0, 2, -2], [1, -1, 1, 1])).toEqual([false, false, true, false]);
  expect(shareOf([true, false], () => false)).toBeNull();
});

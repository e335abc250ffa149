import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { scalar, Tensor, zeros } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import type { Columns } from "../data/columns.js";
import { createRandom } from "../random.js";
import { createTrainer, type TrainerSpec } from "./trainer.js";

type Weights<Leaf> = { w: Leaf };
const random = createRandom(2);
const [rows, width] = [24, 5];
/** Rows whose weights differ, as those of rows with different numbers of tokens do. */
const data: Columns = {
  x: new Tensor(random.normals(rows * width), [rows, width]),
  y: new Tensor(random.normals(rows), [rows, 1]),
  weights: new Tensor(
    Float32Array.from({ length: rows }, (_, i) => (i % 5) + 0.1),
    [rows, 1],
  ),
};
const start: Weights<Tensor> = { w: zeros([width, 1]) };
const options = { epochs: 3, learningRate: 0.05, random: createRandom(1) };

const trainer = (spec: Partial<TrainerSpec<Weights<Tensor>, Weights<JaxArray>>> = {}) =>
  createTrainer<Weights<Tensor>, Weights<JaxArray>>({
    name: "line",
    params: start,
    columns: data,
    batchSize: 8,
    loss: ({ w }, { x, y, weights }) => {
      const error = np.matmul(x, w).sub(y);
      return { total: error.mul(error).mul(weights).sum(), weight: weights.sum() };
    },
    ...spec,
  });
const fit = async (spec: Parameters<typeof trainer>[0], changed: object = {}) => {
  const made = await trainer(spec);
  return made.fit(start, data, { ...options, ...changed }).finally(() => made.dispose());
};
const close = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).forEach((value, i) => {
    expect(value).toBeCloseTo(b[i], 5);
  });

describe("micro-batches", () => {
  test("give the steps of the whole batch, whatever their weights", async () => {
    const whole = await fit({});
    for (const microBatches of [2, 8]) {
      const parts = await fit({ microBatches });
      expect(parts.losses).toHaveLength(9);
      close(parts.losses, whole.losses);
      close(parts.params.w.data, whole.params.w.data);
    }
  });

  test("of a plain loss count alike", async () => {
    const loss = ({ w }: Weights<JaxArray>, { x, y }: Readonly<Record<string, JaxArray>>) =>
      np.square(np.matmul(x, w).sub(y)).mean();
    const whole = await fit({ loss });
    const parts = await fit({ loss, microBatches: 4 });
    close(parts.params.w.data, whole.params.w.data);
  });

  test("clip the gradient of the whole batch", async () => {
    const optimizer = { clipNorm: 0.01, epsilon: 1 };
    const whole = await fit({ optimizer });
    const parts = await fit({ optimizer, microBatches: 4 });
    close(parts.params.w.data, whole.params.w.data);
    const free = await fit({ optimizer: { epsilon: 1 } });
    expect(Math.abs(free.params.w.data[0])).toBeGreaterThan(10 * Math.abs(whole.params.w.data[0]));
  });

  test("go on from a checkpoint with the same bits", async () => {
    const folder = await mkdtemp(join(tmpdir(), "micro-batches-"));
    const checkpoint = { path: join(folder, "a.safetensors"), every: 1, resume: true };
    const undisturbed = await fit({ microBatches: 2 });
    const stop = new Error("stop");
    const onStep = ({ step }: { step: number }) => {
      if (step === 5) throw stop;
    };
    await expect(fit({ microBatches: 2 }, { checkpoint, onStep })).rejects.toBe(stop);
    const resumed = await fit({ microBatches: 2 }, { checkpoint });
    expect(resumed.params.w.data).toEqual(undisturbed.params.w.data);
    expect(resumed.losses).toEqual(undisturbed.losses);
    await rm(folder, { recursive: true });
  });

  test("must share out the batch", async () => {
    await expect(trainer({ microBatches: 3 })).rejects.toThrow("cannot be shared out among 3 micro-batches");
  });
});

describe("an order", () => {
  test("says which examples each step takes", async () => {
    // The loss is the mean of the examples' own numbers.
    const numbers: Columns = { number: new Tensor(Float32Array.from({ length: 6 }, (_, i) => 10 ** i)) };
    const made = await createTrainer<Weights<Tensor>, Weights<JaxArray>>({
      name: "numbers",
      params: { w: scalar(1) },
      columns: numbers,
      batchSize: 2,
      loss: (_, { number }) => number.sum(),
    });
    const fitOrder = (order: number[]) =>
      made.fit({ w: scalar(1) }, numbers, { ...options, order: Int32Array.from(order) });
    expect([...(await fitOrder([0, 5, 3, 3, 2, 1])).losses]).toEqual([100001, 2000, 110]);
    await expect(fitOrder([0, 1, 2])).rejects.toThrow(RangeError);
    await expect(fitOrder([0, 6])).rejects.toThrow("2 of the rows 0 to 5");
    await made.dispose();
  });
});

describe("frozen tensors", () => {
  test("are read by the loss and stay as they are", async () => {
    const made = await createTrainer<Weights<Tensor>, Weights<JaxArray>>({
      name: "distance",
      params: { w: scalar(1) },
      columns: data,
      batchSize: 8,
      frozen: { goal: scalar(3) },
      loss: ({ w }, _batch, _progress, { goal }: { goal: JaxArray }) => np.square(w.sub(goal)),
    });
    const { params } = await made.fit({ w: scalar(1) }, data, { ...options, epochs: 100 });
    await made.dispose();
    expect(params.w.item()).toBeCloseTo(3, 2);
  });
});

import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor, zeros } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { type Columns, selectRows } from "../data/columns.js";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { createBatchTrainer } from "./batch-trainer.js";
import { createTrainer } from "./trainer.js";

type Weights<Leaf> = { w: Leaf };
const random = createRandom(2);
const [rows, width] = [24, 5];
const data: Columns = {
  x: new Tensor(random.normals(rows * width), [rows, width]),
  y: new Tensor(random.normals(rows), [rows, 1]),
  weights: new Tensor(
    Float32Array.from({ length: rows }, (_, i) => (i % 5) + 0.1),
    [rows, 1],
  ),
};
const start: Weights<Tensor> = { w: zeros([width, 1]) };
const spec = {
  name: "line",
  params: start,
  optimizer: { clipNorm: 0.5, weightDecay: 0.1 },
  loss: ({ w }: Weights<JaxArray>, { x, y, weights }: Readonly<Record<string, JaxArray>>) => {
    const error = np.matmul(x, w).sub(y);
    const weight = weights.sum();
    const measures = { error: error.mul(weights).sum().div(weight) };
    return { total: error.mul(error).mul(weights).sum(), weight, measures };
  },
};
const range = (first: number, end: number) =>
  selectRows(
    data,
    Int32Array.from({ length: end - first }, (_, i) => first + i),
  );
const close = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).forEach((value, i) => {
    expect(value).toBeCloseTo(b[i], 5);
  });

describe("createBatchTrainer", () => {
  test("takes the steps that a trainer takes on the same batches", async () => {
    const trainer = await createTrainer<Weights<Tensor>, Weights<JaxArray>>({
      ...spec,
      columns: data,
      batchSize: 8,
    });
    const order = Int32Array.from({ length: rows }, (_, i) => i);
    const options = { order, learningRate: 0.1, random, schedule: { decay: "constant" } as const };
    const expected = await trainer.fit(start, data, options);
    await trainer.dispose();

    const batches = await createBatchTrainer<Weights<Tensor>, Weights<JaxArray>>(spec, range(0, 8));
    const losses = [];
    for (const first of [0, 8, 16]) losses.push(await batches.step(range(first, first + 8), 0.1));
    close(losses, expected.losses);
    close(batches.params().w.data, expected.params.w.data);
    expect(batches.steps).toBe(3);

    // The same batches in parts of other shapes.
    const parts = await createBatchTrainer<Weights<Tensor>, Weights<JaxArray>>(spec, range(0, 8));
    for (const first of [0, 8, 16]) {
      await parts.step(
        [range(first, first + 1), range(first + 1, first + 3), range(first + 3, first + 8)],
        0.1,
      );
    }
    close(parts.params().w.data, expected.params.w.data);
    // What is reported besides is of the whole batch too.
    expect(Math.abs(batches.measures.error)).toBeGreaterThan(0.01);
    expect(parts.measures.error).toBeCloseTo(batches.measures.error, 5);
    await batches.dispose();
    await parts.dispose();
  });

  test("refuses no batch, and says when training diverges", async () => {
    const trainer = await createBatchTrainer<Weights<Tensor>, Weights<JaxArray>>(spec, range(0, 8));
    await expect(trainer.step([], 0.1)).rejects.toThrow(UserError);
    const wild = { ...range(0, 8), y: new Tensor(new Float32Array(8).fill(Number.NaN), [8, 1]) };
    await expect(trainer.step(wild, 0.1)).rejects.toThrow(
      'training of "line" diverged: the loss is NaN at step 1',
    );
    expect(trainer.steps).toBe(0);
    await trainer.dispose();
  });
});

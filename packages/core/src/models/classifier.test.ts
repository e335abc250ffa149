import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { scalar, Tensor, zeros } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import type { Batch } from "../data/columns.js";
import { createRandom } from "../random.js";
import { compileClassifier, compileRows, featureBackbone, initClassifier } from "./classifier.js";

/** `[rows, 2]` with the row's number and its double. */
const numbered = (rows: number) => ({
  x: new Tensor(
    Float32Array.from({ length: rows * 2 }, (_, i) => Math.floor(i / 2) * (1 + (i % 2))),
    [rows, 2],
  ),
});
const scaled = (factor: JaxArray, { x }: Batch) => x.mul(factor).add(1);

describe("compileRows", () => {
  test("applies to any number of rows, each on its own, whatever the example's", async () => {
    const fn = await compileRows<Tensor, JaxArray>("scaled", scaled, scalar(0), numbered(5));
    for (const rows of [1, 4, 5, 6, 10, 13]) {
      const inputs = numbered(rows);
      const result = await fn(scalar(3), inputs);
      expect(result.shape).toEqual([rows, 2]);
      expect([...result.data]).toEqual(Array.from(inputs.x.data, (value) => 3 * value + 1));
    }
    await fn.dispose();
  });

  test("applies to more rows than go through the program at a time", async () => {
    const fn = await compileRows<Tensor, JaxArray>("scaled", scaled, scalar(0), numbered(1500));
    const inputs = numbered(1300);
    const result = await fn(scalar(1), inputs);
    await fn.dispose();
    expect([...result.data]).toEqual(Array.from(inputs.x.data, (value) => value + 1));
  });

  test("an example without rows will do, and no rows give no rows", async () => {
    const fn = await compileRows<Tensor, JaxArray>("scaled", scaled, scalar(0), numbered(0));
    expect([...(await fn(scalar(2), numbered(2))).data]).toEqual([1, 1, 3, 5]);
    expect((await fn(scalar(2), numbered(0))).shape[0]).toBe(0);
    await fn.dispose();
  });
});

describe("compileClassifier", () => {
  const backbone = featureBackbone("probe", 3);
  const random = createRandom(2);
  const features = new Tensor(random.normals(8 * 3), [8, 3]);

  test("a new head of zeros gives uniform probabilities", async () => {
    const predict = await compileClassifier(backbone, 4, { features });
    const { values, shape } = await predict(initClassifier(backbone, 4), { features });
    await predict.dispose();
    expect(shape).toEqual([8, 4]);
    expect(values.every((p) => p === 0.25)).toBe(true);
  });

  test("probabilities are the softmax of features times head", async () => {
    const head = new Tensor(random.normals(3 * 2), [3, 2]);
    const predict = await compileClassifier(backbone, 2, { features: zeros([3, 3]) });
    const { values } = await predict({ body: {}, head }, { features });
    await predict.dispose();
    for (let row = 0; row < 8; row++) {
      const [a, b] = [0, 1].map((k) =>
        [0, 1, 2].reduce((sum, i) => sum + features.data[row * 3 + i] * head.data[i * 2 + k], 0),
      );
      expect(values[row * 2]).toBeCloseTo(1 / (1 + Math.exp(b - a)), 6);
      expect(values[row * 2] + values[row * 2 + 1]).toBeCloseTo(1, 6);
    }
  });

  test("several columns are cut into the same rows", async () => {
    const fn = await compileRows<Tensor, JaxArray>(
      "gap",
      (_, { a, b }) => np.concatenate([a.sub(b), a], 1),
      scalar(0),
      { a: zeros([4, 1]), b: zeros([4, 1]) },
    );
    const a = new Tensor(
      Float32Array.from({ length: 9 }, (_, i) => i),
      [9, 1],
    );
    const { data } = await fn(scalar(0), { b: a, a });
    await fn.dispose();
    expect([...data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((i) => [0, i]));
  });
});

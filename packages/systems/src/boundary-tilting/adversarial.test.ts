import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { expect, test } from "vitest";
import { adversarialMargins } from "./adversarial.js";

const floats = (values: number[], shape: number[]) => new Tensor(Float32Array.from(values), shape);

test("of a linear classifier, both distances are those to the line", async () => {
  // Logits 0 and 3x - 4y + 5: class 1 above the line.
  const margins = await adversarialMargins(
    {
      params: { weight: floats([0, 3, 0, -4], [2, 2]), bias: floats([0, 5], [2]) },
      logits: ({ weight, bias }: { weight: JaxArray; bias: JaxArray }, x) => np.matmul(x, weight).add(bias),
    },
    floats([0, 0, 5, 0, 0, 5, 0, 0], [4, 2]),
    [1, 1, 0, 0],
  );
  expect([...margins.correct]).toEqual([1, 1, 1, 0]);
  [1, 4, 3, 0].forEach((distance, row) => {
    expect(margins.linearised[row]).toBeCloseTo(distance, 5);
    if (distance > 0) expect(margins.boundary[row]).toBeCloseTo(distance, 4);
  });
  expect(margins.boundary[3]).toBeNaN();
  expect(margins.meanLinearised).toBeCloseTo(8 / 3, 5);
  expect(margins.withoutBoundary).toBe(0);
});

test("of a circle, bisection finds the radius where the linearised distance is half of it or less", async () => {
  const margins = await adversarialMargins(
    {
      params: { radius: floats([2], [1]) },
      logits: ({ radius }: { radius: JaxArray }, x) => {
        const inside = radius.mul(radius).sub(x.mul(x).sum(1));
        return np.stack([np.zeros([x.shape[0]]), inside], 1);
      },
    },
    floats([1, 0, 0, 0.5], [2, 2]),
    [1, 1],
  );
  // (r² - x²) / 2x
  expect(margins.linearised[0]).toBeCloseTo(1.5, 5);
  expect(margins.linearised[1]).toBeCloseTo(3.75, 5);
  expect(margins.boundary[0]).toBeCloseTo(1, 4);
  expect(margins.boundary[1]).toBeCloseTo(1.5, 4);
});

test("labels that are no class, and points that are no numbers, are refused", async () => {
  const classifier = { params: {}, logits: (_: unknown, x: JaxArray) => x };
  await expect(adversarialMargins(classifier, floats([1, 2], [1, 2]), [2])).rejects.toThrow("label 0 is 2");
  await expect(adversarialMargins(classifier, floats([1, Number.NaN], [1, 2]), [1])).rejects.toThrow(
    "point 0 has NaN at index 1",
  );
});

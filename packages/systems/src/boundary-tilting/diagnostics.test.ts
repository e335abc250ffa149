import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { boundaryDiagnostics } from "./diagnostics.js";
import { tiltReport } from "./tilt.js";

const random = createRandom("diagnostics");
const count = 400;
const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
const points = new Tensor(
  Float32Array.from({ length: 3 * count }, (_, at) => {
    const row = Math.floor(at / 3);
    return at % 3 === 0 ? (labels[row] === 1 ? 3 : -3) : random.normal();
  }),
  [count, 3],
);
const rule = { weights: [1, 0.5, -0.5], bias: 0.2 };
const linear = {
  params: { w: new Tensor(Float32Array.of(0, 1, 0, 0.5, 0, -0.5), [3, 2]) },
  logits: ({ w }: { w: JaxArray }, x: JaxArray) => np.matmul(x, w).add(np.array([0, 0.2])),
};

test("of a linear classifier: the angle, strength and distance of its tilt report", async () => {
  const rows = Array.from(
    { length: count },
    (_, row) => points.data.subarray(3 * row, 3 * row + 3) as Float32Array,
  );
  const { angle, strength, adversarialDistance, centroidDistance, error } = tiltReport(rule, rows, labels);
  const found = await boundaryDiagnostics(linear, points, labels, 2);
  expect(error).toBe(0);
  expect(found.right).toBe(1);
  expect(found.centroidDistance).toBeCloseTo(centroidDistance, 9);
  expect(found.margin?.mean).toBeCloseTo(adversarialDistance as number, 3);
  const [pair] = found.pairs;
  expect(pair.angle.mean).toBeCloseTo(((angle as number) * 180) / Math.PI, 3);
  expect(pair.angle.quantiles[0]).toBeCloseTo(pair.angle.quantiles[4], 3);
  expect(pair.strength).toBeCloseTo(strength as number, 4);
  // All points are right by the nearest mean too: their mean distance is half of that of the means.
  expect(found.nearestMean.right).toBe(1);
  expect(found.nearestMean.relativeMargin?.mean).toBeCloseTo(0.5, 3);
  // Identity of the study: mean margin = D / 2 · cos(angle).
  expect(found.relativeMargin?.mean).toBeCloseTo(0.5 / (pair.strength as number), 3);
});

test("of a curved boundary: angles differ from point to point", async () => {
  const curved = {
    params: { w: new Tensor(Float32Array.of(1), [1]) },
    logits: ({ w }: { w: JaxArray }, x: JaxArray) => {
      const score = x
        .slice([], 0)
        .add(nn.sigmoid(x.slice([], 1).mul(2)).mul(w))
        .sub(0.5);
      return np.stack([np.zeros([x.shape[0]]), score], 1);
    },
  };
  const { pairs } = await boundaryDiagnostics(curved, points, labels, 2);
  const [least, , , , most] = pairs[0].angle.quantiles;
  expect(most - least).toBeGreaterThan(10);
});

test("of three classes: all pairs, the nearest first, and margins among all", async () => {
  const three = labels.map((_, i) => i % 3);
  const placed = new Tensor(
    Float32Array.from({ length: 3 * count }, (_, at) => {
      const own = three[Math.floor(at / 3)] === at % 3 ? [4, 5, 6][at % 3] : 0;
      return own + 0.1 * random.normal();
    }),
    [count, 3],
  );
  const identity = {
    params: { scale: new Tensor(Float32Array.of(1), [1]) },
    logits: ({ scale }: { scale: JaxArray }, x: JaxArray) => x.mul(scale),
  };
  const { pairs, right, margin } = await boundaryDiagnostics(identity, placed, three, 3);
  expect(right).toBe(1);
  expect(pairs.map(({ classes }) => classes)).toEqual([
    [0, 1],
    [0, 2],
    [1, 2],
  ]);
  // Logits x_i and x_j are equal at a distance of x_i / √2 from a point at x_i of its axis.
  expect(margin?.quantiles[2]).toBeCloseTo(5 / Math.SQRT2, 0);
  for (const { angle } of pairs) expect(angle.mean).toBeLessThan(15);
});

test("one class alone is refused", async () => {
  await expect(
    boundaryDiagnostics(
      linear,
      points,
      labels.map(() => 1),
      2,
    ),
  ).rejects.toThrow(/two classes/);
});

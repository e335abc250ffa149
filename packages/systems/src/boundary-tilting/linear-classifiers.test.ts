import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { fitLda, fitLogistic, LinearSvm } from "./linear-classifiers.js";
import { dot } from "./tilt.js";

test("linear discriminant analysis of independent features divides each mean difference by its variance", () => {
  const random = createRandom("lda");
  const spreads = [1, 0.5, 2];
  const labels = Array.from({ length: 20000 }, (_, row) => row % 2);
  const points = labels.map((label) =>
    spreads.map((spread, k) => label * (k + 1) + spread * random.normal()),
  );
  const { weights } = fitLda(points, labels);
  spreads.forEach((spread, k) => {
    expect(weights[k] / weights[0]).toBeCloseTo((k + 1) / spread ** 2, 0);
  });
});

test("logistic regression's gradient is zero where it ends", () => {
  const random = createRandom("logistic");
  const signs = Array.from({ length: 60 }, (_, row) => (row % 2 === 0 ? -1 : 1));
  const points = signs.map((sign) => [sign + random.normal(), 3 * random.normal(), random.normal()]);
  const { weights, bias } = fitLogistic(points, signs, 0.05, 2000);
  const slope = points.map(
    (x, row) => -signs[row] / (1 + Math.exp(signs[row] * (dot(weights, x) + bias))) / 60,
  );
  for (let k = 0; k < 3; k++) {
    const gradient = points.reduce((sum, x, row) => sum + slope[row] * x[k], 0.1 * weights[k]);
    expect(gradient).toBeCloseTo(0, 5);
  }
  expect(slope.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 5);
});

test.each([
  ["more columns than points", 200, 0],
  ["columns that are nearly the same", 6, 1e-7],
])("the support vector machine closes its gap with %s", (_, width, noise) => {
  const random = createRandom("svm");
  const signs = Array.from({ length: 60 }, (_, row) => (row % 2 === 0 ? -1 : 1));
  const points = signs.map((sign) => {
    const own = sign + random.normal();
    return Array.from({ length: width }, () => (noise > 0 ? own + noise * random.normal() : random.normal()));
  });
  const lambda = 0.01;
  const { weights, bias, gap, alphas } = new LinearSvm(points).fit(signs, lambda, {
    epochs: 2000,
    tolerance: 1e-6,
  });
  expect(gap).toBeLessThan(1e-6);
  // Free points lie on the margin, points at rest beyond it, the others inside.
  const most = 1 / (2 * lambda * 60);
  points.forEach((point, row) => {
    const margin = signs[row] * (dot(weights, point) + bias);
    if (alphas[row] === 0) expect(margin).toBeGreaterThan(1 - 0.01);
    else if (alphas[row] < most) expect(Math.abs(margin - 1)).toBeLessThan(0.01);
    else expect(margin).toBeLessThan(1 + 0.01);
  });
});

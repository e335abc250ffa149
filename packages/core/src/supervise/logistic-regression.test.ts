import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import type { Features } from "./features.js";
import {
  fitLogistic,
  logisticLoss,
  predictProbabilities,
  trainLogisticRegression,
} from "./logistic-regression.js";
import { hardLabels, oneHot } from "./weak-labels.js";

const random = createRandom("logistic regression");

/** Three classes by the largest of three coordinates out of five. */
function threeClasses(n: number, name: string) {
  const features = random.stream(name).normals(n * 5);
  const labels = Int32Array.from({ length: n }, (_, i) => {
    const row = [...features.subarray(i * 5, i * 5 + 3)];
    return row.indexOf(Math.max(...row));
  });
  return { features, shape: [n, 5] as [number, number], labels };
}

/** Random rows of distributions, made by hand to be neither one-hot nor uniform. */
function softTargets(n: number, classes: number) {
  const values = Float32Array.from({ length: n * classes }, () => random.uniform());
  for (let i = 0; i < n; i++) {
    const row = values.subarray(i * classes, (i + 1) * classes);
    const sum = row.reduce((total, value) => total + value, 0);
    row.forEach((value, k) => {
      row[k] = value / sum;
    });
  }
  return { values, shape: [n, classes] as [number, number] };
}

const sparseRows: Features = {
  shape: [3, 4],
  values: Float32Array.of(1, -2, 0.5, 3),
  sparse: { offsets: Int32Array.of(0, 2, 2, 4), columns: Int32Array.of(0, 3, 1, 3) },
};
const sameRowsDense: Features = {
  shape: [3, 4],
  values: Float32Array.of(1, 0, 0, -2, 0, 0, 0, 0, 0, 0.5, 0, 3),
};

describe("logistic regression", () => {
  test.each([
    ["dense", sameRowsDense],
    ["sparse", sparseRows],
  ])("the gradient on %s rows is the slope of the loss", (_, features) => {
    const loss = logisticLoss(features, softTargets(3, 3), 0.1);
    const point = Float64Array.from(random.normals(15));
    const gradient = new Float64Array(15).fill(99); // what was there must not matter
    loss(point, gradient);
    const nowhere = new Float64Array(15);
    for (let i = 0; i < 15; i++) {
      const at = (shift: number) => loss(point.with(i, point[i] + shift), nowhere);
      expect(gradient[i]).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 8);
    }
  });

  test("columns that nearly say the same cost few steps: the bound on the curvature takes their directions apart", () => {
    const base = random.stream("alike").normals(300);
    const features = Float32Array.from(
      { length: 300 * 8 },
      (_, i) => base[Math.floor(i / 8)] * (1 + (i % 8)),
    );
    random
      .stream("apart")
      .normals(features.length, 0.05)
      .forEach((noise, i) => {
        features[i] += noise;
      });
    const labels = Int32Array.from(base, (x, i) => (x + features[i * 8] - features[i * 8 + 1] > 0 ? 1 : 0));
    const given = { classes: 2, tolerance: 1e-7 };
    const fitted = fitLogistic({ values: features, shape: [300, 8] }, labels, given);
    // Sparse rows are fitted without the bound.
    const offsets = Int32Array.from({ length: 301 }, (_, i) => i * 8);
    const sparse = { offsets, columns: Int32Array.from({ length: 2400 }, (_, i) => i % 8) };
    const plain = fitLogistic({ values: features, shape: [300, 8], sparse }, labels, given);
    expect(fitted.converged && plain.converged).toBe(true);
    expect(fitted.iterations).toBeLessThan(plain.iterations / 2);
    expect(fitted.loss).toBeCloseTo(plain.loss, 10);
  });

  test("the loss at zero weights is ln(classes), whatever the labels", () => {
    const loss = logisticLoss(sameRowsDense, softTargets(3, 3), 1);
    expect(loss(new Float64Array(15), new Float64Array(15))).toBeCloseTo(Math.log(3), 6);
  });

  test("sparse and dense rows give the same classifier", () => {
    const labels = Int32Array.of(0, 1, 2);
    const sparse = fitLogistic(sparseRows, labels, { classes: 3, tolerance: 1e-9 });
    const dense = fitLogistic(sameRowsDense, labels, { classes: 3, tolerance: 1e-9 });
    sparse.weights.forEach((weight, i) => {
      expect(weight).toBeCloseTo(dense.weights[i], 5);
    });
    // Column 2 is 0 in every row.
    expect(sparse.weights.subarray(6, 9)).toEqual(new Float64Array(3));
    const { values } = predictProbabilities(sparse, sparseRows);
    predictProbabilities(dense, sameRowsDense).values.forEach((p, i) => {
      expect(p).toBeCloseTo(values[i], 5);
    });
  });

  test("recovers a separable problem and labels new rows", () => {
    const model = trainLogisticRegression({ ...threeClasses(600, "train"), classes: 3, l2: 1e-4 });
    const held = threeClasses(2000, "test");
    const predicted = model.predict(held.features, held.shape);
    const right = hardLabels(predicted).filter((label, i) => label === held.labels[i]).length;
    expect(model.converged).toBe(true);
    expect(right / 2000).toBeGreaterThan(0.96);
    for (let i = 0; i < 2000; i++) {
      const sum = predicted.values.subarray(3 * i, 3 * i + 3).reduce((total, p) => total + p, 0);
      expect(sum).toBeCloseTo(1, 5);
    }
  });

  test("without features it predicts the mean of the labels, which the penalty leaves alone", () => {
    const labels = {
      values: Float32Array.of(0.9, 0.1, 0.5, 0.5, 0.4, 0.6),
      shape: [3, 2] as [number, number],
    };
    const zeros = { features: new Float32Array(3), shape: [3, 1] as [number, number] };
    const model = trainLogisticRegression({ ...zeros, labels, classes: 2, l2: 100 });
    expect(model.predict(new Float32Array(1), [1, 1]).values[0]).toBeCloseTo(0.6, 5);
  });

  test("satisfies the closed form of its optimum: the residuals balance the penalty", () => {
    const { features, shape, labels } = threeClasses(200, "optimum");
    const l2 = 0.01;
    const model = trainLogisticRegression({ features, shape, labels, classes: 3, l2, tolerance: 1e-9 });
    const p = model.predict(features, shape).values;
    for (let j = 0; j < 5; j++) {
      for (let k = 0; k < 3; k++) {
        let pull = 0;
        for (let i = 0; i < 200; i++) {
          pull += (features[i * 5 + j] * (p[i * 3 + k] - (labels[i] === k ? 1 : 0))) / 200;
        }
        expect(pull).toBeCloseTo(-2 * l2 * model.weights[j * 3 + k], 6);
      }
    }
  });

  test("one-hot soft labels give the same bits as hard ones, and so does a second run", () => {
    const { labels, ...rows } = threeClasses(100, "one-hot");
    const hard = trainLogisticRegression({ ...rows, labels, classes: 3 });
    const soft = trainLogisticRegression({ ...rows, labels: oneHot(labels, 3), classes: 3 });
    expect(soft.weights).toEqual(hard.weights);
    expect(soft.bias).toEqual(hard.bias);
  });

  test("converges on labels that sum to 1 only within the tolerance", () => {
    const { labels, ...rows } = threeClasses(100, "rounded");
    const rounded = oneHot(labels, 3);
    rounded.values = rounded.values.map((p) => p * 0.99992);
    const model = trainLogisticRegression({ ...rows, labels: rounded, classes: 3, tolerance: 1e-8 });
    expect(model.converged).toBe(true);
  });

  test("a larger penalty gives smaller weights", () => {
    const norm = (l2: number) =>
      Math.hypot(...trainLogisticRegression({ ...threeClasses(100, "norm"), classes: 3, l2 }).weights);
    expect(norm(1)).toBeLessThan(norm(0.01));
  });

  test("refuses what does not fit", () => {
    const given = { ...threeClasses(10, "refused"), classes: 3 };
    const train = (change: object) => () => trainLogisticRegression({ ...given, ...change });
    expect(train({ features: given.features.with(7, Number.NaN) })).toThrow("row 1, column 2");
    expect(train({ features: new Float32Array(3) })).toThrow("[10,5]");
    expect(train({ labels: new Int32Array(9) })).toThrow("labels [9,3]");
    expect(train({ labels: new Int32Array(10).fill(3) })).toThrow("class 3");
    expect(train({ l2: -1 })).toThrow("l2");
    expect(train({ features: new Float32Array(0), shape: [0, 5], labels: new Int32Array(0) })).toThrow(
      "at least one",
    );
    const model = trainLogisticRegression(given);
    expect(() => model.predict(new Float32Array(4), [1, 4])).toThrow("5 columns");
  });
});

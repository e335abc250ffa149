import { createRandom, type SoftLabels } from "outgrow";
import { expect, test } from "vitest";
import { evidentialLoss, evidentialSlopes, trainEvidential } from "./evidential.js";

test.each([
  [[0.7, 2.1, -0.4, 0.2], [1, 0, 0, 0.5], 1],
  [[0.7, 2.1, -0.4, 0.2], [0, 0.5, 1.5, 0], 0.4],
  [[-1, -2, 3, -0.5], [0.5, 0.5, 0.5, 0.5], 0.8],
  [[5, 0.1, 3, 8], [0, 1, 0, 0], 0],
])("the slopes of the loss at %j, votes %j, are those of finite differences", (scores, votes, progress) => {
  const slopes = new Float64Array(4);
  evidentialSlopes(Float64Array.from(scores), Float64Array.from(votes), progress, slopes);
  slopes.forEach((slope, k) => {
    const at = (step: number) =>
      evidentialLoss(
        scores.map((z, i) => (i === k ? z + step : z)),
        votes,
        progress,
      );
    expect(slope).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 7);
  });
});

test("without evidence the loss of a label is that of a guess", () => {
  expect(evidentialLoss([-1, 0, -3], [0, 1, 0], 1)).toBeCloseTo(Math.log(3), 12);
  // Evidence for the label alone costs nothing but what is missing to all of it.
  expect(evidentialLoss([-1, 4, -3], [0, 1, 0], 1)).toBeCloseTo(Math.log(7 / 5), 12);
});

test("the student learns what most of the weak models name", () => {
  const random = createRandom("evidential test");
  const [count, width, classes] = [600, 4, 3];
  const features = random.stream("features").normals(count * width);
  const truth = Int32Array.from({ length: count }, (_, i) => {
    const own = features.subarray(i * width, i * width + classes);
    return own.indexOf(Math.max(...own));
  });
  const weak = [0.9, 0.8, 0.7].map((accuracy, m): SoftLabels => {
    const own = random.stream("weak", m);
    const values = new Float32Array(count * classes).fill(0.1);
    truth.forEach((y, i) => {
      values[i * classes + (own.uniform() < accuracy ? y : (y + 1 + own.integer(2)) % classes)] = 0.8;
    });
    return { values, shape: [count, classes] };
  });
  const given = { features, width, weak };
  const { predict, parameters } = trainEvidential(given, { random, learningRate: 0.02 });
  const right = predict(features).filter((k, i) => k === truth[i]).length / count;
  expect(right).toBeGreaterThan(0.9);
  expect(trainEvidential(given, { random, learningRate: 0.02 }).parameters).toEqual(parameters);
});

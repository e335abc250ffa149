import { createRandom, type Features } from "outgrow";
import { describe, expect, test } from "vitest";
import { ABSTAIN, predictClasses, trainOnCovered } from "./method.js";

const random = createRandom("covered students");
const [rows, columns] = [600, 3];
const values = random.normals(rows * columns);
const features: Features = { shape: [rows, columns], values };
const truth = Int32Array.from({ length: rows }, (_, i) => Number(values[i * columns] > 0));
const weakLabels = truth.map((label, i) => (i % 3 === 0 ? label : ABSTAIN));

describe("students of covered examples", () => {
  test("learn what the weak labels say, from those rows alone", () => {
    // Rows without a weak label are not looked at: they may hold anything.
    const hidden = values.map((value, i) =>
      weakLabels[Math.floor(i / columns)] === ABSTAIN ? Number.NaN : value,
    );
    const students = trainOnCovered(
      { features: { ...features, values: hidden }, weakLabels, classes: 2 },
      { random, learningRate: 0.05 },
    );
    expect(students).toHaveLength(5);
    for (const student of students) {
      const right = predictClasses(student, features).filter((label, i) => label === truth[i]).length;
      expect(right / rows).toBeGreaterThan(0.93);
      expect(student.heldOutDisagreement).toBeLessThan(0.1);
    }
    expect(students[0].weights).not.toEqual(students[1].weights);
  });

  test("are the same from sparse features, and the same again", () => {
    const sparse = {
      offsets: Int32Array.from({ length: rows + 1 }, (_, i) => i * columns),
      columns: Int32Array.from({ length: rows * columns }, (_, i) => i % columns),
    };
    const train = (given: Features) =>
      trainOnCovered(
        { features: given, weakLabels, classes: 2 },
        { random: createRandom(7), steps: 40, repeats: 2 },
      );
    expect(train({ ...features, sparse })).toEqual(train(features));
  });

  test("with two classes have opposite weights, and a step is as AdamW has it", () => {
    // One example of each class in all: half of them are learned from, so one example makes every step.
    const [student] = trainOnCovered(
      { features: { shape: [2, 1], values: Float32Array.of(1, 1) }, weakLabels: [1, 0], classes: 2 },
      {
        random: createRandom(1),
        repeats: 1,
        share: 0.5,
        steps: 2,
        validateEvery: 3,
        learningRate: 0.1,
        weightDecay: 0.5,
      },
    );
    // Adam's first step is as long as the learning rate; the second, at half of it, nearly so, with decay of the first.
    const gradients = [0.5, 1 / (1 + Math.exp(0.4))];
    const mean = (0.9 * 0.1 * gradients[0] + 0.1 * gradients[1]) / (1 - 0.9 ** 2);
    const square = (0.999 * 0.001 * gradients[0] ** 2 + 0.001 * gradients[1] ** 2) / (1 - 0.999 ** 2);
    const expected = 0.1 + 0.05 * (mean / Math.sqrt(square) - 0.5 * 0.1);
    expect(Math.abs(student.weights[0])).toBeCloseTo(expected, 6);
    expect(student.weights[1]).toBeCloseTo(-student.weights[0], 12);
  });

  test("keep the step of least disagreement with weak labels held out, not the last", () => {
    const noisy = weakLabels.map((label, i) => (label !== ABSTAIN && i % 2 === 0 ? 1 - label : label));
    const [student] = trainOnCovered(
      { features, weakLabels: noisy, classes: 2 },
      { random: createRandom(3), repeats: 1, learningRate: 0.5, validateEvery: 1 },
    );
    expect(student.step).toBeLessThan(500);
    expect(student.heldOutDisagreement).toBeGreaterThan(0);
  });
});

describe("are refused", () => {
  const train = (change: Partial<Parameters<typeof trainOnCovered>[0]>) => () =>
    trainOnCovered({ features, weakLabels, classes: 2, ...change }, { random, steps: 1 });

  test.each([
    ["no covered rows", { weakLabels: truth.map(() => ABSTAIN) }, "all 600 weak labels abstain"],
    [
      "one class",
      { weakLabels: truth.map((label) => (label === 1 ? 1 : ABSTAIN)) },
      /that do not abstain are of class 1: a student can learn nothing else/,
    ],
    ["a code that is a class", { abstain: 1 }, "the code for abstaining is 1, which is one of the 2 classes"],
    [
      "an unknown class",
      { weakLabels: weakLabels.with(4, 2) },
      "the weak label of row 4 (counted from 0) is 2",
    ],
    ["other lengths", { weakLabels: truth.slice(1) }, "599 weak labels for 600 rows"],
    [
      "features that are not numbers",
      { features: { ...features, values: values.with(columns * 3 + 1, Number.NaN) } },
      "feature 1 of row 3 (counted from 0) is NaN",
    ],
  ])("%s", (_, change, message) => {
    expect(train(change)).toThrow(message);
  });

  test("with the names of the rows, where they have some", () => {
    const ids = Array.from({ length: rows }, (_, i) => `review-${i}`);
    expect(train({ ids, weakLabels: weakLabels.with(4, 2) })).toThrow('the weak label of example "review-4"');
    expect(() =>
      predictClasses({ weights: new Float64Array(4), bias: new Float64Array(2) }, features),
    ).toThrow("weights of 2 columns, not 3");
  });
});

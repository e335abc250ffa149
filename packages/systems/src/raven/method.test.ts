import { createRandom, easyExamples, type SoftLabels } from "outgrow";
import { describe, expect, test } from "vitest";
import { movedWeights, trainRaven, weightGradient } from "./method.js";
import { spearman } from "./rows.js";

const random = createRandom("raven/test");
const [count, width, classes] = [400, 5, 3];
const features = random.stream("features").normals(count * width);
const direction = random.stream("direction").normals(width * classes);
const truth = Int32Array.from({ length: count }, (_, i) => {
  const scores = [0, 1, 2].map((k) =>
    Array.from({ length: width }, (__, j) => features[i * width + j] * direction[j * classes + k]).reduce(
      (a, b) => a + b,
      0,
    ),
  );
  return scores.indexOf(Math.max(...scores));
});

/** Labels that are right with this probability, at 0.8 for the class they name. */
function weakModel(name: string, accuracy: number): SoftLabels {
  const own = random.stream("weak", name);
  const values = new Float32Array(count * classes).fill(0.1);
  truth.forEach((y, i) => {
    values[i * classes + (own.uniform() < accuracy ? y : (y + 1 + own.integer(2)) % 3)] = 0.8;
  });
  return { values, shape: [count, classes] };
}
const [good, poor, poorer] = [weakModel("good", 0.95), weakModel("poor", 0.5), weakModel("poorer", 0.4)];
const data = (weak: readonly SoftLabels[]) => ({ features, width, weak });
const accuracyOf = (predicted: Int32Array) => predicted.filter((k, i) => k === truth[i]).length / count;

describe("weights of weak models", () => {
  test("move along the slope of the loss, as finite differences have it", () => {
    const surprise = [0.9, 1.4, 2];
    const loss = (w: number[]) => {
      const sum = w.reduce((a, b) => a + b, 0);
      return w.reduce((total, x, m) => total + (x / sum) * surprise[m], 0);
    };
    const weights = [0.5, 0.3, 0.2];
    weightGradient(surprise, weights).forEach((slope, m) => {
      const at = (step: number) => loss(weights.map((w, i) => (i === m ? w + step : w)));
      expect(slope).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 8);
    });
  });

  test("stay at 0.000001 at least and sum to 1, however far a step would go", () => {
    const moved = movedWeights([0.5, 0.5], [10, -10], 1);
    expect(moved[0]).toBeCloseTo(1e-6 / (10.5 + 1e-6), 12);
    expect(moved[0] + moved[1]).toBeCloseTo(1, 12);
  });

  test("find the accurate model, and its student beats that of equal weights", () => {
    const weak = [poor, good, poorer];
    const student = trainRaven(data(weak), { random, learningRate: 0.02, weightRate: 0.05 });
    expect(student.weights[1]).toBeGreaterThan(0.6);
    expect(student.weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    expect(student.course).toHaveLength(30);
    expect(student.course[8]).toEqual([1 / 3, 1 / 3, 1 / 3]);
    expect(accuracyOf(student.predict(features))).toBeGreaterThan(0.85);
  });

  test("of identical models stay equal; a rate of 0 keeps all", () => {
    const { weights } = trainRaven(data([good, poor, good]), { random, epochs: 6, weightRate: 0.05 });
    expect(weights[0]).toBe(weights[2]);
    expect(weights[0]).toBeGreaterThan(weights[1]);
    expect(trainRaven(data([good, poor]), { random, epochs: 3, weightRate: 0 }).weights).toEqual([0.5, 0.5]);
  });

  test("that collapse are reported with the step", () => {
    const options = { random, epochs: 10, easyShare: 0, learningRate: 0.02 };
    expect(trainRaven(data([good, poorer]), { ...options, weightRate: 50 }).collapsedAt).toBeGreaterThan(0);
    expect(trainRaven(data([good, poorer]), { ...options, weightRate: 0 }).collapsedAt).toBeUndefined();
  });
});

test("weights for each example end where its own labels surprise the student least", () => {
  const student = trainRaven(data([good, poor]), {
    random,
    learningRate: 0.02,
    weightRate: 0.05,
    perExample: true,
  });
  const one = trainRaven(data([good, poor]), { random, learningRate: 0.02, weightRate: 0.05 });
  expect(student.weights[0]).toBeGreaterThan(0.55);
  expect(student.weights[0]).toBeLessThan(one.weights[0]);
  expect(student.weights[0] + student.weights[1]).toBeCloseTo(1, 10);
  // Where a rate is 0 both are the equal mean.
  const still = { random, epochs: 3, weightRate: 0 };
  expect(trainRaven(data([good, poor]), { ...still, perExample: true }).parameters).toEqual(
    trainRaven(data([good, poor]), still).parameters,
  );
});

test("one weak model alone is naive training: the weight, the easy start and its rate change nothing", () => {
  const options = { random, epochs: 4 };
  const plain = trainRaven(data([poor]), { ...options, weightRate: 0, easyShare: 0 });
  expect(trainRaven(data([poor]), { ...options, weightRate: 0.1, easyShare: 0.5 }).parameters).toEqual(
    plain.parameters,
  );
});

test("the start sees only examples on which all agree, and is given up where there is none", () => {
  const turned: SoftLabels = {
    values: good.values.map((_, at) => good.values[at - (at % 3) + ((at + 1) % 3)]),
    shape: good.shape,
  };
  expect(easyExamples([good, turned]).some((easy) => easy === 1)).toBe(false);
  const { warnings, easy } = trainRaven(data([good, turned]), { random, epochs: 4 });
  expect(easy).toBe(0);
  expect(warnings[0]).toContain("agree on no example");
  // Where every epoch is an easy one, labels of the other examples do not matter.
  const isEasy = easyExamples([good, poor]);
  expect(isEasy.filter((easy) => easy === 0).length).toBeGreaterThan(100);
  const uniform = poor.values.map((p, at) => (isEasy[Math.floor(at / 3)] ? p : p > 0.5 ? 0.7 : 0.15));
  const options = { random, epochs: 3, weightRate: 0.05 };
  const parameters = (values: Float32Array, easyShare: number) =>
    trainRaven(data([good, { values, shape: poor.shape }]), { ...options, easyShare }).parameters;
  expect(parameters(uniform, 1)).toEqual(parameters(poor.values, 1));
  expect(parameters(uniform, 0)).not.toEqual(parameters(poor.values, 0));
});

test("the easy examples of one class alone are a warning with the counts", () => {
  const one: SoftLabels = {
    values: new Float32Array(count * classes).map((_, at) => Number(at % 3 === 0)),
    shape: [count, classes],
  };
  const { warnings } = trainRaven(data([good, one]), { random, epochs: 4 });
  expect(warnings[0]).toMatch(/one class alone \(by class: \d+, 0, 0\)/);
});

test("weights to start from: by entropy the certain model has nearly all; wrong ones are refused", () => {
  const certain: SoftLabels = { values: good.values.map((p) => Number(p > 0.5)), shape: good.shape };
  const options = { random, epochs: 1, weightRate: 0 };
  expect(trainRaven(data([certain, poor]), { ...options, weights: "entropy" }).weights[0]).toBeGreaterThan(
    0.999,
  );
  expect(() => trainRaven(data([good, poor]), { ...options, weights: [0.5, 0.6] })).toThrow(
    "have a sum of 1.1",
  );
  expect(() => trainRaven(data([good, poor]), { ...options, weights: [1.5, -0.5] })).toThrow(
    "the weights [1.5, -0.5]",
  );
  expect(() => trainRaven(data([good, poor]), { ...options, weights: [1] })).toThrow(
    "1 weights for 2 weak models",
  );
});

test("weak labels that do not fit are refused: classes, rows, sums, none", () => {
  const two: SoftLabels = { values: new Float32Array(count * 2).fill(0.5), shape: [count, 2] };
  expect(() => trainRaven(data([good, two]), { random })).toThrow(
    "weak model 2 has 2 classes, the first has 3",
  );
  const short: SoftLabels = { values: good.values.subarray(0, 30), shape: [10, 3] };
  expect(() => trainRaven(data([good, short]), { random })).toThrow("weak model 2 labels 10 examples");
  const broken = { ...good, values: good.values.map((p, at) => (at === 5 ? Number.NaN : p)) };
  expect(() => trainRaven(data([good, broken]), { random })).toThrow("row 1 (counted from 0)");
  expect(() => trainRaven(data([]), { random })).toThrow("no weak model");
});

test("Spearman's correlation, with ties", () => {
  expect(spearman([0.1, 0.2, 0.7], [1, 2, 3])).toBe(1);
  expect(spearman([3, 2, 1], [1, 2, 3])).toBe(-1);
  expect(spearman([1, 1, 1], [1, 2, 3])).toBeNull();
});

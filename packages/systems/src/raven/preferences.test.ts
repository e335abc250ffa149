import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { weightGradient } from "./method.js";
import { pairSlopes, trainRavenPreferences } from "./preferences.js";

const random = createRandom("raven/preferences test");
const [count, width] = [320, 4];
const first = random.stream("first").normals(count * width);
const second = random.stream("second").normals(count * width);
const truth = Float64Array.from(
  { length: count },
  (_, i) => first[i * width] - second[i * width] + 0.5 * (first[i * width + 1] - second[i * width + 1]),
);

/** Rewards whose margin has the truth's sign in this share of pairs. */
function weakModel(name: string, accuracy: number): Float32Array {
  const own = random.stream("weak", name);
  return Float32Array.from({ length: 2 * count }, (_, at) => {
    if (at % 2 === 1) return 0;
    const size = 0.5 + own.uniform();
    return Math.sign(truth[at / 2]) * (own.uniform() < accuracy ? size : -size);
  });
}
const [good, poor, poorer] = [weakModel("good", 0.95), weakModel("poor", 0.6), weakModel("poorer", 0.5)];
const pairs = (rewards: Float32Array[]) => ({ first, second, width, rewards });

/** The loss of a pair as it is written down. */
const loss = (student: number, margins: number[], weights: number[], beta: number) => {
  const sum = weights.reduce((a, b) => a + b, 0);
  const logits = margins.reduce((total, own, m) => total + (weights[m] / sum) * own, 0);
  const a = 1 / (1 + Math.exp(-logits));
  const [chosen, rejected, h] = a >= 0.5 ? [a, 1 - a, student] : [1 - a, a, -student];
  return -Math.log(1 / (1 + Math.exp(-(beta + chosen - rejected) * h)));
};

describe("slopes of a pair's loss", () => {
  test.each([
    [0.7, [1.2, -0.3, 0.4]],
    [-2, [1.2, -0.3, 0.4]],
    [0.7, [-1.2, 0.3, -2]],
    [-1.1, [-1.2, 0.3, -2]],
  ])("student's margin %f, weak margins %j: as finite differences have it", (student, margins) => {
    const weights = [0.5, 0.3, 0.2];
    const weighted = margins.reduce((sum, own, m) => sum + weights[m] * own, 0);
    const slopes = pairSlopes(student, weighted, 0.1, true);
    expect(slopes.loss).toBeCloseTo(loss(student, margins, weights, 0.1), 12);
    const step = 1e-5;
    const along = (by: number) => loss(student + by, margins, weights, 0.1);
    expect(slopes.byStudent).toBeCloseTo((along(step) - along(-step)) / (2 * step), 8);
    const byWeight = weightGradient(
      margins.map((own) => slopes.byMargin * own),
      weights,
    );
    byWeight.forEach((slope, m) => {
      const at = (by: number) =>
        loss(
          student,
          margins,
          weights.map((w, i) => (i === m ? w + by : w)),
          0.1,
        );
      expect(slope).toBeCloseTo((at(step) - at(-step)) / (2 * step), 8);
    });
  });

  test("with a fixed strength do not reach the weights", () => {
    expect(pairSlopes(1, -2, 0.3, false)).toEqual({
      loss: Math.log1p(Math.exp(0.3)),
      byStudent: 0.3 / (1 + Math.exp(-0.3)),
      byMargin: 0,
    });
  });
});

test("one weak model is plain DPO, whatever the easy start and the rate of the weights", () => {
  const settings = { epochs: 3, batchSize: 32, learningRate: 0.02 };
  const { parameters, weights } = trainRavenPreferences(pairs([poor]), {
    ...settings,
    random,
    weightRate: 0.5,
  });
  expect(weights).toEqual([1]);
  // DPO of a linear policy with the start as its reference, step by step.
  const theta = new Float64Array(width);
  const [mean, square] = [new Float64Array(width), new Float64Array(width)];
  const steps = 3 * (count / 32);
  for (let step = 0; step < steps; step++) {
    const order = random.stream("epoch", Math.floor(step / 10)).permutation(count);
    const gradient = new Float64Array(width);
    for (const i of order.subarray((step % 10) * 32, (step % 10) * 32 + 32)) {
      const [chosen, rejected] = poor[2 * i] >= poor[2 * i + 1] ? [first, second] : [second, first];
      const x = theta.map((_, j) => chosen[i * width + j] - rejected[i * width + j]);
      const margin = 0.1 * x.reduce((sum, value, j) => sum + value * theta[j], 0);
      x.forEach((value, j) => {
        gradient[j] -= (0.1 * value) / (1 + Math.exp(margin)) / 32;
      });
    }
    theta.forEach((_, j) => {
      mean[j] = 0.9 * mean[j] + 0.1 * gradient[j];
      square[j] = 0.999 * square[j] + 0.001 * gradient[j] ** 2;
      const rate = 0.01 * (1 + Math.cos((Math.PI * step) / steps));
      const [m, s] = [mean[j] / (1 - 0.9 ** (step + 1)), square[j] / (1 - 0.999 ** (step + 1))];
      theta[j] -= (rate * m) / (Math.sqrt(s) + 1e-8);
    });
  }
  // Differences of features are kept in float32.
  parameters.forEach((value, j) => {
    expect(value).toBeCloseTo(theta[j], 5);
  });
});

test("weights find the model that orders the pairs right, and the student follows it", () => {
  const student = trainRavenPreferences(pairs([poor, good, poorer]), {
    random,
    weightRate: 0.05,
    learningRate: 0.02,
  });
  expect(student.weights[1]).toBeGreaterThan(0.6);
  expect(student.weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
  expect(student.course).toHaveLength(30);
  expect(student.course[14]).toEqual([1 / 3, 1 / 3, 1 / 3]);
  expect(student.course[15]).not.toEqual([1 / 3, 1 / 3, 1 / 3]);
  const [a, b] = [student.rewards(first), student.rewards(second)];
  const right = truth.filter((margin, i) => margin > 0 === a[i] > b[i]).length / count;
  expect(right).toBeGreaterThan(0.9);
});

test("identical models keep equal weights; a fixed strength or a rate of 0 keeps all", () => {
  const options = { random, epochs: 6, weightRate: 0.05 };
  const { weights } = trainRavenPreferences(pairs([good, poor, good]), options);
  expect(weights[0]).toBe(weights[2]);
  expect(weights[0]).toBeGreaterThan(weights[1]);
  for (const own of [{ strength: "fixed" as const }, { weightRate: 0 }]) {
    expect(trainRavenPreferences(pairs([good, poor]), { ...options, ...own }).weights).toEqual([0.5, 0.5]);
  }
});

test("the order of the two replies does not matter", () => {
  const turned = (rewards: Float32Array) => rewards.map((_, at) => rewards[at % 2 === 0 ? at + 1 : at - 1]);
  const options = { random, epochs: 4, weightRate: 0.05 };
  const one = trainRavenPreferences(pairs([good, poor]), options);
  const other = trainRavenPreferences(
    { first: second, second: first, width, rewards: [turned(good), turned(poor)] },
    options,
  );
  expect(other.weights).toEqual(one.weights);
  expect(other.parameters).toEqual(one.parameters);
});

test("the start sees only pairs that all order alike, and is given up with a warning where there are none", () => {
  const { warnings, easy } = trainRavenPreferences(pairs([good, good.map((r) => -r)]), { random, epochs: 2 });
  expect(easy).toBe(0);
  expect(warnings).toEqual(["The weak models order no pair alike: training starts on all."]);
  const isHard = (i: number) => good[2 * i] >= 0 !== poor[2 * i] >= 0;
  // Where every epoch is an easy one, how much the other pairs' rewards differ does not matter.
  const greater = poor.map((r, at) => (isHard(Math.floor(at / 2)) ? 3 * r : r));
  const parameters = (own: Float32Array, easyShare: number) =>
    trainRavenPreferences(pairs([good, own]), { random, epochs: 3, easyShare }).parameters;
  expect(parameters(greater, 1)).toEqual(parameters(poor, 1));
  expect(parameters(greater, 0)).not.toEqual(parameters(poor, 0));
});

test("a rate that leaves one model is reported with the step", () => {
  const options = { random, epochs: 10, easyShare: 0, learningRate: 0.02 };
  expect(
    trainRavenPreferences(pairs([good, poorer]), { ...options, weightRate: 50 }).collapsedAt,
  ).toBeGreaterThan(0);
  expect(
    trainRavenPreferences(pairs([good, poorer]), { ...options, weightRate: 0 }).collapsedAt,
  ).toBeUndefined();
});

test("what does not fit is refused: features, rewards, weights, none", () => {
  const broken = good.map((r, at) => (at === 10 ? Number.NaN : r));
  expect(() => trainRavenPreferences(pairs([good, broken]), { random })).toThrow(
    "weak model 2 has the rewards NaN and 0 of pair 5 (counted from 0)",
  );
  expect(() => trainRavenPreferences(pairs([good.subarray(2)]), { random })).toThrow(
    "weak model 1 has 638 rewards, and there are 320 pairs",
  );
  expect(() => trainRavenPreferences(pairs([]), { random })).toThrow("no weak model");
  expect(() => trainRavenPreferences({ ...pairs([good]), second: second.subarray(4) }, { random })).toThrow(
    "no pairs of 4 features",
  );
  expect(() => trainRavenPreferences(pairs([good, poor]), { random, weights: [0.5, 0.6] })).toThrow(
    "have a sum of 1.1",
  );
});

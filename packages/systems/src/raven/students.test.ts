import { argmaxRows, createRandom, oneHot, type SoftLabels } from "outgrow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { trainRaven } from "./method.js";
import { type Probe, ProbeTraining, type TrainedProbe } from "./students.js";

const [count, width, classes] = [192, 5, 3];
const random = createRandom("probes test");
const features = random.stream("features").normals(count * width);
const truth = Int32Array.from({ length: count }, (_, i) =>
  features[i * width] > 0.5 ? 0 : features[i * width + 1] > 0 ? 1 : 2,
);
const weak = [0.9, 0.6, 0.4].map((accuracy, m): SoftLabels => {
  const own = random.stream("weak", m);
  const hard = oneHot(
    truth.map((y) => (own.uniform() < accuracy ? y : (y + 1 + own.integer(2)) % classes)),
    classes,
  );
  return { ...hard, values: hard.values.map((p) => (p === 1 ? 0.8 : 0.1)) };
});
const options = { epochs: 6, batchSize: 32, learningRate: 0.03 };
const never = {
  values: weak[0].values.map((_, at, all) => all[at - (at % 3) + ((at + 1) % 3)]),
  shape: weak[0].shape,
};
const sets = [...weak, never];
const probes = {
  naive: { sets: [1] },
  equal: { sets: [0, 1, 2] },
  raven: { sets: [0, 1, 2], weightRate: 0.05, easyShare: 0.5 },
  "no easy start": { sets: [2, 0], weightRate: 0.05 },
  weighed: { sets: [1, 0], weights: [0.9, 0.1] },
  collapsing: { sets: [0, 2], weightRate: 3 },
  "no easy example": { sets: [0, 3], weightRate: 0.05, easyShare: 0.5 },
} satisfies Record<string, Probe>;
const others = {
  confidence: { sets: [0, 1], own: "confidence" },
  "v-sup": { sets: [0, 1], own: "v-sup" },
  half: { sets: [0], features: 2 },
} satisfies Record<string, Probe>;
const all: Record<string, Probe> = { ...probes, ...others };

let trained: Record<string, TrainedProbe>;
let training: ProbeTraining;
beforeAll(async () => {
  const size = { width, classes, sets: sets.length, count };
  training = new ProbeTraining(Object.values(all), size, options);
  const students = await training.train(features, sets, { random: random.stream("order") });
  trained = Object.fromEntries(Object.keys(all).map((name, i) => [name, students[i]]));
});
afterAll(() => training.dispose());

test.each(Object.entries<Probe>(probes))("%s: the student that plain loops train alone", (name, probe) => {
  const { weightRate = 0, easyShare = 0, weights } = probe;
  const given = { features, width, weak: probe.sets.map((s) => sets[s]) };
  const alone = trainRaven(given, {
    ...options,
    random: random.stream("order"),
    weightRate,
    easyShare,
    weights,
  });
  trained[name].weights.forEach((weight, m) => {
    expect(weight).toBeCloseTo(alone.weights[m], 4);
  });
  expect(trained[name].collapsedAt).toBe(alone.collapsedAt);
  const { values } = trained[name].predict(features);
  for (let row = 0; row < count; row++) {
    const z = Array.from({ length: classes }, (_, k) =>
      Array.from(
        { length: width },
        (__, j) => features[row * width + j] * alone.parameters[j * classes + k],
      ).reduce((a, b) => a + b, alone.parameters[width * classes + k]),
    );
    const sum = z.reduce((s, value) => s + Math.exp(value), 0);
    z.forEach((value, k) => {
      expect(values[row * classes + k]).toBeCloseTo(Math.exp(value) / sum, 3);
    });
  }
});

test("losses with the student's own class make it surer than the labels alone", () => {
  const certainty = ({ predict }: TrainedProbe) => {
    const { values } = predict(features);
    let sum = 0;
    for (let row = 0; row < count; row++) sum += Math.max(...values.subarray(row * 3, row * 3 + 3));
    return sum / count;
  };
  expect(certainty(trained.confidence)).toBeGreaterThan(certainty(trained.equal) + 0.02);
  expect(certainty(trained["v-sup"])).toBeGreaterThan(certainty(trained.equal) + 0.02);
});

test("a student of some features does not see the others", () => {
  const changed = features.map((x, at) => (at % width < 2 ? x : x + 5));
  expect(trained.half.predict(changed)).toEqual(trained.half.predict(features));
  expect(argmaxRows(trained.half.predict(features).values, classes)).not.toEqual(
    argmaxRows(trained.naive.predict(features).values, classes),
  );
});

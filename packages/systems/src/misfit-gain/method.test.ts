import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { chooseTeacher } from "./method.js";
import { fitMixture, mixtureProbabilities, reverseKl } from "./mixture-heads.js";
import { perturbed, RepresentationWorld, representationOf } from "./world.js";

const random = createRandom("misfit-gain/test");
const [rows, columns] = [120, 3];
const features = random.normals(rows * columns);
const truth = Array.from({ length: rows }, (_, i) => 2 * features[i * columns] - features[i * columns + 1]);
const heldOut = truth.map((_, i) => i >= 80);
// The first errs in what a head of the features can express, the second, by more, in what it cannot.
const copied = truth.map((y, i) => y + features[i * columns + 2]);
const noisy = truth.map((y) => y + 1.5 * random.normal());
const candidates = [
  { name: "biased", labels: copied },
  { name: "noisy", labels: noisy },
];
const problem = { features, shape: [rows, columns] as const, candidates, truth, heldOut };

describe("the choice of a teacher", () => {
  test("takes the one whose errors a student cannot fit, though they are larger", () => {
    const choice = chooseTeacher({ ...problem, truth: truth.map((y, i) => (i >= 80 ? y : null)) });
    const of = (name: string) => choice.ranking.find((each) => each.name === name);
    expect(choice.chosen).toBe("noisy");
    expect(of("biased")?.weakError).toBeLessThan(of("noisy")?.weakError as number);
    expect(of("biased")?.misfit).toBeCloseTo(0, 10);
    expect(choice.students.biased.weights[2]).toBeCloseTo(1, 10);
  });

  test("says where there is too little to go by", () => {
    const few = truth.map((_, i) => i >= 20);
    expect(chooseTeacher({ ...problem, heldOut: few }).warnings.join()).toContain(
      "20 rows to train on for 3 features",
    );
    const doubled = Float64Array.from({ length: rows * 2 }, (_, i) => features[Math.floor(i / 2) * columns]);
    const { warnings, students } = chooseTeacher({ ...problem, features: doubled, shape: [rows, 2] });
    expect(warnings.join()).toContain("rank 1 of 2");
    expect(students.noisy.weights[0]).toBeCloseTo(students.noisy.weights[1], 10);
    const same = [{ ...candidates[0], name: "z" }, candidates[0]];
    expect(chooseTeacher({ ...problem, candidates: same }).warnings.join()).toContain(
      '"z" score as well as "biased"',
    );
  });

  test("knows that the student of constant labels is constant and has no misfit", () => {
    const constant = [{ name: "constant", labels: truth.map(() => 4) }];
    const { ranking, students } = chooseTeacher({ ...problem, candidates: constant });
    expect(ranking[0].misfit).toBeCloseTo(0, 12);
    expect(students.constant.bias[0]).toBeCloseTo(4, 12);
  });

  test.each([
    ["a constant truth", { truth: truth.map(() => 1) }, /all equal/],
    ["labels of other rows", { candidates: [{ name: "a", labels: [1] }] }, /1 labels for 120 rows/],
    [
      "other ids",
      {
        ids: truth.map(String),
        candidates: [{ name: "a", labels: truth, ids: truth.map((_, i) => `${i}`) }],
      },
      /same order/,
    ],
    [
      "a label that is not finite",
      { candidates: [{ name: "a", labels: truth.map((y, i) => (i === 7 ? Number.NaN : y)) }] },
      /row 7 by "a" is NaN/,
    ],
    ["nothing to train on", { heldOut: truth.map(() => true) }, /all rows are held out/],
  ])("refuses %s", (_, change, message) => {
    expect(() => chooseTeacher({ ...problem, ...change })).toThrow(message);
  });
});

describe("mixtures of softmax heads", () => {
  const data = { features: Float64Array.from(random.normals(30 * 2)), columns: 2 };
  const softmaxed = (logits: Float32Array) => {
    const out = Float64Array.from(logits, Math.exp);
    for (let i = 0; i < out.length; i += 3) {
      const sum = out[i] + out[i + 1] + out[i + 2];
      for (let k = 0; k < 3; k++) out[i + k] /= sum;
    }
    return out;
  };
  const weak = softmaxed(random.normals(30 * 3));

  test("have the gradient of their loss", () => {
    const objective = reverseKl(data, weak, 2, 3);
    const point = Float64Array.from(random.normals(2 * 9 + 2));
    const gradient = new Float64Array(point.length);
    objective(point, gradient);
    const step = 1e-5;
    point.forEach((_, i) => {
      const at = (by: number) =>
        objective(
          point.map((v, j) => (i === j ? v + by : v)),
          new Float64Array(point.length),
        );
      expect(gradient[i]).toBeCloseTo((at(step) - at(-step)) / (2 * step), 7);
    });
  });

  test("say probabilities, and come nearer to the weak labels with more heads", () => {
    const distance = (components: number) => {
      const heads = fitMixture(data, weak, {
        components,
        classes: 3,
        random: random.stream("mix"),
        iterations: 200,
      });
      const p = mixtureProbabilities(heads, data);
      for (let i = 0; i < p.length; i += 3) expect(p[i] + p[i + 1] + p[i + 2]).toBeCloseTo(1, 12);
      return reverseKl(
        data,
        weak,
        components,
        3,
      )(heads.parameters, new Float64Array(heads.parameters.length));
    };
    expect(distance(3)).toBeLessThan(distance(1));
  });
});

describe("the world", () => {
  const world = new RepresentationWorld([4, 8, 8], random.stream("world"));

  test("has targets of variance 1 that are linear in the true representation", () => {
    const inputs = world.inputs(3000, "some");
    const y = world.targets(2, "task")(inputs);
    const own = Array.from({ length: 3000 }, (_, i) => y[2 * i]);
    const variance = own.reduce((sum, v) => sum + v * v, 0) / 3000;
    expect(variance).toBeGreaterThan(0.8);
    expect(variance).toBeLessThan(1.25);
  });

  test("has representations that noise of 0 leaves as they are", () => {
    const inputs = world.inputs(5, "few");
    const same = perturbed(world.truth, 0, random.stream("none"));
    expect(representationOf(same, inputs)).toEqual(representationOf(world.truth, inputs));
    const other = perturbed(world.truth, 0.1, random.stream("some"));
    expect(representationOf(other, inputs)).not.toEqual(representationOf(world.truth, inputs));
  });
});

import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { applyLinearHead, fitLeastSquares } from "../supervise/least-squares.js";
import { trainLogisticRegression } from "../supervise/logistic-regression.js";
import { slope, spearman } from "./correlation.js";
import { chooseSupervisor, misfitGain } from "./misfit.js";

const random = createRandom("misfit");
const [rows, columns] = [200, 3];
const features = random.normals(rows * columns);
const shape = [rows, columns] as const;
const head = { weights: Float64Array.of(1, -2, 0.5), bias: Float64Array.of(3) };
const truth = applyLinearHead(head, features, shape);

describe("misfit of squared error", () => {
  test("is the gain where the student is the projection on a space that the truth lies in (theorem 1)", () => {
    const weak = truth.map((y, i) => y + random.normal() + 0.3 * features[i * columns]);
    const student = applyLinearHead(fitLeastSquares(features, shape, weak), features, shape);
    const found = misfitGain({ weak, student, truth });
    expect(found.gain.value).toBeCloseTo(found.misfit, 10);
    expect(found.excess.value).toBeCloseTo(0, 10);
    expect(found.predictedError.value).toBeCloseTo(found.studentError.value as number, 10);
    expect(found.misfit).toBeGreaterThan(0.5);
  });

  test("is below the gain for the projection on a ball that the truth lies in", () => {
    const weak = truth.map((y, i) => 2 * y + 3 * features[i * columns + 2] + random.normal());
    const radius = Math.hypot(...head.weights);
    let [low, high] = [0, 1e5];
    let fitted = fitLeastSquares(features, shape, weak);
    expect(Math.hypot(...fitted.weights)).toBeGreaterThan(radius);
    for (let i = 0; i < 60; i++) {
      fitted = fitLeastSquares(features, shape, weak, { ridge: (low + high) / 2 });
      if (Math.hypot(...fitted.weights) > radius) low = (low + high) / 2;
      else high = (low + high) / 2;
    }
    const student = applyLinearHead(fitted, features, shape);
    expect(misfitGain({ weak, student, truth }).excess.value).toBeGreaterThan(0.01);
  });

  test("differs from the gain by 2 E (weak - student)(student - truth), whatever the three are", () => {
    const [weak, student, y] = [random.normals(40), random.normals(40), random.normals(40)];
    const found = misfitGain({ weak, student, truth: y, width: 4 });
    const cross = weak.reduce((sum, w, i) => sum + 2 * (w - student[i]) * (student[i] - y[i]), 0) / 10;
    expect(found.excess.value).toBeCloseTo(cross, 5);
    expect(found.examples).toBe(10);
  });

  test("needs no truth, and uses what there is", () => {
    expect(misfitGain({ weak: [1, 2], student: [1, 4] })).toMatchObject({
      misfit: 2,
      known: 0,
      gain: { value: null, reason: "no truth is known" },
    });
    const found = misfitGain({ weak: [1, 2], student: [1, 4], truth: [3, null] });
    expect(found).toMatchObject({ known: 1, weakError: { value: 4 }, predictedError: { value: 2 } });
  });

  test.each([
    ["of other lengths", { weak: [1, 2], student: [1] }, /lengths/],
    ["that are not finite", { weak: [1, Number.NaN], student: [1, 2] }, /"weak" of example 1/],
    [
      "of truth that is known in part",
      { weak: [1, 2], student: [1, 2], truth: [null, 1], width: 2 },
      /in part/,
    ],
    ["that are none", { weak: [], student: [] }, /no examples/],
    ["that are no probabilities", { weak: [2], student: [1], loss: "kl" as const }, /a probability/],
  ])("refuses values %s", (_, input, message) => {
    expect(() => misfitGain(input)).toThrow(message);
  });
});

describe("misfit of KL", () => {
  const softmax = (logits: Float64Array, classes: number) => {
    const out = logits.map(Math.exp);
    for (let i = 0; i < out.length; i += classes) {
      const sum = out.subarray(i, i + classes).reduce((a, b) => a + b, 0);
      for (let k = 0; k < classes; k++) out[i + k] /= sum;
    }
    return out;
  };

  test("is the gain of a softmax head that learned weak labels by cross-entropy, for a truth of its family", () => {
    const weights = Float64Array.from({ length: columns * 3 }, () => random.normal());
    const r = softmax(applyLinearHead({ weights, bias: Float64Array.of(0, 0.5, -1) }, features, shape), 3);
    const w = softmax(
      Float64Array.from({ length: rows * 3 }, () => random.normal()),
      3,
    );
    const labels = { values: Float32Array.from(w), shape: [rows, 3] as [number, number] };
    const student = trainLogisticRegression({
      features,
      shape: [...shape],
      labels,
      classes: 3,
      l2: 0,
      tolerance: 1e-9,
    });
    const said = student.predict(features, [...shape]).values;
    const found = misfitGain({ weak: w, student: said, truth: r, width: 3, loss: "kl" });
    expect(found.gain.value).toBeCloseTo(found.misfit, 4);
    expect(found.misfit).toBeGreaterThan(0.05);
  });

  test("takes its arguments in the order of its name, and counts what it clips", () => {
    const given = { weak: [0.5, 0.5], student: [0.25, 0.75], width: 2 };
    const kl = (p: number[], q: number[]) => p.reduce((sum, a, i) => sum + a * Math.log(a / q[i]), 0);
    expect(misfitGain({ ...given, loss: "kl" }).misfit).toBeCloseTo(kl([0.5, 0.5], [0.25, 0.75]), 12);
    expect(misfitGain({ ...given, loss: "reverse kl" }).misfit).toBeCloseTo(kl([0.25, 0.75], [0.5, 0.5]), 12);
    const clipped = misfitGain({ weak: [0.5, 0.5], student: [1, 0], width: 2, loss: "kl" });
    expect(clipped.clipped).toBe(1);
    expect(clipped.misfit).toBeCloseTo(0.5 * Math.log(0.5) + 0.5 * Math.log(0.5 / 1e-12), 9);
  });
});

describe("the choice among weak supervisors", () => {
  const y = [0, 0, 4, 4];
  // One is nearer to the truth, but its student copies it; the other's student corrects it.
  const copied = { name: "copied", weak: [1, 1, 5, 5], student: [1, 1, 5, 5] };
  const corrected = { name: "corrected", weak: [2, -2, 6, 2], student: [0, 0, 4, 4] };

  test("prefers flaws that a student cannot fit", () => {
    const choice = chooseSupervisor([copied, corrected], y);
    expect(choice.chosen).toBe("corrected");
    expect(choice.ranking.map(({ score }) => score)).toEqual([0, 1]);
    expect(choice.ranking[0]).toMatchObject({ weakError: 4, misfit: 4, interval: { low: 0, high: 0 } });
  });

  test("lists ties and takes the first by name", () => {
    const choice = chooseSupervisor(
      [
        { ...copied, name: "b" },
        { ...copied, name: "a" },
      ],
      [0, 0, null, null],
    );
    expect(choice).toMatchObject({ chosen: "a", ties: ["b"] });
    expect(chooseSupervisor([copied], y).ranking).toHaveLength(1);
  });

  test("refuses what cannot be compared", () => {
    expect(() => chooseSupervisor([], y)).toThrow("no weak supervisor");
    expect(() => chooseSupervisor([copied, copied], y)).toThrow('two weak supervisors are called "copied"');
    expect(() => chooseSupervisor([copied], [1])).toThrow("same examples");
    expect(() => chooseSupervisor([copied], [null, null, null, null])).toThrow("truth of no example");
  });
});

test("slope and rank correlation by hand", () => {
  expect(slope([0, 1, 2], [1, 3, 5]).value).toBeCloseTo(2, 12);
  expect(slope([1, 1], [1, 2]).value).toBeNull();
  expect(spearman([1, 2, 3, 4], [1, 8, 27, 1000]).value).toBeCloseTo(1, 12);
  // Ranks 1, 2.5, 2.5 and 1, 2, 3.
  expect(spearman([5, 6, 6], [1, 2, 3]).value).toBeCloseTo(1.5 / Math.sqrt(1.5 * 2), 12);
  expect(spearman([1, 1], [1, 2]).value).toBeNull();
});

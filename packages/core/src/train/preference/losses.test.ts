import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { expectAgreement, type Numbers, valueAndGradients, vector } from "../testing/against-loops.js";
import {
  ktoLoss,
  type PairLogProbs,
  type PreferenceLoss,
  preferenceLoss,
  rewardLoss,
  samiLoss,
} from "./losses.js";

const pairs = {
  chosen: vector(-4, -7.5, -3, -12),
  rejected: vector(-5, -6, -9, -11.5),
  referenceChosen: vector(-4.5, -7, -3, -10),
  referenceRejected: vector(-4, -6.5, -8, -13),
  chosenTokens: vector(2, 5, 3, 4),
  rejectedTokens: vector(4, 2, 6, 3),
};
const trained = ["chosen", "rejected"];

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
/** One pair's numbers, out of columns. */
type Pair = Record<keyof typeof pairs, number>;
const meanOf = (loss: (pair: Pair) => number) => (columns: Numbers) => {
  const count = columns.chosen.length;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const pair = Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, values[i]]));
    sum += loss(pair as Pair);
  }
  return sum / count;
};
const sums = (p: Pair) => p.chosen - p.referenceChosen - (p.rejected - p.referenceRejected);
const means = (p: Pair) =>
  (p.chosen - p.referenceChosen) / p.chosenTokens - (p.rejected - p.referenceRejected) / p.rejectedTokens;
const perToken = (p: Pair) => ({ c: p.chosen / p.chosenTokens, r: p.rejected / p.rejectedTokens });
const odds = (p: Pair) => {
  const ratio = (x: number) => Math.exp(x) / (1 - Math.exp(x));
  return Math.log(ratio(perToken(p).c) / ratio(perToken(p).r));
};

const cases: [string, PreferenceLoss, (pair: Pair) => number][] = [
  ["dpo", { name: "dpo" }, (p) => -Math.log(sigmoid(0.1 * sums(p)))],
  ["dpo with another beta", { name: "dpo", beta: 2 }, (p) => -Math.log(sigmoid(2 * sums(p)))],
  ["dpo per token", { name: "dpo", perToken: true }, (p) => -Math.log(sigmoid(5 * means(p)))],
  [
    "conservative dpo",
    { name: "dpo", beta: 0.5, labelSmoothing: 0.2 },
    (p) => -0.8 * Math.log(sigmoid(0.5 * sums(p))) - 0.2 * Math.log(sigmoid(-0.5 * sums(p))),
  ],
  ["ipo", { name: "ipo", beta: 0.25 }, (p) => (sums(p) - 2) ** 2],
  ["ipo per token", { name: "ipo", perToken: true }, (p) => (means(p) - 5) ** 2],
  ["hinge", { name: "hinge", beta: 0.5, margin: 0.7 }, (p) => Math.max(0, 0.7 - 0.5 * sums(p))],
  [
    "slic",
    { name: "slic", margin: 0.8, regularization: 0.3 },
    (p) => Math.max(0, 0.8 - p.chosen + p.rejected) - 0.3 * p.chosen,
  ],
  ["simpo", { name: "simpo" }, (p) => -Math.log(sigmoid(2 * (perToken(p).c - perToken(p).r) - 1))],
  ["orpo", { name: "orpo", lambda: 0.4 }, (p) => -perToken(p).c - 0.4 * Math.log(sigmoid(odds(p)))],
];

const mean = (loss: PreferenceLoss) => (columns: Record<string, JaxArray>) =>
  preferenceLoss(loss, columns as never as PairLogProbs).mean();

describe("preferenceLoss", () => {
  test.each(cases)("%s is its formula, with its gradient", async (_, loss, slow) => {
    await expectAgreement(mean(loss), meanOf(slow), pairs, { by: trained });
  });

  test("where the model is its reference the loss of dpo is log 2 and its slope -beta / 2", async () => {
    const same = {
      ...pairs,
      referenceChosen: pairs.chosen,
      referenceRejected: pairs.rejected,
    };
    for (const labelSmoothing of [0, 0.3]) {
      const loss = mean({ name: "dpo", beta: 0.4, labelSmoothing });
      const { value, gradients } = await valueAndGradients(loss, same);
      expect(value).toBeCloseTo(Math.log(2), 6);
      const slope = (-0.2 * (1 - 2 * labelSmoothing)) / 4;
      for (const i of [0, 1, 2, 3]) {
        expect(gradients.chosen.data[i]).toBeCloseTo(slope, 6);
        expect(gradients.rejected.data[i]).toBeCloseTo(-slope, 6);
      }
    }
  });

  test("margins of thousands of nats neither overflow nor lose their gradient", async () => {
    const far = {
      ...pairs,
      chosen: vector(-9000, -1, -9000, -1),
      rejected: vector(-1, -9000, -1, -9000),
    };
    for (const [name, loss] of cases) {
      const { value, gradients } = await valueAndGradients(mean(loss), far);
      expect(Number.isFinite(value), name).toBe(true);
      for (const key of trained) {
        expect(gradients[key].data.every(Number.isFinite), name).toBe(true);
        // The wrong way round: a pull that nothing has rounded away.
        expect(Math.abs(gradients[key].data[0]), name).toBeGreaterThan(0.01);
      }
    }
    const { value, gradients } = await valueAndGradients(mean({ name: "dpo", beta: 1 }), far);
    expect(value).toBeCloseTo((9000 - 1 - 0.5 + 9000 - 1 + 5) / 4, 0);
    expect(gradients.chosen.data[1]).toBe(-0);
  });

  test("the odds of an answer that is certain are those of the last number below 1", async () => {
    const certain = { ...pairs, chosen: vector(0, -1e-9, -3, -12) };
    const { value, gradients } = await valueAndGradients(mean({ name: "orpo", lambda: 1 }), certain);
    expect(Number.isFinite(value)).toBe(true);
    expect(gradients.chosen.data.every(Number.isFinite)).toBe(true);
  });
});

describe("ktoLoss", () => {
  const answers = {
    logRatios: vector(0.5, -1, 2, 0, -3),
    desirable: vector(1, 1, 0, 0, 1),
    mismatched: vector(0.4, -0.2, 1.5, 0.1, 0.2),
  };
  const slow =
    (beta: number, good: number, bad: number) =>
    ({ logRatios, desirable }: Numbers) => {
      // The reference point is a constant: taken from the inputs as they were given.
      const origin = Math.max(0, Float64Array.from(answers.mismatched.data).reduce((a, b) => a + b) / 5);
      let sum = 0;
      logRatios.forEach((ratio, i) => {
        const gain = beta * (ratio - origin);
        sum += desirable[i] ? good * (1 - sigmoid(gain)) : bad * (1 - sigmoid(-gain));
      });
      return sum / logRatios.length;
    };

  test("is its formula, and no gradient goes through the reference point", async () => {
    const by = ["logRatios", "mismatched"];
    const traced = (options: object) => (x: Record<string, JaxArray>) =>
      ktoLoss(options, x.logRatios, x.desirable, x.mismatched).mean();
    await expectAgreement(traced({}), slow(0.1, 1, 1), answers, { by });
    const other = { beta: 1.5, desirableWeight: 1.2, undesirableWeight: 0.7 };
    await expectAgreement(traced(other), slow(1.5, 1.2, 0.7), answers, { by });
  });

  test("a reference point below 0 is 0, and far answers give finite losses", async () => {
    const far = {
      ...answers,
      logRatios: vector(1e4, -1e4, 1e4, -1e4, 0),
      mismatched: vector(-5, -4, -3, 0, 0),
    };
    const { value, gradients } = await valueAndGradients(
      (x) => ktoLoss({ beta: 1 }, x.logRatios, x.desirable, x.mismatched).mean(),
      far,
    );
    expect(value).toBeCloseTo((0 + 1 + 1 + 0 + 0.5) / 5, 6);
    expect(gradients.logRatios.data.every(Number.isFinite)).toBe(true);
  });
});

describe("samiLoss", () => {
  const matrix = (n: number, values: Float32Array) => ({ logProbs: new Tensor(values, [n, n]) });
  const random = createRandom(5);
  const slow =
    (n: number, weights: { rows: number; columns: number }) =>
    ({ logProbs }: Numbers) => {
      const sumExp = (of: (k: number) => number) =>
        Array.from({ length: n }, (_, k) => Math.exp(of(k))).reduce((a, b) => a + b);
      let [rows, columns] = [0, 0];
      for (let i = 0; i < n; i++) {
        const own = logProbs[i * n + i];
        rows -= (own - Math.log(sumExp((k) => logProbs[i * n + k]))) / n;
        columns -= (own - Math.log(sumExp((k) => logProbs[k * n + i]))) / n;
      }
      return weights.rows * rows + weights.columns * columns;
    };

  test.each([2, 3])("is InfoNCE over rows and columns of n = %i", async (n) => {
    const given = matrix(n, random.normals(n * n, 2));
    await expectAgreement((x) => samiLoss(x.logProbs), slow(n, { rows: 0.5, columns: 0.5 }), given);
    await expectAgreement((x) => samiLoss(x.logProbs, "rows"), slow(n, { rows: 1, columns: 0 }), given);
    await expectAgreement((x) => samiLoss(x.logProbs, "columns"), slow(n, { rows: 0, columns: 1 }), given);
  });

  test("is log n where constitutions tell nothing, and nearly 0 where each has its own answer", async () => {
    const n = 3;
    const loss = async (values: Float32Array) =>
      (await valueAndGradients((x) => samiLoss(x.logProbs), matrix(n, values))).value;
    expect(await loss(new Float32Array(9).fill(-2))).toBeCloseTo(Math.log(3), 6);
    expect(await loss(Float32Array.from({ length: 9 }, (_, i) => (i % 4 === 0 ? -1 : -5000)))).toBeCloseTo(
      0,
      9,
    );
  });

  test("several matrices have a loss each", async () => {
    const values = random.normals(8);
    const both = await valueAndGradients((x) => samiLoss(x.logProbs).sum(), {
      logProbs: new Tensor(values, [2, 2, 2]),
    });
    const single = await Promise.all(
      [0, 1].map((i) =>
        valueAndGradients((x) => samiLoss(x.logProbs), matrix(2, values.slice(4 * i, 4 * i + 4))),
      ),
    );
    expect(both.value).toBeCloseTo(single[0].value + single[1].value, 5);
  });

  test("one constitution alone and matrices that are not square are refused", async () => {
    for (const shape of [
      [1, 1],
      [2, 3],
    ]) {
      const logProbs = new Tensor(new Float32Array(shape[0] * shape[1]), shape);
      await expect(valueAndGradients((x) => samiLoss(x.logProbs), { logProbs })).rejects.toThrow(
        /square matrices/,
      );
    }
  });
});

describe("rewardLoss", () => {
  const rewards = { chosen: vector(0.5, -1, 3), rejected: vector(0.7, -2, 1), margins: vector(0, 0.5, 3) };
  const slow =
    (centring: number) =>
    ({ chosen, rejected, margins }: Numbers) =>
      chosen.reduce(
        (sum, c, i) =>
          sum - Math.log(sigmoid(c - rejected[i] - margins[i])) + centring * (c + rejected[i]) ** 2,
        0,
      ) / chosen.length;

  test("is Bradley and Terry's, with margins and centring", async () => {
    const traced = (centring?: number) => (x: Record<string, JaxArray>) =>
      rewardLoss({ centring }, x.chosen, x.rejected, x.margins).mean();
    await expectAgreement(traced(0.3), slow(0.3), rewards);
    await expectAgreement(traced(0), slow(0), rewards);
    await expectAgreement(traced(), slow(0.01), rewards);
    const { margins: _, ...plain } = rewards;
    await expectAgreement(
      (x) => rewardLoss({ centring: 0 }, x.chosen, x.rejected).mean(),
      (x) => slow(0)({ ...x, margins: new Float64Array(3) }),
      plain,
    );
  });

  test("rewards thousands apart the wrong way round have a finite loss with slope 1", async () => {
    const { value, gradients } = await valueAndGradients(
      (x) => rewardLoss({ centring: 0 }, x.chosen, x.rejected).mean(),
      { chosen: vector(-5000), rejected: vector(5000) },
    );
    expect(value).toBeCloseTo(10000, 2);
    expect(gradients.chosen.data[0]).toBeCloseTo(-1, 6);
  });
});

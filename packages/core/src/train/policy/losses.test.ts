import { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { expectAgreement, type Numbers, valueAndGradients, vector } from "../testing/against-loops.js";
import { klEstimate, klEstimateOf, overTokens, policyLoss, valueLoss } from "./losses.js";

const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
const each = (x: Numbers, of: (i: number) => number) =>
  mean(Array.from({ length: Object.values(x)[0].length }, (_, i) => of(i)));

describe("policyLoss", () => {
  const drawn = {
    logProbs: vector(-1, -0.5, -2, -0.1, -3, -1.5),
    old: vector(-1.1, -1.5, -1, -2, -3.05, -0.5),
    advantages: vector(1, 0.5, -2, -1, 0.7, 3),
  };

  test("is PPO's clipped objective, with its gradient: none where the clip holds", async () => {
    const clip = { low: 0.2, high: 0.3 };
    await expectAgreement(
      (x) => policyLoss(x.logProbs, x.advantages, { old: x.old, clip }).mean(),
      (x) =>
        each(x, (i) => {
          const ratio = Math.exp(x.logProbs[i] - x.old[i]);
          const held = Math.min(1.3, Math.max(0.8, ratio));
          return -Math.min(ratio * x.advantages[i], held * x.advantages[i]);
        }),
      drawn,
      { by: ["logProbs"] },
    );
    const { gradients } = await valueAndGradients(
      (x) => policyLoss(x.logProbs, x.advantages, { old: x.old, clip }).mean(),
      drawn,
    );
    expect([...gradients.logProbs.data].map((slope) => slope === 0)).toEqual([
      false, // within the clip
      true, // raised enough
      true, // lowered enough
      false, // raised, but the advantage is negative
      false, // within the clip
      false, // lowered, but the advantage is positive
    ]);
  });

  test("without a clip it is importance sampling; where the policy drew the tokens itself, REINFORCE", async () => {
    await expectAgreement(
      (x) => policyLoss(x.logProbs, x.advantages, { old: x.old }).mean(),
      (x) => each(x, (i) => -Math.exp(x.logProbs[i] - x.old[i]) * x.advantages[i]),
      drawn,
      { by: ["logProbs"] },
    );
    for (const clip of [undefined, { low: 0.2, high: 0.2 }]) {
      const { value, gradients } = await valueAndGradients(
        (x) => policyLoss(x.logProbs, x.advantages, { clip }).sum(),
        drawn,
      );
      expect(value).toBeCloseTo(-(1 + 0.5 - 2 - 1 + 0.7 + 3), 5);
      drawn.advantages.data.forEach((advantage, i) => {
        expect(gradients.logProbs.data[i]).toBeCloseTo(-advantage, 5);
      });
    }
  });

  test("a token that has become impossible gives a finite loss and no gradient", async () => {
    const { value, gradients } = await valueAndGradients(
      (x) => policyLoss(x.logProbs, x.advantages, { old: x.old }).sum(),
      { logProbs: vector(-2000), old: vector(-1), advantages: vector(1) },
    );
    expect(value).toBeCloseTo(0, 9);
    expect(gradients.logProbs.data[0]).toBeCloseTo(0, 9);
  });
});

describe("klEstimate", () => {
  const tokens = { logProbs: vector(-1, -0.2, -3), reference: vector(-1.5, -2, -0.4) };
  test.each([
    ["k1", (x: number) => x],
    ["k2", (x: number) => (x * x) / 2],
    ["k3", (x: number) => Math.exp(-x) - 1 + x],
  ] as const)("%s is its formula, with its gradient", async (estimator, slow) => {
    await expectAgreement(
      (x) => klEstimate(estimator, x.logProbs, x.reference).mean(),
      (x) => each(x, (i) => slow(x.logProbs[i] - x.reference[i])),
      tokens,
    );
    const { logProbs, reference } = tokens;
    const plain = klEstimateOf(estimator, logProbs.data as Float32Array, reference.data as Float32Array);
    plain.forEach((value, i) => {
      expect(value).toBeCloseTo(slow(logProbs.data[i] - reference.data[i]), 5);
    });
  });

  test("k1 and k3 have the divergence itself as their mean over the policy's tokens; k2 has its gradient", async () => {
    const [policy, reference] = [
      [0.6, 0.3, 0.1],
      [0.2, 0.5, 0.3],
    ];
    const divergence = policy.reduce((sum, p, i) => sum + p * Math.log(p / reference[i]), 0);
    const inputs = {
      logProbs: vector(...policy.map(Math.log)),
      reference: vector(...reference.map(Math.log)),
      policy: vector(...policy),
    };
    for (const estimator of ["k1", "k3"] as const) {
      const { value } = await valueAndGradients(
        (x) => klEstimate(estimator, x.logProbs, x.reference).mul(x.policy).sum(),
        inputs,
      );
      expect(value).toBeCloseTo(divergence, 6);
    }
    // d KL / d log p_i = p_i (log p_i / q_i + 1), and the 1 sums to nothing over logits.
    const { gradients } = await valueAndGradients(
      (x) => klEstimate("k2", x.logProbs, x.reference).sum(),
      inputs,
    );
    policy.forEach((p, i) => {
      expect(gradients.logProbs.data[i]).toBeCloseTo(Math.log(p / reference[i]), 5);
    });
  });

  test("k3 of two policies that are the same is exactly 0", async () => {
    const { value } = await valueAndGradients((x) => klEstimate("k3", x.logProbs, x.reference).sum(), {
      logProbs: tokens.logProbs,
      reference: tokens.logProbs,
    });
    expect(value).toBe(0);
  });
});

describe("valueLoss", () => {
  const tokens = {
    values: vector(1, 2, -1, 0.5, 3),
    returns: vector(1.5, 0, -1, 2, 3.3),
    old: vector(0.9, 1, 0, 0.45, 1),
  };
  test("is half the squared error, and the larger of two with a clip", async () => {
    await expectAgreement(
      (x) => valueLoss(x.values, x.returns).mean(),
      (x) => each(x, (i) => (x.values[i] - x.returns[i]) ** 2 / 2),
      tokens,
      { by: ["values"] },
    );
    await expectAgreement(
      (x) => valueLoss(x.values, x.returns, x.old, 0.2).mean(),
      (x) =>
        each(x, (i) => {
          const held = x.old[i] + Math.min(0.2, Math.max(-0.2, x.values[i] - x.old[i]));
          return Math.max((x.values[i] - x.returns[i]) ** 2, (held - x.returns[i]) ** 2) / 2;
        }),
      tokens,
      { by: ["values"] },
    );
  });
});

describe("overTokens", () => {
  const scalarOf = ({ total, weight }: ReturnType<typeof overTokens>) => total.div(weight);
  const losses = createRandom(2).normals(12);
  const lengths = [4, 1, 0];
  const mask = Float32Array.from({ length: 12 }, (_, i) => Number(i % 4 < lengths[Math.floor(i / 4)]));
  const inputs = { losses: new Tensor(losses, [3, 4]), mask: new Tensor(mask, [3, 4]) };
  const sumOf = (x: Numbers, answer: number) => {
    let sum = 0;
    for (let t = 0; t < lengths[answer]; t++) sum += x.losses[4 * answer + t];
    return sum;
  };
  test.each([
    ["token", (x: Numbers) => (sumOf(x, 0) + sumOf(x, 1)) / 5],
    ["answer", (x: Numbers) => (sumOf(x, 0) / 4 + sumOf(x, 1)) / 3],
    ["constant", (x: Numbers) => (sumOf(x, 0) + sumOf(x, 1)) / (3 * 10)],
  ] as const)("%s divides as it says, with an empty answer among them", async (weighting, slow) => {
    await expectAgreement((x) => scalarOf(overTokens(weighting, x.losses, x.mask, 10)), slow, inputs, {
      by: ["losses"],
    });
  });

  test("a batch of empty answers has the loss 0", async () => {
    const empty = { ...inputs, mask: new Tensor(new Float32Array(12), [3, 4]) };
    for (const weighting of ["token", "answer", "constant"] as const) {
      const { value, gradients } = await valueAndGradients(
        (x) => scalarOf(overTokens(weighting, x.losses, x.mask, 10)),
        empty,
      );
      expect(value).toBe(0);
      expect(gradients.losses.data.every((slope) => slope === 0)).toBe(true);
    }
  });
});

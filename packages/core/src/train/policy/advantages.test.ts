import { describe, expect, test } from "vitest";
import { generalisedAdvantages, groupAdvantages } from "./advantages.js";

describe("groupAdvantages", () => {
  const rewards = [
    [1, 0, 0, 3],
    [2, 5],
  ];
  test("leave-one-out is each reward less the mean of the others", () => {
    const expected = rewards.map((group) =>
      group.map((reward, i) => {
        const others = group.filter((_, j) => j !== i);
        return reward - others.reduce((sum, x) => sum + x, 0) / others.length;
      }),
    );
    groupAdvantages(rewards, "leave-one-out").forEach((group, prompt) => {
      group.forEach((advantage, i) => {
        expect(advantage).toBeCloseTo(expected[prompt][i], 12);
      });
    });
  });

  test("the mean, and the mean and deviation, are taken off within each group", () => {
    expect(groupAdvantages(rewards, "mean")).toEqual([
      [0, -1, -1, 2],
      [-1.5, 1.5],
    ]);
    const [first, second] = groupAdvantages(rewards, "group-normalised");
    [0, -1, -1, 2].forEach((x, i) => {
      expect(first[i]).toBeCloseTo(x / Math.sqrt(2), 3);
    });
    expect(second[1]).toBeCloseTo(Math.SQRT1_2, 4);
    expect(groupAdvantages(rewards, "none")).toEqual(rewards);
  });

  test("equal rewards have the advantage 0, not NaN, and no rounding that the deviation raises", () => {
    for (const baseline of ["mean", "leave-one-out", "group-normalised"] as const) {
      expect(
        groupAdvantages(
          [
            [0.1, 0.1, 0.1],
            [1e300, 1e300],
          ],
          baseline,
        ),
      ).toEqual([
        [0, 0, 0],
        [0, 0],
      ]);
    }
  });

  test("one answer alone has no others to be compared with", () => {
    expect(groupAdvantages([[2]], "mean")).toEqual([[0]]);
    expect(() => groupAdvantages([[1, 2], [2]], "leave-one-out")).toThrow("Prompt 1 (counted from 0)");
    expect(() => groupAdvantages([[2]], "group-normalised")).toThrow(RangeError);
  });
});

describe("generalisedAdvantages", () => {
  const rewards = [0, 0.5, -1, 2];
  const values = [0.3, 1, -0.5, 0.8];

  test("is the discounted sum of the errors of one step", () => {
    const [discount, decay] = [0.9, 0.7];
    const errors = rewards.map((reward, t) => reward + discount * (values[t + 1] ?? 0) - values[t]);
    const { advantages, returns } = generalisedAdvantages(rewards, values, { discount, decay });
    rewards.forEach((_, t) => {
      const expected = errors.slice(t).reduce((sum, error, l) => sum + (discount * decay) ** l * error, 0);
      expect(advantages[t]).toBeCloseTo(expected, 6);
      expect(returns[t]).toBeCloseTo(expected + values[t], 6);
    });
  });

  test("with lambda 1 the returns are the sums of the rewards to come, whatever was expected", () => {
    const { returns } = generalisedAdvantages(rewards, values, { discount: 1, decay: 1 });
    [1.5, 1.5, 1, 2].forEach((expected, t) => {
      expect(returns[t]).toBeCloseTo(expected, 6);
    });
  });

  test("with lambda 0 the advantage is the error of one step", () => {
    const { advantages } = generalisedAdvantages(rewards, values, { discount: 1, decay: 0 });
    expect(advantages[0]).toBeCloseTo(0 + 1 - 0.3, 6);
    expect(advantages[3]).toBeCloseTo(2 - 0.8, 6);
  });

  test("an empty answer has none", () => {
    expect(generalisedAdvantages([], []).advantages).toHaveLength(0);
  });
});

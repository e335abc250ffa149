import { describe, expect, test } from "vitest";
import type { Groups } from "./bootstrap.js";
import { type Claim, type ClaimPart, holm, judgeClaims } from "./claims.js";

const part = (values: Groups, side: ClaimPart<null>["side"], threshold?: number): ClaimPart<null> => ({
  statistic: `${side} ${threshold}`,
  unit: "accuracy",
  side,
  threshold,
  values: () => values,
});
const claim = (...parts: ClaimPart<null>[]): Claim<null> => ({ id: "C1", statement: "It is so.", parts });
const judge = (...parts: ClaimPart<null>[]) => judgeClaims([claim(...parts)], null)[0];

const large = [[0.31], [0.28], [0.33], [0.3], [0.29]];
const none = [[0.02], [-0.03], [0.01], [0.0], [-0.01]];
const negative = large.map((items) => items.map((value) => -value));

describe("a claim", () => {
  test("holds, is refuted, or is undecided, by the side on which its interval lies", () => {
    expect(judge(part(large, "above")).verdict).toBe("holds");
    expect(judge(part(negative, "above")).verdict).toBe("refuted");
    expect(judge(part(none, "above")).verdict).toBe("undecided");
    expect(judge(part(negative, "below")).verdict).toBe("holds");
    expect(judge(part(large, "above", 0.4)).verdict).toBe("refuted");
    expect(judge(part(none, "within", 0.1)).verdict).toBe("holds");
    expect(judge(part(large, "within", 0.1)).verdict).toBe("refuted");
    expect(judge(part(large, "above", -0.1)).verdict).toBe("holds");
  });

  test("of several numbers holds where all do, and is refuted where one is", () => {
    expect(judge(part(large, "above"), part(large, "above", 0.2)).verdict).toBe("holds");
    expect(judge(part(large, "above"), part(none, "above")).verdict).toBe("undecided");
    expect(judge(part(large, "above"), part(negative, "above")).verdict).toBe("refuted");
  });

  test("of one seed, or of values that are all undefined, is undecided and has no p", () => {
    for (const values of [[[0.3]], [[null], [null]], []] as Groups[]) {
      expect(judge(part(values, "above"))).toMatchObject({
        verdict: "undecided",
        p: null,
        holdsCorrected: false,
      });
    }
  });

  test("has the p of the t-test where each seed has one value", () => {
    // Mean 0.302, standard error 0.00860: t = 0.302 / 0.00860 = 35.1; against 0.29: t = 1.395, p = 0.118 with 4 degrees.
    expect(judge(part(large, "above")).p).toBeLessThan(1e-5);
    expect(judge(part(large, "above", 0.29)).p).toBeCloseTo(0.118, 2);
    expect(judge(part(large, "below", 0.29)).p).toBeCloseTo(1 - 0.118, 2);
  });

  test("needs more seeds than two that happen to agree", () => {
    expect(judge(part([[0.1], [0.3]], "above")).verdict).toBe("undecided");
  });

  test("with values that do not differ has no doubt but at the threshold", () => {
    const same = [[0.5], [0.5], [0.5]];
    expect(judge(part(same, "above", 0.4))).toMatchObject({ verdict: "holds", p: 0 });
    expect(judge(part(same, "above", 0.5))).toMatchObject({ verdict: "undecided", p: 1 });
  });

  test("of a threshold within is as sure as its less sure side", () => {
    // Resampled anew for each number, so equal to two digits.
    const sides = [judge(part(none, "above", -0.02)).p, judge(part(none, "below", 0.02)).p] as number[];
    expect(judge(part(none, "within", 0.02)).p).toBeCloseTo(Math.max(...sides), 2);
  });
});

test("among many claims, one that barely holds does not hold for all at once", () => {
  // t = 3.5 with 4 degrees: p = 0.0125, enough for one claim, not for ten.
  const barely = [[1.2], [0.2], [0.9], [1.1], [0.6]].map(([x]) => [x]);
  const alone = judgeClaims([claim(part(barely, "above"))], null)[0];
  expect([alone.verdict, alone.holdsCorrected]).toEqual(["holds", true]);
  const others = Array.from({ length: 9 }, () => claim(part(none, "above")));
  const together = judgeClaims([claim(part(barely, "above")), ...others], null)[0];
  expect([together.verdict, together.holdsCorrected]).toEqual(["holds", false]);
});

test("Holm's adjusted values are those of the textbook", () => {
  // Four tests: 0.01 * 4, 0.02 * 3, max with 0.03 * 2, 0.04 * 1.
  const adjusted = holm([0.01, 0.04, 0.03, 0.02]);
  [0.04, 0.06, 0.06, 0.06].forEach((expected, i) => {
    expect(adjusted[i]).toBeCloseTo(expected, 12);
  });
  expect(holm([0.6, 0.9])).toEqual([1, 1]);
});

test("the same values give the same numbers", () => {
  expect(judge(part(large, "above"))).toEqual(judge(part(large, "above")));
});

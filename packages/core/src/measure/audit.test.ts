import { describe, expect, test } from "vitest";
import type { SoftLabels } from "../data/soft-labels.js";
import { createRandom, type Random } from "../random.js";
import { audit } from "./audit.js";

const soft = (rows: readonly (readonly number[])[]): SoftLabels => ({
  values: Float32Array.from(rows.flat()),
  shape: [rows.length, rows[0].length],
});

/** Two classes; weak labels and student are right at the given rates, independently, and say so with the given confidence. */
function world(
  count: number,
  rates: { weak: number; student: number; says?: number; weakSays?: number },
  random: Random,
) {
  const truth = Int32Array.from({ length: count }, () => random.integer(2));
  const judge = (rate: number, confidence: number) =>
    soft(
      Array.from(truth, (label) => {
        const said = random.uniform() < rate ? label : 1 - label;
        return said === 1 ? [1 - confidence, confidence] : [confidence, 1 - confidence];
      }),
    );
  return {
    truth,
    weak: judge(rates.weak, rates.weakSays ?? 0.8),
    student: judge(rates.student, rates.says ?? 0.8),
  };
}
const random = createRandom("audit");

describe("an audit", () => {
  test("of four examples, by hand", () => {
    const result = audit({
      weak: soft([
        [0.9, 0.1],
        [0.6, 0.4],
        [0.3, 0.7],
        [0.2, 0.8],
      ]),
      student: soft([
        [0.8, 0.2],
        [0.1, 0.9],
        [0.4, 0.6],
        [0.7, 0.3],
      ]),
      truth: Int32Array.of(0, 1, 1, 1),
    });
    expect(result.agreement).toBe(0.5);
    expect(result.disagreements.examples).toBe(2);
    expect(result.disagreements.confidence.value).toBeCloseTo(0.8, 6);
    expect(result.disagreements.studentRight.value).toBe(0.5);
    expect(result.disagreements.weakRight.value).toBe(0.5);
    expect(result.disagreements.overconfidence.value).toBeCloseTo(0.3, 6);
    expect(result.gain?.mean).toBe(0);
    expect(result.expectedGain).toBeCloseTo((0.9 - 0.1 + 0.7 - 0.3) / 4, 6);
    expect(result.misfit.misfit).toBeCloseTo((2 * 0.01 + 2 * 0.25 + 2 * 0.01 + 2 * 0.25) / 4, 6);
    // Of the examples, 2 (1 - p)^2 with the probability p of the truth.
    expect(result.misfit.weakError.value).toBeCloseTo((2 * (0.01 + 0.36 + 0.09 + 0.04)) / 4, 6);
    expect(result.verdict).toBe("get more truth");
  });

  test("says to use the student where the truth shows that it is better, and the weak labels where it is worse", () => {
    const better = audit(world(2000, { weak: 0.7, student: 0.9 }, random.stream("better")));
    expect(better.verdict).toBe("use the student");
    expect(better.labelsToSettle).toEqual({ atRandom: 0, amongDisagreements: 0 });
    const worse = audit(world(2000, { weak: 0.9, student: 0.7 }, random.stream("worse")));
    expect(worse.verdict).toBe("use the weak labels");
  });

  test("without truth never says to use the student, however sure that is of itself", () => {
    const { weak, student } = world(500, { weak: 0.6, student: 0.95, says: 0.99 }, random.stream("blind"));
    const result = audit({ weak, student });
    expect(result.verdict).toBe("get more truth");
    expect(result.because).toContain("no truth is known");
    expect(result.gain).toBeUndefined();
    expect(result.truthErrors).toEqual([]);
  });

  test("asks for as many labels as settle it: with them the verdict is right four times of five", () => {
    const rates = { weak: 0.75, student: 0.85, says: 0.85, weakSays: 0.75 };
    const trials = 60;
    let settled = 0;
    for (let trial = 0; trial < trials; trial++) {
      const drawn = world(4000, rates, random.stream("settle", trial));
      const { labelsToSettle } = audit({ weak: drawn.weak, student: drawn.student });
      const enough = labelsToSettle?.atRandom as number;
      const truth = drawn.truth.map((label, i) => (i < enough ? label : -1));
      if (audit({ ...drawn, truth }).verdict === "use the student") settled++;
    }
    expect(settled / trials).toBeGreaterThan(0.6);
    expect(settled / trials).toBeLessThan(1);
  });

  test("finds the slice in which the student is worse, and calls no other so", () => {
    const stream = random.stream("slices");
    const { truth, weak, student } = world(2000, { weak: 0.75, student: 0.9 }, stream);
    const region = Array.from({ length: 2000 }, (_, i) => `region ${i % 5}`);
    region.forEach((name, i) => {
      // In region 3 the student errs on purpose.
      if (name !== "region 3" || stream.uniform() < 0.5) return;
      student.values[2 * i] = truth[i] === 0 ? 0.1 : 0.9;
      student.values[2 * i + 1] = 1 - student.values[2 * i];
    });
    const { slices } = audit({ weak, student, truth, slices: { region } });
    expect(slices.filter(({ isWorse }) => isWorse).map(({ group }) => group)).toEqual(["region 3"]);
    expect(slices[0].group).toBe("region 3");
    expect(slices.reduce((sum, { examples }) => sum + examples, 0)).toBe(2000);
  });

  test("calls hardly any slice worse where student and weak labels are equally good", () => {
    let called = 0;
    for (let trial = 0; trial < 40; trial++) {
      const stream = random.stream("null", trial);
      const drawn = world(600, { weak: 0.8, student: 0.8 }, stream);
      const group = Array.from({ length: 600 }, () => `group ${stream.integer(8)}`);
      if (audit({ ...drawn, slices: { group } }).slices.some(({ isWorse }) => isWorse)) called++;
    }
    expect(called).toBeLessThanOrEqual(6); // 5 % of 40 is 2
  });

  test("of a student that only repeats says that there is nothing to gain", () => {
    const { weak } = world(50, { weak: 0.8, student: 0.8 }, random.stream("copy"));
    const result = audit({ weak, student: weak });
    expect(result).toMatchObject({
      agreement: 1,
      misfit: { misfit: 0, known: 0 },
      verdict: "use the weak labels",
      labelsToSettle: null,
    });
    expect(result.disagreements.confidence.value).toBeNull();
  });

  test("refuses other examples", () => {
    const two = soft([
      [0.5, 0.5],
      [0.5, 0.5],
    ]);
    expect(() => audit({ weak: two, student: soft([[0.5, 0.5]]) })).toThrow("the same examples and classes");
    expect(() => audit({ weak: two, student: two, truth: Int32Array.of(0) })).toThrow("lengths");
  });
});

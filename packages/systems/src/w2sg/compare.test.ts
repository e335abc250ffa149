import { oneHot, type SoftLabels } from "outgrow";
import { describe, expect, test } from "vitest";
import { compare } from "./compare.js";

/** Certain predictions of class `labels[i]`. */
const certain = (labels: number[]) => oneHot(Int32Array.from(labels), 2);
const truth = Int32Array.from({ length: 100 }, (_, i) => i % 2);
/** Right on the first `right` examples. */
const rightOn = (right: number) => certain(Array.from(truth, (label, i) => (i < right ? label : 1 - label)));

describe("compare", () => {
  test("reckons accuracies and the share of the gap", () => {
    const compared = compare(truth, { weak: rightOn(60), student: rightOn(75), ceiling: rightOn(90) });
    expect(compared).toMatchObject({ weakAccuracy: 0.6, studentAccuracy: 0.75, ceilingAccuracy: 0.9 });
    expect(compared.pgr).toBeCloseTo(0.5, 12);
    expect(compared).not.toHaveProperty("pgrReason");
  });

  test("does not clip the PGR", () => {
    const pgr = (student: number) =>
      compare(truth, { weak: rightOn(60), student: rightOn(student), ceiling: rightOn(90) }).pgr;
    expect(pgr(45)).toBeCloseTo(-0.5, 12);
    expect(pgr(99)).toBeCloseTo(1.3, 12);
  });

  test.each([
    ["below the supervisor", 55],
    ["equal to it", 60],
    ["above it by less than 2 standard errors", 62],
  ])("with a ceiling %s there is no PGR but a reason", (_, ceiling) => {
    const compared = compare(truth, { weak: rightOn(60), student: rightOn(75), ceiling: rightOn(ceiling) });
    expect(compared.pgr).toBeNull();
    expect(compared.pgrReason).toMatch(/gap/);
    expect(compared.ceilingAccuracy).toBe(ceiling / 100);
  });

  test("without a ceiling there is no PGR, and the reason says so", () => {
    const compared = compare(truth, { weak: rightOn(60), student: rightOn(75) });
    expect(compared).toMatchObject({ ceilingAccuracy: null, pgr: null, studentAccuracy: 0.75 });
    expect(compared.pgrReason).toMatch(/no ceiling/);
  });

  test("tells agreement where the supervisor is right from where it is wrong", () => {
    // Right on 60, of which the student has 45; of the 40 errors the student copies 40 - 15.
    const student = certain(Array.from(truth, (label, i) => (i < 45 || i >= 85 ? label : 1 - label)));
    const { agreement } = compare(truth, { weak: rightOn(60), student });
    expect(agreement).toEqual({ overall: 0.7, whenWeakRight: 0.75, whenWeakWrong: 25 / 40 });
  });

  test("agreement with errors that a supervisor does not make is null, not 0", () => {
    const { agreement } = compare(truth, { weak: rightOn(100), student: rightOn(50) });
    expect(agreement).toEqual({ overall: 0.5, whenWeakRight: 0.5, whenWeakWrong: null });
  });

  test("ties go to the lowest class, for all three models", () => {
    const tied: SoftLabels = { values: new Float32Array(200).fill(0.5), shape: [100, 2] };
    const compared = compare(truth, { weak: tied, student: tied, ceiling: tied });
    expect(compared).toMatchObject({ weakAccuracy: 0.5, studentAccuracy: 0.5, ceilingAccuracy: 0.5 });
    expect(compared.agreement.overall).toBe(1);
  });

  test("calibration is the student's", () => {
    const doubtful = Float32Array.from(rightOn(75).values, (p) => (p === 1 ? 0.75 : 0.25));
    const { calibration } = compare(truth, {
      weak: rightOn(60),
      student: { values: doubtful, shape: [100, 2] },
    });
    expect(calibration.expectedCalibrationError.value).toBeCloseTo(0, 6);
  });

  test("refuses a test example without truth", () => {
    const missing = truth.slice();
    missing[3] = -1;
    expect(() => compare(missing, { weak: rightOn(60), student: rightOn(75) })).toThrow(/no true class/);
  });
});

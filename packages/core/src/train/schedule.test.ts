import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";

const factors = (schedule: Partial<Schedule>, totalSteps: number) =>
  Array.from({ length: totalSteps }, (_, step) =>
    scheduleFactor({ ...scheduleDefaults, ...schedule }, step, totalSteps),
  );

describe("scheduleFactor", () => {
  test("the cosine is 1 at the start, 1/2 in the middle and near 0 at the end", () => {
    const all = factors({ decay: "cosine" }, 100);
    expect(all[0]).toBe(1);
    expect(all[50]).toBeCloseTo(0.5, 12);
    expect(all[25]).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12);
    expect(all[99]).toBeCloseTo(Math.sin(Math.PI / 200) ** 2, 12);
  });

  test("linear decay is a line to 0 after the last step, constant is 1", () => {
    expect(factors({ decay: "linear" }, 4)).toEqual([1, 0.75, 0.5, 0.25]);
    expect(factors({ decay: "constant" }, 3)).toEqual([1, 1, 1]);
  });

  test("warm-up rises in equal steps to 1, then the decay begins at 1", () => {
    expect(factors({ decay: "linear", warmup: 0.5 }, 8)).toEqual([0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]);
    expect(factors({ decay: "cosine", warmup: 1 }, 4)).toEqual([0.25, 0.5, 0.75, 1]);
  });

  test("one step is taken at the whole rate", () => {
    for (const decay of ["cosine", "linear", "constant"] as const) expect(factors({ decay }, 1)).toEqual([1]);
  });

  test("all factors are in (0, 1], rise in the warm-up, and fall after it", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("cosine" as const, "linear" as const),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 200 }),
        (decay, warmup, totalSteps) => {
          const all = factors({ decay, warmup }, totalSteps);
          const peak = Math.round(warmup * totalSteps);
          all.forEach((factor, step) => {
            expect(factor).toBeGreaterThan(0);
            expect(factor).toBeLessThanOrEqual(1);
            if (step > 0 && step < peak) expect(factor).toBeGreaterThan(all[step - 1]);
            if (step > peak) expect(factor).toBeLessThan(all[step - 1]);
          });
        },
      ),
    );
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkSchedule, type Schedule, scheduleDefaults, scheduleFactor } from "./schedule.js";

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

describe("schedules of pretraining", () => {
  test("cosine and linear end at the floor", () => {
    expect(factors({ decay: "cosine", floor: 0.1 }, 1000).at(-1)).toBeCloseTo(0.1, 4);
    expect(factors({ decay: "cosine", floor: 0.1 }, 100)[50]).toBeCloseTo(0.55, 12);
    expect(factors({ decay: "linear", floor: 0.5 }, 5)).toEqual([1, 0.9, 0.8, 0.7, 0.6]);
  });

  test("wsd rises, stays, and falls", () => {
    expect(factors({ decay: "wsd", warmup: 0.2, anneal: 0.4 }, 10)).toEqual(
      [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25].map((factor) => expect.closeTo(factor, 12)),
    );
  });

  test("infinite cools down to its plateau, stays, and anneals exponentially", () => {
    const all = factors({ decay: "infinite", floor: 0.05, plateau: 0.5, cooldown: 0.4, anneal: 0.2 }, 100);
    expect(all[0]).toBe(1);
    expect(all[20]).toBeCloseTo(0.75, 12);
    for (const factor of all.slice(40, 81)) expect(factor).toBeCloseTo(0.5, 12);
    expect(all[90]).toBeCloseTo(0.5 * 0.1 ** 0.5, 12);
    // The next course goes on from the plateau.
    expect(factors({ decay: "infinite", floor: 0.05, plateau: 0.5, cooldown: 0 }, 100)[0]).toBe(0.5);
  });

  test("refuse parts that do not fit", () => {
    const check = (schedule: Partial<Schedule>) => () => checkSchedule({ ...scheduleDefaults, ...schedule });
    expect(check({ decay: "infinite" })).toThrow("floor is 0, expected more than 0");
    expect(check({ decay: "infinite", floor: 0.6 })).toThrow("at most its plateau");
    expect(check({ decay: "wsd", warmup: 0.9 })).toThrow(RangeError);
    expect(check({ warmup: -0.1 })).toThrow("warmup is -0.1");
    expect(check({ decay: "wsd", warmup: 0.8 })).not.toThrow();
  });
});

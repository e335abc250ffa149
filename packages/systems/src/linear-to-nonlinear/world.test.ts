import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { distinctOf } from "./patches.js";
import { firstSamples, kappaOf, PatchWorld, SIGNAL_ROWS, withNoiseTimes } from "./world.js";

const shares = { easy: 0.4, hard: 0.3, both: 0.3 };
const world = (more: object = {}) =>
  new PatchWorld({ size: 8, shares, noise: 0.2, ...more }, createRandom("patch world"));
const patch = (values: Float32Array, row: number, size = 8) => values.subarray(row * size, (row + 1) * size);
const product = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, j) => sum + value * b[j], 0);

describe("PatchWorld", () => {
  test("a sample has the signals of its class and type, and noise beside", () => {
    const { signals } = world();
    const { values, index, truth, types, turns } = world().sample(300, "a");
    const mu = (label: number) => patch(signals, label > 0 ? 0 : 1);
    const nu = (label: number) => patch(signals, label > 0 ? 2 : 3);
    const firstPlaces = new Set<number>();
    for (const [i, type] of types.entries()) {
      const own = [0, 1, 2].map((p) => patch(values, index[3 * i + p]));
      const has = (vector: ArrayLike<number>, times = 1) =>
        own.findIndex((each) => each.every((value, j) => value === times * vector[j]));
      expect(has(mu(truth[i])) >= 0).toBe(type !== "hard");
      expect(has(mu(-truth[i]))).toBe(-1);
      for (const turn of [1, -1]) {
        expect(has(nu(truth[i]), turn) >= 0).toBe(type !== "easy" && turn === turns[i]);
        expect(has(nu(-truth[i]), turn)).toBe(-1);
      }
      const noise = [0, 1, 2].filter((p) => index[3 * i + p] >= SIGNAL_ROWS);
      expect(noise.length).toBe(type === "both" ? 1 : 2);
      if (type !== "hard") firstPlaces.add(has(mu(truth[i])));
    }
    expect([...firstPlaces].sort()).toEqual([0, 1, 2]);
    for (const [type, share] of Object.entries(shares)) {
      expect(Math.abs(types.filter((each) => each === type).length / 300 - share)).toBeLessThan(0.1);
    }
  });

  test("noise is orthogonal to given signals, of the scale asked for", () => {
    const axis = (j: number, k: number) =>
      Array.from({ length: 8 }, (_, at) => (at === j ? 2 : at === k ? -2 : 0));
    const other = (j: number, k: number) =>
      Array.from({ length: 8 }, (_, at) => (at === j || at === k ? 1 : 0));
    const own = world({ signals: [axis(0, 1), other(0, 1), axis(2, 3), other(2, 3)] });
    const { values } = own.sample(2000, "a");
    let squares = 0;
    const rows = values.length / 8;
    for (let row = SIGNAL_ROWS; row < rows; row++) {
      for (let s = 0; s < 4; s++)
        expect(Math.abs(product(patch(values, row), patch(own.signals, s)))).toBeLessThan(1e-6);
      squares += product(patch(values, row), patch(values, row));
    }
    // Four of eight dimensions are left.
    expect(squares / (rows - SIGNAL_ROWS) / 4 / 0.2 ** 2).toBeCloseTo(1, 1);
  });

  test("the same name gives the same samples, with any noise and as part of more", () => {
    const all = world().sample(60, "a");
    expect(world().sample(60, "a")).toEqual(all);
    expect(world().sample(60, "b").truth).not.toEqual(all.truth);
    const louder = world({ noise: 0.6 }).sample(60, "a");
    const scaled = withNoiseTimes(all, 3);
    expect(Math.max(...louder.values.map((value, k) => Math.abs(value - scaled.values[k])))).toBeLessThan(
      1e-6,
    );
    const first = firstSamples(all, 20);
    expect(first.index).toEqual(all.index.subarray(0, 60));
    expect(Math.max(...first.index)).toBe(distinctOf(first) - 1);
    expect(first.values).toEqual(all.values.subarray(0, first.values.length));
  });

  test("refuses shares, sizes and signals that cannot be", () => {
    expect(() => world({ shares: { easy: 0.4, hard: 0.3, both: 0.2 } })).toThrow("shares must add up to 1");
    expect(() => world({ shares: { easy: 0.4, hard: -0.3, both: 0.9 } })).toThrow("shares.hard");
    expect(() => world({ size: 4 })).toThrow("at least 5 values");
    expect(() => world().sample(0, "a")).toThrow("at least 1 sample");
    const unit = (j: number) => Array.from({ length: 8 }, (_, k) => Number(k === j));
    const slanted = [unit(0), unit(1).with(0, 1), unit(2), unit(3)];
    expect(() => world({ signals: slanted })).toThrow(
      "signals 1 and 2 are not orthogonal: their cosine is 0.707",
    );
    const made = world({ signals: slanted, orthogonalise: true });
    expect([...patch(made.signals, 1)]).toEqual(unit(1));
    expect(() => world({ signals: [unit(0), unit(0), unit(1), unit(2)], orthogonalise: true })).toThrow(
      "signal 2 is zero",
    );
    expect(() => world({ signals: [unit(0)] })).toThrow("four signals of 8 values");
  });

  test("shares are 1 up to rounding", () => {
    expect(() => world({ shares: { easy: 0.1, hard: 0.2, both: 0.7 } })).not.toThrow();
  });
});

test("kappa is that of the theorem", () => {
  expect(kappaOf(800, 0.3, 1, 0.2, 1000)).toBeCloseTo(45, 10);
});

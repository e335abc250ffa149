import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { dot } from "./span.js";
import { oscillationOf } from "./trace.js";
import { drawWorld, type WorldOptions } from "./world.js";

const options: WorldOptions = {
  size: 64,
  strongNorm: 1,
  weakNorm: 0.1,
  noise: 0.1,
  train: 16,
  weakTrain: 2,
  test: 200,
  layout: "two patches",
};
const draw = (more: Partial<WorldOptions> = {}, seed = 100) =>
  drawWorld({ ...options, ...more }, createRandom(seed));

test("features have their lengths and are orthogonal to each other and to the noise", () => {
  const { strong, weak, train, testWeak } = draw();
  expect(dot(strong, strong)).toBeCloseTo(1, 12);
  expect(dot(weak, weak)).toBeCloseTo(0.01, 12);
  expect(dot(strong, weak)).toBeCloseTo(0, 12);
  for (const { patches, label } of [...train.slice(0, 2), ...testWeak]) {
    for (const feature of [strong, weak]) expect(dot(patches[0], feature)).toBeCloseTo(0, 12);
    expect(dot(patches[1], weak)).toBeCloseTo(0.01 * label, 12);
  }
  const square = testWeak.reduce((sum, { patches }) => sum + dot(patches[0], patches[0]) / 200, 0);
  expect(square).toBeCloseTo(62 * 0.01, 1);
});

test("layouts: noise in every point, and no weak feature in training but in tests", () => {
  const everywhere = draw({ layout: "noise everywhere" });
  expect(everywhere.train.map(({ patches }) => patches.length)).toEqual([2, 2, ...Array(14).fill(3)]);
  const without = draw({ layout: "no weak feature" });
  expect(without.train.every(({ patches }) => patches.length === 1)).toBe(true);
  expect(without.testWeak.every(({ patches }) => patches.length === 2)).toBe(true);
});

test("no and only weak points are allowed, fewer than three numbers are not", () => {
  const parts = (weakTrain: number) =>
    draw({ weakTrain }).train.filter(({ patches }) => dot(patches[0], patches[0]) > 0.99).length;
  expect(parts(0)).toBe(16);
  expect(parts(16)).toBe(0);
  expect(() => draw({ weakTrain: 17 })).toThrow("17 of 16 training points");
  expect(() => draw({ size: 2 })).toThrow("patches have 2 numbers");
  expect(draw({ test: 0 }).testWeak).toEqual([]);
});

test("labels of one class alone are drawn again, and that is said", () => {
  const worlds = Array.from({ length: 20 }, (_, seed) => draw({ train: 2, weakTrain: 0, test: 1 }, seed));
  for (const { train } of worlds) expect(new Set(train.map(({ label }) => label)).size).toBe(2);
  expect(worlds.flatMap(({ messages }) => messages)[0]).toMatch(
    /All 2 training labels were -?1: drawn again/,
  );
});

test("a trace's share, drift and linearity", () => {
  expect(oscillationOf([0.5, 1.5, 1.1, 0.9])).toMatchObject({ share: 0.5 });
  expect(oscillationOf([0.5, 1.5, 1.1, 0.9]).drift).toBeCloseTo(0, 12);
  expect(oscillationOf(Array(50).fill(0.9)).linearity).toBeCloseTo(1, 12);
  expect(oscillationOf([0, ...Array(200).fill(1), 2]).linearity).toBeLessThan(0.1);
  expect(oscillationOf([])).toEqual({ share: null, drift: 0, linearity: null });
});

import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { crossing } from "./claims.js";
import { agreeing, labelsOf, shareOf } from "./labels.js";
import { linearOutputs, trainLinear } from "./linear.js";
import { curveCsv } from "./stages.js";
import { accuraciesOf, bestBy, follow, labelsFor, teach } from "./students.js";
import { PatchWorld } from "./world.js";

const random = createRandom("students");
const setsOf = (world: PatchWorld, samples: number) => ({
  student: world.sample(samples, "student"),
  validation: world.sample(200, "validation"),
  test: world.sample(400, "test"),
});
const training = { filters: 12, learningRate: 1, steps: 60, every: 20, random };

test("with samples that outnumber the hard ones as a bridge, a student is right where its linear teacher is not", async () => {
  const world = new PatchWorld(
    { size: 20, noise: 0.05, shares: { easy: 0.4, hard: 0.15, both: 0.45 } },
    random.stream("bridge"),
  );
  const sets = setsOf(world, 600);
  const weak = await trainLinear(sets.test, sets.test.truth);
  const taught = await teach(weak, sets, {});
  // Proposition 2.1: sample by sample of one hard signal, the turns are on opposite sides.
  expect(taught.weakAccuracy.hard).toBeGreaterThan(0.3);
  expect(taught.weakAccuracy.hard).toBeLessThan(0.7);
  expect(taught.weakAccuracy.easy).toBe(1);
  const held = labelsOf(linearOutputs(weak, sets.validation));
  const points = await follow(sets, taught.labels, held, world.signals, training);
  const best = bestBy(points, ({ validation }) => validation);
  expect(best.test.hard).toBeGreaterThan(0.9);
  expect(best.corrected).toBeGreaterThan(0.9);
  const [first, last] = [points[0], points[points.length - 1]];
  for (const measure of ["easy", "hardStraight", "hardTurned"] as const)
    expect(last[measure]).toBeGreaterThan(5 * first[measure]);
  const [header, ...lines] = curveCsv(points).trim().split("\n");
  expect(header).toContain("test_hard");
  expect(lines.length).toBe(4);
});

test("weak labels of nothing but hard samples are noise: allowed, and types without a sample have no accuracy", async () => {
  const world = new PatchWorld({ size: 10, noise: 0.1, shares: { easy: 0, hard: 1, both: 0 } }, random);
  const sets = setsOf(world, 100);
  const taught = await teach(await trainLinear(sets.test, sets.test.truth), sets, {});
  expect(taught.weakAccuracy.easy).toBeNull();
  expect(taught.weakAccuracy.both).toBeNull();
  const points = await follow(sets, taught.labels, sets.validation.truth, world.signals, training);
  expect(points[points.length - 1].test.easy).toBeNull();
  expect(points[points.length - 1].test.hard).not.toBeNull();
});

test("a weak model that says one class is allowed, with a warning", async () => {
  const world = new PatchWorld({ size: 10, noise: 0.1 }, random);
  const taught = await teach({ weights: new Float32Array(10) }, setsOf(world, 50), {});
  expect(taught.labels.every((label) => label === -1)).toBe(true);
  expect(taught.warnings).toEqual(["all weak labels are -1: a student can only learn to say so"]);
});

test("random flips are as many as the weak model's errors", () => {
  const samples = new PatchWorld({ size: 10, noise: 0.1 }, random).sample(200, "flips");
  const weak = samples.truth.map((label, i) => (i % 5 === 0 ? -label : label)) as Int8Array;
  const flips = labelsFor("random flips", weak, samples, random.stream("flips"));
  expect(shareOf(agreeing(flips, samples.truth))).toBe(0.8);
  expect(flips).not.toEqual(weak);
  expect(accuraciesOf(samples.truth, samples)).toEqual({ all: 1, easy: 1, hard: 1, both: 1 });
});

test("the crossing is between the last loss and the first lasting gain, by the logarithm", () => {
  const at = (samples: number, gain: number) => ({ samples, gain });
  expect(crossing([at(100, 0.1), at(25, -0.1)])).toBeCloseTo(50, 10);
  expect(crossing([at(10, 0.1), at(20, -0.3), at(40, 0.1), at(80, 0.2)])).toBeCloseTo(20 * 2 ** 0.75, 10);
  expect(crossing([at(10, 0.1), at(20, 0.2)])).toBeNull();
  expect(crossing([at(10, -0.1), at(20, -0.2)])).toBeNull();
});

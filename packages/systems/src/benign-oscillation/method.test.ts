import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { deadClasses, featureGrowth } from "./growth.js";
import {
  accuracyOf,
  descend,
  drawCnn,
  kappaOf,
  outputOf,
  type PatchCnn,
  type PatchPoint,
  rateOf,
  trainCnn,
} from "./method.js";
import { dot } from "./span.js";
import { drawWorld, type WorldOptions } from "./world.js";

const options: WorldOptions = {
  size: 64,
  strongNorm: 1,
  weakNorm: 0.1,
  noise: 0.1,
  train: 16,
  weakTrain: 2,
  test: 50,
  layout: "two patches",
};
const draw = (seed: number, more: Partial<WorldOptions> = {}) => {
  const random = createRandom(seed);
  return {
    world: drawWorld({ ...options, ...more }, random.stream("world")),
    cnn: drawCnn(64, 8, 0.0375, random.stream("filters")),
    random: random.stream("training"),
  };
};

describe("a step", () => {
  const cnn: PatchCnn = {
    filters: [
      [0.3, -0.2, 0.5],
      [-0.4, 0.6, 0.1],
      [0.2, 0.1, -0.7],
      [0.1, 0.3, 0.2],
    ].map((filter) => Float64Array.from(filter)),
  };
  const points: PatchPoint[] = [
    {
      label: 1,
      patches: [
        [1, 0.5, -0.3],
        [-0.2, 0.9, 0.4],
      ],
    },
    { label: -1, patches: [[0.7, 0.2, 0.1]] },
  ];
  const loss = (filters: readonly Float64Array[], of: readonly PatchPoint[]) =>
    of.reduce((sum, point) => sum + (outputOf({ filters }, point) - point.label) ** 2, 0) / of.length;

  test.each([
    ["of one point", "one", [points[0]]],
    ["of the mean over all", "all", points],
  ] as const)("follows the gradient of the squared loss, by central differences: %s", (_, batch, of) => {
    const learningRate = 0.01;
    const { cnn: after } = trainCnn(cnn, of, { learningRate, steps: 1, batch, random: createRandom(0) });
    cnn.filters.forEach((filter, r) => {
      for (let k = 0; k < 3; k++) {
        const nudged = (by: number) =>
          cnn.filters.map((each, q) => (q === r ? each.map((w, at) => w + (at === k ? by : 0)) : each));
        const slope = (loss(nudged(1e-5), of) - loss(nudged(-1e-5), of)) / 2e-5;
        expect(after.filters[r][k]).toBeCloseTo(filter[k] - learningRate * slope, 8);
      }
    });
  });

  test("leaves the given network as it was, and a seed gives the same training", () => {
    const before = cnn.filters.map((filter) => [...filter]);
    const train = () => trainCnn(cnn, points, { learningRate: 0.05, steps: 20, random: createRandom(3) });
    expect(train().cnn.filters).toEqual(train().cnn.filters);
    expect(cnn.filters.map((filter) => [...filter])).toEqual(before);
  });
});

test("training in coordinates of the patches' span is training in all coordinates", () => {
  const { world, cnn, random } = draw(100);
  const given = {
    learningRate: rateOf(1.3, 8),
    steps: 300,
    random,
    probe: { points: world.testWeak, every: 100 },
  };
  const [fast, slow] = [trainCnn(cnn, world.train, given), descend(cnn, world.train, given)];
  fast.cnn.filters.forEach((filter, r) => {
    filter.forEach((value, k) => {
      expect(value).toBeCloseTo(slow.cnn.filters[r][k], 9);
    });
  });
  expect(fast.probed.length).toBe(4);
  fast.probed.forEach((outputs, i) => {
    outputs.forEach((value, k) => {
      expect(value).toBeCloseTo(slow.probed[i][k], 9);
    });
  });
});

test("noise on the gradient wanders the same way inside and outside of the span", () => {
  const { world, cnn, random } = draw(100);
  const [learningRate, gradientNoise, steps] = [1e-3, 5, 400];
  const given = { learningRate, steps, random };
  const [noisy, plain] = [
    trainCnn(cnn, world.train, { ...given, gradientNoise }),
    trainCnn(cnn, world.train, given),
  ];
  const expected = learningRate * gradientNoise * Math.sqrt(steps);
  const axes = [...world.train.slice(0, 2).map(({ patches }) => patches[0]), world.strong, world.weak];
  const inside: number[] = [];
  const whole: number[] = [];
  noisy.cnn.filters.forEach((filter, r) => {
    const moved = filter.map((value, k) => value - plain.cnn.filters[r][k]);
    whole.push(dot(moved, moved) / 64);
    for (const axis of axes) inside.push((dot(moved, axis) / Math.sqrt(dot(axis, axis))) ** 2);
  });
  const rms = (squares: number[]) => Math.sqrt(squares.reduce((sum, each) => sum + each / squares.length, 0));
  expect(rms(whole) / expected).toBeGreaterThan(0.9);
  expect(rms(whole) / expected).toBeLessThan(1.1);
  expect(rms(inside) / expected).toBeGreaterThan(0.7);
  expect(rms(inside) / expected).toBeLessThan(1.3);
});

describe("the identity of growth", () => {
  test.each([0.5, 0.9, 1.1, 1.3, 1.5])("holds for the weak and the strong feature, kappa %d", (kappa) => {
    for (const seed of [100, 101]) {
      const { world, cnn, random } = draw(seed);
      const learningRate = rateOf(kappa, 8);
      const trained = trainCnn(cnn, world.train, { learningRate, steps: 4000, random });
      for (const feature of [world.weak, world.strong]) {
        const growth = featureGrowth({
          before: cnn,
          after: trained.cnn,
          points: world.train,
          trace: trained.trace,
          feature,
          learningRate,
        });
        expect(growth.length).toBeGreaterThan(3);
        for (const { measured, predicted } of growth) {
          expect(Math.abs(measured / predicted - 1)).toBeLessThan(1e-4);
        }
      }
    }
  });

  test("is refused where noise is not orthogonal to the feature, or the features are not to each other", () => {
    const { world, cnn, random } = draw(100);
    const learningRate = rateOf(0.5, 8);
    const check = (points: PatchPoint[]) => {
      const { cnn: after, trace } = trainCnn(cnn, points, { learningRate, steps: 10, random });
      return featureGrowth({ before: cnn, after, points, trace, feature: world.weak, learningRate });
    };
    const leaning = (vector: ArrayLike<number>) =>
      Float64Array.from(vector, (value, k) => value + world.weak[k]);
    const [first, ...others] = world.train;
    expect(() =>
      check([{ ...first, patches: [leaning(first.patches[0]), first.patches[1]] }, ...others]),
    ).toThrow("patch 0 of point 0 is neither the feature times the label nor orthogonal");
    const strong = others[5];
    expect(() =>
      check([{ ...strong, patches: [leaning(world.strong), strong.patches[1]] }, ...others]),
    ).toThrow("orthogonal");
    expect(() => check([{ ...first, patches: [first.patches[1], first.patches[1]] }, ...others])).toThrow(
      "carries the feature in 2 patches",
    );
  });
});

test("one class alone follows the map q ← q (1 + κ(1 − q))²: it settles below κ = 1 and not above", () => {
  const points: PatchPoint[] = [{ label: 1, patches: [[1, 0, 0]] }];
  const cnn: PatchCnn = { filters: [Float64Array.of(0.4, 0, 0), Float64Array.of(-0.3, 0, 0)] };
  for (const kappa of [0.9, 1.1, 1.5]) {
    const random = createRandom(0);
    const { trace } = trainCnn(cnn, points, { learningRate: rateOf(kappa, 1), steps: 400, random });
    let q = 0.16;
    for (let t = 0; t < 30; t++) {
      expect(trace.margin[t]).toBeCloseTo(q, 6);
      q *= (1 + kappa * (1 - q)) ** 2;
    }
    const late = trace.margin.slice(300);
    expect(Math.max(...late) - Math.min(...late) < 1e-6).toBe(kappa < 1);
    expect(Math.max(...late)).toBeLessThan(1 + 1 / kappa);
  }
});

describe("edges", () => {
  test("a rate beyond the window is warned of, and a run that diverges ends with its step", () => {
    const { world, cnn, random } = draw(100);
    const train = (kappa: number) =>
      trainCnn(cnn, world.train, { learningRate: rateOf(kappa, 8), steps: 3000, random, strongNorm: 1 });
    expect(train(1.58).warnings).toEqual([]);
    expect(train(1.7).warnings[0]).toContain("outside the window of bounded oscillation");
    const { divergedAt, trace, probed } = train(20);
    expect(divergedAt).toBeGreaterThan(0);
    expect(trace.margin.length).toBe((divergedAt as number) + 1);
    expect(probed).toEqual([]);
  });

  test("rates, steps, labels and sizes that make no sense are refused", () => {
    const { world, cnn, random } = draw(100);
    const train = (more: object, points: readonly PatchPoint[] = world.train) =>
      trainCnn(cnn, points, { learningRate: 0.1, steps: 5, random, ...more });
    for (const learningRate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => train({ learningRate })).toThrow(`the learning rate is ${learningRate}`);
    }
    expect(() => train({ steps: 0 })).toThrow("number of steps is 0");
    expect(() => train({ flips: 1.5 })).toThrow("flips is 1.5");
    expect(() => train({ gradientNoise: -1 })).toThrow("gradientNoise is -1");
    expect(() => train({}, [])).toThrow("no points");
    expect(() => train({}, [{ label: 0 as 1, patches: [] }])).toThrow("point 0 has the label 0");
    expect(() => train({}, [{ label: 1, patches: [[1, 2]] }])).toThrow("patch 0 of point 0");
  });

  test("a class whose filters all start against the weak feature is dead", () => {
    const cnn = (...starts: number[]) => ({ filters: starts.map((value) => Float64Array.of(value, 1, 0)) });
    expect(deadClasses(cnn(1, -1), [1, 0, 0])).toEqual([]);
    expect(deadClasses(cnn(-1, -1), [1, 0, 0])).toEqual([1]);
    expect(deadClasses(cnn(-1, 2, 1, 1), [1, 0, 0])).toEqual([-1]);
  });

  test("an output of 0 is an error, and no points have no accuracy", () => {
    const zero = { filters: [new Float64Array(2), new Float64Array(2)] };
    expect(accuracyOf(zero, [{ label: 1, patches: [[1, 0]] }])).toBe(0);
    expect(accuracyOf(zero, [])).toBe(null);
  });

  test("kappa and rate are each other's inverse, 1 at the lower end of the paper's window", () => {
    expect(rateOf(1, 8, 2)).toBe(8 / (4 * 2 ** 2));
    expect(kappaOf(rateOf(1.37, 8, 0.7), 8, 0.7)).toBeCloseTo(1.37, 12);
  });
});

import fc from "fast-check";
import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { LinearSvm } from "./linear-classifiers.js";
import {
  centroids,
  dot,
  mirrorImage,
  nearestCentroid,
  norm,
  projectedImage,
  signedDistance,
  tiltBound,
  tiltBoundary,
  tiltingPlane,
  tiltReport,
} from "./tilt.js";

function classes(seed: number, counts: [number, number] = [40, 40], size = 6) {
  const random = createRandom(seed).stream("classes");
  const labels = Int8Array.from({ length: counts[0] + counts[1] }, (_, row) => (row < counts[0] ? -1 : 1));
  const points = Array.from(labels, (label) =>
    Float64Array.from({ length: size }, (_, k) => random.normal() + (k === 0 ? 2 * label : 0.3)),
  );
  return { points, labels, random };
}

describe("the angle and the adversarial distance", () => {
  test("the balanced distance is D/2 cos(angle) for any weights and any bias, also of unequal classes", () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 6, maxLength: 6 }),
        fc.double({ min: -20, max: 20, noNaN: true }),
        fc.integer({ min: 5, max: 60 }),
        (seed, weights, bias, second) => {
          fc.pre(norm(weights) > 1e-3);
          const { points, labels } = classes(seed, [40, second]);
          const { adversarialDistance, cosine, centroidDistance, warnings } = tiltReport(
            { weights, bias },
            points,
            labels,
          );
          const expected = (centroidDistance / 2) * (cosine as number);
          expect(Math.abs((adversarialDistance as number) - expected) / centroidDistance).toBeLessThan(1e-9);
          expect(warnings.some((text) => text.includes("balanced mean"))).toBe(second !== 40);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("the nearest-centroid classifier has angle 0 and strength 1, and its opposite no strength", () => {
    const { points, labels } = classes(1);
    const rule = nearestCentroid(centroids(points, labels));
    const report = tiltReport(rule, points, labels);
    expect(report.angle).toBeCloseTo(0, 6);
    expect(report.strength).toBeCloseTo(1, 12);
    const opposite = tiltReport(
      { weights: rule.weights, bias: 0 },
      points,
      labels.map((label) => -label),
    );
    expect(opposite.angle).toBeCloseTo(Math.PI, 6);
    expect(opposite.strength).toBe(Number.POSITIVE_INFINITY);
    expect(opposite.warnings.join()).toContain("wrong sides");
  });

  test("a point on the boundary is an error that adds no distance, and its own mirror", () => {
    const rule = { weights: [1, 0], bias: 0 };
    const report = tiltReport(
      rule,
      [
        [-1, 0],
        [0, 3],
        [2, 0],
        [-3, 1],
      ],
      [-1, 1, 1, 1],
    );
    expect(report.error).toBe(0.5);
    expect(report.errorDistance).toBe(3 / 4);
    expect([...mirrorImage(rule, [0, 3])]).toEqual([0, 3]);
  });
});

test("the projected image is on the boundary; the mirror image has the opposite score", () => {
  const rule = { weights: [3, -4, 12], bias: 2 };
  const point = [1, 2, -0.5];
  expect(signedDistance(rule, projectedImage(rule, point))).toBeCloseTo(0, 12);
  expect(signedDistance(rule, mirrorImage(rule, point))).toBeCloseTo(-signedDistance(rule, point), 12);
});

test("in the tilting plane, distances to the boundary are those of input space", () => {
  const { points, labels } = classes(3);
  const rule = { weights: [1, 0.4, -0.2, 0, 0.3, 1], bias: 0.7 };
  const plane = tiltingPlane(rule, points, labels);
  if (!plane) throw new Error("no plane");
  const normal = [dot(rule.weights, plane.direction), dot(rule.weights, plane.normal)];
  plane.coordinates.forEach((at, row) => {
    const distance = (dot(normal, at) + rule.bias) / norm(normal);
    expect(distance).toBeCloseTo(signedDistance(rule, points[row]), 10);
  });
  expect(tiltingPlane(nearestCentroid(centroids(points, labels)), points, labels)).toBeNull();
});

describe("tilting", () => {
  const mean = (points: Float64Array[]) =>
    points[0].map((_, k) => points.reduce((sum, point) => sum + point[k] / points.length, 0));

  test("along a direction without variance, strength grows as 1 / cos and no prediction changes", () => {
    const { points, labels } = classes(4);
    for (const point of points) point[5] = 0;
    const weights = nearestCentroid(centroids(points, labels)).weights;
    const start = { weights, bias: -dot(weights, mean(points)) };
    const angle = Math.acos(1 / 200);
    const tilted = tiltBoundary(start, [0, 0, 0, 0, 0, 2], angle, mean(points));
    expect(tiltReport(tilted, points, labels).strength).toBeCloseTo(200, 6);
    const sides = (rule: typeof start) => points.map((point) => signedDistance(rule, point) > 0);
    expect(sides(tilted)).toEqual(sides(start));
  });

  test("no more predictions change than Chebyshev's bound says, and the bound is reached by some", () => {
    // Two points at the margin, on which the direction's part is exactly as large: both change just beyond the bound's angle.
    const points = [Float64Array.of(1, -1), Float64Array.of(-1, 1)];
    const start = { weights: [1, 0], bias: 0 };
    const changed = (angle: number) =>
      points.filter((point) => {
        const tilted = tiltBoundary(start, [0, 1], angle, [0, 0]);
        return signedDistance(tilted, point) > 0 !== signedDistance(start, point) > 0;
      }).length / 2;
    expect(changed(Math.PI / 4 - 1e-6)).toBe(0);
    expect(tiltBound(1, Math.PI / 4, 1)).toBeCloseTo(1, 12);
    expect(changed(Math.PI / 4 + 1e-6)).toBe(1);
    expect(tiltBound(0, 1.57, 0)).toBe(0);
  });
});

describe("refused", () => {
  test.each<[string, () => unknown]>([
    ["need both classes", () => tiltReport({ weights: [1], bias: 0 }, [[1], [2]], [1, 1])],
    ["two values, given 3", () => tiltReport({ weights: [1], bias: 0 }, [[1], [2], [3]], [0, 1, 2])],
    ["direction is undefined", () => centroids([[1], [1]], [0, 1])],
    ["point 1 has NaN at index 0", () => centroids([[1], [Number.NaN]], [0, 1])],
    [
      "weight 0 is Infinity",
      () => tiltReport({ weights: [Number.POSITIVE_INFINITY], bias: 0 }, [[1], [2]], [0, 1]),
    ],
    ["2 weights, but points of 1", () => tiltReport({ weights: [1, 2], bias: 0 }, [[1], [2]], [0, 1])],
    ["2 points, but 1 labels", () => centroids([[1], [2]], [0])],
    ["point 1 has 1 numbers", () => centroids([[1, 2], [2]], [0, 1])],
  ])("%s", (message, act) => expect(act).toThrow(message));

  test("weights of 0 have no angle, and say so", () => {
    const report = tiltReport({ weights: [0], bias: 1 }, [[1], [2]], [0, 1]);
    expect(report).toMatchObject({ angle: null, strength: null, adversarialDistance: null });
    expect(report.warnings).toHaveLength(1);
  });
});

describe("the linear SVM", () => {
  test("at hard margin on two points is the bisector, and with strong regularisation the nearest-centroid direction", () => {
    const hard = new LinearSvm([
      [0, 0],
      [3, 4],
    ]).fit([-1, 1], 1e-6, { tolerance: 1e-12, epochs: 10000 });
    expect(hard.weights[1] / hard.weights[0]).toBeCloseTo(4 / 3, 6);
    expect(signedDistance(hard, [1.5, 2])).toBeCloseTo(0, 6);
    const { points, labels } = classes(5);
    expect(tiltReport(new LinearSvm(points).fit(labels, 1e3), points, labels).angle).toBeLessThan(1e-6);
  });

  test("no small change of its weights makes its objective smaller by more than the gap", () => {
    const { points, labels, random } = classes(6, [30, 30]);
    const lambda = 0.02;
    const mean = points[0].map((_, k) => points.reduce((sum, point) => sum + point[k] / points.length, 0));
    const objective = (weights: ArrayLike<number>, bias: number) => {
      const centredBias = bias + dot(weights, mean);
      const loss = points.reduce(
        (sum, x, row) => sum + Math.max(0, 1 - labels[row] * (dot(weights, x) + bias)),
        0,
      );
      return loss / points.length + lambda * (dot(weights, weights) + centredBias ** 2);
    };
    const rule = new LinearSvm(points).fit(labels, lambda, { tolerance: 1e-8, epochs: 5000 });
    expect(rule.gap).toBeLessThan(1e-8);
    const best = objective(rule.weights, rule.bias);
    for (let k = 0; k < 200; k++) {
      const other = Array.from(rule.weights, (value) => value + 0.01 * random.normal());
      expect(objective(other, rule.bias + 0.01 * random.normal())).toBeGreaterThan(best - 1e-7);
    }
  });

  test("converges with more dimensions than points and with equal points", () => {
    const { points } = classes(7, [4, 4], 50);
    const repeated = [...points, ...points];
    const labels = Array.from({ length: 16 }, (_, row) => (row % 2 === 0 ? -1 : 1));
    expect(new LinearSvm(repeated).fit(labels, 1e-3).gap).toBeLessThan(1e-3);
  });
});

import { UserError } from "outgrow";

/** A point of input space, `[d]`. */
export type Point = ArrayLike<number>;

/** A linear rule: class J where `weights · x + bias` is above 0. */
export interface LinearRule {
  /** `[d]` */
  weights: Point;
  bias: number;
}

export interface Centroids {
  /** Means of class I (the smaller label) and class J. */
  i: Float64Array;
  j: Float64Array;
  /** Their distance D. */
  distance: number;
  /** Unit vector from i to j: the nearest-centroid classifier's normal. */
  direction: Float64Array;
  /** For each point -1 (class I) or +1. */
  signs: Int8Array;
  balanced: boolean;
}

export interface TiltReport {
  /** Angle between the rule's normal and the nearest-centroid direction, in radians, in [0, π]; null for zero weights. */
  angle: number | null;
  cosine: number | null;
  /**
   * Adversarial distance of the nearest-centroid classifier divided by the rule's, 1 / cos(angle): 1 or more. Infinite where
   * the rule's distance is not positive.
   */
  strength: number | null;
  /** Class-balanced mean of the signed distance to the boundary, in units of the inputs; errors count negatively. */
  adversarialDistance: number | null;
  /** Mean over all points of how far misclassified ones lie on the wrong side. */
  errorDistance: number | null;
  /** Share of points that are not on their class's side. */
  error: number | null;
  /** Distance of the centroids, D. */
  centroidDistance: number;
  warnings: string[];
}

/** Four sums side by side: a single one would wait for each of its additions. */
export function dot(a: Point, b: Point): number {
  const size = a.length;
  const whole = size - (size % 4);
  let [p, q, r, s] = [0, 0, 0, 0];
  for (let k = 0; k < whole; k += 4) {
    p += a[k] * b[k];
    q += a[k + 1] * b[k + 1];
    r += a[k + 2] * b[k + 2];
    s += a[k + 3] * b[k + 3];
  }
  for (let k = whole; k < size; k++) p += a[k] * b[k];
  return p + q + (r + s);
}
export const norm = (a: Point): number => Math.sqrt(dot(a, a));
const combine = (a: Point, s: number, b: Point, t: number): Float64Array =>
  Float64Array.from({ length: a.length }, (_, k) => s * a[k] + t * b[k]);

/** Unit vector in the direction of `a`. @throws UserError where it is zero */
export function unit(a: Point): Float64Array {
  const length = norm(a);
  if (length === 0) throw new UserError("the weights are all 0: the boundary has no direction");
  return Float64Array.from(a, (value) => value / length);
}

/** @throws UserError unless there are finite points of equal size in exactly two classes with different centroids */
export function centroids(points: readonly Point[], labels: ArrayLike<number>): Centroids {
  if (points.length !== labels.length) {
    throw new UserError(`${points.length} points, but ${labels.length} labels`);
  }
  const classes = [...new Set(Array.from(labels))].sort((a, b) => a - b);
  if (classes.length < 2) throw new UserError("need both classes", { hint: "All labels are the same." });
  if (classes.length > 2) {
    throw new UserError(
      `labels must have two values, given ${classes.length}: ${classes.slice(0, 5).join(", ")}`,
    );
  }
  const size = points[0].length;
  const signs = Int8Array.from(labels, (label) => (label === classes[1] ? 1 : -1));
  const [i, j] = [new Float64Array(size), new Float64Array(size)];
  const counts = [0, 0];
  points.forEach((point, row) => {
    if (point.length !== size) {
      throw new UserError(`point ${row} has ${point.length} numbers, the first has ${size}`);
    }
    const sum = signs[row] > 0 ? j : i;
    counts[signs[row] > 0 ? 1 : 0]++;
    for (let k = 0; k < size; k++) {
      if (!Number.isFinite(point[k])) throw new UserError(`point ${row} has ${point[k]} at index ${k}`);
      sum[k] += point[k];
    }
  });
  for (let k = 0; k < size; k++) {
    i[k] /= counts[0];
    j[k] /= counts[1];
  }
  const difference = combine(j, 1, i, -1);
  const distance = norm(difference);
  if (distance === 0) {
    throw new UserError("the nearest-centroid direction is undefined: both classes have the same mean");
  }
  const direction = difference.map((value) => value / distance);
  return { i, j, distance, direction, signs, balanced: counts[0] === counts[1] };
}

/** The classifier of the nearest centroid as a linear rule. */
export function nearestCentroid({ i, j, direction }: Centroids): LinearRule {
  return { weights: direction, bias: -dot(direction, combine(i, 0.5, j, 0.5)) };
}

/** Signed distance of a point to the boundary. */
export const signedDistance = ({ weights, bias }: LinearRule, point: Point): number =>
  (dot(weights, point) + bias) / norm(weights);

/** The nearest point of the boundary: an adversarial example of low confidence. */
export const projectedImage = (rule: LinearRule, point: Point): Float64Array =>
  combine(point, 1, unit(rule.weights), -signedDistance(rule, point));

/** The point beyond the boundary with the opposite score: an adversarial example of high confidence. */
export const mirrorImage = (rule: LinearRule, point: Point): Float64Array =>
  combine(point, 1, unit(rule.weights), -2 * signedDistance(rule, point));

/**
 * How far a linear classifier is tilted away from the nearest-centroid direction, and how strong its adversarial examples
 * are for that (Tanay and Griffin 2016, arXiv:1608.07690; 2018, arXiv:1806.11186). Distances are Euclidean, in units of
 * `points`. The balanced adversarial distance is D/2 · cos(angle), whatever the bias.
 */
export function tiltReport(
  rule: LinearRule,
  points: readonly Point[],
  labels: ArrayLike<number>,
): TiltReport {
  const about = centroids(points, labels);
  const { weights, bias } = rule;
  if (weights.length !== about.direction.length) {
    throw new UserError(`${weights.length} weights, but points of ${about.direction.length} numbers`);
  }
  for (let k = 0; k < weights.length; k++) {
    if (!Number.isFinite(weights[k])) throw new UserError(`weight ${k} is ${weights[k]}`);
  }
  if (!Number.isFinite(bias)) throw new UserError(`the bias is ${bias}`);
  const warnings: string[] = [];
  const length = norm(weights);
  if (length === 0) {
    warnings.push("The weights are all 0: there is no boundary.");
    return {
      angle: null,
      cosine: null,
      strength: null,
      adversarialDistance: null,
      errorDistance: null,
      error: null,
      centroidDistance: about.distance,
      warnings,
    };
  }
  if (!about.balanced)
    warnings.push("Classes differ in size: the adversarial distance is the balanced mean.");
  // Rounding may leave the interval on which the arc cosine is defined.
  const cosine = Math.max(-1, Math.min(1, dot(weights, about.direction) / length));
  if (cosine <= 0) warnings.push("The rule has the centroids on the wrong sides: its strength is infinite.");
  const sums = [0, 0];
  const counts = [0, 0];
  let [errors, errorDistance] = [0, 0];
  points.forEach((point, row) => {
    const sign = about.signs[row];
    const distance = (sign * (dot(weights, point) + bias)) / length;
    const side = sign > 0 ? 1 : 0;
    sums[side] += distance;
    counts[side]++;
    if (distance > 0) return;
    errors++;
    errorDistance -= distance;
  });
  return {
    angle: Math.acos(cosine),
    cosine,
    strength: cosine > 0 ? 1 / cosine : Number.POSITIVE_INFINITY,
    adversarialDistance: (sums[0] / counts[0] + sums[1] / counts[1]) / 2,
    errorDistance: errorDistance / points.length,
    error: errors / points.length,
    centroidDistance: about.distance,
    warnings,
  };
}

/**
 * Coordinates of the points in the plane of the nearest-centroid direction and the rule's own, where the boundary is a line
 * and distances to it are those of input space: for pictures. null where the rule is not tilted at all.
 */
export function tiltingPlane(
  rule: LinearRule,
  points: readonly Point[],
  labels: ArrayLike<number>,
): { direction: Float64Array; normal: Float64Array; coordinates: [number, number][] } | null {
  const { direction } = centroids(points, labels);
  const normal = unit(rule.weights);
  const rest = combine(normal, 1, direction, -dot(normal, direction));
  if (norm(rest) < 1e-12) return null;
  const across = unit(rest);
  return {
    direction,
    normal: across,
    coordinates: points.map((point) => [dot(point, direction), dot(point, across)]),
  };
}

/**
 * The rule turned by `angle`, in [0, π/2), towards a unit direction, its boundary through `mean`. Along a direction in which
 * points do not vary, no prediction on them changes.
 */
export function tiltBoundary(rule: LinearRule, direction: Point, angle: number, mean: Point): LinearRule {
  if (!(angle >= 0 && angle < Math.PI / 2))
    throw new UserError(`the angle is ${angle}, expected 0 to below π/2`);
  const weights = combine(unit(rule.weights), Math.cos(angle), unit(direction), Math.sin(angle));
  return { weights, bias: -dot(weights, mean) };
}

/**
 * Largest share of predictions that a tilt can change (Chebyshev): a prediction changes only where the direction's part,
 * |u · (x - mean)| tan(angle), is as large as the distance to the boundary before, at least `margin`.
 * @param variance mean of (u · (x - mean))² over the points
 */
export const tiltBound = (variance: number, angle: number, margin: number): number =>
  variance === 0 ? 0 : (variance * Math.tan(angle) ** 2) / margin ** 2;

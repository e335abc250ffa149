import { grad, type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { type Columns, compileRows, quantile, UserError } from "outgrow";
import { type AdversarialMargins, adversarialMargins, type Classifier } from "./adversarial.js";
import { centroids, dot, norm } from "./tilt.js";

/** Mean and quantiles of a number over points. */
export interface Spread {
  mean: number;
  /** 5 %, 25 %, 50 %, 75 %, 95 %. */
  quantiles: [number, number, number, number, number];
}

export interface TiltOfPair {
  /** Labels of the two classes. */
  classes: [number, number];
  /** Distance of their means. */
  centroidDistance: number;
  /** Angle in degrees between the gradient of the difference of their logits and the line through their means, over their points. */
  angle: Spread;
  /** What a linear boundary of that mean angle would have, 1 / cos; null from a right angle on. */
  strength: number | null;
}

export interface BoundaryDiagnostics {
  points: number;
  /** Share of points that are classified as their label; margins are of these. */
  right: number;
  /** Mean distance of the means of two classes. */
  centroidDistance: number;
  /** Distance to the boundary along the gradient, in units of the points; null where no point has one. */
  margin: Spread | null;
  /** The same divided by the classes' distance. */
  relativeMargin: Spread | null;
  /** What the rule of the nearest mean of these points, the most robust linear one, has instead. */
  nearestMean: { right: number; relativeMargin: Spread | null };
  /** Right points along whose gradient no boundary was found. */
  withoutBoundary: number;
  /** Pairs whose means are the nearest first; at most 10. */
  pairs: TiltOfPair[];
}

const MOST_PAIRS = 10;

/**
 * How near adversarial examples of a trained classifier are, and how far its boundary is tilted, locally, from that of the nearest
 * centroid: margins and angles over points (Tanay and Griffin 2016, arXiv:1608.07690; for a curved boundary its tangent stands in).
 * Distances are Euclidean, in units of the points: bring features to similar scales first.
 *
 * @param points `[n, d]`
 * @param labels `[n]`, from 0 to classes - 1; at least two of them occur
 */
export async function boundaryDiagnostics<Params, Traced>(
  classifier: Classifier<Params, Traced>,
  points: Tensor,
  labels: ArrayLike<number>,
  classes: number,
): Promise<BoundaryDiagnostics> {
  const [count, size] = points.shape;
  const present = [...new Set(Array.from(labels))].sort((a, b) => a - b);
  if (present.length < 2) throw new UserError("need points of two classes at least");
  const values = points.data as Float32Array;
  const rowsOf = (chosen: readonly number[]) =>
    Array.from(labels, (label, row) => (chosen.includes(label) ? row : -1)).filter((row) => row >= 0);
  const between = present
    .flatMap((i) => present.filter((j) => j > i).map((j): [number, number] => [i, j]))
    .map((pair) => {
      const rows = rowsOf(pair);
      const own = rows.map((row) => values.subarray(row * size, (row + 1) * size));
      const { direction, distance } = centroids(
        own,
        rows.map((row) => labels[row]),
      );
      return { pair, rows, direction, distance };
    });
  const centroidDistance = between.reduce((sum, { distance }) => sum + distance, 0) / between.length;
  const found = await adversarialMargins(classifier, points, labels, { classes });
  const relative = ({ boundary }: AdversarialMargins) =>
    spreadOf(boundary.filter((value) => Number.isFinite(value)).map((value) => value / centroidDistance));
  const margins = found.boundary.filter((value) => Number.isFinite(value));
  const nearest = await adversarialMargins(nearestMean(points, labels, classes), points, labels, { classes });
  const pairs: TiltOfPair[] = [];
  for (const each of between.sort((a, b) => a.distance - b.distance).slice(0, MOST_PAIRS)) {
    const normals = await pairNormals(classifier, points, each.pair, classes);
    const angles = each.rows.flatMap((row) => {
      const normal = normals.subarray(row * size, (row + 1) * size);
      const length = norm(normal);
      if (length === 0) return [];
      const cosine = dot(normal, each.direction) / length;
      return [(Math.acos(Math.max(-1, Math.min(1, cosine))) * 180) / Math.PI];
    });
    const angle = spreadOf(angles);
    if (!angle) continue;
    const cosine = Math.cos((angle.mean * Math.PI) / 180);
    pairs.push({
      classes: each.pair,
      centroidDistance: each.distance,
      angle,
      strength: angle.mean < 90 ? 1 / cosine : null,
    });
  }
  return {
    points: count,
    right: shareRight(found),
    centroidDistance,
    margin: spreadOf(margins),
    relativeMargin: relative(found),
    nearestMean: { right: shareRight(nearest), relativeMargin: relative(nearest) },
    withoutBoundary: found.withoutBoundary,
    pairs,
  };
}

const shareRight = ({ correct }: AdversarialMargins): number =>
  correct.reduce((sum, value) => sum + value, 0) / correct.length;

/** Logits x · m - m · m / 2: the largest is that of the nearest mean m. A class without points is never it. */
function nearestMean(points: Tensor, labels: ArrayLike<number>, classes: number) {
  const [count, size] = points.shape;
  const weights = new Float32Array(size * classes);
  const bias = new Float32Array(classes).fill(-1e9);
  for (let k = 0; k < classes; k++) {
    const mean = new Float64Array(size);
    let members = 0;
    for (let row = 0; row < count; row++) {
      if (labels[row] !== k) continue;
      members++;
      for (let j = 0; j < size; j++) mean[j] += points.data[row * size + j];
    }
    if (members === 0) continue;
    mean.forEach((sum, j) => {
      weights[j * classes + k] = sum / members;
    });
    bias[k] = -mean.reduce((sum, value) => sum + (value / members) ** 2, 0) / 2;
  }
  return {
    params: { weights: new Tensor(weights, [size, classes]), bias: new Tensor(bias, [classes]) },
    logits: (given: { weights: JaxArray; bias: JaxArray }, x: JaxArray) =>
      np.matmul(x, given.weights).add(given.bias),
  };
}

/** Gradient of the second class's logit minus the first's, at each point. */
async function pairNormals<Params, Traced>(
  { params, logits }: Classifier<Params, Traced>,
  points: Tensor,
  [i, j]: [number, number],
  classes: number,
): Promise<Float32Array> {
  const sign = Float32Array.from({ length: classes }, (_, k) => (k === j ? 1 : k === i ? -1 : 0));
  const columns: Columns = { x: points };
  const slope = await compileRows<Params, Traced>(
    "boundary normals",
    (traced, batch) =>
      grad((x: JaxArray) => logits(traced, x).mul(np.array(sign)).sum())(batch.x) as JaxArray,
    params,
    columns,
  );
  try {
    return (await slope(params, columns)).data as Float32Array;
  } finally {
    await slope.dispose();
  }
}

function spreadOf(values: ArrayLike<number>): Spread | null {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => quantile(sorted, share);
  return {
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    quantiles: [at(0.05), at(0.25), at(0.5), at(0.75), at(0.95)],
  };
}

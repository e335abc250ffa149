import { UserError } from "outgrow";
import { centroids, dot, type LinearRule, norm, type Point } from "./tilt.js";

/** A linear support vector machine of one set of points for several levels of regularisation: inner products are kept. */
export class LinearSvm {
  private readonly mean: Float64Array;
  /** Inner products of the centred points, plus 1 for the bias: `[n, n]`. */
  private readonly products: Float64Array;
  private readonly centred: Float64Array[];

  constructor(points: readonly Point[]) {
    const size = points[0].length;
    this.mean = meanOf(points);
    this.centred = points.map((point) =>
      Float64Array.from({ length: size }, (_, k) => point[k] - this.mean[k]),
    );
    const n = points.length;
    this.products = new Float64Array(n * n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b <= a; b++) {
        const product = dot(this.centred[a], this.centred[b]) + 1;
        this.products[a * n + b] = product;
        this.products[b * n + a] = product;
      }
    }
  }

  /**
   * Minimises mean hinge loss + lambda ‖(w, b)‖², where b is the bias about the points' mean, by dual coordinate descent
   * (Hsieh et al. 2008), until the duality gap is below `tolerance` of the objective.
   * @param signs -1 or +1 for each point
   */
  fit(
    signs: ArrayLike<number>,
    lambda: number,
    {
      epochs = 100,
      tolerance = 1e-3,
      start,
    }: { epochs?: number; tolerance?: number; start?: Float64Array } = {},
  ): LinearRule & { alphas: Float64Array; gap: number } {
    if (!(lambda > 0 && Number.isFinite(lambda)))
      throw new UserError(`lambda is ${lambda}, expected above 0`);
    const n = this.centred.length;
    const most = 1 / (2 * lambda * n);
    const alphas = Float64Array.from({ length: n }, (_, a) => Math.min(most, start?.[a] ?? 0));
    // Scores of all points under the present weights: a coordinate at rest costs one comparison.
    const scores = new Float64Array(n);
    const add = (a: number, change: number) => {
      const row = a * n;
      for (let b = 0; b < n; b++) scores[b] += change * this.products[row + b];
    };
    alphas.forEach((alpha, a) => {
      if (alpha > 0) add(a, alpha * signs[a]);
    });
    let gap = Number.POSITIVE_INFINITY;
    for (let epoch = 0; epoch < epochs && gap > tolerance; epoch++) {
      for (let a = 0; a < n; a++) {
        const gradient = signs[a] * scores[a] - 1;
        const next = Math.min(most, Math.max(0, alphas[a] - gradient / this.products[a * n + a]));
        if (next === alphas[a]) continue;
        add(a, (next - alphas[a]) * signs[a]);
        alphas[a] = next;
      }
      let [squared, hinge, sum] = [0, 0, 0];
      for (let a = 0; a < n; a++) {
        squared += alphas[a] * signs[a] * scores[a];
        hinge += Math.max(0, 1 - signs[a] * scores[a]);
        sum += alphas[a];
      }
      const primal = squared / 2 + most * hinge;
      gap = (primal - (sum - squared / 2)) / primal;
    }
    const weights = new Float64Array(this.mean.length);
    let bias = 0;
    for (let a = 0; a < n; a++) {
      const factor = alphas[a] * signs[a];
      if (factor === 0) continue;
      bias += factor;
      for (let k = 0; k < weights.length; k++) weights[k] += factor * this.centred[a][k];
    }
    return { weights, bias: bias - dot(weights, this.mean), alphas, gap };
  }
}

export function meanOf(points: readonly Point[]): Float64Array {
  const mean = new Float64Array(points[0].length);
  for (const point of points) for (let k = 0; k < mean.length; k++) mean[k] += point[k] / points.length;
  return mean;
}

/** Logistic regression: mean log loss + lambda ‖w‖², by accelerated gradient descent (Nesterov 1983) on centred points. */
export function fitLogistic(
  points: readonly Point[],
  signs: ArrayLike<number>,
  lambda: number,
  steps = 200,
): LinearRule {
  const mean = meanOf(points);
  const size = mean.length;
  const centred = points.map((point) => Float64Array.from({ length: size }, (_, k) => point[k] - mean[k]));
  // The log loss has a second derivative of at most 1/4; the largest eigenvalue is found by power iteration.
  let direction = Float64Array.from({ length: size }, (_, k) => 1 + (k % 7) / 7);
  let largest = 1;
  for (let round = 0; round < 20; round++) {
    const image = covarianceTimes(centred, direction);
    largest = norm(image) / norm(direction);
    direction = image.map((value) => value / norm(image));
  }
  const rate = 1 / (0.25 * 1.1 * Math.max(1, largest) + 2 * lambda);
  let [weights, bias] = [new Float64Array(size), 0];
  let [ahead, aheadBias] = [weights, bias];
  for (let step = 0; step < steps; step++) {
    let biasGradient = 0;
    const slopes = weightedSum(centred, (point, row) => {
      const slope =
        -signs[row] / (1 + Math.exp(signs[row] * (dot(ahead, point) + aheadBias))) / centred.length;
      biasGradient += slope;
      return slope;
    });
    const gradient = slopes.map((value, k) => value + 2 * lambda * ahead[k]);
    const [before, biasBefore] = [weights, bias];
    const momentum = step / (step + 3);
    weights = ahead.map((value, k) => value - rate * gradient[k]);
    bias = aheadBias - rate * biasGradient;
    const [now, biasNow] = [weights, bias];
    ahead = now.map((value, k) => value + momentum * (value - before[k]));
    aheadBias = biasNow + momentum * (biasNow - biasBefore);
  }
  return { weights, bias: bias - dot(weights, mean) };
}

/**
 * Linear discriminant analysis: within-class covariance⁻¹ (j - i), by conjugate gradients. With many points of the
 * population its angle is the deviation that the best linear rule itself needs.
 */
export function fitLda(
  points: readonly Point[],
  labels: ArrayLike<number>,
  { ridge = 1e-6, iterations = 60 }: { ridge?: number; iterations?: number } = {},
): LinearRule {
  const { i, j, direction, distance, signs } = centroids(points, labels);
  const within = points.map((point, row) => {
    const mean = signs[row] > 0 ? j : i;
    return mean.map((value, k) => point[k] - value);
  });
  const weights = new Float64Array(i.length);
  let residual = direction.map((value) => value * distance);
  let search = residual;
  let squared = dot(residual, residual);
  for (let round = 0; round < iterations && squared > 1e-16 * distance ** 2; round++) {
    const along = search;
    const image = covarianceTimes(within, along).map((value, k) => value + ridge * along[k]);
    const step = squared / dot(along, image);
    for (let k = 0; k < weights.length; k++) weights[k] += step * along[k];
    residual = residual.map((value, k) => value - step * image[k]);
    const next = dot(residual, residual);
    search = residual.map((value, k) => value + (next / squared) * along[k]);
    squared = next;
  }
  return {
    weights,
    bias: -dot(
      weights,
      i.map((value, k) => (value + j[k]) / 2),
    ),
  };
}

function covarianceTimes(centred: readonly Float64Array[], vector: Float64Array): Float64Array<ArrayBuffer> {
  return weightedSum(centred, (point) => dot(point, vector) / centred.length);
}

/** Four points at a time, weighed just before: they are read from memory once, and the sum a quarter as often. */
function weightedSum(
  points: readonly Float64Array[],
  weigh: (point: Float64Array, row: number) => number,
): Float64Array<ArrayBuffer> {
  const size = points[0].length;
  const sum = new Float64Array(size);
  const whole = points.length - (points.length % 4);
  for (let row = 0; row < whole; row += 4) {
    const [a, b, c, d] = [points[row], points[row + 1], points[row + 2], points[row + 3]];
    const [p, q] = [weigh(a, row), weigh(b, row + 1)];
    const [r, s] = [weigh(c, row + 2), weigh(d, row + 3)];
    for (let k = 0; k < size; k++) sum[k] += p * a[k] + q * b[k] + (r * c[k] + s * d[k]);
  }
  for (let row = whole; row < points.length; row++) {
    const weight = weigh(points[row], row);
    for (let k = 0; k < size; k++) sum[k] += weight * points[row][k];
  }
  return sum;
}

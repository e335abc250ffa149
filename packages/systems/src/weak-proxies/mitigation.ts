import type { Classifier, Examples } from "./models.js";

export interface PenaltyRecipe {
  steps: number;
  learningRate: number;
}

/**
 * Logistic regression by Adam on all rows of `cross-entropy + strength * |sum_i penalty_i f_i|`, f the probability of class 1:
 * with the weights of `parityPenalty`, it pays for the parity gap between groups that only proxies name.
 */
export function trainWithPenalty(
  { features, width, labels }: Examples,
  penalty: Float64Array,
  strength: number,
  { steps, learningRate }: PenaltyRecipe,
): Classifier {
  const count = labels.length;
  const weights = new Float64Array(width + 1);
  const mean = new Float64Array(width + 1);
  const square = new Float64Array(width + 1);
  const p = new Float64Array(count);
  for (let step = 1; step <= steps; step++) {
    let gap = 0;
    for (let i = 0; i < count; i++) {
      p[i] = 1 / (1 + Math.exp(-logit(features, width, weights, i)));
      gap += penalty[i] * p[i];
    }
    // The absolute value is rounded near 0, where its slope would jump.
    const side = strength * (gap / Math.sqrt(gap * gap + 1e-6));
    const gradient = new Float64Array(width + 1);
    for (let i = 0; i < count; i++) {
      const slope = (p[i] - labels[i]) / count + side * penalty[i] * p[i] * (1 - p[i]);
      for (let j = 0; j < width; j++) gradient[j] += slope * features[i * width + j];
      gradient[width] += slope;
    }
    for (let j = 0; j <= width; j++) {
      mean[j] = 0.9 * mean[j] + 0.1 * gradient[j];
      square[j] = 0.999 * square[j] + 0.001 * gradient[j] ** 2;
      const scale = Math.sqrt(square[j] / (1 - 0.999 ** step)) + 1e-8;
      weights[j] -= (learningRate * mean[j]) / (1 - 0.9 ** step) / scale;
    }
  }
  return (given) =>
    Int32Array.from({ length: given.length / width }, (_, i) => Number(logit(given, width, weights, i) > 0));
}

function logit(features: Float32Array, width: number, weights: Float64Array, row: number): number {
  let sum = weights[width];
  for (let j = 0; j < width; j++) sum += weights[j] * features[row * width + j];
  return sum;
}

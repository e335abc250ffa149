import type { SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";
import { curvatureBound } from "./curvature-bound.js";
import { addOuter, type Features, scoreRow, withoutEmptyColumns } from "./features.js";
import { type LbfgsOptions, minimise, type Objective } from "./lbfgs.js";
import { checkSoftLabels, oneHot } from "./weak-labels.js";

/** Weight of the L2 penalty: that of the logistic probes of EleutherAI/w2s. */
export const defaultL2 = 1e-3;

/** Class scores of features x are x weights + bias. */
export interface LinearClassifier {
  /** [columns, classes] */
  weights: Float64Array;
  /** [classes] */
  bias: Float64Array;
}

export interface FittedClassifier extends LinearClassifier {
  /** Cross-entropy plus penalty at the end of training, in nats. */
  loss: number;
  iterations: number;
  /** False if training stopped before the gradient was as small as asked. */
  converged: boolean;
}

export interface LogisticRegression extends FittedClassifier {
  /** Probabilities of features [n, columns]. */
  predict(features: Float32Array, shape: [n: number, columns: number]): SoftLabels;
}

/**
 * Multinomial logistic regression on dense features [n, columns], as a supervisor or as a linear probe.
 * Labels are classes [n] or distributions [n, classes]. Columns are used as they are: bring them to similar
 * scales first, since one penalty `l2` (1e-3) holds for all. Refuses (UserError) features that are not finite
 * and labels that do not fit.
 */
export function trainLogisticRegression(
  given: {
    features: Float32Array;
    shape: [n: number, columns: number];
    labels: SoftLabels | Int32Array;
    classes: number;
    l2?: number;
  } & LbfgsOptions,
): LogisticRegression {
  const { features, shape, labels, classes, l2, ...options } = given;
  const fitted = fitLogistic(dense(features, shape), labels, { classes, l2, ...options });
  const width = shape[1];
  return {
    ...fitted,
    predict(features, shape) {
      if (shape[1] !== width) {
        throw new UserError(`the classifier was trained on ${width} columns, not ${shape[1]}`);
      }
      return predictProbabilities(fitted, dense(features, shape));
    },
  };
}

/** Fits weights and bias from 0 by full-batch L-BFGS; the same bits each time. */
export function fitLogistic(
  features: Features,
  labels: SoftLabels | Int32Array,
  given: { classes: number; l2?: number } & LbfgsOptions,
): FittedClassifier {
  const { classes, l2 = defaultL2, ...options } = given;
  const [rows, columns] = features.shape;
  if (rows === 0) throw new UserError("logistic regression needs at least one labelled example, there are 0");
  if (!(l2 >= 0 && Number.isFinite(l2))) throw new UserError(`l2 is a number from 0, not ${l2}`);
  const targets = labels instanceof Int32Array ? oneHot(labels, classes) : labels;
  if (targets.shape[0] !== rows || targets.shape[1] !== classes) {
    throw new UserError(`labels [${targets.shape}] for ${rows} examples of ${classes} classes`);
  }
  checkSoftLabels(targets);
  // A column without a value keeps weight 0, so a large vocabulary costs nothing where it is not used.
  const { features: used, kept } = withoutEmptyColumns(features);
  const start = new Float64Array((kept.length + 1) * classes);
  const precondition = used.sparse ? undefined : curvatureBound(used.values, used.shape, l2);
  const { point, value, ...progress } = minimise(logisticLoss(used, targets, l2), start, {
    precondition,
    ...options,
  });
  const { weights: fitted, bias } = split(point, kept.length, classes);
  const weights = new Float64Array(columns * classes);
  kept.forEach((column, i) => {
    weights.set(fitted.subarray(i * classes, (i + 1) * classes), column * classes);
  });
  return { weights, bias: bias.slice(), loss: value, ...progress };
}

/**
 * The function that training minimises, of weights [columns, classes] followed by bias [classes]:
 * mean over examples of the cross-entropy with their distributions, plus l2 times the sum of squared weights.
 * The bias is not penalised.
 */
export function logisticLoss(features: Features, targets: SoftLabels, l2: number): Objective {
  const [rows, columns] = features.shape;
  const classes = targets.shape[1];
  const scores = new Float64Array(classes);
  const residuals = new Float64Array(classes);
  return (point, gradient) => {
    const { weights, bias } = split(point, columns, classes);
    const slope = split(gradient, columns, classes);
    let penalty = 0;
    for (let i = 0; i < weights.length; i++) {
      penalty += weights[i] * weights[i];
      slope.weights[i] = 2 * l2 * weights[i];
    }
    slope.bias.fill(0);
    let crossEntropy = 0;
    for (let row = 0; row < rows; row++) {
      scoreRow(features, row, weights, bias, scores);
      const logNormaliser = logSumExp(scores);
      // Rows sum to 1 only up to rounding; with their sum the slope is exactly that of the loss.
      let mass = 0;
      for (let k = 0; k < classes; k++) mass += targets.values[row * classes + k];
      for (let k = 0; k < classes; k++) {
        const target = targets.values[row * classes + k];
        const logProbability = scores[k] - logNormaliser;
        crossEntropy -= target * logProbability;
        residuals[k] = (mass * Math.exp(logProbability) - target) / rows;
        slope.bias[k] += residuals[k];
      }
      addOuter(features, row, residuals, slope.weights);
    }
    return crossEntropy / rows + l2 * penalty;
  };
}

/** Softmax of the class scores [n, classes]. */
export function predictProbabilities(classifier: LinearClassifier, features: Features): SoftLabels {
  const { weights, bias } = classifier;
  const rows = features.shape[0];
  const classes = bias.length;
  const values = new Float32Array(rows * classes);
  const scores = new Float64Array(classes);
  for (let row = 0; row < rows; row++) {
    scoreRow(features, row, weights, bias, scores);
    const logNormaliser = logSumExp(scores);
    for (let k = 0; k < classes; k++) values[row * classes + k] = Math.exp(scores[k] - logNormaliser);
  }
  return { values, shape: [rows, classes] };
}

function split(point: Float64Array, columns: number, classes: number): LinearClassifier {
  return { weights: point.subarray(0, columns * classes), bias: point.subarray(columns * classes) };
}

function logSumExp(scores: Float64Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (const score of scores) top = Math.max(top, score);
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - top);
  return top + Math.log(sum);
}

function dense(values: Float32Array, shape: [n: number, columns: number]): Features {
  const [rows, columns] = shape;
  if (values.length !== rows * columns) {
    throw new UserError(`features of shape [${shape}] have ${rows * columns} numbers, not ${values.length}`);
  }
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const place = `row ${Math.floor(bad / columns)}, column ${bad % columns}`;
    throw new UserError(`features are finite numbers, but ${place} (counted from 0) is ${values[bad]}`);
  }
  return { values, shape };
}

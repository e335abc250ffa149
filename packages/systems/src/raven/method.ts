/*
 * RAVEN (Jeon et al. 2025): a student learns from several weak models at once, and with it how much to trust each.
 */
import {
  argmaxRows,
  checkSupervisors,
  easyExamples,
  easyWarnings,
  type Random,
  type SoftLabels,
  UserError,
} from "outgrow";
import { addRow, CosineAdam, scoreRow } from "./linear-probe.js";

export interface RavenOptions {
  random: Random;
  /** Passes over the data. Default 30. */
  epochs?: number;
  /** Default 64. */
  batchSize?: number;
  /** Of Adam, with a cosine over all steps. Default 3e-3. */
  learningRate?: number;
  /** Of the weights of the weak models; 0 keeps them as they start. Default 2e-3. */
  weightRate?: number;
  /** Share of the epochs, at the start, with only the examples on which all weak models agree. Default 0.3. */
  easyShare?: number;
  /** Weights to start from, with a sum of 1. Default all equal; `entropy`: more for weak models that are more certain. */
  weights?: readonly number[] | "entropy";
  /** Weights for each example instead of one for all; a step moves them by the example's own slope. Default false. */
  perExample?: boolean;
  signal?: AbortSignal;
}

export interface RavenStudent {
  /** Linear probe: `[features + 1, classes]`, the bias last. */
  parameters: Float64Array;
  /** Of the weak models, at the end: a sum of 1. With weights for each example their mean. */
  weights: number[];
  /** Weights after each epoch. */
  course: number[][];
  /** First step after which one weak model had nearly all weight (more than 0.99), if any. */
  collapsedAt?: number;
  /** Examples on which all weak models agree. */
  easy: number;
  warnings: string[];
  /** Classes of features `[n, features]`. */
  predict(features: Float32Array): Int32Array;
}

const LEAST = 1e-6;

/**
 * Trains a linear probe on features `[n, width]` with the soft labels of several weak models of the same examples. The target is
 * their mean by weights that are learned with it: they move to the models whose labels surprise the student least. A consistent
 * wrong majority defeats it, and a large `weightRate` leaves a single weak model.
 *
 * @throws UserError for weak labels that are no distributions or do not fit together, and weights that are negative or do not sum to 1
 */
export function trainRaven(
  { features, width, weak }: { features: Float32Array; width: number; weak: readonly SoftLabels[] },
  options: RavenOptions,
): RavenStudent {
  const { random, epochs = 30, batchSize = 64, learningRate = 3e-3, weightRate = 2e-3, signal } = options;
  const { easyShare = 0.3 } = options;
  const count = features.length / width;
  const classes = checkSupervisors(weak, count);
  let weights = startWeights(options.weights, weak);
  const warnings: string[] = [];
  const isEasy = easyExamples(weak);
  const easy = isEasy.reduce((sum, value) => sum + value, 0);
  let easyEpochs = Math.floor(easyShare * epochs);
  if (easyEpochs > 0) warnings.push(...easyWarnings(weak[0], isEasy));
  if (easy === 0) easyEpochs = 0;

  const parameters = new Float64Array((width + 1) * classes);
  const gradient = new Float64Array(parameters.length);
  const scores = new Float64Array(classes);
  const slopes = new Float64Array(classes);
  const surprise = new Float64Array(weak.length);
  const ofExample = options.perExample ? Array.from({ length: count }, () => weights) : undefined;
  const course: number[][] = [];
  let collapsedAt: number | undefined;
  const batch = Math.min(batchSize, count);
  const perEpoch = Math.floor(count / batch);
  const adam = new CosineAdam(parameters, learningRate, epochs * perEpoch);
  let step = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    signal?.throwIfAborted();
    const order = random.stream("epoch", epoch).permutation(count);
    for (let b = 0; b < perEpoch; b++) {
      gradient.fill(0);
      surprise.fill(0);
      for (let at = b * batch; at < (b + 1) * batch; at++) {
        const row = order[at];
        if (epoch < easyEpochs && isEasy[row] === 0) continue;
        scoreRow(parameters, { features, width, row }, scores);
        const normaliser = logNormaliser(scores);
        const own = ofExample?.[row] ?? weights;
        if (ofExample) surprise.fill(0);
        for (let k = 0; k < classes; k++) {
          const logP = scores[k] - normaliser;
          let target = 0;
          for (let m = 0; m < weak.length; m++) {
            const y = weak[m].values[row * classes + k];
            target += own[m] * y;
            surprise[m] -= (y * logP) / (ofExample ? 1 : batch);
          }
          slopes[k] = (Math.exp(logP) - target) / batch;
        }
        addRow(gradient, { features, width, row }, slopes);
        if (ofExample && epoch >= easyEpochs && weightRate > 0) {
          ofExample[row] = movedWeights(own, weightGradient(surprise, own), weightRate);
        }
      }
      step++;
      adam.step(gradient);
      if (!ofExample && epoch >= easyEpochs && weightRate > 0) {
        weights = movedWeights(weights, weightGradient(surprise, weights), weightRate);
        if (weak.length > 1 && Math.max(...weights) > 0.99) collapsedAt ??= step;
      }
    }
    if (ofExample) weights = weights.map((_, m) => ofExample.reduce((sum, own) => sum + own[m], 0) / count);
    course.push([...weights]);
  }
  return {
    parameters,
    weights: [...weights],
    course,
    ...(collapsedAt !== undefined && { collapsedAt }),
    easy,
    warnings,
    predict(given) {
      const scores = new Float64Array(classes);
      return Int32Array.from({ length: given.length / width }, (_, row) => {
        scoreRow(parameters, { features: given, width, row }, scores);
        return argmaxRows(scores, classes)[0];
      });
    },
  };
}

/**
 * Slope of the loss by each weight, where weights are divided by their sum: the mean cross-entropy with this model's labels, less
 * the weighted mean of all. Without that last term the division would change where weights go.
 */
export function weightGradient(surprise: ArrayLike<number>, weights: readonly number[]): number[] {
  const mean = weights.reduce((sum, w, m) => sum + w * surprise[m], 0);
  return weights.map((_, m) => surprise[m] - mean);
}

/** A step down the slope, back to weights of at least 1e-6 with a sum of 1. */
export function movedWeights(weights: readonly number[], slope: readonly number[], rate: number): number[] {
  const moved = weights.map((w, m) => Math.max(w - rate * slope[m], LEAST));
  const sum = moved.reduce((a, b) => a + b, 0);
  return moved.map((w) => w / sum);
}

function logNormaliser(scores: Float64Array): number {
  let top = scores[0];
  for (let k = 1; k < scores.length; k++) if (scores[k] > top) top = scores[k];
  let sum = 0;
  for (let k = 0; k < scores.length; k++) sum += Math.exp(scores[k] - top);
  return top + Math.log(sum);
}

function startWeights(given: RavenOptions["weights"], weak: readonly SoftLabels[]): number[] {
  if (given === "entropy") {
    const inverse = weak.map(({ values, shape: [rows] }) => {
      const entropy = values.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
      return 1 / (entropy / rows + 1e-8);
    });
    const sum = inverse.reduce((a, b) => a + b, 0);
    return inverse.map((value) => value / sum);
  }
  return checkedWeights(given, weak.length);
}

/** Equal where none are given. */
export function checkedWeights(given: readonly number[] | undefined, models: number): number[] {
  if (given === undefined) return new Array<number>(models).fill(1 / models);
  if (given.length !== models) throw new UserError(`${given.length} weights for ${models} weak models`);
  const sum = given.reduce((a, b) => a + b, 0);
  if (given.some((w) => !(w >= 0)) || Math.abs(sum - 1) > 1e-4) {
    throw new UserError(`the weights [${given.join(", ")}] have a sum of ${sum}`, {
      hint: "Weights are from 0, with a sum of 1.",
    });
  }
  return [...given];
}

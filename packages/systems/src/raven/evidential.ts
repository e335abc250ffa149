/*
 * Evidential labels, a baseline of Jeon et al. (2025): logits are evidence for classes, a Dirichlet distribution has it as its counts,
 * and evidence against the label is drawn to none.
 */
import {
  argmaxRows,
  checkSupervisors,
  dirichletFromUniform,
  type Random,
  type SoftLabels,
  trigamma,
} from "outgrow";
import { addRow, CosineAdam, scoreRow } from "./linear-probe.js";

export interface EvidentialOptions {
  random: Random;
  /** Passes over the data. Default 30. */
  epochs?: number;
  /** Default 64. */
  batchSize?: number;
  /** Of Adam, with a cosine over all steps. Default 3e-3. */
  learningRate?: number;
  signal?: AbortSignal;
}

export interface EvidentialStudent {
  /** Linear probe: `[features + 1, classes]`, the bias last. */
  parameters: Float64Array;
  /** Classes of features `[n, features]`. */
  predict(features: Float32Array): Int32Array;
}

/**
 * Trains a linear probe on features `[n, width]` with the classes that several weak models name, and with the class that it names
 * itself. A class without evidence anywhere does not come back, so that it starts at zero, where relu has here the slope 1.
 *
 * @throws UserError for weak labels that are no distributions or do not fit together
 */
export function trainEvidential(
  { features, width, weak }: { features: Float32Array; width: number; weak: readonly SoftLabels[] },
  { random, epochs = 30, batchSize = 64, learningRate = 3e-3, signal }: EvidentialOptions,
): EvidentialStudent {
  const count = features.length / width;
  const classes = checkSupervisors(weak, count);
  const named = weak.map(({ values }) => argmaxRows(values, classes));
  const parameters = new Float64Array((width + 1) * classes);
  const gradient = new Float64Array(parameters.length);
  const [scores, slopes, votes] = [0, 1, 2].map(() => new Float64Array(classes));
  const batch = Math.min(batchSize, count);
  const perEpoch = Math.floor(count / batch);
  const adam = new CosineAdam(parameters, learningRate, epochs * perEpoch);
  for (let epoch = 0; epoch < epochs; epoch++) {
    signal?.throwIfAborted();
    const order = random.stream("epoch", epoch).permutation(count);
    for (let b = 0; b < perEpoch; b++) {
      const progress = (epoch * perEpoch + b) / (epochs * perEpoch);
      gradient.fill(0);
      for (let at = b * batch; at < (b + 1) * batch; at++) {
        const row = order[at];
        scoreRow(parameters, { features, width, row }, scores);
        votes.fill(0);
        for (const labels of named) votes[labels[row]] += 0.5;
        votes[argmaxRows(scores, classes)[0]] += 0.5;
        evidentialSlopes(scores, votes, progress, slopes);
        for (let k = 0; k < classes; k++) slopes[k] /= batch;
        addRow(gradient, { features, width, row }, slopes);
      }
      adam.step(gradient);
    }
  }
  return {
    parameters,
    predict: (given) =>
      Int32Array.from({ length: given.length / width }, (_, row) => {
        scoreRow(parameters, { features: given, width, row }, scores);
        return argmaxRows(scores, classes)[0];
      }),
  };
}

/**
 * A row's loss: with evidence a = relu(z) + 1 and its sum S, over the classes c by their votes,
 * log S - log a_c + progress * KL(Dir(a, with a_c = 1) || Dir(1)).
 *
 * @param scores logits `[classes]`
 * @param votes weights of the classes as the label
 */
export function evidentialLoss(
  scores: ArrayLike<number>,
  votes: ArrayLike<number>,
  progress: number,
): number {
  const a = Array.from(scores, (z) => Math.max(0, z) + 1);
  const sum = a.reduce((x, y) => x + y, 0);
  return Array.from(votes).reduce((total, vote, c) => {
    const others = a.map((own, k) => (k === c ? 1 : own));
    return total + vote * (Math.log(sum / a[c]) + progress * dirichletFromUniform(others));
  }, 0);
}

/** The slopes of `evidentialLoss` along the logits; at 0 that of more evidence. */
export function evidentialSlopes(
  scores: Float64Array,
  votes: Float64Array,
  progress: number,
  slopes: Float64Array,
): void {
  let evidence = 0;
  let voted = 0;
  for (let k = 0; k < scores.length; k++) {
    evidence += Math.max(0, scores[k]);
    voted += votes[k];
  }
  const sum = evidence + scores.length;
  // Of a divergence whose evidence e has the sum E: e_k psi'(1 + e_k) - E psi'(K + E), for every class but the label.
  let shared = 0;
  for (let c = 0; c < scores.length; c++) {
    const others = evidence - Math.max(0, scores[c]);
    slopes[c] = votes[c] > 0 && others > 0 ? votes[c] * others * trigamma(scores.length + others) : 0;
    shared += slopes[c];
  }
  for (let k = 0; k < scores.length; k++) {
    const own = scores[k];
    if (own < 0) {
      slopes[k] = 0;
      continue;
    }
    const against = (voted - votes[k]) * own * trigamma(1 + own) - (shared - slopes[k]);
    slopes[k] = voted / sum - votes[k] / (1 + own) + progress * against;
  }
}

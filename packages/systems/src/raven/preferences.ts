/*
 * RAVEN's preference variant (Jeon et al. 2025): a linear reward learns from several weak reward models which of two replies is
 * better, by DPO against the reward of zero, and with it how much to trust each of them.
 */
import { UserError } from "outgrow";
import { CosineAdam } from "./linear-probe.js";
import { checkedWeights, movedWeights, type RavenOptions, weightGradient } from "./method.js";

/** Pairs of replies, and what weak reward models think of them. */
export interface WeighedPairs {
  /** Features of the first and of the second reply, each `[pairs, width]`. */
  first: Float32Array;
  second: Float32Array;
  width: number;
  /** Of each weak model: `[pairs, 2]`, its rewards of the first and of the second reply. */
  rewards: readonly ArrayLike<number>[];
}

export interface RavenPreferenceOptions
  extends Pick<RavenOptions, "random" | "epochs" | "batchSize" | "learningRate" | "signal"> {
  /** Of the weights of the weak models; 0 keeps them as they start. Default 1e-3, the released configuration's. */
  weightRate?: number;
  /** Share of the epochs, at the start, with only the pairs that all weak models order alike. Default 0.5, the released one's. */
  easyShare?: number;
  /** Weights to start from, with a sum of 1. Default all equal. */
  weights?: readonly number[];
  /** Of DPO. Default 0.1. */
  beta?: number;
  /**
   * `margins`: after the easy start a pair counts with beta plus the difference of the replies' shares of the softmax, through which
   * the loss reaches the weights. `fixed`: beta for all, so that the weights stay: plain DPO. Default `margins`; with one weak model,
   * whose weight stays, `fixed`.
   */
  strength?: "margins" | "fixed";
}

export interface RavenPreferenceStudent {
  /** `[width]`: the reward of a reply is their product with its features. A bias would be alike for both replies. */
  parameters: Float64Array;
  /** Of the weak models, at the end: a sum of 1. */
  weights: number[];
  /** Weights after each epoch. */
  course: number[][];
  /** First step after which one weak model had nearly all weight (more than 0.99), if any. */
  collapsedAt?: number;
  /** Pairs that all weak models order alike. */
  easy: number;
  warnings: string[];
  /** Rewards of replies `[n, width]`: log-ratios of the policy to its start. */
  rewards(features: Float32Array): Float64Array;
}

/**
 * Trains a linear reward on pairs that several weak reward models order by the softmax of their weighted rewards. Weights move to the
 * models whose margins agree with the student's. A model of rewards on a greater scale has the greater say: standardise rewards that
 * were not trained alike.
 *
 * @throws UserError for rewards that are not finite or do not fit the pairs, and weights that are negative or do not sum to 1
 */
export function trainRavenPreferences(
  given: WeighedPairs,
  options: RavenPreferenceOptions,
): RavenPreferenceStudent {
  const { random, epochs = 30, batchSize = 64, learningRate = 3e-3, weightRate = 1e-3, signal } = options;
  const { easyShare = 0.5, beta = 0.1 } = options;
  const { first, second, width } = given;
  const margins = rewardMargins(given);
  const models = margins.length;
  const { strength = models > 1 ? "margins" : "fixed" } = options;
  const count = first.length / width;
  let weights = checkedWeights(options.weights, models);
  const warnings: string[] = [];
  const isEasy = Uint8Array.from({ length: count }, (_, i) =>
    Number(margins.every((own) => own[i] >= 0 === margins[0][i] >= 0)),
  );
  const easy = isEasy.reduce((sum, value) => sum + value, 0);
  let easyEpochs = Math.floor(easyShare * epochs);
  if (easyEpochs > 0 && easy === 0) {
    warnings.push("The weak models order no pair alike: training starts on all.");
    easyEpochs = 0;
  }

  const differences = first.map((x, at) => x - second[at]);
  const parameters = new Float64Array(width);
  const gradient = new Float64Array(width);
  const pull = new Float64Array(models);
  const course: number[][] = [];
  let collapsedAt: number | undefined;
  const batch = Math.min(batchSize, count);
  const perEpoch = Math.floor(count / batch);
  const adam = new CosineAdam(parameters, learningRate, epochs * perEpoch);
  for (let epoch = 0; epoch < epochs; epoch++) {
    signal?.throwIfAborted();
    const order = random.stream("epoch", epoch).permutation(count);
    const isStart = epoch < easyEpochs;
    const reaches = !isStart && strength === "margins";
    for (let b = 0; b < perEpoch; b++) {
      gradient.fill(0);
      pull.fill(0);
      for (let at = b * batch; at < (b + 1) * batch; at++) {
        const row = order[at];
        if (isStart && isEasy[row] === 0) continue;
        let student = 0;
        for (let j = 0; j < width; j++) student += parameters[j] * differences[row * width + j];
        let margin = 0;
        for (let m = 0; m < models; m++) margin += weights[m] * margins[m][row];
        const { byStudent, byMargin } = pairSlopes(student, margin, beta, reaches);
        for (let j = 0; j < width; j++) gradient[j] += (byStudent * differences[row * width + j]) / batch;
        for (let m = 0; m < models; m++) pull[m] += (byMargin * margins[m][row]) / batch;
      }
      adam.step(gradient);
      if (reaches && weightRate > 0) {
        weights = movedWeights(weights, weightGradient(pull, weights), weightRate);
        if (models > 1 && Math.max(...weights) > 0.99) collapsedAt ??= epoch * perEpoch + b + 1;
      }
    }
    course.push([...weights]);
  }
  return {
    parameters,
    weights: [...weights],
    course,
    ...(collapsedAt !== undefined && { collapsedAt }),
    easy,
    warnings,
    rewards: (features) =>
      Float64Array.from({ length: features.length / width }, (_, row) => {
        let reward = 0;
        for (let j = 0; j < width; j++) reward += parameters[j] * features[row * width + j];
        return reward;
      }),
  };
}

/**
 * The loss of a pair, -log sigmoid(s h), and its slopes along the student's margin and, through s, along the weak models' weighted one.
 *
 * @param student its reward of the first reply minus that of the second
 * @param margin the same of the weighted rewards; its sign says which reply is the chosen one (the first where it is 0)
 * @param reaches whether s is beta + (a_chosen - a_rejected), a the softmax of the weighted rewards, or beta alone
 */
export function pairSlopes(student: number, margin: number, beta: number, reaches: boolean) {
  const sign = margin >= 0 ? 1 : -1;
  const preference = Math.tanh(Math.abs(margin) / 2); // a_chosen - a_rejected
  const strength = reaches ? beta + preference : beta;
  const h = sign * student;
  const surprise = 1 / (1 + Math.exp(strength * h)); // sigmoid(-s h)
  return {
    loss: Math.max(0, -strength * h) + Math.log1p(Math.exp(-Math.abs(strength * h))),
    byStudent: -surprise * strength * sign,
    byMargin: reaches ? (-surprise * h * (1 - preference * preference) * sign) / 2 : 0,
  };
}

/** Each weak model's reward of the first reply minus that of the second. */
function rewardMargins({ first, second, width, rewards }: WeighedPairs): Float64Array[] {
  const count = first.length / width;
  if (second.length !== first.length || !Number.isInteger(count)) {
    throw new UserError(
      `features of ${first.length} and ${second.length} numbers are no pairs of ${width} features each`,
    );
  }
  if (rewards.length === 0) throw new UserError("there is no weak model to learn from");
  return rewards.map((own, m) => {
    if (own.length !== 2 * count) {
      throw new UserError(`weak model ${m + 1} has ${own.length} rewards, and there are ${count} pairs`, {
        hint: "Give two rewards for each pair: the first reply's and the second's.",
      });
    }
    return Float64Array.from({ length: count }, (_, i) => {
      const margin = own[2 * i] - own[2 * i + 1];
      if (!Number.isFinite(margin)) {
        throw new UserError(
          `weak model ${m + 1} has the rewards ${own[2 * i]} and ${own[2 * i + 1]} of pair ${i} (counted from 0)`,
          { hint: "Rewards are finite numbers." },
        );
      }
      return margin;
    });
  });
}

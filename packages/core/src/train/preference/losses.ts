import { type Array as JaxArray, lax, nn, numpy as np } from "@jax-js/jax";
import { logOdds, logSigmoid } from "../log-space.js";

/** What is known of pairs of answers to the same prompts. All `[pairs]`. */
export interface PairLogProbs<Leaf = JaxArray> {
  /** Log-probabilities of the answers, given their prompts: sums over the answers' tokens. */
  chosen: Leaf;
  rejected: Leaf;
  /** The same of the frozen reference, where the loss needs one. */
  referenceChosen?: Leaf;
  referenceRejected?: Leaf;
  /** float32: tokens of the answers, at least 1. */
  chosenTokens: Leaf;
  rejectedTokens: Leaf;
}

/** Direct preference optimisation (Rafailov et al. 2023, equation 7). */
export interface DpoLoss {
  name: "dpo";
  /** Strength of the tie to the reference, above 0. Default 0.1; 5 where `perToken`, as in delta learning. */
  beta?: number;
  /** Share of pairs whose order is taken to be wrong, in [0, 0.5): conservative DPO (Mitchell 2023). Default 0. */
  labelSmoothing?: number;
  /** Means of the tokens' log-probabilities instead of sums (Geng et al. 2025). Default false. */
  perToken?: boolean;
}

/** Identity preference optimisation (Azar et al. 2023, equation 17): the log-ratios' difference is drawn to 1 / (2 beta). */
export interface IpoLoss {
  name: "ipo";
  /** Default 0.1. */
  beta?: number;
  /** Default false, as in the paper. */
  perToken?: boolean;
}

/** max(0, margin - beta h), h the difference of the log-ratios: SLiC's loss on DPO's margin (Liu et al. 2023, RSO, equation 9). */
export interface HingeLoss {
  name: "hinge";
  /** Default 0.1. */
  beta?: number;
  /** Default 1. */
  margin?: number;
  /** Default false. */
  perToken?: boolean;
}

/** Sequence likelihood calibration with the loss of finetuning beside it (Zhao et al. 2023, SLiC-HF, equation 1). No reference. */
export interface SlicLoss {
  name: "slic";
  /** Difference of the answers' log-probabilities from which on there is no loss. Default 1. */
  margin?: number;
  /** Weight of the chosen answer's negative log-probability. Default 0.1. */
  regularization?: number;
}

/** Simple preference optimisation (Meng et al. 2024, equation 6), on means of the tokens' log-probabilities. No reference. */
export interface SimPoLoss {
  name: "simpo";
  /** Default 2. */
  beta?: number;
  /** Target margin. Default 1, half of beta. */
  gamma?: number;
}

/** Odds ratio preference optimisation (Hong et al. 2024, equations 6 and 7), on means of the tokens' log-probabilities. No reference. */
export interface OrpoLoss {
  name: "orpo";
  /** Weight of the odds ratio beside the chosen answer's negative log-likelihood per token. Default 0.1. */
  lambda?: number;
}

/** A loss of pairs. SPIN (Chen et al. 2024) is `dpo` or `hinge` with one's own samples as the rejected answers and the last iterate as the reference. */
export type PreferenceLoss = DpoLoss | IpoLoss | HingeLoss | SlicLoss | SimPoLoss | OrpoLoss;

/** Whether the loss compares the model with a frozen reference. */
export function needsReference(loss: PreferenceLoss): boolean {
  return loss.name === "dpo" || loss.name === "ipo" || loss.name === "hinge";
}

/** The loss of each pair: `[pairs]`. */
export function preferenceLoss(loss: PreferenceLoss, pairs: PairLogProbs): JaxArray {
  switch (loss.name) {
    case "dpo":
      return dpo(loss, pairs);
    case "ipo":
      return np.square(logRatioMargin(pairs, loss.perToken).sub(1 / (2 * (loss.beta ?? 0.1))));
    case "hinge":
      return nn.relu(
        logRatioMargin(pairs, loss.perToken)
          .mul(-(loss.beta ?? 0.1))
          .add(loss.margin ?? 1),
      );
    case "slic":
      return nn
        .relu(pairs.rejected.sub(pairs.chosen).add(loss.margin ?? 1))
        .sub(pairs.chosen.mul(loss.regularization ?? 0.1));
    case "simpo":
      return simPo(loss, pairs);
    case "orpo":
      return orpo(loss, pairs);
  }
}

function dpo({ perToken, beta = perToken ? 5 : 0.1, labelSmoothing = 0 }: DpoLoss, pairs: PairLogProbs) {
  const margin = logRatioMargin(pairs, perToken).mul(beta);
  const right = logSigmoid(margin).neg();
  if (labelSmoothing === 0) return right;
  return right.mul(1 - labelSmoothing).sub(logSigmoid(margin.neg()).mul(labelSmoothing));
}

function simPo({ beta = 2, gamma = 1 }: SimPoLoss, pairs: PairLogProbs): JaxArray {
  const { chosen, rejected } = tokenMeans(pairs);
  return logSigmoid(chosen.sub(rejected).mul(beta).sub(gamma)).neg();
}

function orpo({ lambda = 0.1 }: OrpoLoss, pairs: PairLogProbs): JaxArray {
  const { chosen, rejected } = tokenMeans(pairs);
  const ratio = logOdds(chosen).sub(logOdds(rejected));
  return logSigmoid(ratio).mul(lambda).add(chosen).neg();
}

const tokenMeans = ({ chosen, rejected, chosenTokens, rejectedTokens }: PairLogProbs) => ({
  chosen: chosen.div(chosenTokens),
  rejected: rejected.div(rejectedTokens),
});

/**
 * h = log pi(chosen) / pi_ref(chosen) - log pi(rejected) / pi_ref(rejected): `[pairs]`. Without a reference the log-ratios
 * are the log-probabilities.
 */
export function logRatioMargin(pairs: PairLogProbs, perToken = false): JaxArray {
  const { referenceChosen, referenceRejected, chosenTokens, rejectedTokens } = pairs;
  const chosen = referenceChosen ? pairs.chosen.sub(referenceChosen) : pairs.chosen;
  const rejected = referenceRejected ? pairs.rejected.sub(referenceRejected) : pairs.rejected;
  return perToken ? chosen.div(chosenTokens).sub(rejected.div(rejectedTokens)) : chosen.sub(rejected);
}

/** Kahneman-Tversky optimisation (Ethayarajh et al. 2024, equation 8), of answers that are each good or bad. */
export interface KtoLoss {
  /** Default 0.1. */
  beta?: number;
  /** Weights lambda of good and bad answers. Default 1; their ratio should make up for unequal numbers (section 4.2). */
  desirableWeight?: number;
  undesirableWeight?: number;
}

/**
 * The loss of each answer: `[answers]`, lambda - value.
 *
 * @param logRatios log pi / pi_ref of the answers, sums over tokens: `[answers]`
 * @param desirable 1 for good answers, 0 for bad ones: `[answers]`
 * @param mismatched log pi / pi_ref of answers to other prompts: their mean, where above 0, is the reference point z0, through
 *   which no gradient goes
 */
export function ktoLoss(
  { beta = 0.1, desirableWeight = 1, undesirableWeight = 1 }: KtoLoss,
  logRatios: JaxArray,
  desirable: JaxArray,
  mismatched: JaxArray,
): JaxArray {
  const origin = lax.stopGradient(nn.relu(mismatched.mean()));
  const sign = desirable.mul(2).sub(1);
  const weight = desirable.mul(desirableWeight - undesirableWeight).add(undesirableWeight);
  // 1 - sigmoid(z) is sigmoid(-z): no cancellation where an answer is as good as it gets.
  return np.exp(logSigmoid(logRatios.sub(origin).mul(sign).mul(-beta))).mul(weight);
}

/**
 * Self-supervised alignment with mutual information (Fränken et al. 2024, equation 4): each constitution is to pick out its own
 * answer, and each answer its own constitution. log n minus the loss is a lower bound of their mutual information (InfoNCE).
 *
 * @param logProbs `[..., n, n]`: of answer j given constitution i, means over tokens; a loss for each matrix comes back
 * @param direction `rows`: over the answers of a constitution; `columns`: over the constitutions of an answer; default both,
 *   their mean
 */
export function samiLoss(logProbs: JaxArray, direction: "rows" | "columns" | "both" = "both"): JaxArray {
  const n = logProbs.shape[logProbs.ndim - 1];
  if (n < 2 || logProbs.shape[logProbs.ndim - 2] !== n) {
    throw new RangeError(
      `samiLoss takes square matrices of at least 2 x 2, not ones of [${logProbs.shape.slice(-2)}].`,
    );
  }
  const diagonal = (axis: number) =>
    nn
      .logSoftmax(logProbs, axis)
      .mul(np.eye(n))
      .sum([-2, -1])
      .mul(-1 / n);
  if (direction === "rows") return diagonal(-1);
  if (direction === "columns") return diagonal(-2);
  return diagonal(-1).add(diagonal(-2)).mul(0.5);
}

/** Of a reward model. */
export interface RewardLoss {
  /** Weight of the squared sum of both rewards, which keeps them around 0 (Eisenstein et al. 2023, equation 4). Default 0.01. */
  centring?: number;
}

/**
 * Bradley and Terry's loss -log sigmoid(chosen - rejected - margin) of each pair (Ouyang et al. 2022, equation 1; the margin:
 * Touvron et al. 2023, equation 2), plus the centring.
 *
 * @param chosen rewards `[pairs]`, and so `rejected`
 * @param margins `[pairs]`, how much better the chosen answers should be
 */
export function rewardLoss(
  { centring = 0.01 }: RewardLoss,
  chosen: JaxArray,
  rejected: JaxArray,
  margins?: JaxArray,
): JaxArray {
  const difference = chosen.sub(rejected);
  const ranking = logSigmoid(margins ? difference.sub(margins) : difference).neg();
  return centring === 0 ? ranking : ranking.add(np.square(chosen.add(rejected)).mul(centring));
}

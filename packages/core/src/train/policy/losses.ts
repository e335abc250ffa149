import { type Array as JaxArray, lax, numpy as np } from "@jax-js/jax";

/** How a token's Kullback-Leibler divergence to the reference is estimated from the sampled token alone (Schulman 2020). */
export type KlEstimator = "k1" | "k2" | "k3";

/**
 * Estimates KL(pi, pi_ref) of each token from x = log pi - log pi_ref at a token that pi drew: `k1` is x, unbiased, of either
 * sign; `k2` x^2 / 2, whose gradient is that of the divergence; `k3` exp(-x) - 1 + x, unbiased and never negative. The
 * shape of the arguments.
 */
export function klEstimate(estimator: KlEstimator, logProbs: JaxArray, reference: JaxArray): JaxArray {
  const x = logProbs.sub(reference);
  if (estimator === "k1") return x;
  if (estimator === "k2") return np.square(x).mul(0.5);
  return np.expm1(x.neg()).add(x);
}

/** {@link klEstimate} of plain numbers, outside of programs. */
export function klEstimateOf(
  estimator: KlEstimator,
  logProbs: Float32Array,
  reference: Float32Array,
): Float32Array {
  return logProbs.map((value, i) => {
    const x = value - reference[i];
    if (estimator === "k1") return x;
    return estimator === "k2" ? (x * x) / 2 : Math.expm1(-x) + x;
  });
}

/** How far a token's probability may move from what it was when it was drawn: from 1 - low to 1 + high times. */
export interface Clip {
  low: number;
  high: number;
}

/** Schulman et al. 2017; Yu et al. 2025 (DAPO) raise `high` to 0.28. */
export const clipDefaults: Clip = { low: 0.2, high: 0.2 };

/**
 * The policy's loss at each token, of the arguments' shape: -ratio advantage, or with a clip -min(ratio advantage,
 * clip(ratio) advantage) (Schulman et al. 2017, equation 7), where ratio = exp(log pi - log pi_old). Where `old` is the policy
 * itself the gradient is that of REINFORCE, -advantage grad log pi (Williams 1992).
 *
 * @param old log-probabilities when the tokens were drawn; absent: those of the policy itself
 */
export function policyLoss(
  logProbs: JaxArray,
  advantages: JaxArray,
  { old = lax.stopGradient(logProbs), clip }: { old?: JaxArray; clip?: Clip } = {},
): JaxArray {
  const ratio = np.exp(logProbs.sub(old));
  const free = ratio.mul(advantages);
  if (!clip) return free.neg();
  const clipped = np.clip(ratio, 1 - clip.low, 1 + clip.high).mul(advantages);
  return np.minimum(free, clipped).neg();
}

/**
 * Loss of a value head at each token: half the squared error, and with a clip the larger of that and the error of the value
 * held within `clip` of what it was (Schulman et al. 2017; the code of PPO, as described by Huang et al. 2022).
 */
export function valueLoss(values: JaxArray, returns: JaxArray, old?: JaxArray, clip?: number): JaxArray {
  const error = np.square(values.sub(returns));
  if (clip === undefined || !old) return error.mul(0.5);
  const held = old.add(np.clip(values.sub(old), -clip, clip));
  return np.maximum(error, np.square(held.sub(returns))).mul(0.5);
}

/**
 * What tokens' losses are divided by: `token`, the number of tokens of all answers (Yu et al. 2025); `answer`, each answer's own
 * number, then that of the answers (Shao et al. 2024, equation 3); `constant`, the longest possible answer times the number
 * of answers, so that length brings no advantage (Liu et al. 2025, Dr. GRPO).
 */
export type TokenWeighting = "token" | "answer" | "constant";

/**
 * Tokens' losses as one, of which micro-batches of any size add up. Empty answers count as answers, and give nothing.
 *
 * @param losses `[answers, tokens]`
 * @param mask 1 for tokens, 0 for padding: `[answers, tokens]`
 * @param longest tokens of the longest possible answer, of `constant`
 */
export function overTokens(
  weighting: TokenWeighting,
  losses: JaxArray,
  mask: JaxArray,
  longest: number,
): { total: JaxArray; weight: JaxArray } {
  const counted = losses.mul(mask);
  const [answers] = losses.shape;
  if (weighting === "token") return { total: counted.sum(), weight: np.maximum(mask.sum(), 1e-6) };
  if (weighting === "constant") return { total: counted.sum(), weight: np.array(answers * longest) };
  return {
    total: counted
      .sum(-1)
      .div(np.maximum(mask.sum(-1), 1))
      .sum(),
    weight: np.array(answers),
  };
}

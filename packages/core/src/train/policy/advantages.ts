/*
 * How much better an answer, or a token, was than expected: what the policy gradient is weighted with. Plain numbers: none
 * of it is differentiated.
 */

/**
 * What an answer's reward is compared with, among the answers to the same prompt: `none`; `mean`; `leave-one-out`, the mean
 * of the others (Kool et al. 2019, RLOO; Ahmadian et al. 2024); `group-normalised`, the mean, and divided by the standard
 * deviation (Shao et al. 2024, GRPO).
 */
export type Baseline = "none" | "mean" | "leave-one-out" | "group-normalised";

/** Added to the standard deviation, as in the code of GRPO. */
const EPSILON = 1e-4;

/**
 * Advantages of the answers to each prompt: `[prompts][answers]`, as `rewards`. Where all of a group are equal they are 0.
 *
 * @throws RangeError for a group of fewer than two with `leave-one-out` or `group-normalised`
 */
export function groupAdvantages(rewards: readonly (readonly number[])[], baseline: Baseline): number[][] {
  return rewards.map((group, prompt) => {
    const n = group.length;
    if (n < 2 && (baseline === "leave-one-out" || baseline === "group-normalised")) {
      throw new RangeError(
        `Prompt ${prompt} (counted from 0) has ${n} answers, but the baseline ${baseline} needs two.`,
      );
    }
    if (baseline === "none") return [...group];
    // Not through their sum: rounding would leave equal rewards a difference, which the division would raise.
    if (group.every((reward) => reward === group[0])) return group.map(() => 0);
    const mean = group.reduce((sum, reward) => sum + reward, 0) / n;
    const centred = group.map((reward) => reward - mean);
    if (baseline === "leave-one-out") return centred.map((reward) => (reward * n) / (n - 1));
    if (baseline === "mean") return centred;
    const variance = centred.reduce((sum, reward) => sum + reward * reward, 0) / (n - 1);
    return centred.map((reward) => reward / (Math.sqrt(variance) + EPSILON));
  });
}

/**
 * Generalised advantage estimation over the tokens of one answer, after whose last token nothing is expected (Schulman et al.
 * 2016, equation 16).
 *
 * @param rewards of each token
 * @param values expected before each token
 * @param discount gamma, in [0, 1]
 * @param decay lambda, in [0, 1]: 0 looks one token ahead, 1 to the end
 * @returns advantages and the returns that the value head should have expected, both of each token
 */
export function generalisedAdvantages(
  rewards: ArrayLike<number>,
  values: ArrayLike<number>,
  { discount = 1, decay = 0.95 }: { discount?: number; decay?: number } = {},
): { advantages: Float32Array; returns: Float32Array } {
  const advantages = new Float32Array(rewards.length);
  let following = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const next = t + 1 < rewards.length ? values[t + 1] : 0;
    following = rewards[t] + discount * next - values[t] + discount * decay * following;
    advantages[t] = following;
  }
  return { advantages, returns: advantages.map((advantage, t) => advantage + values[t]) };
}

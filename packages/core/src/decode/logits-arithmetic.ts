import { UserError } from "../errors.js";

/**
 * Arithmetic on the logits of several models for the same next token. All vectors are `[vocabularySize]` of one vocabulary; they
 * may hold -Infinity for tokens that cannot come, but neither NaN nor Infinity. Results are new vectors.
 */

/** Log-probabilities: `logits - log(sum(exp(logits)))`, summed in double precision. */
export function logSoftmax(logits: Float32Array): Float32Array {
  const normalizer = logSumExp(logits);
  return logits.map((logit) => logit - normalizer);
}

function logSumExp(logits: Float32Array): number {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  if (top === -Infinity) throw new UserError("all logits are -Infinity: no token can come next");
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - top);
  return top + Math.log(total);
}

/**
 * KL(P || Q) in nats, of log-probabilities: the sum of `p (log p - log q)`, where `0 log 0` is 0. Infinite where a token has
 * `q = 0 < p`.
 */
export function klDivergence(logP: Float32Array, logQ: Float32Array): number {
  checkLengths([logP, logQ]);
  let sum = 0;
  for (let i = 0; i < logP.length; i++) {
    if (logP[i] !== -Infinity) sum += Math.exp(logP[i]) * (logP[i] - logQ[i]);
  }
  return Math.max(sum, 0); // rounding alone makes it negative
}

/**
 * The plausible tokens of contrastive decoding (Li et al. 2023, equation 2): those with at least `alpha` times the probability
 * of the likeliest. Others get -Infinity. The likeliest token always stays, and so do ties at the threshold.
 *
 * @param alpha in [0, 1]; 0 keeps all
 */
export function keepPlausible(scores: Float32Array, expert: Float32Array, alpha: number): Float32Array {
  checkLengths([scores, expert]);
  if (!(alpha >= 0 && alpha <= 1))
    throw new UserError(`the plausibility threshold is ${alpha}, expected 0 to 1`);
  let top = -Infinity;
  for (const logit of expert) if (logit > top) top = logit;
  // In single precision, as the logits are: a tie stays one.
  const least = Math.fround(top + Math.log(alpha));
  return scores.map((score, i) => (expert[i] >= least ? score : -Infinity));
}

/** Logits of a fine-tuned model and of what it was fine-tuned from. */
export interface Shift {
  expert: Float32Array;
  /** The expert before, or an anti-expert. */
  from: Float32Array;
  /** How much of the difference is added. Default 1. */
  weight?: number;
}

/**
 * `base + sum of weight (expert - from)`: DExperts (Liu et al. 2021, equation 1) and proxy tuning (Liu et al. 2024), the family
 * of which dynamic logits fusion chooses a member at each step. The difference of a token that cannot come for either of the
 * two is taken as 0.
 */
export function shiftLogits(base: Float32Array, shifts: readonly Shift[]): Float32Array {
  checkLengths([base, ...shifts.flatMap(({ expert, from }) => [expert, from])]);
  const shifted = base.slice();
  for (const { expert, from, weight = 1 } of shifts) {
    for (let i = 0; i < shifted.length; i++) {
      const difference = expert[i] - from[i];
      if (Number.isFinite(difference)) shifted[i] += weight * difference;
    }
  }
  return shifted;
}

/** The largest difference of two logits: beyond, a token that is impossible for the amateur would win always. */
const maxDifference = 30;

/**
 * `expert + weight (expert - amateur)` over the plausible tokens of the expert: contrastive decoding (Li et al. 2023; in this
 * form O'Brien and Lewis 2023), as EpiCoDe uses it. Differences are clamped to [-30, 30].
 *
 * @param weight at least 0; 0 leaves the expert's plausible tokens as they are
 * @param alpha see {@link keepPlausible}
 */
export function contrastLogits(
  expert: Float32Array,
  amateur: Float32Array,
  { weight, alpha = 0.1 }: { weight: number; alpha?: number },
): Float32Array {
  checkLengths([expert, amateur]);
  if (!(weight >= 0 && weight < Infinity)) {
    throw new UserError(`the weight of the contrast is ${weight}, expected a number of at least 0`);
  }
  // Logits are defined up to a constant; the clamp is not.
  const [p, q] = [logSoftmax(expert), logSoftmax(amateur)];
  const contrasted = expert.map((logit, i) => {
    if (logit === -Infinity) return -Infinity;
    return logit + weight * Math.min(Math.max(p[i] - q[i], -maxDifference), maxDifference);
  });
  return keepPlausible(contrasted, expert, alpha);
}

/**
 * `sum of weight log p`: the geometric mixture of distributions. Weights that sum to 1 and are all positive interpolate; a
 * weight above 1 with a negative one extrapolates, e.g. ExOPD's `lambda log p(teacher) + (1 - lambda) log p(reference)`, and
 * ConG's `log p(post) - (1 - alpha) log p(pre)`. A token is impossible where it is for a model whose weight is positive; what is
 * impossible for one with a negative weight alone counts as if that one had no say.
 */
export function mixLogProbs(models: readonly { logits: Float32Array; weight: number }[]): Float32Array {
  if (models.length === 0) throw new UserError("there are no distributions to mix, expected at least one");
  checkLengths(models.map(({ logits }) => logits));
  const mixed = new Float32Array(models[0].logits.length);
  for (const { logits, weight } of models) {
    if (!Number.isFinite(weight)) throw new UserError(`a weight is ${weight}, expected a finite number`);
    if (weight === 0) continue;
    const logProbs = logSoftmax(logits);
    for (let i = 0; i < mixed.length; i++) {
      if (logProbs[i] !== -Infinity) mixed[i] += weight * logProbs[i];
      else if (weight > 0) mixed[i] = -Infinity;
    }
  }
  return mixed;
}

function checkLengths(vectors: readonly Float32Array[]): void {
  const other = vectors.find(({ length }) => length !== vectors[0].length);
  if (other !== undefined) {
    throw new UserError(`logits of ${vectors[0].length} and of ${other.length} tokens cannot be combined`, {
      hint: "The models need one vocabulary.",
    });
  }
}

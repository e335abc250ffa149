import { type Array as JaxArray, lax, nn, numpy as np } from "@jax-js/jax";

/** log(1 / (1 + exp(-x))), without overflow for any x and with the gradient 1 - sigmoid(x) everywhere. */
export function logSigmoid(x: JaxArray): JaxArray {
  const shift = lax.stopGradient(np.maximum(x.neg(), 0));
  const sum = np.exp(x.neg().sub(shift)).add(np.exp(shift.neg()));
  return np.log(sum).add(shift).neg();
}

/** log(exp(a) + exp(b)), without overflow. */
export function logAddExp(a: JaxArray, b: JaxArray): JaxArray {
  const shift = lax.stopGradient(np.maximum(a, b));
  return np.log(np.exp(a.sub(shift)).add(np.exp(b.sub(shift)))).add(shift);
}

/** log(exp(x) / (1 - exp(x))) of log-probabilities x < 0: the log of the odds. Above -1e-6, where float32 ends, that of -1e-6. */
export function logOdds(x: JaxArray): JaxArray {
  const below = np.minimum(x, -1e-6);
  return below.sub(np.log(np.expm1(below).neg()));
}

/** Entropy of the distributions of logits `[..., vocabularySize]`, in nats: `[...]`. */
export function entropy(logits: JaxArray): JaxArray {
  const logProbs = nn.logSoftmax(logits, -1);
  return np.exp(logProbs).mul(logProbs).sum(-1).neg();
}

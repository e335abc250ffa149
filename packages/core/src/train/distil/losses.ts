import { type Array as JaxArray, lax, nn, numpy as np } from "@jax-js/jax";
import { logAddExp } from "../log-space.js";

/**
 * How far the student's next-token distribution S is from the teacher's T. `forward`: KL(T, S), covers all that the teacher does;
 * `reverse`: KL(S, T), seeks the likeliest (Gu et al. 2024, MiniLLM); `jensen-shannon`: beta KL(T, M) + (1 - beta) KL(S, M)
 * with M = beta T + (1 - beta) S (Agarwal et al. 2024, GKD, equation 1).
 */
export type Divergence =
  | { name: "forward" }
  | { name: "reverse" }
  | {
      name: "jensen-shannon";
      /** Weight of the teacher, strictly between 0 and 1. Default 0.5. */
      beta?: number;
    };

export interface DivergenceOptions {
  /** Divides the logits of both. Default 1. */
  temperature?: number;
  /**
   * Tells apart only so many of the teacher's likeliest tokens and takes all others together as one outcome: never more than the
   * divergence of all. Default: all tokens.
   */
  topK?: number;
}

/** Added to the logits of what is left out. */
const LEFT_OUT = -1e9;

/**
 * The divergence at each place, in nats: `[...]` of logits `[..., vocabularySize]`. No gradient goes to the teacher.
 *
 * @throws RangeError for a beta, temperature or number of tokens out of range
 */
export function divergence(
  kind: Divergence,
  student: JaxArray,
  teacher: JaxArray,
  { temperature = 1, topK }: DivergenceOptions = {},
): JaxArray {
  if (!(temperature > 0)) throw new RangeError(`The temperature is ${temperature}, expected more than 0.`);
  const fixed = lax.stopGradient(teacher);
  const scaled = (logits: JaxArray) => (temperature === 1 ? logits : logits.mul(1 / temperature));
  const [s, t] =
    topK === undefined
      ? [nn.logSoftmax(scaled(student), -1), nn.logSoftmax(scaled(fixed), -1)]
      : lumped(scaled(student), scaled(fixed), topK);
  const kl = (of: JaxArray, from: JaxArray) => np.exp(of).mul(of.sub(from)).sum(-1);
  if (kind.name === "forward") return kl(t, s);
  if (kind.name === "reverse") return kl(s, t);
  const { beta = 0.5 } = kind;
  if (!(beta > 0 && beta < 1)) {
    throw new RangeError(
      `The beta of a Jensen-Shannon divergence is ${beta}, expected a number between 0 and 1.`,
    );
  }
  const mixture = logAddExp(t.add(Math.log(beta)), s.add(Math.log(1 - beta)));
  return kl(t, mixture)
    .mul(beta)
    .add(kl(s, mixture).mul(1 - beta));
}

/** Log-probabilities of the teacher's likeliest tokens and, as one more outcome, of all others: `[..., vocabularySize + 1]` each. */
function lumped(student: JaxArray, teacher: JaxArray, topK: number): [JaxArray, JaxArray] {
  const size = teacher.shape[teacher.ndim - 1];
  if (!Number.isSafeInteger(topK) || topK < 1 || topK >= size) {
    throw new RangeError(
      `topK is ${topK}, expected a whole number from 1 to ${size - 1} of the ${size} tokens.`,
    );
  }
  const all = teacher.ndim - 1;
  const least = np.sort(teacher, -1).slice(...Array(all).fill([]), [size - topK, size - topK + 1]);
  const kept = np.greaterEqual(teacher, least);
  const outcomes = (logits: JaxArray) => {
    const logProbs = nn.logSoftmax(logits, -1);
    const others = nn.logsumexp(np.where(kept, LEFT_OUT, logProbs), -1, { keepdims: true });
    return np.concatenate([np.where(kept, logProbs, LEFT_OUT), others], -1);
  };
  return [outcomes(student), outcomes(teacher)];
}

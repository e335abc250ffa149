import { UserError } from "../errors.js";
import { klDivergence, logSoftmax, shiftLogits } from "./logits-arithmetic.js";

export interface DynamicFusionOptions {
  /** Weights from 0 to this. Default 2. */
  largest?: number;
  /** Distance of the weights that are tried. Default 0.1, so 21 of them. */
  step?: number;
  /** Whether several experts may be active in one step, which tries all combinations. Default: one at a time. */
  jointly?: boolean;
}

export interface DynamicFusion {
  /** `[vocabularySize]`: `large + sum of weight (expert - small)`. */
  logits: Float32Array;
  /** `[experts]`. */
  weights: number[];
  /** J, what the weights make smallest. */
  objective: number;
  /** For each expert KL(expert || small) and KL(small || expert): the shifts that the fused model should make too. */
  targets: { forward: number; backward: number }[];
}

const maxCandidates = 100_000;

/**
 * Dynamic logits fusion (Fan et al. 2024, equations 6 to 8): what fine-tuning did to a small model is added to a large one, each
 * expert's share chosen for this one token, so that the large model's distribution is moved as far, in both directions of KL,
 * as the small one's was:
 *
 *     J(a) = sum over experts of (KL(P_a || P) - KL(Q_t || Q))^2 + (KL(P || P_a) - KL(Q || Q_t))^2
 *
 * Ties go to the smallest weights, then to the first expert; without a shift all weights are 0. Weights for which a
 * divergence is infinite are passed over.
 *
 * @param logits of the large model, the small one and its fine-tuned copies, each `[vocabularySize]`
 */
export function fuseDynamically(
  { large, small, experts }: { large: Float32Array; small: Float32Array; experts: readonly Float32Array[] },
  { largest = 2, step = 0.1, jointly = false }: DynamicFusionOptions = {},
): DynamicFusion {
  if (!(largest >= 0 && largest < Infinity) || !(step > 0 && step < Infinity)) {
    throw new UserError(
      `weights from 0 to ${largest} in steps of ${step}: expected a bound of at least 0 and a step above 0`,
    );
  }
  const p = logSoftmax(large);
  const q = logSoftmax(small);
  const targets = experts.map((expert) => {
    const tuned = logSoftmax(expert);
    return { forward: klDivergence(tuned, q), backward: klDivergence(q, tuned) };
  });
  // Differences of log-probabilities: the same distributions as those of logits, and no large constants.
  const shifts = experts.map((expert) => ({ expert: logSoftmax(expert), from: q }));
  const fused = (weights: readonly number[]) =>
    shiftLogits(
      p,
      shifts.map((shift, t) => ({ ...shift, weight: weights[t] })).filter(({ weight }) => weight !== 0),
    );

  let best = { weights: experts.map(() => 0), objective: Infinity, size: 0 };
  for (const weights of candidates(experts.length, Math.floor(largest / step + 1e-9), step, jointly)) {
    const candidate = logSoftmax(fused(weights));
    const forward = klDivergence(candidate, p);
    const backward = klDivergence(p, candidate);
    let objective = 0;
    for (const target of targets) {
      objective += (forward - target.forward) ** 2 + (backward - target.backward) ** 2;
    }
    const size = weights.reduce((sum, weight) => sum + weight, 0);
    if (objective < best.objective || (objective === best.objective && size < best.size)) {
      best = { weights, objective, size };
    }
  }
  const { weights, objective } = best;
  return { logits: fused(weights), weights, objective, targets };
}

/** Weights in the order of ties: all 0 first. */
function* candidates(experts: number, steps: number, step: number, jointly: boolean): Generator<number[]> {
  yield new Array(experts).fill(0);
  if (!jointly) {
    for (let i = 1; i <= steps; i++) {
      for (let active = 0; active < experts; active++) {
        yield Array.from({ length: experts }, (_, t) => (t === active ? i * step : 0));
      }
    }
    return;
  }
  const count = (steps + 1) ** experts;
  if (count > maxCandidates) {
    throw new UserError(
      `${experts} experts have ${count} combinations of weights, at most ${maxCandidates} are tried`,
      {
        hint: "Use a larger step, or one expert at a time.",
      },
    );
  }
  for (let index = 1; index < count; index++) {
    yield Array.from(
      { length: experts },
      (_, t) => (Math.floor(index / (steps + 1) ** t) % (steps + 1)) * step,
    );
  }
}

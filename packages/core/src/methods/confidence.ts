import { type Array as JaxArray, lax, nn, numpy as np } from "@jax-js/jax";
import { UserError } from "../errors.js";
import { crossEntropy, type StudentLoss } from "../train/loss.js";
import type { Method } from "./method.js";

/** How the weight c of the student's own predictions grows with the share s of training done. */
export type ConfidenceSchedule =
  /** Linear from 0 to the maximum over the first `warmup` of training, then constant (the paper's appendix). */
  | "paper"
  /** The released code: `maximum * s` up to `warmup`, then a jump to the maximum. */
  | "official-code"
  /** EleutherAI's repair of the released code: `maximum * s / warmup`, then constant. */
  | "ramp";

export interface ConfidenceConfig {
  schedule: ConfidenceSchedule;
  /** Largest weight of the student's own predictions, in [0, 1]. */
  maximum: number;
  /** Share of training in (0, 1] over which the weight grows. */
  warmup: number;
}

/** Paper: 20 % warm-up and 0.5 (0.75 for the largest students); released code and EleutherAI/w2s: 10 % and 0.5. */
export const confidenceDefaults: Record<ConfidenceSchedule, ConfidenceConfig> = {
  paper: { schedule: "paper", maximum: 0.5, warmup: 0.2 },
  "official-code": { schedule: "official-code", maximum: 0.5, warmup: 0.1 },
  ramp: { schedule: "ramp", maximum: 0.5, warmup: 0.1 },
};

/**
 * The auxiliary confidence loss (Burns et al. 2023, equation 1): `CE(p, (1 - c) q + c h)`, where h is the student's
 * own hardened prediction and carries no gradient.
 *
 * With two classes the threshold between them is the quantile of p_0 that gives class 1 the share that the weak labels
 * give it in the batch; with more classes h is the most probable one.
 */
export function confidenceLoss({ schedule, maximum, warmup }: ConfidenceConfig): StudentLoss {
  return (logits, targets, progress) => {
    const own = lax.stopGradient(nn.softmax(logits, -1));
    const hardened = logits.shape[1] === 2 ? hardenAtThreshold(own, targets) : hardenAtMaximum(own);
    const grown = schedule === "official-code" ? progress.mul(maximum) : progress.mul(maximum / warmup);
    const weight = np.where(progress.lessEqual(warmup), grown, maximum);
    return crossEntropy(logits, targets.mul(weight.neg().add(1)).add(hardened.mul(weight)));
  };
}

/** Class 0 where `p_0 >= t`, else class 1, with t the quantile of p_0 at the weak labels' mean of class 1. */
function hardenAtThreshold(own: JaxArray, targets: JaxArray): JaxArray {
  const [batch] = own.shape;
  const first = own.slice([], 0);
  const at = targets
    .slice([], 1)
    .mean()
    .mul(batch - 1);
  const threshold = interpolate(np.sort(first), at);
  const isFirst = first.greaterEqual(threshold).astype(np.float32).reshape([batch, 1]);
  return np.concatenate([isFirst, isFirst.neg().add(1)], 1);
}

/** Linear interpolation between the entries of a vector at a fractional position. */
function interpolate(ascending: JaxArray, at: JaxArray): JaxArray {
  const below = np.floor(at);
  const places = np.arange(ascending.shape[0]).astype(np.float32);
  const entry = (place: JaxArray) => ascending.mul(places.equal(place).astype(np.float32)).sum();
  const lower = entry(below);
  const upper = entry(np.minimum(below.add(1), ascending.shape[0] - 1));
  return lower.add(at.sub(below).mul(upper.sub(lower)));
}

/** One-hot of the most probable class, the lowest where several are. */
function hardenAtMaximum(own: JaxArray): JaxArray {
  return nn.oneHot(np.argmax(own, -1), own.shape[1]);
}

/** The confidence method with one of the three schedules. */
export function confidence(name: string, config: ConfidenceConfig, source: string): Method {
  const { schedule, maximum, warmup } = config;
  if (!(warmup > 0 && warmup <= 1)) {
    throw new UserError(`the confidence loss needs a warm-up in (0, 1], not ${warmup}`, {
      hint: "At the first step all predictions are tied, and their hardened form means nothing.",
    });
  }
  if (!(maximum >= 0 && maximum <= 1)) throw new UserError(`a largest weight in [0, 1], not ${maximum}`);
  return {
    name,
    summary: `weak labels mixed with the student's own hardened predictions (weight ${maximum}, schedule ${schedule})`,
    source,
    loss(weak, batchSize) {
      if (weak.shape[1] === 2 && Math.min(batchSize, weak.shape[0]) < 2) {
        throw new UserError(
          "the confidence loss finds its threshold in a batch, so batches need at least 2 examples",
        );
      }
      return confidenceLoss(config);
    },
  };
}

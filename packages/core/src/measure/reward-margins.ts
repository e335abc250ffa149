import { type Calibration, calibration } from "./calibration.js";
import { type Measured, sameLength } from "./measured.js";

export interface RewardMeasures {
  /** Share of pairs whose chosen answer has the higher reward; ties count half. */
  accuracy: Measured;
  /** Mean of the chosen answers' rewards less those of the rejected ones. */
  margin: Measured;
  /**
   * Of sigmoid(|margin|), the probability that Bradley and Terry's model gives to the answer with the higher reward, as the
   * confidence that this is the chosen one.
   */
  calibration: Calibration;
}

/** How well rewards tell chosen answers from rejected ones, and how far their margins can be taken at their word. */
export function rewardMeasures(
  chosen: Float32Array,
  rejected: Float32Array,
  options: { bins?: number } = {},
): RewardMeasures {
  const n = sameLength({ chosen, rejected });
  const margins = Array.from(chosen, (reward, i) => reward - rejected[i]);
  const mean = (of: (margin: number) => number): Measured =>
    n === 0
      ? { value: null, reason: "no pairs" }
      : { value: margins.reduce((sum, margin) => sum + of(margin), 0) / n };
  // The chosen answer is class 0, to which ties go too.
  const values = Float32Array.from(
    margins.flatMap((margin) => [1 / (1 + Math.exp(-margin)), 1 / (1 + Math.exp(margin))]),
  );
  return {
    accuracy: mean((margin) => (margin > 0 ? 1 : margin === 0 ? 0.5 : 0)),
    margin: mean((margin) => margin),
    calibration: calibration({ values, shape: [n, 2] }, new Int32Array(n), options),
  };
}

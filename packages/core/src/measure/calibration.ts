import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";
import { type Measured, sameLength } from "./measured.js";

/** Examples whose confidence (largest probability) lies in (low, high]; the first bin holds 0 too. */
export interface ReliabilityBin {
  low: number;
  high: number;
  /** Mean confidence of the bin's examples; the middle of an empty bin. */
  confidence: number;
  /** Share of the bin's examples that are classified correctly; null in an empty bin. */
  accuracy: number | null;
  count: number;
}

export interface Calibration {
  /** Mean over examples of |accuracy - confidence| of their bin, in [0, 1] (Guo et al. 2017, equation 3). */
  expectedCalibrationError: Measured;
  bins: ReliabilityBin[];
  /** Mean over examples of the squared distance, summed over classes, to the one-hot truth: in [0, 2] (Brier 1950). */
  brierScore: Measured;
  /** Mean of -ln p(true class), in nats. Null when a true class was given probability 0: it would be infinite. */
  negativeLogLikelihood: Measured;
}

/**
 * How far predicted probabilities [n, classes] can be taken at their word, given the true classes [n].
 * `bins` (15, as in Guo et al. 2017) equal-width bins of confidence over [0, 1].
 */
export function calibration(
  predicted: SoftLabels,
  truth: Int32Array,
  options: { bins?: number } = {},
): Calibration {
  const { bins: binCount = 15 } = options;
  const [n, classes] = predicted.shape;
  sameLength({ predicted: { length: n }, truth });
  if (!Number.isInteger(binCount) || binCount < 1) {
    throw new UserError(`calibration wants a whole number of bins from 1, not ${binCount}`);
  }
  truth.forEach((label, i) => {
    if (label >= 0 && label < classes) return;
    throw new UserError(
      `example ${i} has the true class ${label}, but there are classes 0 to ${classes - 1}`,
    );
  });
  const bins = reliabilityBins(predicted, truth, binCount);
  return {
    expectedCalibrationError: expectedCalibrationError(bins, n),
    bins,
    brierScore: brierScore(predicted, truth),
    negativeLogLikelihood: negativeLogLikelihood(predicted, truth),
  };
}

function reliabilityBins({ values, shape }: SoftLabels, truth: Int32Array, binCount: number) {
  const classes = shape[1];
  const sums = Array.from({ length: binCount }, () => ({ count: 0, confidence: 0, correct: 0 }));
  argmaxRows(values, classes).forEach((label, i) => {
    const confidence = values[i * classes + label];
    const bin = sums[Math.min(binCount - 1, Math.max(0, Math.ceil(confidence * binCount) - 1))];
    bin.count++;
    bin.confidence += confidence;
    bin.correct += label === truth[i] ? 1 : 0;
  });
  return sums.map(({ count, confidence, correct }, b): ReliabilityBin => {
    const low = b / binCount;
    const high = (b + 1) / binCount;
    if (count === 0) return { low, high, confidence: (low + high) / 2, accuracy: null, count };
    return { low, high, confidence: confidence / count, accuracy: correct / count, count };
  });
}

function expectedCalibrationError(bins: ReliabilityBin[], n: number): Measured {
  if (n === 0) return { value: null, reason: "no examples" };
  let sum = 0;
  for (const { accuracy, confidence, count } of bins) {
    if (accuracy !== null) sum += count * Math.abs(accuracy - confidence);
  }
  return { value: sum / n };
}

function brierScore({ values, shape: [n, classes] }: SoftLabels, truth: Int32Array): Measured {
  if (n === 0) return { value: null, reason: "no examples" };
  let sum = 0;
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < classes; k++) sum += (values[i * classes + k] - (truth[i] === k ? 1 : 0)) ** 2;
  }
  return { value: sum / n };
}

function negativeLogLikelihood({ values, shape: [n, classes] }: SoftLabels, truth: Int32Array): Measured {
  if (n === 0) return { value: null, reason: "no examples" };
  const ofTruth = Float64Array.from(truth, (label, i) => values[i * classes + label]);
  const impossible = ofTruth.filter((p) => p <= 0).length;
  if (impossible > 0) {
    return { value: null, reason: `infinite: ${impossible} of ${n} true classes were given probability 0` };
  }
  return { value: ofTruth.reduce((sum, p) => sum - Math.log(p), 0) / n };
}

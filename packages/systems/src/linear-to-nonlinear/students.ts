import type { Random } from "outgrow";
import { agreeing, flipped, labelsOf, logisticLoss, shareOf } from "./labels.js";
import { type LinearModel, type LinearTraining, linearOutputs, trainLinear } from "./linear.js";
import { type Measurement, type NetworkTraining, trainNetwork } from "./network.js";
import type { PatchSamples, SampleType } from "./world.js";

/** Accuracy on samples of each type; null where there are none. */
export interface Accuracies {
  all: number | null;
  easy: number | null;
  hard: number | null;
  both: number | null;
}

export function accuraciesOf(outputs: ArrayLike<number>, { truth, types }: PatchSamples): Accuracies {
  const hits = agreeing(outputs, truth);
  const of = (type: SampleType) => shareOf(hits, (i) => types[i] === type);
  return { all: shareOf(hits), easy: of("easy"), hard: of("hard"), both: of("both") };
}

export interface Taught {
  weak: LinearModel;
  /** The weak model's, on the student's samples. */
  labels: Int8Array;
  /** Accuracies on the test samples. */
  weakAccuracy: Accuracies;
  /** Of a linear student of the weak labels. */
  linearAccuracy: Accuracies;
  warnings: string[];
}

export interface Sets {
  student: PatchSamples;
  validation: PatchSamples;
  test: PatchSamples;
}

/** The weak model labels the student's samples, and a linear student learns them. */
export async function teach(
  weak: LinearModel,
  { student, test }: Sets,
  training: LinearTraining,
): Promise<Taught> {
  const labels = labelsOf(linearOutputs(weak, student));
  const linear = await trainLinear(student, labels, training);
  return {
    weak,
    labels,
    weakAccuracy: accuraciesOf(linearOutputs(weak, test), test),
    linearAccuracy: accuraciesOf(linearOutputs(linear, test), test),
    warnings: labels.every((label) => label === labels[0])
      ? [`all weak labels are ${labels[0]}: a student can only learn to say so`]
      : [],
  };
}

/** What a student learns from: `random flips` are as many wrong labels as the weak model's, on any samples. */
export function labelsFor(
  kind: "weak labels" | "truth" | "random flips",
  weakLabels: Int8Array,
  { truth }: PatchSamples,
  random: Random,
): Int8Array {
  if (kind === "weak labels") return weakLabels;
  if (kind === "truth") return truth;
  return flipped(truth, 1 - (shareOf(agreeing(weakLabels, truth)) as number), random);
}

/** A student on its way. */
export interface Point {
  step: number;
  /** Of the labels that it learns, on the training and the validation samples. */
  loss: number;
  validationLoss: number;
  /** Accuracy on the training samples by the labels that it learns. */
  fit: number;
  /** Share of the training samples with wrong labels that are predicted right; null where no label is wrong. */
  corrected: number | null;
  /** True accuracy on the validation and the test samples. */
  validation: number;
  test: Accuracies;
  /** Of the four hard signals (two classes, two turns): on how many fewer than three quarters of the hard test samples are right. */
  missed: number;
  /** Mean positive part, over filters of the signal's class, of their coefficients. */
  easy: number;
  hardTurned: number;
  hardStraight: number;
  memorised: number;
}

/** Trains a student and looks at it from time to time. */
export async function follow(
  sets: Sets,
  labels: Int8Array,
  validationLabels: Int8Array,
  signals: Float32Array,
  training: Omit<NetworkTraining, "watched" | "signals">,
): Promise<Point[]> {
  const { student, validation, test } = sets;
  const wrong = agreeing(labels, student.truth).map((right) => !right);
  const points: Point[] = [];
  await trainNetwork(student, labels, {
    ...training,
    signals,
    watched: [validation, test],
    onMeasure(measurement) {
      const [held, tested] = measurement.watched;
      points.push({
        step: measurement.step,
        loss: measurement.loss,
        validationLoss: logisticLoss(held, validationLabels),
        fit: shareOf(agreeing(measurement.outputs, labels)) as number,
        corrected: shareOf(agreeing(measurement.outputs, student.truth), (i) => wrong[i]),
        validation: shareOf(agreeing(held, validation.truth)) as number,
        test: accuraciesOf(tested, test),
        missed: missedSignals(tested, test),
        ...coefficientsOf(measurement, training.filters),
      });
      training.onMeasure?.(measurement);
    },
  });
  return points;
}

function missedSignals(outputs: Float32Array, { truth, turns, types }: PatchSamples): number {
  const hits = agreeing(outputs, truth);
  return [1, -1].flatMap((label) =>
    [1, -1].filter((turn) => {
      const share = shareOf(hits, (i) => types[i] === "hard" && truth[i] === label && turns[i] === turn);
      return share !== null && share < 0.75;
    }),
  ).length;
}

/** `signals` are the easy ones of 1 and -1, then the hard ones. */
function coefficientsOf({ coefficients, memorised }: Measurement, filters: number) {
  const mean = (value: (filter: number, label: 0 | 1) => number) => {
    let sum = 0;
    for (let r = 0; r < 2 * filters; r++) sum += Math.max(0, value(r, r < filters ? 0 : 1));
    return sum / (2 * filters);
  };
  const along = (signal: number, filter: number) => coefficients[signal * 2 * filters + filter];
  return {
    easy: mean((r, label) => along(label, r)),
    hardStraight: mean((r, label) => along(2 + label, r)),
    hardTurned: mean((r, label) => -along(2 + label, r)),
    memorised: mean((r) => memorised[r]),
  };
}

/** The first point that is best by a score. */
export function bestBy(points: readonly Point[], score: (point: Point) => number): Point {
  return points.reduce((best, point) => (score(point) > score(best) ? point : best));
}

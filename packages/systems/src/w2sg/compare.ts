import {
  accuracy,
  type Calibration,
  calibration,
  correctness,
  hardLabels,
  agreement as measureAgreement,
  performanceGapRecovered,
  type SoftLabels,
} from "outgrow";

/** Predictions on the test examples `[n, classes]`. The ceiling is missing where too little truth is known to train one. */
export interface TestPredictions {
  weak: SoftLabels;
  student: SoftLabels;
  ceiling?: SoftLabels;
}

/** A student against its supervisor and the ceiling. */
export interface Comparison {
  /** Accuracies in [0, 1]. */
  weakAccuracy: number;
  studentAccuracy: number;
  ceilingAccuracy: number | null;
  /** Null where undefined, with the reason. */
  pgr: number | null;
  pgrReason?: string;
  /** Share of test examples on which student and supervisor agree: all, and where the supervisor is right and wrong. */
  agreement: { overall: number | null; whenWeakRight: number | null; whenWeakWrong: number | null };
  calibration: Calibration;
}

/** All measures of a student on test examples whose truth `[n]` is known. */
export function compare(truth: Int32Array, { weak, student, ceiling }: TestPredictions): Comparison {
  const [weakHard, studentHard] = [weak, student].map(hardLabels);
  const ceilingHard = ceiling && hardLabels(ceiling);
  const pgr = ceilingHard
    ? performanceGapRecovered({
        weak: correctness(weakHard, truth),
        student: correctness(studentHard, truth),
        ceiling: correctness(ceilingHard, truth),
      }).pgr
    : { value: null, reason: "there is no ceiling: the truth of the student's examples is not known" };
  const agreed = measureAgreement({ student: studentHard, supervisor: weakHard, truth });
  return {
    weakAccuracy: accuracy(weakHard, truth).value as number,
    studentAccuracy: accuracy(studentHard, truth).value as number,
    ceilingAccuracy: ceilingHard ? accuracy(ceilingHard, truth).value : null,
    pgr: pgr.value,
    ...(pgr.value === null ? { pgrReason: pgr.reason } : {}),
    agreement: {
      overall: agreed.overall.value,
      whenWeakRight: agreed.whenSupervisorRight.value,
      whenWeakWrong: agreed.whenSupervisorWrong.value,
    },
    calibration: calibration(student, truth),
  };
}

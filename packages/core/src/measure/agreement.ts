import { type Measured, requireTruth, sameLength } from "./measured.js";

/** Share of `count` examples on which student and supervisor give the same class. */
export type AgreementMeasured = Measured & { count: number };

export interface Agreement {
  overall: AgreementMeasured;
  whenSupervisorRight: AgreementMeasured;
  /** Near 1: the student imitates the supervisor's errors. */
  whenSupervisorWrong: AgreementMeasured;
}

/**
 * Agreement P(student = supervisor) over all examples, and over those where the supervisor's label is right
 * or wrong (Burns et al. 2023, section 5.1). Each argument holds the classes of the same n examples.
 */
export function agreement(classes: {
  student: Int32Array;
  supervisor: Int32Array;
  truth: Int32Array;
}): Agreement {
  const { student, supervisor, truth } = classes;
  const count = sameLength({ student, supervisor, truth });
  requireTruth(truth);
  let right = 0;
  let agreeRight = 0;
  let agreeWrong = 0;
  for (let i = 0; i < count; i++) {
    const agrees = student[i] === supervisor[i] ? 1 : 0;
    if (supervisor[i] === truth[i]) {
      right++;
      agreeRight += agrees;
    } else agreeWrong += agrees;
  }
  return {
    overall: share(agreeRight + agreeWrong, count, "no examples"),
    whenSupervisorRight: share(agreeRight, right, "the supervisor is right on no example"),
    whenSupervisorWrong: share(agreeWrong, count - right, "the supervisor is wrong on no example"),
  };
}

function share(part: number, count: number, reasonIfNone: string): AgreementMeasured {
  return count === 0 ? { value: null, reason: reasonIfNone, count } : { value: part / count, count };
}

import {
  chooseSupervisor,
  type JudgedSpec,
  readJudgedExamples,
  type SupervisorChoice,
  UserError,
} from "outgrow";

/** Columns of weak labels, each with that of the student that learned from them. */
export interface SupervisorPair {
  weak: string;
  student: string;
}

/** @throws UserError where there are not as many columns of students as of weak labels */
export function pairsOf(weak: readonly string[], student: readonly string[]): SupervisorPair[] {
  if (weak.length !== student.length) {
    throw new UserError(
      `${weak.length} columns of weak labels, but ${student.length} of students: each supervisor has a student of its own`,
      {
        hint: "Give them in the same order: --weak a --student student_of_a --weak b --student student_of_b.",
      },
    );
  }
  return weak.map((column, i) => ({ weak: column, student: student[i] }));
}

/** Which of several weak supervisors has the better student, by the error of its labels minus their misfit. */
export async function chooseAmong(
  file: string,
  pairs: readonly SupervisorPair[],
  spec: Omit<JudgedSpec, "weak" | "student">,
): Promise<{ choice: SupervisorChoice; chosen: SupervisorPair }> {
  if (spec.truth === undefined) {
    throw new UserError("the choice among weak supervisors needs the truth of some rows", {
      hint: "Give --truth with a column in which a few dozen rows are filled in.",
    });
  }
  const first = await Promise.all(pairs.map((pair) => readJudgedExamples(file, { ...spec, ...pair })));
  const classes = [...new Set(first.flatMap((each) => each.classes))];
  const read = await Promise.all(
    pairs.map((pair) => readJudgedExamples(file, { ...spec, ...pair, classes })),
  );
  const truth = Array.from(read[0].truth as Int32Array).flatMap((label) =>
    classes.map((_, k) => (label < 0 ? null : Number(k === label))),
  );
  const choice = chooseSupervisor(
    read.map(({ weak, student }, i) => ({
      name: pairs[i].weak,
      weak: weak.values,
      student: student.values,
    })),
    truth,
    { width: classes.length },
  );
  return { choice, chosen: pairs.find(({ weak }) => weak === choice.chosen) as SupervisorPair };
}

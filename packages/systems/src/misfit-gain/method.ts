/*
 * The gain of a student in what it cannot fit (Charikar et al. 2024): heads on a frozen representation learn weak labels, and the
 * misfit on fresh examples is by how much their error falls.
 */
import {
  applyLinearHead,
  chooseSupervisor,
  fitLeastSquares,
  type LeastSquaresFit,
  type SupervisorChoice,
  UserError,
} from "outgrow";

/** A weak supervisor's labels of all rows. */
export interface WeakLabelColumn {
  name: string;
  /** `[rows]` */
  labels: ArrayLike<number>;
  /** What the rows are called, where the labels come from elsewhere: must be those of the features. */
  ids?: readonly string[];
}

export interface TeacherProblem {
  /** The strong representation: `[rows, columns]`. */
  features: ArrayLike<number>;
  shape: readonly [rows: number, columns: number];
  candidates: readonly WeakLabelColumn[];
  /** `[rows]`: true values, `null` where unknown. Only those of held-out rows are looked at. */
  truth: ArrayLike<number | null>;
  /** Whether a row is held out from the students' training: `[rows]`. Misfit is measured on these, the true error too. */
  heldOut: ArrayLike<boolean>;
  /** Names of the rows. */
  ids?: readonly string[];
  /** Of the students' heads; see `fitLeastSquares`. Default 0. */
  ridge?: number;
}

export interface TeacherChoice extends SupervisorChoice {
  /** The head that learned each candidate's labels. */
  students: Record<string, LeastSquaresFit>;
  /** What to keep in mind, for people. */
  warnings: string[];
}

/**
 * Trains a linear student on the labels of each weak supervisor and chooses among them by `weak error - misfit` on held-out rows.
 * Where there are fewer rows than columns, or columns depend on each other, the heads of least norm are taken, and a warning says so.
 *
 * @throws UserError for columns of other lengths or ids, values that are not finite (with the row), a constant truth, no rows to
 *   train on and no truth among those held out
 */
export function chooseTeacher(problem: TeacherProblem): TeacherChoice {
  const { features, shape, candidates, truth, heldOut, ids, ridge } = problem;
  const [rows, columns] = shape;
  for (const [name, column] of Object.entries({ truth, heldOut, ...(ids && { ids }) })) {
    if (column.length !== rows)
      throw new UserError(`"${name}" has ${column.length} values for ${rows} rows of features`);
  }
  for (const { name, labels, ids: own } of candidates) {
    if (labels.length !== rows)
      throw new UserError(`"${name}" has ${labels.length} labels for ${rows} rows of features`);
    const other = own === undefined ? -1 : rowsOf(rows).find((i) => own[i] !== ids?.[i]);
    if (other !== undefined && other >= 0) {
      throw new UserError(
        `row ${other} of "${name}" is "${own?.[other]}", that of the features is "${ids?.[other]}": bring them in the same order`,
      );
    }
    const bad = rowsOf(rows).find((i) => !Number.isFinite(labels[i]));
    if (bad !== undefined) throw new UserError(`the label of row ${bad} by "${name}" is ${labels[bad]}`);
  }
  const training = rowsOf(rows).filter((i) => !heldOut[i]);
  const measured = rowsOf(rows).filter((i) => heldOut[i]);
  const values = new Set(measured.map((i) => truth[i]).filter((value) => value !== null));
  if (values.size === 1 && measured.filter((i) => truth[i] !== null).length > 1) {
    throw new UserError("the true values of the held-out rows are all equal: there is nothing to predict");
  }
  if (training.length === 0) {
    throw new UserError("all rows are held out: the students have nothing to learn from");
  }
  const select = (kept: readonly number[]) => {
    const out = new Float64Array(kept.length * columns);
    kept.forEach((row, i) => {
      for (let j = 0; j < columns; j++) out[i * columns + j] = features[row * columns + j];
    });
    return out;
  };
  const [seen, fresh] = [select(training), select(measured)];
  const students: Record<string, LeastSquaresFit> = {};
  const outputs = candidates.map(({ name, labels }) => {
    const targets = training.map((i) => labels[i]);
    students[name] = fitLeastSquares(seen, [training.length, columns], targets, { ridge });
    const student = applyLinearHead(students[name], fresh, [measured.length, columns]);
    return { name, weak: measured.map((i) => labels[i]), student };
  });
  const choice = chooseSupervisor(
    outputs,
    measured.map((i) => truth[i]),
  );
  return { ...choice, students, warnings: warningsOf(training.length, columns, students, choice) };
}

const rowsOf = (count: number) => Array.from({ length: count }, (_, i) => i);

function warningsOf(
  rows: number,
  columns: number,
  students: Record<string, LeastSquaresFit>,
  { chosen, ties, ranking }: SupervisorChoice,
): string[] {
  const warnings = [];
  if (rows < 10 * columns) {
    warnings.push(
      `${rows} rows to train on for ${columns} features: with fewer than ten for each, a student's misfit says little of its gain`,
    );
  }
  const { rank } = Object.values(students)[0];
  if (rank < columns) {
    warnings.push(
      `the features have rank ${rank} of ${columns}: of all best heads those of least norm were taken`,
    );
  }
  if (ties.length > 0) {
    warnings.push(
      `${ties.map((name) => `"${name}"`).join(", ")} score as well as "${chosen}", the first by name`,
    );
  }
  const impossible = ranking.filter(({ score }) => score < 0).map(({ name }) => `"${name}"`);
  if (impossible.length > 0) {
    warnings.push(
      `misfit is above the weak labels' own error for ${impossible.join(", ")}: no student can gain so much, so the best head is far from the truth`,
    );
  }
  return warnings;
}

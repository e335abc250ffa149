/* Several weak supervisors of a user's own data: what is said of each. */
import {
  argmaxRows,
  type ClassificationData,
  chooseSupervisor,
  createRandom,
  hardLabels,
  hierarchicalBootstrap,
  type Interval,
  type MisfitGain,
  methodNamed,
  misfitGain,
  oneHot,
  report,
  type SoftLabels,
} from "outgrow";
import type { OwnRecord } from "./own-data.js";
import { fixed, percent, range } from "./wording.js";

/** Several supervisors on the test rows of one repetition. */
export interface Supervision {
  /** Of the test rows, where it is known. */
  truth?: Int32Array;
  supervisors: {
    name: string;
    weak: SoftLabels;
    /** Of its own naive student, where there is one. */
    student?: SoftLabels;
  }[];
}

/** What a user who names a method for several supervisors should know who gives one. */
export function singleWarnings(
  { supervisors }: ClassificationData,
  { methods }: { methods: readonly string[] },
): string[] {
  const several = methods.filter((name) => methodNamed(name).several !== undefined);
  if (supervisors || several.length === 0) return [];
  return [`With one supervisor ${several.join(" and ")} is the naive method.`];
}

const agreement = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).filter((label, i) => label === b[i]).length / a.length;

/** The supervisors with their accuracy or agreement, and the weights that a student learned; then, with students, the choice. */
export function supervisorTables(
  supervision: readonly Supervision[],
  records: readonly OwnRecord[],
  seed: number,
): report.ReportTable[] {
  const interval = (values: readonly number[]): Interval =>
    hierarchicalBootstrap(
      values.map((value) => [value]),
      { random: createRandom(seed).stream("bootstrap") },
    );
  const [first] = supervision;
  const weighed = records.filter((record) => record.weights);
  const method = weighed[0]?.method;
  const over = (value: (own: Supervision, m: number) => number, m: number): Interval =>
    interval(supervision.map((own) => value(own, m)));
  const judged = first.truth !== undefined;
  const hasStudents = first.supervisors[0].student !== undefined;
  const cells = ({ mean, low, high }: Interval, text: (value: number | null) => string | null) => [
    text(mean),
    range({ low, high }, text === percent ? inPercent : undefined),
  ];
  const rows = first.supervisors.map(({ name }, m) => [
    name,
    ...(judged
      ? cells(
          over(({ truth, supervisors }) => agreement(hardLabels(supervisors[m].weak), truth ?? []), m),
          percent,
        )
      : []),
    percent(over(({ supervisors }) => withOthers(supervisors, m), m).mean),
    ...(method
      ? cells(
          interval(
            weighed
              .filter((record) => record.method === method)
              .map(({ weights }) => (weights as Record<string, number>)[name]),
          ),
          (value) => (value === null ? null : fixed(value, 3)),
        )
      : []),
    ...(hasStudents && judged
      ? [
          percent(
            over(({ truth, supervisors }) => agreement(hardLabels(studentOf(supervisors, m)), truth ?? []), m)
              .mean,
          ),
        ]
      : []),
  ]);
  const right = (name: string) => ({ name, align: "right" as const });
  const table: report.ReportTable = {
    title: "Weak supervisors",
    caption: `On the test rows, with 95 % intervals over repetitions${
      method
        ? `; weights that ${method} learned without any truth: a majority that agrees on a wrong rule gets them`
        : ""
    }.`,
    columns: [
      { name: "supervisor" },
      ...(judged ? [right("accuracy (%)"), right("95 % interval")] : []),
      right("agrees with the others (%)"),
      ...(method ? [right("weight"), right("95 % interval")] : []),
      ...(hasStudents && judged ? [right("accuracy of its student (%)")] : []),
    ],
    rows,
  };
  return hasStudents ? [table, choiceByMisfit(supervision)] : [table];
}

const inPercent = { factor: 100, digits: 1 };

const studentOf = (supervisors: Supervision["supervisors"], m: number) =>
  supervisors[m].student as SoftLabels;

/** Mean agreement with each other supervisor. */
function withOthers(supervisors: Supervision["supervisors"], m: number): number {
  const labels = supervisors.map(({ weak }) => hardLabels(weak));
  const shares = labels.filter((_, i) => i !== m).map((other) => agreement(labels[m], other));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Test rows of all repetitions together: with truth the ranking, else the misfits alone. */
function choiceByMisfit(supervision: readonly Supervision[]): report.ReportTable {
  const [{ supervisors, truth }] = supervision;
  const width = supervisors[0].weak.shape[1];
  const joined = (of: (own: Supervision) => ArrayLike<number>) =>
    supervision.flatMap((own) => Array.from(of(own)));
  const candidates = supervisors.map(({ name }, m) => ({
    name,
    weak: joined((own) => own.supervisors[m].weak.values),
    student: joined((own) => studentOf(own.supervisors, m).values),
  }));
  if (truth) {
    const known = joined(({ truth: own }) => oneHot(own ?? new Int32Array(), width).values);
    return report.supervisorChoice(chooseSupervisor(candidates, known, { width }));
  }
  const misfits = candidates.map(({ name, ...own }): { name: string } & MisfitGain => ({
    name,
    ...misfitGain({ ...own, width }),
  }));
  return {
    title: "Misfit of each supervisor's student",
    caption:
      "By squared error: what a student should gain over its supervisor (Charikar et al. 2024). Which of them is better nothing says without truth.",
    columns: [{ name: "supervisor" }, { name: "misfit", align: "right" }],
    rows: misfits.sort((a, b) => b.misfit - a.misfit).map(({ name, misfit }) => [name, misfit.toFixed(4)]),
  };
}

/** Whether all supervisors name the same class, by row. */
export function agreedRows(supervisors: readonly { labels: SoftLabels }[]): boolean[] {
  const labels = supervisors.map(({ labels: { values, shape } }) => argmaxRows(values, shape[1]));
  return Array.from(labels[0], (label, row) => labels.every((own) => own[row] === label));
}

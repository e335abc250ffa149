import { UserError } from "../errors.js";
import {
  findClasses,
  indexLabels,
  isMissing,
  readHardLabels,
  readWeakLabels,
  toSoftLabels,
} from "./labels.js";
import type { SoftLabels } from "./soft-labels.js";
import { column, columnName, readTable, type Table, type TableOptions } from "./table.js";

export interface JudgedSpec extends Omit<TableOptions, "wanted"> {
  /** Columns of class names, or of probabilities as JSON. */
  weak: string;
  student: string;
  truth?: string;
  id?: string;
  classes?: readonly string[];
}

/** Examples with what the weak labels and a student say of them. */
export interface JudgedExamples {
  /** Of rows with a weak label. */
  table: Table;
  /** `[n]` */
  ids: string[];
  classes: string[];
  weak: SoftLabels;
  student: SoftLabels;
  /** `[n]`: class index, -1 where it is missing. */
  truth?: Int32Array;
  /** Rows on which the weak supervisor abstains: their weak label is missing. */
  abstained: Pick<JudgedExamples, "table" | "ids" | "student" | "truth">;
}

/** @throws UserError with file, row and column for all that is refused of weak labels */
export async function readJudgedExamples(file: string, spec: JudgedSpec): Promise<JudgedExamples> {
  const { format, header, maxBytes } = spec;
  const wanted = [spec.weak, spec.student, spec.truth, spec.id].filter((name) => name !== undefined);
  const all = await readTable(file, { format, header, maxBytes, wanted });
  const has = column(all, columnName(all, spec.weak)).map((value) => !isMissing(value));
  const rowsWhere = (isCovered: boolean) =>
    Int32Array.from(has.keys()).filter((row) => has[row] === isCovered);
  const [covered, left] = [rowsWhere(true), rowsWhere(false)];
  if (covered.length === 0) {
    throw new UserError("no row has a weak label", { place: { file, column: spec.weak } });
  }
  const part = (rows: Int32Array): Table => ({ ...all, rows: Array.from(rows, (row) => all.rows[row]) });
  const table = part(covered);
  const weak = readWeakLabels(table, columnName(table, spec.weak));
  const student = readWeakLabels(all, columnName(all, spec.student));
  const truth = spec.truth === undefined ? undefined : readHardLabels(all, columnName(all, spec.truth));
  const classes = [
    ...(spec.classes ?? new Set([...findClasses(truth, weak), ...findClasses(truth, student)])),
  ];
  const ids =
    spec.id === undefined
      ? all.rows.map(({ line }) => `line ${line}`)
      : column(all, spec.id).map((value) => String(value));
  const students = toSoftLabels(student, classes, ids);
  const truths = truth && indexLabels(truth, classes);
  const select = (rows: Int32Array) => ({
    ids: Array.from(rows, (row) => ids[row]),
    student: selectSoftLabels(students, rows),
    ...(truths ? { truth: Int32Array.from(rows, (row) => truths[row]) } : {}),
  });
  const own = select(covered);
  return {
    table,
    classes,
    weak: toSoftLabels(weak, classes, own.ids),
    ...own,
    abstained: { table: part(left), ...select(left) },
  };
}

/** Some rows of soft labels. */
export function selectSoftLabels(
  { values, shape: [, classes] }: SoftLabels,
  rows: ArrayLike<number>,
): SoftLabels {
  const selected = new Float32Array(rows.length * classes);
  for (let i = 0; i < rows.length; i++) {
    selected.set(values.subarray(rows[i] * classes, (rows[i] + 1) * classes), i * classes);
  }
  return { values: selected, shape: [rows.length, classes] };
}

/** More groups than these are of no use to a reader. */
const MOST_GROUPS = 20;

/**
 * The group of each value of a column: the values themselves where there are few, fifths of numbers, and of texts fifths of their
 * length. "" where a value is missing.
 */
export function groupsOf(values: readonly unknown[]): string[] {
  const texts = values.map((value) =>
    value === undefined || value === null
      ? ""
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value).trim(),
  );
  if (new Set(texts).size <= MOST_GROUPS) return texts;
  const given = texts.filter((text) => text !== "");
  const areNumbers = given.every((text) => Number.isFinite(Number(text)));
  return areNumbers
    ? fifths(texts.map((text) => (text === "" ? null : Number(text))))
    : fifths(
        texts.map((text) => (text === "" ? null : text.length)),
        " characters",
      );
}

/** `low to high` of the fifth that each number is in; equal numbers are in the same. */
export function fifths(numbers: readonly (number | null)[], unit = ""): string[] {
  const sorted = numbers.filter((value) => value !== null).sort((a, b) => a - b);
  const cuts = [0.2, 0.4, 0.6, 0.8].map((share) => sorted[Math.floor(share * sorted.length)]);
  const bin = (value: number) => cuts.filter((cut) => value >= cut).length;
  const shown = (value: number) => String(Number(value.toPrecision(4)));
  const names = [0, 1, 2, 3, 4].map((at) => {
    const own = sorted.filter((value) => bin(value) === at);
    return own.length === 0 ? "" : `${shown(own[0])} to ${shown(own[own.length - 1])}${unit}`;
  });
  return numbers.map((value) => (value === null ? "" : names[bin(value)]));
}

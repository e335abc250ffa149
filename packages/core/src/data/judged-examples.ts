import { findClasses, indexLabels, readHardLabels, readWeakLabels, toSoftLabels } from "./labels.js";
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
  table: Table;
  /** `[n]` */
  ids: string[];
  classes: string[];
  weak: SoftLabels;
  student: SoftLabels;
  /** `[n]`: class index, -1 where it is missing. */
  truth?: Int32Array;
}

/** @throws UserError with file, row and column for all that is refused of weak labels */
export async function readJudgedExamples(file: string, spec: JudgedSpec): Promise<JudgedExamples> {
  const { format, header, maxBytes } = spec;
  const wanted = [spec.weak, spec.student, spec.truth, spec.id].filter((name) => name !== undefined);
  const table = await readTable(file, { format, header, maxBytes, wanted });
  const [weak, student] = [spec.weak, spec.student].map((name) =>
    readWeakLabels(table, columnName(table, name)),
  );
  const truth = spec.truth === undefined ? undefined : readHardLabels(table, columnName(table, spec.truth));
  const classes = spec.classes ?? [...new Set([...findClasses(truth, weak), ...findClasses(truth, student)])];
  const ids =
    spec.id === undefined
      ? table.rows.map(({ line }) => `line ${line}`)
      : column(table, spec.id).map((value) => String(value));
  return {
    table,
    ids,
    classes: [...classes],
    weak: toSoftLabels(weak, classes, ids),
    student: toSoftLabels(student, classes, ids),
    ...(truth ? { truth: indexLabels(truth, classes) } : {}),
  };
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

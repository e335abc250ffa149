/* Where the examples of an audit come from, and what else is known of them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  argmaxRows,
  column,
  fifths,
  groupsOf,
  hashOfFile,
  type JudgedExamples,
  type JudgedSpec,
  type RunRecord,
  readJudgedExamples,
  readTable,
  type SoftLabels,
  selectSoftLabels,
  type Table,
  UserError,
} from "outgrow";
import { findRun } from "./find-run.js";

/** What a fit says of every row; see `labelsJsonl`. */
export const labelsFile = "labels.jsonl";

export interface AuditSource {
  file: string;
  examples: JudgedExamples;
  /** Values of columns of the user's file, for each example and after them for each on which the weak supervisor abstains. */
  columns(names: readonly string[]): Promise<unknown[][]>;
  ofRun?: {
    record: RunRecord;
    /** What each example was to the run: "test", "transfer", ...; */
    parts: string[];
    /** Lines of the file that the run read. */
    lines: number[];
    /** Rows whose truth trained the weak supervisor: lines, and classes. */
    supervision: { lines: number[]; labels: Int32Array };
    /** The file that the run read. @throws UserError where it is gone or altered */
    file(): string;
  };
}

/** Examples of a file. */
export async function sourceOfFile(file: string, spec: JudgedSpec): Promise<AuditSource> {
  const examples = await readJudgedExamples(file, spec);
  const tables: Table[] = [examples.table, examples.abstained.table];
  return {
    file,
    examples,
    columns: async (names) =>
      names.map((name) => tables.flatMap((table) => (table.rows.length > 0 ? column(table, name) : []))),
  };
}

/** Examples of a run of fit: the rows whose truth trained nobody. `path` is where its labels are, if no longer where they were. */
export async function sourceOfRun(named: string, path?: string): Promise<AuditSource> {
  const { file, record, spec } = await ofRun(named, path);
  const read = await readJudgedExamples(file, spec);
  const parts = column(read.table, "part").map(String);
  const lines = column(read.table, "line").map(Number);
  const rowsOf = (isOf: (part: string) => boolean) => parts.flatMap((part, i) => (isOf(part) ? [i] : []));
  const kept = rowsOf((part) => part !== "supervision");
  const pick = <T>(values: readonly T[]) => kept.map((i) => values[i]);
  const examples: JudgedExamples = {
    ...read,
    table: { ...read.table, rows: pick(read.table.rows) },
    ids: pick(read.ids),
    weak: selectSoftLabels(read.weak, kept),
    student: selectSoftLabels(read.student, kept),
    ...(read.truth ? { truth: Int32Array.from(kept, (i) => (read.truth as Int32Array)[i]) } : {}),
  };
  const fileOfRun = () => {
    const { path, sha256 } = record.inputs.data;
    if (hashOfFile(path) === sha256) return path;
    throw new UserError(
      "the file that the run read is gone or was altered, so its columns cannot be looked at",
      {
        place: { file: path },
        hint: "Put it back, or leave out the options that name its columns.",
      },
    );
  };
  const supervision = rowsOf((part) => part === "supervision");
  return {
    file,
    examples,
    async columns(names) {
      if (names.length === 0) return [];
      const { header, format } = record.configuration as { header?: boolean; format?: "csv" | "jsonl" };
      const table = await readTable(fileOfRun(), { format, header, wanted: [...names] });
      const rowOfLine = new Map(table.rows.map(({ line }, row) => [line, row]));
      return names.map((name) => {
        const values = column(table, name);
        return pick(lines).map((line) => values[rowOfLine.get(line) as number]);
      });
    },
    ofRun: {
      record,
      parts: pick(parts),
      lines: pick(lines),
      supervision: {
        lines: supervision.map((i) => lines[i]),
        labels: Int32Array.from(supervision, (i) => read.truth?.[i] ?? -1),
      },
      file: fileOfRun,
    },
  };
}

/** Slices by what every audit knows, and by the columns that are named. */
export async function slicesOf(
  source: AuditSource,
  named: readonly string[],
): Promise<Record<string, string[]>> {
  const { examples, ofRun: run } = source;
  const slices = ownSlices(examples);
  if (run) slices.part = run.parts;
  if (examples.table.columns.includes("characters")) {
    slices.length = groupsOf(column(examples.table, "characters")).map(
      (group) => group && `${group} characters`,
    );
  }
  if (examples.table.columns.includes("supervisors")) {
    slices["weak supervisors"] = groupsOf(column(examples.table, "supervisors"));
  }
  const columns = await source.columns(named);
  named.forEach((name, i) => {
    slices[name] = groupsOf(columns[i].slice(0, examples.ids.length));
  });
  return slices;
}

function ownSlices({ weak, student, classes }: JudgedExamples): Record<string, string[]> {
  const confidence = ({ values, shape: [rows, k] }: SoftLabels) =>
    fifths(Array.from({ length: rows }, (_, i) => Math.max(...values.subarray(i * k, (i + 1) * k))));
  const names = Array.from(argmaxRows(weak.values, classes.length), (label) => classes[label]);
  return { "weak label": names, "confidence of the student": confidence(student) };
}

async function ofRun(named: string, path?: string) {
  const { record } = await findRun(named);
  if (record.kind !== "fit") {
    throw new UserError(
      `run ${record.id} is of the kind "${record.kind}", and only those of fit can be audited`,
      {
        hint: "Another student's labels can be audited as a file: outgrow audit FILE --weak COLUMN --student COLUMN.",
      },
    );
  }
  const file = path ?? join(record.folder, labelsFile);
  if (!existsSync(file)) {
    throw new UserError("the run has no labels of every row", {
      place: { file },
      hint: "It is of an older version, or its folder was moved: outgrow rerun makes them again.",
    });
  }
  const classes = (record.configuration as { classes?: string[] }).classes;
  const hasTruth = (record.configuration as { truth?: string }).truth !== undefined;
  return {
    file,
    record,
    spec: { weak: "weak", student: "student", id: "id", classes, ...(hasTruth ? { truth: "truth" } : {}) },
  };
}

import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import {
  argmaxRows,
  audit,
  auditReport,
  column,
  environment,
  fifths,
  groupsOf,
  hashOfFile,
  type JudgedExamples,
  readJudgedExamples,
  readTable,
  report,
  type SoftLabels,
  UserError,
} from "outgrow";
import { choiceTable, chooseAmong, pairsOf } from "./choose-weak.js";
import { findRun } from "./find-run.js";
import { type Job, perform, type RunOptions } from "./perform.js";

export interface AuditOptions extends RunOptions {
  /** Several: the audit is that of the one whose student should be the best. */
  weak?: string | string[];
  student?: string | string[];
  truth?: string;
  id?: string;
  classes?: string[];
  slice?: string[];
}

/** What a fit says of every row; see `labelsJsonl`. */
export const labelsFile = "labels.jsonl";

/** `outgrow audit RUN|FILE`: whether a student can be trusted. */
export async function auditCommand(
  named: string,
  { weak, student, truth, id, classes, slice, ...options }: AuditOptions,
  signal: AbortSignal,
): Promise<void> {
  const columns = { weak, student, truth, id, classes, slice };
  await perform(await auditJob({ named, ...defined(columns) }), { ...options, signal });
}

type AuditConfiguration = { named: string } & Omit<AuditOptions, keyof RunOptions>;

/** An audit as a run. `path` is where the examples are, by default where the configuration says. */
export async function auditJob(configuration: AuditConfiguration, path?: string): Promise<Job> {
  const { named, slice = [] } = configuration;
  const isFile = configuration.weak !== undefined || configuration.student !== undefined;
  if (isFile && (configuration.weak === undefined || configuration.student === undefined)) {
    throw new UserError("an audit of a file needs a column of weak labels and one of the student's", {
      hint: "Give --weak and --student; or the id of a run of fit, without either.",
    });
  }
  const file = path ?? named;
  const { truth, id, classes } = configuration;
  const pairs = pairsOf([configuration.weak ?? []].flat(), [configuration.student ?? []].flat());
  const several = pairs.length > 1 ? await chooseAmong(file, pairs, { truth, id, classes }) : undefined;
  const source = isFile
    ? { file, spec: { truth, id, classes, ...(several?.chosen ?? pairs[0]) } }
    : await ofRun(named, path);
  const read = await readJudgedExamples(source.file, source.spec);
  const { examples, slices } = isFile
    ? {
        examples: read,
        slices: Object.fromEntries(slice.map((name) => [name, groupsOf(column(read.table, name))])),
      }
    : await withoutSupervision(read, named, slice);
  return {
    kind: "audit",
    configuration: { ...configuration },
    inputs: {
      examples: {
        path: resolve(source.file),
        bytes: read.table.rows.length,
        sha256: hashOfFile(source.file) as string,
      },
    },
    async work() {
      const result = audit({ ...examples, slices: { ...ownSlices(examples), ...slices } });
      const page = await auditReport(result, {
        subject: several ? `${several.chosen.weak} in ${basename(named)}` : basename(named),
        classes: examples.classes,
        ids: examples.ids,
        configuration,
        environment: environment(),
      });
      const records = several ? { ...result, choice: several.choice } : result;
      if (several) page.tables.unshift(choiceTable(several.choice));
      return {
        records,
        outcome: {
          report: page,
          files: { "audit.json": `${JSON.stringify(records, null, 2)}\n` },
          results: { verdict: result.verdict, agreement: result.agreement, gain: result.gain?.mean ?? null },
        },
        print(folder) {
          const colour = report.wantsColour();
          for (const table of page.tables) console.log(`\n${report.formatTable(table, { colour })}`);
          console.log(`\n${page.lead}\n`);
          console.log(`Report  ${join(folder, "report.html")}`);
          console.log(`Audit   ${join(folder, "audit.json")}`);
        },
      };
    },
  };
}

/** Slices that every audit has. */
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
    spec: { weak: "weak", student: "student", id: "id", classes, ...(hasTruth ? { truth: "truth" } : {}) },
  };
}

/** The rows whose truth trained nobody, with slices by columns of the file that the run read. */
async function withoutSupervision(
  read: JudgedExamples,
  named: string,
  slice: readonly string[],
): Promise<{ examples: JudgedExamples; slices: Record<string, string[]> }> {
  const parts = column(read.table, "part").map(String);
  const kept = parts.flatMap((part, i) => (part === "supervision" ? [] : [i]));
  const pick = <T>(values: readonly T[]) => kept.map((i) => values[i]);
  const select = ({ values, shape: [, k] }: SoftLabels): SoftLabels => {
    const out = new Float32Array(kept.length * k);
    kept.forEach((row, i) => {
      out.set(values.subarray(row * k, (row + 1) * k), i * k);
    });
    return { values: out, shape: [kept.length, k] };
  };
  const examples: JudgedExamples = {
    ...read,
    ids: pick(read.ids),
    weak: select(read.weak),
    student: select(read.student),
    ...(read.truth ? { truth: Int32Array.from(kept, (i) => (read.truth as Int32Array)[i]) } : {}),
  };
  const slices: Record<string, string[]> = { part: pick(parts) };
  if (read.table.columns.includes("characters")) {
    slices.length = groupsOf(pick(column(read.table, "characters"))).map(
      (group) => group && `${group} characters`,
    );
  }
  if (slice.length > 0) {
    const { record } = await findRun(named);
    const { path, sha256 } = record.inputs.data;
    if (hashOfFile(path) !== sha256) {
      throw new UserError(
        "the file that the run read is gone or was altered, so its columns cannot be looked at",
        {
          place: { file: path },
          hint: "Put it back, or leave out --slice.",
        },
      );
    }
    const { header, format } = record.configuration as { header?: boolean; format?: "csv" | "jsonl" };
    const table = await readTable(path, { header, format, wanted: slice });
    const rowOfLine = new Map(table.rows.map(({ line }, row) => [line, row]));
    const lines = pick(column(read.table, "line")).map(Number);
    for (const name of slice) {
      const values = column(table, name);
      slices[name] = groupsOf(lines.map((line) => values[rowOfLine.get(line) as number]));
    }
  }
  return { examples, slices };
}

/** The entries that were given. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

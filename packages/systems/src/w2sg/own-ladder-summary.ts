import {
  type ClassificationData,
  createRandom,
  environment,
  hierarchicalBootstrap,
  type Interval,
  report,
} from "outgrow";
import type { OwnLadderConfig, OwnLadderRecord, OwnLadderResult } from "./own-ladder.js";
import { fixed, percent, range, withRange } from "./wording.js";

type Value = (record: OwnLadderRecord) => number | null;

interface Cell {
  weak: number;
  student: number;
  method: string;
  records: OwnLadderRecord[];
}

/** The paper's plot of a method: what a student reaches against the strength of its supervisor, a line for each size of student. */
export function strengthOf(records: readonly OwnLadderRecord[], method: string): report.StrengthData {
  const cells = cellsOf(records).filter((cell) => cell.method === method);
  const widths = [...new Set(cells.map(({ student }) => student))].sort((a, b) => a - b);
  return {
    students: widths.map((width) => {
      const own = cells.filter(({ student }) => student === width);
      return {
        name: `width ${width}`,
        ceiling: meanOf(own[0].records, (record) => record.ceilingAccuracy) ?? undefined,
        points: own.map((cell) => ({
          supervisor: meanOf(cell.records, (record) => record.weakAccuracy) as number,
          student: meanOf(cell.records, (record) => record.studentAccuracy) as number,
        })),
      };
    }),
  };
}

/** The table of all pairs and a plot for each method. */
export async function summariseOwnLadder(
  data: ClassificationData,
  { records, parts }: OwnLadderResult,
  config: OwnLadderConfig,
  seconds: number,
): Promise<report.Report> {
  const estimate = (cell: Cell, value: Value): Interval =>
    hierarchicalBootstrap(
      cell.records.map((record) => [value(record)]),
      { random: createRandom(config.seed).stream("bootstrap") },
    );
  const cells = cellsOf(records);
  const figures: report.Figure[] = [];
  for (const method of config.methods) {
    figures.push(
      await report.accuracyByStrength(strengthOf(records, method), {
        name: `ladder-${method}`,
        title: `Students by the accuracy of their supervisor (${method})`,
      }),
    );
  }
  const widest = cells.filter(({ weak, student }) => weak < student);
  const undefinedPgr = records.filter(({ pgr, weak, student }) => pgr === null && weak < student);
  return {
    title: `A ladder of students on ${data.file.split(/[\\/]/).at(-1)}`,
    lead: config.methods
      .map((method) => {
        const own = widest.filter((cell) => cell.method === method);
        const above = own.filter(
          (cell) =>
            (meanOf(cell.records, (r) => r.studentAccuracy) ?? 0) >
            (meanOf(cell.records, (r) => r.weakAccuracy) ?? 0),
        );
        const far = own.reduce((a, b) => (b.student - b.weak > a.student - a.weak ? b : a));
        const pgr = estimate(far, (record) => record.pgr);
        const value = pgr.mean === null ? "undefined" : withRange(pgr.mean, pgr);
        return `${method}: ${above.length} of ${own.length} students are more accurate than their smaller supervisor; PGR ${far.weak} → ${far.student} ${value}.`;
      })
      .join(" "),
    facts: [
      { label: "Rows", value: data.ids.length },
      { label: "Classes", value: data.classes.length },
      { label: "Widths", value: config.ladder.join(", ") },
      { label: "Repetitions", value: config.seeds },
      { label: "Wall time", value: report.formatDuration(seconds * 1000) },
    ],
    tables: [
      {
        title: "All pairs",
        caption:
          "Means over repetitions. Accuracy in % of test rows; PGR with the 95 % interval over repetitions; agreement with " +
          "the supervisor where it is wrong (%). Equal widths: a model trained on its own labels.",
        columns: [
          { name: "supervisor" },
          { name: "student" },
          { name: "method" },
          { name: "supervisor acc.", align: "right" },
          { name: "student acc.", align: "right" },
          { name: "ceiling acc.", align: "right" },
          { name: "PGR", align: "right" },
          { name: "95 % interval", align: "right" },
          { name: "agree when wrong", align: "right" },
        ],
        rows: cells.map((cell) => {
          const pgr = estimate(cell, (record) => record.pgr);
          const partly = pgr.defined < pgr.total ? ` (${pgr.defined} of ${pgr.total})` : "";
          const mean = (value: Value) => percent(meanOf(cell.records, value));
          return [
            cell.weak,
            cell.student,
            cell.method,
            mean((record) => record.weakAccuracy),
            mean((record) => record.studentAccuracy),
            mean((record) => record.ceilingAccuracy),
            pgr.mean === null ? "undefined" : `${fixed(pgr.mean, 2)}${partly}`,
            range(pgr),
            mean((record) => record.agreement.whenWeakWrong),
          ];
        }),
      },
    ],
    figures,
    notes: [
      `Rows: ${parts.test.length} for testing, ${parts.supervision.length} with truth for the supervisors, ${parts.transfer.length} for ` +
        `the students and ceilings, ${parts.validation.length} of theirs held out to choose the pass to keep. Each repetition draws them anew.`,
      "Each size was pretrained once, on the inputs of all rows, without any label; repetitions share that.",
      ...(undefinedPgr.length > 0
        ? [
            `The PGR is undefined in ${undefinedPgr.length} students of smaller supervisors, which are left out of its means: ` +
              `${[...new Set(undefinedPgr.map(({ pgrReason }) => pgrReason))].join("; ")}.`,
          ]
        : []),
    ],
    configuration: { file: data.file, classes: data.classes, ...config },
    environment: { seed: String(config.seed), ...environment() },
  };
}

function cellsOf(records: readonly OwnLadderRecord[]): Cell[] {
  const cells = new Map<string, Cell>();
  for (const record of records) {
    const { weak, student, method } = record;
    const key = `${method} ${weak} ${student}`;
    const cell = cells.get(key) ?? { weak, student, method, records: [] };
    cell.records.push(record);
    cells.set(key, cell);
  }
  return [...cells.values()];
}

function meanOf(records: readonly OwnLadderRecord[], value: Value): number | null {
  const known = records.map(value).filter((each) => each !== null);
  return known.length === 0 ? null : known.reduce((sum, each) => sum + each, 0) / known.length;
}

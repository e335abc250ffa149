import {
  createRandom,
  environment,
  hierarchicalBootstrap,
  type Interval,
  pairedDifference,
  report,
} from "outgrow";
import type { Mode } from "./stages.js";
import type { StudentRecord, StudyConfig } from "./study.js";
import { fixed, percent, range, withRange } from "./wording.js";

/** Records as [world][task], for the hierarchical bootstrap. */
type Grouped = StudentRecord[][];

interface Cell {
  mode: Mode;
  weak: string;
  method: string;
  /** The student's pretrained shape; a self-trained student has the supervisor's. */
  student: string;
  records: Grouped;
}

const modeNames: Record<Mode, string> = {
  "linear-probe": "linear probe",
  "full-finetune": "full finetuning",
};

/** The study as a report: tables, figures and what they say. */
export async function summarise(
  records: readonly StudentRecord[],
  config: StudyConfig,
  seconds: number,
): Promise<report.Report> {
  const cells = group(records);
  const interval = (grouped: Grouped, value: (record: StudentRecord) => number | null): Interval =>
    hierarchicalBootstrap(
      grouped.map((tasks) => tasks.map(value)),
      { random: createRandom(config.seed).stream("bootstrap") },
    );
  const pairName = ({ weak }: Cell, strong: string) => `${weak} → ${strong}`;
  const strong = `MLP ${config.ladder.at(-1)?.width}`;
  const supervisors = config.ladder.slice(0, -1).map(({ width }) => `MLP ${width}`);

  const figures: report.Figure[] = [];
  for (const mode of config.modes) {
    const own = cells.filter((cell) => cell.mode === mode);
    const suffix = ` (${modeNames[mode]})`;
    const at = (weak: string, method: string) =>
      own.find((cell) => cell.weak === weak && cell.method === method) as Cell;
    const line = (
      name: string,
      role: report.Role,
      method: string,
      value: (record: StudentRecord) => number | null,
    ) => ({
      name,
      role,
      points: supervisors.map((weak) => ({ supervisor: weak, ...interval(at(weak, method).records, value) })),
    });
    const first = config.methods[0];
    const names = [...new Set(own.map((cell) => cell.method))];
    figures.push(
      await report.accuracyBySupervisor(
        {
          supervisors,
          series: [
            line("weak supervisor", "weak", first, (record) => record.weakAccuracy),
            ...names.map((name) =>
              line(
                name,
                config.methods.includes(name) ? "student" : "control",
                name,
                (record) => record.studentAccuracy,
              ),
            ),
            line("ceiling", "ceiling", first, (record) => record.ceilingAccuracy),
          ],
        },
        { name: `accuracy-${mode}`, title: `Test accuracy by strength of the supervisor${suffix}` },
      ),
      await report.pgrByMethod(
        {
          rows: own
            .filter((cell) => cell.method !== "self-training")
            .map((cell) => ({
              group: pairName(cell, strong),
              method: cell.method,
              role: config.methods.includes(cell.method) ? ("student" as const) : ("control" as const),
              ...interval(cell.records, (record) => record.pgr),
            })),
        },
        { name: `pgr-${mode}`, title: `Performance gap recovered${suffix}` },
      ),
      await report.agreement(
        {
          rows: own.map((cell) => ({
            group: pairName(cell, strong),
            method: cell.method,
            whenWeakRight: interval(cell.records, (record) => record.agreement.whenWeakRight),
            whenWeakWrong: interval(cell.records, (record) => record.agreement.whenWeakWrong),
          })),
        },
        { name: `agreement-${mode}`, title: `Agreement of student and supervisor${suffix}` },
      ),
    );
    const widest = own.filter((cell) => cell.weak === supervisors[0] && cell.method !== "self-training");
    figures.push(
      await report.reliability(
        { series: widest.map((cell) => pooledReliability(cell)) },
        {
          name: `calibration-${mode}`,
          title: `Reliability of students of ${supervisors[0]}${suffix}`,
        },
      ),
    );
  }

  const tables = config.modes.map((mode) =>
    resultTable(
      cells.filter((cell) => cell.mode === mode),
      mode,
      interval,
    ),
  );
  const { lead, facts } = headline(cells, config, interval);
  return {
    title: "Weak-to-strong generalization on the factor world",
    lead,
    facts: [...facts, { label: "Wall time", value: report.formatDuration(seconds * 1000) }],
    tables,
    figures,
    notes: notes(records, config),
    configuration: config,
    environment: { seed: String(config.seed), ...environment() },
  };
}

function group(records: readonly StudentRecord[]): Cell[] {
  const cells = new Map<string, Cell>();
  for (const record of records) {
    const { mode, weak, method, student, world, task } = record;
    const key = `${mode} ${weak} ${method}`;
    const cell = cells.get(key) ?? { mode, weak, method, student, records: [] };
    cell.records[world] ??= [];
    cell.records[world][task] = record;
    cells.set(key, cell);
  }
  return [...cells.values()];
}

type Measure = (grouped: Grouped, value: (record: StudentRecord) => number | null) => Interval;

function resultTable(cells: readonly Cell[], mode: Mode, interval: Measure): report.ReportTable {
  return {
    title: `Results, ${modeNames[mode]}`,
    caption:
      "Means over worlds and tasks. Accuracy in % of test examples; PGR: share of the gap between weak supervisor and " +
      "ceiling that the student recovers, with the 95 % interval of a bootstrap over worlds, then tasks; agreement " +
      "with the supervisor where it is wrong; ECE: expected calibration error.",
    columns: [
      { name: "weak" },
      { name: "method" },
      { name: "weak acc.", align: "right" },
      { name: "student acc.", align: "right" },
      { name: "ceiling acc.", align: "right" },
      { name: "PGR", align: "right" },
      { name: "95 % interval", align: "right" },
      { name: "agree when wrong", align: "right" },
      { name: "ECE", align: "right" },
    ],
    rows: cells.map((cell) => {
      const pgr = interval(cell.records, (record) => record.pgr);
      const mean = (value: (record: StudentRecord) => number | null) => interval(cell.records, value).mean;
      const partly = pgr.defined < pgr.total ? ` (${pgr.defined} of ${pgr.total})` : "";
      return [
        cell.weak,
        cell.method,
        percent(mean((record) => record.weakAccuracy)),
        percent(mean((record) => record.studentAccuracy)),
        percent(mean((record) => record.ceilingAccuracy)),
        pgr.mean === null ? "undefined" : `${fixed(pgr.mean, 2)}${partly}`,
        range(pgr),
        percent(mean((record) => record.agreement.whenWeakWrong)),
        mean((record) => numberOf(record.calibration.expectedCalibrationError))?.toFixed(3) ?? null,
      ];
    }),
  };
}

const numberOf = (measured: { value: number | null }) => measured.value;

/** The counts of all worlds and tasks in one diagram. */
function pooledReliability(cell: Cell): report.ReliabilitySeries {
  const all = cell.records.flat().map((record) => record.calibration);
  const bins = all[0].bins.map((_, b) => {
    const here = all.map((calibration) => calibration.bins[b]);
    const count = here.reduce((total, bin) => total + bin.count, 0);
    const weighted = (value: (bin: (typeof here)[number]) => number) =>
      here.reduce((total, bin) => total + bin.count * value(bin), 0) / count;
    return count === 0
      ? { confidence: here[0].confidence, accuracy: null, count }
      : {
          confidence: weighted((bin) => bin.confidence),
          accuracy: weighted((bin) => bin.accuracy ?? 0),
          count,
        };
  });
  const total = bins.reduce((sum, bin) => sum + bin.count, 0);
  const ece = bins.reduce(
    (sum, bin) => sum + (bin.count / total) * Math.abs((bin.accuracy ?? 0) - bin.confidence),
    0,
  );
  return { name: cell.method, bins, ece };
}

/** What a colleague reads first, from the numbers alone. */
function headline(cells: readonly Cell[], config: StudyConfig, interval: Measure) {
  const mode = config.modes[0];
  const reference = config.methods.includes("naive") ? "naive" : config.methods[0];
  const plain = cells.filter((cell) => cell.mode === mode && cell.method === reference);
  const runs = plain.flatMap((cell) => cell.records.flat());
  const better = runs.filter((record) => record.studentAccuracy > record.weakAccuracy).length;
  const student = plain[0].student;
  const facts = plain.map((cell) => {
    const pgr = interval(cell.records, (record) => record.pgr);
    const value = pgr.mean === null ? "undefined" : withRange(pgr.mean, pgr);
    return { label: `PGR ${cell.weak} → ${cell.student}, ${reference}`, value };
  });
  const confidence = cells.filter((cell) => cell.mode === mode && cell.method === "confidence");
  const gains = confidence.flatMap((cell, i) => {
    const pgrs = (grouped: Grouped) => grouped.map((tasks) => tasks.map((record) => record.pgr));
    const gain = hierarchicalBootstrap(pairedDifference(pgrs(cell.records), pgrs(plain[i].records)), {
      random: createRandom(config.seed).stream("bootstrap"),
    });
    if (gain.mean === null) return [];
    return [`${gain.mean > 0 ? "+" : ""}${withRange(gain.mean, gain)} for ${cell.weak}`];
  });
  const lead =
    `Trained on nothing but the labels of weaker models, ${student} is more accurate than its teacher in ${better} of ` +
    `${runs.length} cases (${reference} method, ${modeNames[mode]}).` +
    (gains.length > 0 && reference === "naive"
      ? ` The confidence loss changes the PGR by ${gains.join(", ")}.`
      : "");
  return { lead, facts };
}

function notes(records: readonly StudentRecord[], config: StudyConfig): string[] {
  const undefinedCount = records.filter((record) => record.pgr === null).length;
  return [
    `${config.worlds} worlds with ${config.tasks} tasks each. A bootstrap over few worlds is too narrow: for normal data a ` +
      "95 % interval covers 82 % of the time with 3 worlds, 87 % with 5 and 94 % with 30.",
    "The ceiling is trained on the student's own examples, as in the paper; the released code trains it on the supervisor's half.",
    "Self-training: the supervisor's model trained on its own labels. Random init: the student's shape without pretraining. " +
      "Their PGR is reckoned with the ceiling of the pretrained student.",
    ...(undefinedCount > 0
      ? [
          `The PGR is undefined in ${undefinedCount} of ${records.length} students, where the ceiling exceeds the supervisor by ` +
            "fewer than 2 standard errors; they are left out of its means.",
        ]
      : []),
  ];
}

/** The terminal's picture: PGR by method for each supervisor, in one mode. */
export function pgrPicture(
  records: readonly StudentRecord[],
  config: StudyConfig,
  mode: Mode,
  width: number,
): string {
  const cells = group(records).filter((cell) => cell.mode === mode && cell.method !== "self-training");
  const rows = cells.map((cell) => ({
    name: `${cell.weak} → ${cell.method}`,
    ...hierarchicalBootstrap(
      cell.records.map((tasks) => tasks.map((record) => record.pgr)),
      { random: createRandom(config.seed).stream("bootstrap") },
    ),
  }));
  const lows = rows.map((row) => row.low ?? row.mean ?? 0);
  const highs = rows.map((row) => row.high ?? row.mean ?? 0);
  return report.intervalPicture(rows, {
    min: Math.min(0, ...lows),
    max: Math.max(1, ...highs),
    marks: [
      { at: 0, label: "supervisor" },
      { at: 1, label: "ceiling" },
    ],
    width,
  });
}

/** Means over all cases, for lists of runs. */
export function studyHeadlines(records: readonly StudentRecord[]): Record<string, number | null> {
  const means = records.map(({ method, mode }) => `${method} (${mode})`);
  return Object.fromEntries(
    [...new Set(means)].map((name) => {
      const own = records.filter((_, i) => means[i] === name).map(({ studentAccuracy }) => studentAccuracy);
      return [`accuracy ${name}`, own.reduce((sum, value) => sum + value, 0) / own.length];
    }),
  );
}

import {
  type ClassificationData,
  createRandom,
  environment,
  formatCsv,
  hardLabels,
  hierarchicalBootstrap,
  type Interval,
  report,
  type SoftLabels,
} from "outgrow";
import type { OwnDataConfig, OwnDataResult, OwnRecord } from "./own-data.js";
import { agreedRows, supervisorTables } from "./own-supervisors.js";
import { fixed, percent, range, withRange } from "./wording.js";

type Value = (record: OwnRecord) => number | null | undefined;

/** Intervals over repetitions: each is a group of one. */
function estimator(result: OwnDataResult, config: OwnDataConfig) {
  return (method: string, value: Value): Interval =>
    hierarchicalBootstrap(
      result.records.filter((record) => record.method === method).map((record) => [value(record) ?? null]),
      { random: createRandom(config.seed).stream("bootstrap") },
    );
}

/** The leaderboard, figures and files of a fit on a user's own data. */
export async function summariseOwnData(
  data: ClassificationData,
  result: OwnDataResult,
  config: OwnDataConfig,
  seconds: number,
): Promise<report.Report> {
  const estimate = estimator(result, config);
  const judged = data.truth !== undefined;
  const [firstMethod] = config.methods;
  const withCeiling = result.records.some((record) => typeof record.ceilingAccuracy === "number");
  const entries = judged
    ? [
        ...(withCeiling
          ? [
              {
                name: "ceiling",
                role: "ceiling" as const,
                accuracy: estimate(firstMethod, (r) => r.ceilingAccuracy),
              },
            ]
          : []),
        ...config.methods.map((name) => ({
          name,
          role: "student" as const,
          accuracy: estimate(name, (record) => record.studentAccuracy),
        })),
        {
          name: "weak supervisor",
          role: "weak" as const,
          accuracy: estimate(firstMethod, (r) => r.weakAccuracy),
        },
      ]
    : [];
  const leaderboard = judged
    ? truthTable(entries, config, estimate)
    : {
        title: "Agreement with the weak labels",
        caption:
          "Without truth nothing says whether a student is better than its labels. % of held-out rows.",
        columns: [
          { name: "method" },
          { name: "agreement (%)", align: "right" as const },
          { name: "95 % interval" },
        ],
        rows: config.methods.map((name) => {
          const interval = estimate(name, (record) => record.agreementWithWeak);
          return [name, percent(interval.mean), range(interval, inPercent)];
        }),
      };

  const figures: report.Figure[] = [];
  if (judged) {
    figures.push(
      await report.leaderboard({
        rows: entries.map(({ name, role, accuracy }) => ({ name, role, ...accuracy })),
      }),
    );
    const group = `${result.weakSource} → ${result.student.backbone.name}`;
    const pgrRows = config.methods.map((method) => ({
      group,
      method,
      ...estimate(method, (record) => record.pgr),
    }));
    if (withCeiling) figures.push(await report.pgrByMethod({ rows: pgrRows }));
    figures.push(
      await report.agreement({
        rows: config.methods.map((method) => ({
          group,
          method,
          whenWeakRight: estimate(method, (record) => record.agreement?.whenWeakRight),
          whenWeakWrong: estimate(method, (record) => record.agreement?.whenWeakWrong),
        })),
      }),
      await report.reliability({
        series: config.methods.map((method) => {
          const { calibration } = result.records.find(
            (record) => record.method === method,
          ) as Required<OwnRecord>;
          return {
            name: method,
            bins: calibration.bins,
            ece: calibration.expectedCalibrationError.value ?? 0,
          };
        }),
      }),
    );
  }
  const { parts } = result;
  return {
    title: `Weak-to-strong learning on ${data.file.split(/[\\/]/).at(-1)}`,
    lead: lead(data, result, config, estimate),
    facts: [
      { label: "Rows", value: data.ids.length },
      { label: "Classes", value: data.classes.length },
      { label: "Weak supervisor", value: result.weakSource },
      { label: "Student", value: studentText(result) },
      { label: "Repetitions", value: config.seeds },
      { label: "Wall time", value: report.formatDuration(seconds * 1000) },
    ],
    tables: [
      leaderboard,
      ...(result.supervision ? supervisorTables(result.supervision, result.records, config.seed) : []),
    ],
    figures,
    notes: [
      `Rows: ${parts.test.length} for testing, ${parts.supervision.length} with truth for the weak supervisor, ` +
        `${parts.transfer.length} for the student and ${parts.validation.length} held out, with their weak labels, to choose ` +
        "the pass to keep. Each repetition draws them anew.",
      (result.modelName === undefined
        ? "The student was pretrained once, on the inputs of all rows, without any label; repetitions share that. "
        : `The student began as the language model ${result.modelName}, and all of its weights were finetuned. What it was trained on before is not known here: it may have seen these texts. `) +
        "Intervals are over repetitions: they do not cover the chance in the pretraining or in the choice of the file.",
      "The ceiling is the same student trained on the truth of the same rows, the pass chosen by truth.",
      `predictions.csv and the saved student come from the method "${firstMethod}" in the first repetition.`,
      ...(result.supervision
        ? [
            "Methods for one supervisor learned from the equal mean of all, and the weak supervisor of the tables above is that mean.",
          ]
        : []),
      ...undefinedNote(result),
      ...result.warnings,
    ],
    configuration: { file: data.file, classes: data.classes, ...config },
    environment: { seed: String(config.seed), ...environment() },
  };
}

const inPercent = { factor: 100, digits: 1 };

type Estimate = (method: string, value: Value) => Interval;

function truthTable(
  entries: { name: string; role: report.Role; accuracy: Interval }[],
  config: OwnDataConfig,
  estimate: Estimate,
): report.ReportTable {
  return {
    title: "Leaderboard",
    caption:
      "Test accuracy in %, and the share of the gap between weak supervisor and ceiling that the student recovers " +
      "(PGR), with 95 % intervals over repetitions; agreement with the weak labels where they are right and wrong (%).",
    columns: [
      { name: "model" },
      { name: "accuracy", align: "right" },
      { name: "95 % interval", align: "right" },
      { name: "PGR", align: "right" },
      { name: "95 % interval", align: "right" },
      { name: "agree when right", align: "right" },
      { name: "agree when wrong", align: "right" },
      { name: "ECE", align: "right" },
    ],
    rows: entries.map(({ name, role, accuracy }) => {
      const head = [name, percent(accuracy.mean), range(accuracy, inPercent)];
      if (role !== "student" || !config.methods.includes(name))
        return [...head, null, null, null, null, null];
      const pgr = estimate(name, (record) => record.pgr);
      const partly = pgr.defined < pgr.total ? ` (${pgr.defined} of ${pgr.total})` : "";
      return [
        ...head,
        pgr.mean === null ? "undefined" : `${fixed(pgr.mean, 2)}${partly}`,
        range(pgr),
        percent(estimate(name, (record) => record.agreement?.whenWeakRight).mean),
        percent(estimate(name, (record) => record.agreement?.whenWeakWrong).mean),
        estimate(name, (record) => record.calibration?.expectedCalibrationError.value).mean?.toFixed(3) ??
          null,
      ];
    }),
  };
}

function studentText({ student, text, modelName }: OwnDataResult): string {
  const size = text ? `, ${Math.round(text.parameters / 1000)} thousand weights` : "";
  return `${modelName === undefined ? "" : `${modelName}, `}${student.backbone.name}${size}`;
}

function lead(
  data: ClassificationData,
  result: OwnDataResult,
  config: OwnDataConfig,
  estimate: Estimate,
): string {
  if (!data.truth) {
    return `The student was trained on ${result.weakSource}. There is no truth to judge it by: name a column of true labels with --truth, for a share of the rows at least.`;
  }
  const sentences = config.methods.map((method) => {
    const student = estimate(method, (record) => record.studentAccuracy);
    const pgr = estimate(method, (record) => record.pgr);
    const share = pgr.mean === null ? "PGR undefined" : `PGR ${withRange(pgr.mean, pgr)}`;
    return `${method} ${percent(student.mean)} % (${share})`;
  });
  const weak = estimate(config.methods[0], (record) => record.weakAccuracy);
  return `The weak supervisor is right on ${percent(weak.mean)} % of the test rows; students that learned from its labels alone: ${sentences.join(", ")}.`;
}

function undefinedNote({ records }: OwnDataResult): string[] {
  const reasons = records.flatMap(({ pgr, pgrReason }) => (pgr === null && pgrReason ? [pgrReason] : []));
  if (reasons.length === 0) return [];
  return [
    `The PGR is undefined in ${reasons.length} of ${records.length} students, which are left out of its means: ` +
      `${[...new Set(reasons)].join("; ")}.`,
  ];
}

/** Every row with the student's label and probability, the weak label, and whether they differ. */
export function predictionsCsv(data: ClassificationData, { student, weak, parts }: OwnDataResult): string {
  const labels = hardLabels(student.predictions);
  const weakLabels = hardLabels(weak);
  const classes = data.classes.length;
  const partOf = new Map<number, string>();
  for (const [name, rows] of Object.entries(parts)) for (const row of rows) partOf.set(row, name);
  const rows = data.ids.map((id, row) => [
    id,
    data.classes[labels[row]],
    student.predictions.values[row * classes + labels[row]].toFixed(6),
    data.classes[weakLabels[row]],
    weakLabels[row] === labels[row] ? 0 : 1,
    partOf.get(row) ?? "",
    ...(data.truth ? [data.truth[row] < 0 ? "" : data.classes[data.truth[row]]] : []),
  ]);
  const header = [
    "id",
    "label",
    "probability",
    "weak_label",
    "disagreement",
    "part",
    ...(data.truth ? ["truth"] : []),
  ];
  return formatCsv([header, ...rows]);
}

/** What supervisor and student say of every row, with all probabilities, as `outgrow audit` reads it. */
export function labelsJsonl(data: ClassificationData, { student, weak, parts }: OwnDataResult): string {
  const partOf = new Map<number, string>();
  for (const [name, rows] of Object.entries(parts)) for (const row of rows) partOf.set(row, name);
  const { classes, inputs, truth } = data;
  const rounded = ({ values }: SoftLabels, row: number) =>
    Array.from(values.subarray(row * classes.length, (row + 1) * classes.length), (p) =>
      Number(p.toPrecision(6)),
    );
  const agreed = data.supervisors && agreedRows(data.supervisors);
  const lines = data.ids.map((id, row) => ({
    id,
    line: data.lines[row],
    part: partOf.get(row) ?? "",
    weak: rounded(weak, row),
    student: rounded(student.predictions, row),
    ...(truth ? { truth: truth[row] < 0 ? null : classes[truth[row]] } : {}),
    ...(agreed ? { supervisors: agreed[row] ? "agree" : "differ" } : {}),
    ...(inputs.kind === "text" ? { characters: inputs.texts[row].length } : {}),
  }));
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Means over repetitions, for lists of runs. */
export function ownHeadlines(records: readonly OwnRecord[]): Record<string, number | null> {
  const mean = (values: (number | null | undefined)[]) => {
    const known = values.filter((value) => typeof value === "number");
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  };
  const methods = [...new Set(records.map(({ method }) => method))];
  return Object.fromEntries(
    methods.flatMap((method) => {
      const own = records.filter((record) => record.method === method);
      return [
        [`accuracy ${method}`, mean(own.map(({ studentAccuracy }) => studentAccuracy))],
        [`agreement ${method}`, mean(own.map(({ agreementWithWeak }) => agreementWithWeak))],
      ];
    }),
  );
}

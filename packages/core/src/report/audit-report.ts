import type { Audit, Gain, SliceAudit } from "../measure/audit.js";
import type { Measured } from "../measure/measured.js";
import { estimates } from "./figures.js";
import { type Report, type ReportSection, reliability } from "./index.js";
import type { ReportTable } from "./table.js";

export interface AuditWords {
  /** What was audited, e.g. a run's id or a file. */
  subject: string;
  classes: readonly string[];
  /** Names of the examples. */
  ids: readonly string[];
  configuration: unknown;
  environment: Record<string, string>;
  /** What was asked for besides. */
  parts?: readonly ReportSection[];
}

/** Errors and slices that a report lists. */
const LISTED = 25;

/** An audit for people: the verdict first, then what it rests on. */
export async function auditReport(audit: Audit, words: AuditWords): Promise<Report> {
  const { gain, calibration, labelsToSettle: labels, disagreements } = audit;
  const { parts = [] } = words;
  const advice =
    audit.verdict !== "get more truth"
      ? ""
      : labels === null
        ? " No number of labels would settle it: where they disagree, one is as often right as the other."
        : ` About ${labels.amongDisagreements} more true labels of examples on which they disagree would settle it, or ${labels.atRandom} of examples drawn at random.`;
  const figures = [
    ...(calibration
      ? [
          await reliability(
            {
              series: [
                { name: "weak labels", ...seriesOf(calibration.weak) },
                { name: "student", ...seriesOf(calibration.student) },
              ],
            },
            { name: "calibration", title: "Can probabilities be taken at their word?" },
          ),
        ]
      : []),
    ...(audit.slices.some(({ gain: own }) => own)
      ? [
          await estimates(
            {
              measure: "Accuracy of the student minus that of the weak labels",
              rows: audit.slices
                .filter((slice) => slice.gain)
                .slice(0, LISTED)
                .map(({ column, group, gain: own }) => ({
                  group: column,
                  label: group,
                  mean: (own as Gain).mean,
                  low: (own as Gain).low,
                  high: (own as Gain).high,
                }))
                .sort((a, b) => a.group.localeCompare(b.group)),
            },
            { name: "slices", title: "Where the student is better, and where worse" },
          ),
        ]
      : []),
  ];
  return {
    title: `Audit of ${words.subject}`,
    lead: `${capital(audit.verdict)}: ${audit.because}.${advice}`,
    facts: [
      { label: "Examples", value: audit.examples },
      { label: "With truth", value: audit.known },
      { label: "Agreement", value: percent(audit.agreement) },
      { label: "Gain the student expects", value: points(audit.expectedGain) },
      ...(gain ? [{ label: "Gain by the truth", value: interval(gain) }] : []),
    ],
    tables: [
      numbersTable(audit),
      classTable(audit, words.classes),
      ...(audit.slices.length > 0 ? [sliceTable(audit.slices)] : []),
      ...parts.flatMap(({ tables }) => tables),
      ...errorTables(audit, words),
    ],
    figures: [...figures, ...parts.flatMap((part) => part.figures)],
    notes: [
      misfitNote(audit),
      "Likely errors are found by confident learning (Northcutt et al. 2021) with the student's probabilities. A student that was trained on a label is less likely to call it an error.",
      disagreements.overconfidence.value !== null && disagreements.overconfidence.value > 0.05
        ? `Where they disagree the student believes itself more than it should, by ${points(disagreements.overconfidence.value)}: its probabilities there are not to be taken at their word.`
        : "Where they disagree, compare what the student believes with what it has right: that is where it was not told what to say.",
      ...parts.flatMap(({ notes }) => notes),
    ],
    configuration: words.configuration,
    environment: words.environment,
  };
}

/** What misfit foretells of the squared error, and whether it came true. */
function misfitNote({ misfit: { misfit, weakError, predictedError, studentError, known } }: Audit): string {
  const theory = `Misfit ${misfit.toFixed(4)}: the mean squared distance of student and weak labels. For a student that is the nearest of a convex class in which the truth lies, the squared error is lower than theirs by at least that much (Charikar et al. 2024).`;
  if (weakError.value === null || predictedError.value === null || studentError.value === null) {
    return `${theory} It says how much there is to gain, not whether it is gained.`;
  }
  const measured = `By ${known} examples with truth the weak labels' is ${weakError.value.toFixed(4)}, so the student's should be ${predictedError.value.toFixed(4)}; it is ${studentError.value.toFixed(4)}.`;
  return predictedError.value < 0
    ? `${theory} ${measured} A squared error below 0 cannot be: the student is no such nearest one, and misfit foretells nothing here.`
    : `${theory} ${measured}`;
}

const capital = (text: string) => text[0].toUpperCase() + text.slice(1);
const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
const points = (value: number) => `${(100 * value).toFixed(1)} points`;
const measured = (value: Measured) => (value.value === null ? `– (${value.reason})` : percent(value.value));
const interval = ({ mean, low, high }: Gain) =>
  low === null || high === null
    ? points(mean)
    : `${points(mean)} [${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;
const seriesOf = ({ bins, expectedCalibrationError }: NonNullable<Audit["calibration"]>["weak"]) => ({
  bins,
  ece: expectedCalibrationError.value ?? 0,
});

function numbersTable({ disagreements: d, calibration }: Audit): ReportTable {
  return {
    title: "Where they disagree, and how sure the student is",
    columns: [{ name: "" }, { name: "", align: "right" }],
    rows: [
      ["examples on which they disagree", d.examples],
      ["confidence of the student there", measured(d.confidence)],
      ["the student is right there", measured(d.studentRight)],
      ["the weak labels are right there", measured(d.weakRight)],
      ["over-confidence of the student there", measured(d.overconfidence)],
      ...(calibration
        ? ([
            ["expected calibration error, student", measured(calibration.student.expectedCalibrationError)],
            ["expected calibration error, weak labels", measured(calibration.weak.expectedCalibrationError)],
          ] as [string, string][])
        : []),
    ],
  };
}

const classTable = ({ agreementByClass }: Audit, classes: readonly string[]): ReportTable => ({
  title: "Agreement by the class of the weak label",
  columns: [{ name: "class" }, { name: "examples", align: "right" }, { name: "agreement", align: "right" }],
  rows: agreementByClass.map((each) => [classes[each.class], each.examples, measured(each.agreement)]),
});

const sliceTable = (slices: readonly SliceAudit[]): ReportTable => ({
  title: "Slices, the student's worst first",
  caption:
    "“Worse” marks slices in which the student is likely worse than the weak labels by the truth, with all slices in mind (Holm 1979).",
  columns: [
    { name: "column" },
    { name: "group" },
    { name: "examples", align: "right" },
    { name: "disagreement", align: "right" },
    { name: "gain by the truth", align: "right" },
    { name: "gain it expects", align: "right" },
    { name: "" },
  ],
  rows: slices
    .slice(0, LISTED)
    .map(({ column, group, examples, disagreement, gain, expectedGain, isWorse }) => [
      column,
      group,
      examples,
      percent(disagreement),
      gain ? interval(gain) : null,
      points(expectedGain),
      isWorse ? "worse" : "",
    ]),
});

function errorTables({ weakLabelErrors, truthErrors }: Audit, { ids, classes }: AuditWords): ReportTable[] {
  const table = (title: string, errors: Audit["truthErrors"]): ReportTable => ({
    title: `${title}: ${errors.length} found${errors.length > LISTED ? `, the likeliest ${LISTED}` : ""}`,
    columns: [{ name: "example" }, { name: "label" }, { name: "likely" }],
    rows: errors
      .slice(0, LISTED)
      .map(({ example, label, suggested }) => [ids[example], classes[label], classes[suggested]]),
  });
  return [
    ...(weakLabelErrors.length > 0 ? [table("Weak labels that are likely wrong", weakLabelErrors)] : []),
    ...(truthErrors.length > 0 ? [table("True labels that are likely wrong", truthErrors)] : []),
  ];
}

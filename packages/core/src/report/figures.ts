import { type Figure, type FigureText, type LegendItem, makeFigure } from "./canvas.js";
import { forest } from "./forest.js";
import { accuracyLines, type SupervisorSeries } from "./lines.js";
import { type ReliabilitySeries, reliabilityPanels } from "./panels.js";
import { type ScatterData, scatterPoints } from "./scatter.js";
import { type StrengthData, strengthLines } from "./strength.js";
import { signed } from "./text.js";
import { type Role, type SeriesStyle, seriesStyles } from "./theme.js";

/** A mean with its 95 % confidence interval, as the bootstrap gives them: without a mean it is undefined, without ends nothing is known of its spread. */
export interface Estimate {
  mean: number | null;
  low: number | null;
  high: number | null;
}

export interface AccuracyBySupervisor {
  /** Labels of the weak supervisors, weakest first. */
  supervisors: string[];
  /** Accuracies are fractions in [0, 1]. A series may lack some supervisors. */
  series: SupervisorSeries[];
}

export interface PgrRow extends Estimate {
  /** Weak and strong model, e.g. `MLP 8 → MLP 256`. */
  group: string;
  method: string;
  role?: Role;
  /** Seeds in which the PGR is defined: those in which the ceiling is above the supervisor. */
  defined: number;
  /** All seeds that were run. */
  total: number;
}

export interface AgreementRow {
  group: string;
  method: string;
  /** Share of examples on which student and supervisor agree, in [0, 1], where the weak label is right; null: there are none. */
  whenWeakRight: Estimate | null;
  /** The same where the weak label is wrong. */
  whenWeakWrong: Estimate | null;
}

export interface LeaderboardRow extends Estimate {
  name: string;
  role: Role;
}

const INTERVALS = "Intervals cover 95\u00a0%.";

export interface EstimateRow extends Estimate {
  group: string;
  label: string;
}

/** Means of one measure under several conditions. */
export function estimates(
  data: {
    measure: string;
    rows: EstimateRow[];
    /** Vertical lines with a meaning, which may be said. */
    references?: { at: number; label: string }[];
  },
  text: FigureText = {},
): Promise<Figure> {
  const styles = seriesStyles([{ name: data.measure }]);
  const rows = data.rows.map((row) => ({
    group: row.group,
    label: row.label,
    marks: [{ low: row.low, mean: row.mean, high: row.high, style: styles.get(data.measure)! }],
    note: isDefined(row) ? undefined : "undefined",
    value: isDefined(row) ? intervalText(row, (value) => String(Number(value.toPrecision(3)))) : undefined,
  }));
  const words = { name: data.measure, title: data.measure, caption: INTERVALS, ...text };
  const { references } = data;
  return makeFigure(words, (canvas) => forest(canvas, { rows, axis: data.measure, references }));
}

/** One measure against another, a point for each thing measured. */
export function scatter(data: ScatterData, text: FigureText = {}): Promise<Figure> {
  const words = { name: "scatter", title: `${data.y} by ${data.x}`, caption: "", ...text };
  return makeFigure(words, (canvas) => scatterPoints(canvas, data));
}

/** Test accuracy of supervisor, students and ceiling against the strength of the supervisor. */
export function accuracyBySupervisor(data: AccuracyBySupervisor, text: FigureText = {}): Promise<Figure> {
  const measure = text.measure ?? "Test accuracy";
  const words = {
    name: "accuracy-by-supervisor",
    title: `${measure} by strength of the supervisor`,
    caption: `Each student learned from the labels of the weak supervisor below it. ${INTERVALS} Series are moved sideways a little, so that their intervals can be told apart.`,
    ...text,
  };
  return makeFigure(words, (canvas) => accuracyLines(canvas, data.supervisors, data.series, measure));
}

/** The accuracy of students of several sizes against that of their supervisors (figure 3 of Burns et al.). */
export function accuracyByStrength(data: StrengthData, text: FigureText = {}): Promise<Figure> {
  const measure = text.measure ?? "Test accuracy";
  const words = {
    name: "accuracy-by-strength",
    title: `${measure} of students by that of their supervisors`,
    caption:
      "Dashed: a student as accurate as its supervisor. Dotted: the ceiling of the student of the same colour. Means over repetitions.",
    ...text,
  };
  return makeFigure(words, (canvas) => strengthLines(canvas, data, measure));
}

/** Performance gap recovered by each method, for each pair of weak and strong model. */
export function pgrByMethod(data: { rows: PgrRow[] }, text: FigureText = {}): Promise<Figure> {
  const someUndefined = data.rows.some((row) => row.defined < row.total);
  const styles = seriesStyles(data.rows.map(({ method, role }) => ({ name: method, role })));
  const rows = data.rows.map((row) => {
    const known = isDefined(row);
    const partly = known && row.defined < row.total;
    return {
      group: row.group,
      label: partly ? `${row.method} (${row.defined} of ${row.total} defined)` : row.method,
      marks: [{ low: row.low, mean: row.mean, high: row.high, style: styles.get(row.method)! }],
      note: known ? undefined : `undefined (${row.total - row.defined} of ${row.total})`,
      value: known ? intervalText(row, signed) : undefined,
    };
  });
  const words = {
    name: "pgr-by-method",
    title: "Performance gap recovered, by method",
    caption: `0: no better than the supervisor; 1: as good as the ceiling. ${INTERVALS}${someUndefined ? " The gap is undefined in a seed in which the ceiling is not above the supervisor." : ""}`,
    ...text,
  };
  const references = [
    { at: 0, label: "supervisor" },
    { at: 1, label: "ceiling" },
  ];
  const axis = text.measure ?? "Performance gap recovered (1 = whole gap)";
  return makeFigure(words, (canvas) => forest(canvas, { rows, axis, references }));
}

/** How often students agree with their supervisor, apart for right and wrong weak labels. */
export function agreement(data: { rows: AgreementRow[] }, text: FigureText = {}): Promise<Figure> {
  const right: SeriesStyle = { colour: "blue", symbol: "circle" };
  const wrong: SeriesStyle = { colour: "vermillion", symbol: "diamond" };
  const rows = data.rows.map((row) => ({
    group: row.group,
    label: row.method,
    marks: [
      { ...inPercent(row.whenWeakRight), style: right },
      { ...inPercent(row.whenWeakWrong), style: wrong },
    ],
    note: [row.whenWeakRight, row.whenWeakWrong].some((each) => each && isDefined(each))
      ? undefined
      : "undefined",
  }));
  const items: LegendItem[] = [
    { label: "weak label right", line: false, ...right },
    { label: "weak label wrong (errors copied)", line: false, ...wrong },
  ];
  const words = {
    name: "agreement",
    title: "Agreement of student and supervisor",
    caption: `A student that copied its supervisor would agree everywhere; one that outgrew it agrees where the weak label is right and departs where it is wrong. ${INTERVALS}`,
    ...text,
  };
  const axis = `${text.measure ?? "Agreement with the supervisor"} (%)`;
  return makeFigure(words, (canvas) => forest(canvas, { rows, axis, legend: items, bounds: [0, 100] }));
}

/** Reliability diagram: accuracy against stated confidence, one panel per series. */
export function reliability(data: { series: ReliabilitySeries[] }, text: FigureText = {}): Promise<Figure> {
  const largest = Math.max(0, ...data.series.flatMap(({ bins }) => bins.map((bin) => bin.count)));
  const words = {
    name: "reliability",
    title: "Reliability of the stated confidence",
    caption: `On the diagonal, stated confidence equals accuracy; below it, the model is overconfident. The area of a point grows with its number of examples (largest: ${largest}). ECE: expected calibration error.`,
    ...text,
  };
  return makeFigure(words, (canvas) => reliabilityPanels(canvas, data.series));
}

/** Everything that was trained, best first. */
export function leaderboard(data: { rows: LeaderboardRow[] }, text: FigureText = {}): Promise<Figure> {
  const styles = seriesStyles(data.rows);
  const rows = [...data.rows]
    .sort((a, b) => Number(isDefined(b)) - Number(isDefined(a)) || b.mean! - a.mean!)
    .map((row) => ({
      label: row.name,
      marks: [{ ...inPercent(row), style: styles.get(row.name)! }],
      note: isDefined(row) ? undefined : "undefined",
      value: isDefined(row) ? intervalText(row, (fraction) => signed(fraction * 100, 1)) : undefined,
    }));
  const measure = text.measure ?? "Test accuracy";
  const words = {
    name: "leaderboard",
    title: `${measure}, best first`,
    caption: INTERVALS,
    ...text,
  };
  return makeFigure(words, (canvas) => forest(canvas, { rows, axis: `${measure} (%)`, bounds: [0, 100] }));
}

function intervalText({ mean, low, high }: Estimate, show: (value: number) => string): string {
  const finite = [low, high].every((end) => end !== null && Number.isFinite(end));
  return finite ? `${show(mean!)} [${show(low!)}, ${show(high!)}]` : show(mean!);
}

function isDefined({ mean }: Estimate): boolean {
  return mean !== null && Number.isFinite(mean);
}

function inPercent(estimate: Estimate | null): Estimate {
  const times100 = (value: number | null | undefined) =>
    value === null || value === undefined ? null : value * 100;
  return { mean: times100(estimate?.mean), low: times100(estimate?.low), high: times100(estimate?.high) };
}

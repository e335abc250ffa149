import { estimates, type Figure, type Report, type ReportTable } from "../../report/index.js";
import { environment } from "../environment.js";
import type { Experiment, Value } from "../experiment.js";
import { inWords, labelOf } from "./display.js";
import { type Summary, summarise } from "./results.js";
import type { Sweep } from "./spec.js";
import type { EndedRun } from "./sweep.js";

/** A figure with more rows than this cannot be read. */
const MAX_FIGURE_ROWS = 60;

export interface SweepReportOptions {
  experiments: readonly Experiment[];
  /** Where the runs were done, in words. */
  place: string;
  seconds: number;
  /** The text of the sweep file. */
  text: string;
}

/** What came out of a sweep: a table and a figure for each measure, and the runs that failed. */
export async function sweepReport(
  sweep: Sweep,
  ended: readonly EndedRun[],
  { experiments, place, seconds, text }: SweepReportOptions,
): Promise<Report> {
  const failed = ended.filter(({ outcome }) => outcome.status === "failed");
  const done = ended.length - failed.length;
  const used = experiments.filter(({ name }) => sweep.runs.some(({ system }) => system === name));
  const tables: ReportTable[] = failed.length > 0 ? [failures(failed)] : [];
  const figures: Figure[] = [];
  for (const experiment of used) {
    const summaries = summarise(ended, experiment);
    for (const [i, measure] of experiment.measures.entries()) {
      const own = summaries.filter((summary) => summary.measure === measure);
      if (own.length === 0) continue;
      tables.push(summaryTable(experiment, measure, own));
      if (i === 0 && own.length <= MAX_FIGURE_ROWS) figures.push(await figureOf(experiment, measure, own));
    }
  }
  return {
    title: `Sweep ${sweep.name}`,
    lead: `${done} of ${ended.length} runs were done${failed.length > 0 ? `, ${failed.length} failed` : ""}. Every run is in the tables results and runs, and each can be repeated from its configuration.`,
    facts: [
      { label: "runs", value: ended.length },
      { label: "failed", value: failed.length },
      { label: "done by", value: place },
      { label: "time", value: inWords(seconds) },
    ],
    tables,
    figures,
    notes: [
      "Intervals cover 95 %: percentile bootstrap that draws seeds first and the rows of a seed inside. With few seeds they are too narrow.",
      "No run is left out: one that failed has a row of its own, with its reason.",
    ],
    configuration: { file: text, runs: sweep.runs.map(({ id, system, config }) => ({ id, system, config })) },
    environment: environment(),
  };
}

function failures(failed: readonly EndedRun[]): ReportTable {
  return {
    title: "Runs that failed",
    columns: [{ name: "run" }, { name: "fields" }, { name: "tries", align: "right" }, { name: "reason" }],
    rows: failed.map(({ run, outcome }) => [
      run.id,
      labelOf(run),
      outcome.status === "failed" ? outcome.attempts : null,
      outcome.status === "failed" ? outcome.reason : "",
    ]),
  };
}

function summaryTable(experiment: Experiment, measure: string, summaries: readonly Summary[]): ReportTable {
  const names = Object.keys(summaries[0].group);
  return {
    title: `${experiment.name}: ${measure}`,
    columns: [
      ...names.map((name) => ({ name })),
      ...["mean", "low", "high", "defined", "of", "seeds"].map((name) => ({ name, align: "right" as const })),
    ],
    rows: summaries.map(({ group, interval }) => [
      ...names.map((name) => cell(group[name])),
      interval.mean,
      interval.low,
      interval.high,
      interval.defined,
      interval.total,
      interval.groups,
    ]),
  };
}

const cell = (value: Value | undefined) =>
  typeof value === "number" ? value : value == null ? null : pretty(value);

/** A list of names without the signs of JSON. */
const pretty = (value: Value): string =>
  String(value ?? "–")
    .replaceAll(/^\["|"\]$/g, "")
    .replaceAll('","', ", ");

function figureOf(experiment: Experiment, measure: string, summaries: readonly Summary[]): Promise<Figure> {
  const { conditions } = experiment;
  const words = (group: Record<string, Value>, wanted: (name: string) => boolean) =>
    Object.entries(group)
      .filter(([name]) => wanted(name))
      .map(([name, value]) => (conditions.includes(name) ? pretty(value) : `${name} ${pretty(value)}`))
      .join(", ");
  const rows = summaries.map(({ group, interval: { mean, low, high } }) => ({
    group: words(group, (name) => !conditions.includes(name)) || experiment.name,
    label: words(group, (name) => conditions.includes(name)) || measure,
    mean,
    low,
    high,
  }));
  return estimates(
    { measure, rows },
    { name: `${experiment.name}-${measure}`, title: `${experiment.name}: ${measure}` },
  );
}

import type { ClaimResult, PartResult } from "../measure/claims.js";
import { estimates, type Figure, type Report, type ReportTable } from "../report/index.js";
import { environment } from "./environment.js";
import type { Reproduction, StudyOutcome } from "./reproduce.js";
import { inWords } from "./sweep/display.js";

/** A study's claims with their verdicts, as tables, pictures and words. */
export async function studyReport(
  { study, runs }: Reproduction,
  outcome: StudyOutcome,
  seconds: number,
): Promise<Report> {
  const { claims, controls, results, seeds, failed } = outcome;
  const { paper } = study;
  const { seed: _, ...configuration } = runs[0].config;
  const figures =
    failed.length > 0
      ? []
      : [...(await study.figures(results, claims)), ...(await claimFigures(claims, controls))];
  return {
    title: `${study.title} (${study.name})`,
    lead: leadOf(outcome),
    facts: [
      { label: "Paper", value: `${paper.authors} ${paper.year}: ${paper.title}. ${paper.url}` },
      { label: "It says", value: study.summary },
      { label: "Seeds", value: seeds },
      { label: "Time", value: inWords(seconds) },
    ],
    tables: [
      ...(failed.length > 0
        ? [
            {
              title: "Seeds that failed",
              columns: [{ name: "seed" }, { name: "reason" }],
              rows: failed.map(({ seed, reason }) => [seed, reason]),
            },
          ]
        : []),
      ...(claims.length > 0 ? [claimTable("Claims", claims)] : []),
      ...(controls.length > 0
        ? [claimTable("Negative controls: settings in which the effect must vanish", controls)]
        : []),
      ...(failed.length === 0 ? [numberTable([...claims, ...controls])] : []),
    ],
    figures,
    notes: [
      "A claim holds where the 95 % interval of each of its numbers lies wholly on the claimed side, is refuted where one lies " +
        "wholly on the other, and is undecided else. Intervals: standard error of a bootstrap that draws seeds (and worlds) " +
        "first and items inside, times Student's t for their number. No seed is left out.",
      ...study.notes,
    ],
    configuration,
    environment: { seeds: runs.map(({ config }) => config.seed).join(", "), ...environment() },
  };
}

function leadOf({ claims, controls, failed, seeds }: StudyOutcome): string {
  if (failed.length > 0) {
    return `${failed.length} of ${seeds} seeds failed, so nothing was judged: no seed may be left out.`;
  }
  const withVerdict = (verdict: string) =>
    claims.filter((claim) => claim.verdict === verdict).map(({ id }) => id);
  const say = (verdict: string, words: string) => {
    const ids = withVerdict(verdict);
    return ids.length > 0 ? [`${ids.join(", ")} ${words}`] : [];
  };
  const sentences = [
    ...say("holds", withVerdict("holds").length > 1 ? "hold" : "holds"),
    ...say("refuted", withVerdict("refuted").length > 1 ? "are refuted" : "is refuted"),
    ...say("undecided", withVerdict("undecided").length > 1 ? "are undecided" : "is undecided"),
  ];
  const broken = controls.filter(({ verdict }) => verdict === "refuted").map(({ id }) => id);
  return `${sentences.join("; ")}.${
    broken.length > 0
      ? ` The negative control ${broken.join(", ")} shows an effect where there can be none: read the claims with care.`
      : ""
  }`;
}

function claimTable(title: string, claims: readonly ClaimResult[]): ReportTable {
  const hasPaper = claims.some(({ paper }) => paper);
  return {
    title,
    caption: "“Together”: whether it holds when all of these are judged at once (Holm 1979).",
    columns: [
      { name: "" },
      { name: "claim" },
      { name: "verdict" },
      { name: "together" },
      ...(hasPaper ? [{ name: "in the paper" }] : []),
    ],
    rows: claims.map(({ id, statement, verdict, holdsCorrected, paper }) => [
      id,
      statement,
      verdict,
      holdsCorrected ? "holds" : "",
      ...(hasPaper ? [paper ? `${paper.value} (${paper.source})` : ""] : []),
    ]),
  };
}

function numberTable(claims: readonly ClaimResult[]): ReportTable {
  return {
    title: "The numbers behind the verdicts",
    columns: [
      { name: "" },
      { name: "number" },
      { name: "claimed" },
      { name: "found", align: "right" },
      { name: "95 % interval", align: "right" },
      { name: "defined", align: "right" },
      { name: "" },
    ],
    rows: claims.flatMap(({ id, parts }) =>
      parts.map((part, i) => [
        i === 0 ? id : "",
        `${part.statistic} (${part.unit})`,
        claimed(part),
        part.mean === null ? "undefined" : number(part.mean),
        part.low === null || part.high === null ? null : `[${number(part.low)}, ${number(part.high)}]`,
        `${part.defined} of ${part.total}`,
        part.verdict,
      ]),
    ),
  };
}

export const claimed = ({ side, threshold }: PartResult): string =>
  side === "within" ? `within ±${threshold}` : `${side === "above" ? ">" : "<"} ${threshold}`;

const number = (value: number) => (Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(3));

/** One forest of numbers for each unit, claims and controls together. */
function claimFigures(claims: readonly ClaimResult[], controls: readonly ClaimResult[]): Promise<Figure[]> {
  const all = [...claims, ...controls];
  const units = [...new Set(all.flatMap(({ parts }) => parts.map(({ unit }) => unit)))];
  return Promise.all(
    units.map((unit) => {
      const rows = all.flatMap(({ id, parts, verdict }) =>
        parts
          .filter((part) => part.unit === unit)
          .map((part) => ({
            group: `${id}: ${verdict}`,
            label: part.statistic,
            mean: part.mean,
            low: part.low,
            high: part.high,
          })),
      );
      return estimates(
        { measure: unit, rows, references: [{ at: 0, label: "" }] },
        {
          name: `claims-${unit.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`,
          title: `Claims and controls: ${unit}`,
        },
      );
    }),
  );
}

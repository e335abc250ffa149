import { z } from "zod";
import type { ClaimResult } from "../measure/claims.js";
import type { Report } from "../report/index.js";
import { environment } from "./environment.js";
import type { Reproduction, StudyOutcome } from "./reproduce.js";
import { inWords } from "./sweep/display.js";

/** A study of the atlas with what came out. */
export interface AtlasEntry {
  plan: Reproduction;
  outcome: StudyOutcome;
  report: Report;
  seconds: number;
}

const verdicts = z.enum(["holds", "refuted", "undecided"]);
const claimRecord = z.object({
  id: z.string(),
  verdict: verdicts,
  holdsCorrected: z.boolean(),
  parts: z.array(
    z.object({
      statistic: z.string(),
      unit: z.string(),
      mean: z.number().nullable(),
      low: z.number().nullable(),
      high: z.number().nullable(),
    }),
  ),
});

/** The measures of a whole run of all studies, as a file. */
export const atlasSchema = z.object({
  environment: z.record(z.string(), z.string()),
  systems: z.array(
    z.object({
      name: z.string(),
      seconds: z.number(),
      configuration: z.record(z.string(), z.unknown()),
      seeds: z.array(
        z.object({
          seed: z.int(),
          /** Mean of each of the study's measures over the rows of the seed; null where it is never defined. */
          means: z.record(z.string(), z.number().nullable()),
        }),
      ),
      claims: z.array(claimRecord),
      controls: z.array(claimRecord),
    }),
  ),
});
export type AtlasRecord = z.output<typeof atlasSchema>;

export function atlasRecord(entries: readonly AtlasEntry[]): AtlasRecord {
  const recorded = ({ id, verdict, holdsCorrected, parts }: ClaimResult) => ({
    id,
    verdict,
    holdsCorrected,
    parts: parts.map(({ statistic, unit, mean, low, high }) => ({ statistic, unit, mean, low, high })),
  });
  return {
    environment: environment(),
    systems: entries.map(({ plan: { study, runs }, outcome, seconds }) => {
      const { seed: _, ...configuration } = runs[0].config;
      return {
        name: study.name,
        seconds: Math.round(seconds),
        configuration,
        seeds: runs.map(({ config }) => ({
          seed: config.seed as number,
          means: meansOf(
            outcome.results.rows.filter(({ seed }) => seed === config.seed),
            study.measures,
          ),
        })),
        claims: outcome.claims.map(recorded),
        controls: outcome.controls.map(recorded),
      };
    }),
  };
}

/** Mean of each measure over the rows in which it is a number. */
export function meansOf(
  rows: readonly Readonly<Record<string, unknown>>[],
  measures: readonly string[],
): Record<string, number | null> {
  return Object.fromEntries(
    measures.map((measure) => {
      const values = rows.map((row) => row[measure]).filter((value) => typeof value === "number");
      return [measure, values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length];
    }),
  );
}

export const pageOf = (name: string): string => `systems/${name}.html`;

/** One table of all systems, each with a link to its page. */
export function atlasReport(entries: readonly AtlasEntry[]): Report {
  const all = entries.flatMap(({ outcome }) => outcome.claims);
  const count = (verdict: string) => all.filter((claim) => claim.verdict === verdict).length;
  const list = (claims: readonly ClaimResult[], verdict: string) =>
    claims
      .filter((claim) => claim.verdict === verdict)
      .map(({ id }) => id)
      .join(", ");
  return {
    title: "Atlas of weak-to-strong learning",
    lead:
      `Of ${all.length} claims of ${entries.length} published systems, ${count("holds")} hold here, ${count("refuted")} are refuted, ` +
      `and ${count("undecided")} are undecided.`,
    facts: [
      { label: "Systems", value: entries.length },
      { label: "Claims", value: all.length },
      { label: "Time", value: inWords(entries.reduce((sum, { seconds }) => sum + seconds, 0)) },
    ],
    tables: [
      {
        title: "Systems",
        caption:
          "Each system's page has its claims with their numbers, intervals, figures and negative controls. Broken controls show an effect where there can be none.",
        columns: [
          { name: "system" },
          { name: "family" },
          { name: "paper" },
          { name: "seeds", align: "right" },
          { name: "hold" },
          { name: "refuted" },
          { name: "undecided" },
          { name: "broken controls" },
          { name: "time", align: "right" },
        ],
        rows: entries.map(({ plan: { study }, outcome, seconds }) => [
          { text: study.title, href: pageOf(study.name) },
          study.family,
          `${study.paper.authors} ${study.paper.year}`,
          outcome.seeds,
          list(outcome.claims, "holds"),
          list(outcome.claims, "refuted"),
          outcome.failed.length > 0
            ? `${outcome.failed.length} seeds failed`
            : list(outcome.claims, "undecided"),
          list(outcome.controls, "refuted"),
          inWords(seconds),
        ]),
      },
    ],
    figures: [],
    notes: [
      "A refuted or undecided claim is a result: these are small models in generated worlds, and say what holds there.",
      "Settings were chosen on other seeds than those reported.",
    ],
    configuration: Object.fromEntries(
      entries.map(({ plan: { study, runs } }) => [study.name, runs[0].config]),
    ),
    environment: environment(),
  };
}

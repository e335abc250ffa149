import { type Claim, type Groups, type Measured, type StudyResults, spearman } from "outgrow";
import type { LabelKind, RepresentationName, Row } from "./stage.js";

type Results = StudyResults<Row>;

const FEWER = "LSA, fewer";
const both = (representation: RepresentationName, labels: LabelKind | "gold" = "rule") =>
  ({ part: "students", representation, labels, class: null }) as const;
const ofOne = (representation: RepresentationName, labels: LabelKind, k: number) =>
  ({ part: "students", representation, labels, class: k }) as const;
/** By how much students are right more often than their weak labels. */
const gain = (row: Row) => (row.teacher === null ? null : row.covered - row.teacher);

/** Rows of the sweep in which theorem B.1 says something. */
const bounded = (rows: readonly Row[]) =>
  rows.filter((row) => row.class !== null && row.correction !== null && row.worstCovered !== null);

const isBelow = (bound: "correction" | "correctionFragile") => (row: Row) => {
  const [error, limit, count] = [row.worstCovered, row[bound], row.coveredRows];
  if (row.class === null || error === null || limit === null || count === null) return null;
  return Number(error <= limit + 2 * Math.sqrt((error * (1 - error)) / count));
};

const perSeed = (results: Results, statistic: (rows: Row[]) => Measured): Groups =>
  results.perGroup({ part: "sweep" }, (rows) => statistic(bounded(rows)).value);

/** Chance that an example in which something happened has the larger score; ties count half (Mann and Whitney 1947). */
export function auroc(scores: readonly number[], happened: readonly boolean[]): Measured {
  const yes = scores.filter((_, i) => happened[i]);
  const no = scores.filter((_, i) => !happened[i]);
  if (yes.length === 0 || no.length === 0) return { value: null, reason: "it happened always or never" };
  let above = 0;
  for (const a of yes) for (const b of no) above += a > b ? 1 : a === b ? 0.5 : 0;
  return { value: above / (yes.length * no.length) };
}

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement:
      "The student of a learned representation corrects weak labels; one that can copy the rule does not.",
    paper: { value: "S0 89.5 → 95.5 %, S1 67.1 → 69.1 %; bag of words: no change", source: "table 1" },
    needs: ["students"],
    parts: [
      {
        statistic: "student minus weak labels, covered, LSA with fewer dimensions",
        unit: "accuracy",
        side: "above",
        values: (results) => results.values(both(FEWER), gain),
      },
      {
        statistic: "gain on covered reviews, LSA with fewer dimensions minus words",
        unit: "accuracy",
        side: "above",
        values: (results) => results.differences(both(FEWER), both("words"), gain),
      },
    ],
  },
  {
    id: "C2",
    statement:
      "It is right more often than chance where there are no weak labels, and more than one that can copy the rule.",
    paper: { value: "T0 85.8 %, T1 74.9 %; bag of words: 100 and 0 %", source: "table 1" },
    needs: ["students"],
    parts: [
      {
        statistic: "balanced accuracy on uncovered reviews, LSA with fewer dimensions (above 0.5)",
        unit: "accuracy",
        side: "above",
        threshold: 0.5,
        values: (results) => results.values(both(FEWER), "uncovered"),
      },
      {
        statistic: "the same minus that of words",
        unit: "accuracy",
        side: "above",
        values: (results) => results.differences(both(FEWER), both("words"), "uncovered"),
      },
    ],
  },
  {
    id: "C3",
    statement:
      "Where theorem B.1 says something, the worst student's error on covered reviews is at most its bound.",
    paper: { value: "0.04 by 0.05, 0.35 by 0.37", source: "table 3" },
    needs: ["sweep"],
    parts: (
      [
        ["correction", "as in the paper's tables"],
        ["correctionFragile", "with fragile reviews"],
      ] as const
    ).map(([bound, words]) => ({
      statistic: `runs in which the bound ${words} is exceeded by no more than 2 standard errors`,
      unit: "share",
      side: "above" as const,
      threshold: 0.95,
      values: (results: Results) => results.values({ part: "sweep" }, isBelow(bound)),
    })),
  },
  {
    id: "C4",
    statement: "The bound tells where weak labels are corrected.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "AUROC of weak error minus bound for: the worst student is better than the weak labels",
        unit: "AUROC",
        side: "above",
        threshold: 0.5,
        values: (results) =>
          perSeed(results, (rows) =>
            auroc(
              rows.map((row) => (row.weakError as number) - (row.correction as number)),
              rows.map((row) => (row.worstCovered as number) < (row.weakError as number)),
            ),
          ),
      },
      {
        statistic: "rank correlation of bound and error",
        unit: "Spearman",
        side: "above",
        values: (results) =>
          perSeed(results, (rows) =>
            spearman(
              rows.map((row) => row.correction as number),
              rows.map((row) => row.worstCovered as number),
            ),
          ),
      },
    ],
  },
  {
    id: "C5",
    statement:
      "Well labelled reviews expand more to badly labelled ones for a student of few dimensions than for one that can copy the rule.",
    paper: { value: "impossible for the latter", source: "proposition 4.1" },
    needs: ["students"],
    parts: [0, 1].map((k) => ({
      statistic: `expansion from badly to well labelled reviews, class ${k}, LSA with fewer dimensions minus words`,
      unit: "expansion",
      side: "above" as const,
      values: (results: Results) =>
        results.differences(ofOne(FEWER, "rule", k), ofOne("words", "rule", k), "badToGood"),
    })),
  },
  {
    id: "C6",
    statement:
      "Errors at random, as many as the rule's, cannot be copied: they expand and are corrected where the rule's are not.",
    needs: ["students"],
    parts: ([FEWER, "words"] as const).flatMap((name) => [
      ...[0, 1].map((k) => ({
        statistic: `expansion, random errors minus rule, class ${k}, ${name}`,
        unit: "expansion",
        side: "above" as const,
        values: (results: Results) =>
          results.differences(ofOne(name, "random", k), ofOne(name, "rule", k), "badToGood"),
      })),
      {
        statistic: `gain on covered reviews, random errors minus rule, ${name}`,
        unit: "accuracy",
        side: "above" as const,
        values: (results: Results) => results.differences(both(name, "random"), both(name), gain),
      },
    ]),
  },
];

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "Weak labels dealt out anew among covered reviews teach nothing.",
    needs: ["students"],
    parts: ([FEWER, "words"] as const).map((name) => ({
      statistic: `balanced accuracy on uncovered reviews minus 0.5, ${name} (within 0.05)`,
      unit: "accuracy",
      side: "within" as const,
      threshold: 0.05,
      values: (results: Results) => results.values(both(name, "shuffled"), (row) => row.uncovered - 0.5),
    })),
  },
  {
    id: "N2",
    statement: "A student that can copy the rule corrects nothing.",
    needs: ["students"],
    parts: [
      {
        statistic: "student minus weak labels, covered, words (within 0.01)",
        unit: "accuracy",
        side: "within",
        threshold: 0.01,
        values: (results) => results.values(both("words"), gain),
      },
    ],
  },
];

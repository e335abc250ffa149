/*
 * Claims C1 to C6 and C9 of the card, on the factor world (track A), and how they are judged.
 */
import { type Claim, methods, type ResultRow, type StudyResults } from "outgrow";
import type { Mode } from "./stages.js";

/** A student of a task, or what an analysis found. */
export type TaskRow = ResultRow & {
  part: "classification";
  world: number;
  task: number;
  mode: Mode;
  /** e.g. `MLP 8`. */
  weak: string;
  student: string;
  /** A method, a control, a lesson of the analyses, or `passes` and `salience`. */
  method: string;
  weakAccuracy: number | null;
  studentAccuracy: number | null;
  ceilingAccuracy: number | null;
  pgr: number | null;
  agreement: number | null;
  agreementWhenWeakRight: number | null;
  agreementWhenWeakWrong: number | null;
  /** Of `passes`: what the last pass loses against the best, student and ceiling. */
  lossAfterBest: number | null;
  ceilingLossAfterBest: number | null;
  /** Of `salience`: accuracy of a probe with the truth, before and after weak finetuning. */
  probeBefore: number | null;
  probeAfter: number | null;
};

type Results = StudyResults<TaskRow>;
const NEEDS = ["classification"];
const [W8, W20, W64] = ["MLP 8", "MLP 20", "MLP 64"];
const part = "classification" as const;
const probe = (weak: string, method: string) => ({ part, mode: "linear-probe" as const, weak, method });
const gap = (weak: string) => `${weak} → MLP 256`;

const minus =
  (a: keyof TaskRow & string, b: keyof TaskRow & string) =>
  (row: TaskRow): number | null => {
    const [x, y] = [row[a], row[b]];
    return typeof x === "number" && typeof y === "number" ? x - y : null;
  };

const difference =
  (weak: string, method: string, other: string, measure: keyof TaskRow & string) => (results: Results) =>
    results.differences(probe(weak, method), probe(weak, other), measure);

/** EleutherAI's variants, for C9. */
export const variants = [
  "entropy",
  "window",
  "window-midweak",
  "kl",
  "product",
  "strong-to-strong",
  "relabel-knn",
  "relabel-logreg",
  "filter-knn",
  "filter-logreg",
  "filter-topo",
] as const;
for (const name of variants) {
  if (!methods.some((method) => method.name === name)) throw new Error(`There is no method "${name}".`);
}

export const classificationClaims: Claim<Results>[] = [
  {
    id: "C1",
    statement: "A student of weak labels is more accurate than their supervisor.",
    paper: { value: "consistently", source: "abstract" },
    needs: NEEDS,
    parts: [W8, W20].map((weak) => ({
      statistic: `naive student minus supervisor, ${gap(weak)}`,
      unit: "accuracy",
      side: "above",
      values: (results: Results) =>
        results.values(probe(weak, "naive"), minus("studentAccuracy", "weakAccuracy")),
    })),
  },
  {
    id: "C2",
    statement: "It stays below its own ceiling.",
    needs: NEEDS,
    parts: [W8, W20].map((weak) => ({
      statistic: `ceiling minus naive student, ${gap(weak)}`,
      unit: "accuracy",
      side: "above",
      values: (results: Results) =>
        results.values(probe(weak, "naive"), minus("ceilingAccuracy", "studentAccuracy")),
    })),
  },
  {
    id: "C3",
    statement: "The confidence loss recovers more of the gap, the more so the wider the gap.",
    paper: { value: "25 % to 80 % for the widest gap", source: "summaries of the paper" },
    needs: NEEDS,
    parts: [
      ...[W8, W20].map((weak) => ({
        statistic: `confidence minus naive, ${gap(weak)}`,
        unit: "PGR",
        side: "above" as const,
        values: difference(weak, "confidence", "naive", "pgr"),
      })),
      {
        statistic: `gain by confidence, ${gap(W20)} minus ${gap(W64)}`,
        unit: "PGR",
        side: "above",
        values: (results) => {
          const wide = difference(W20, "confidence", "naive", "pgr")(results);
          const narrow = difference(W64, "confidence", "naive", "pgr")(results);
          return wide.map((items, i) =>
            items.map((a, j) => {
              const b = narrow[i][j];
              return a === null || b === null ? null : a - b;
            }),
          );
        },
      },
    ],
  },
  {
    id: "C4",
    statement:
      "With the confidence loss a student copies its supervisor's errors less, and its right labels nearly as often.",
    needs: NEEDS,
    parts: [W8, W20].flatMap((weak) => [
      {
        statistic: `agreement where the supervisor is wrong, confidence minus naive, ${gap(weak)}`,
        unit: "share",
        side: "below" as const,
        values: difference(weak, "confidence", "naive", "agreementWhenWeakWrong"),
      },
      {
        statistic: `change of agreement where it is wrong minus where it is right, ${gap(weak)}`,
        unit: "share",
        side: "below" as const,
        values: (results: Results) =>
          results.pairs(probe(weak, "confidence"), probe(weak, "naive"), (own, naive) => {
            const change = minus("agreementWhenWeakWrong", "agreementWhenWeakRight");
            const [a, b] = [change(own), change(naive)];
            return a === null || b === null ? null : a - b;
          }),
      },
    ]),
  },
  {
    id: "C5",
    statement:
      "Errors that nobody can predict leave more of the gap to recover than the supervisor's own; a supervisor that can be copied leaves less.",
    needs: NEEDS,
    parts: [W8, W20].flatMap((weak) => [
      {
        statistic: `random flips minus weak labels, ${gap(weak)}`,
        unit: "PGR",
        side: "above" as const,
        values: difference(weak, "random flips", "naive", "pgr"),
      },
      {
        statistic: `weak labels minus the label as input, ${gap(weak)}`,
        unit: "PGR",
        side: "above" as const,
        values: difference(weak, "naive", "label as input", "pgr"),
      },
    ]),
  },
  {
    id: "C6",
    statement: "Over many passes of full finetuning a student overfits to the weak labels.",
    needs: NEEDS,
    parts: [W8, W20].map((weak) => ({
      statistic: `best pass minus last, of 20, ${gap(weak)}`,
      unit: "accuracy",
      side: "above",
      values: (results: Results) =>
        results.values({ part, mode: "full-finetune", weak, method: "passes" }, "lossAfterBest"),
    })),
  },
  {
    id: "C9",
    statement: "Of EleutherAI's variants none but the confidence loss does better than cross-entropy.",
    paper: { value: "generally negative", source: "blog.eleuther.ai/weak-to-strong" },
    needs: NEEDS,
    // A variant refutes the claim where its gain lies wholly above 0; each is held against a gain that matters.
    parts: variants.map((method) => ({
      statistic: `${method} minus naive, ${gap(W20)} (gain of less than 0.05)`,
      unit: "PGR",
      side: "below",
      threshold: 0.05,
      values: difference(W20, method, "naive", "pgr"),
    })),
  },
];

export const classificationControls: Claim<Results>[] = [
  {
    id: "N1",
    statement:
      "A student without pretraining has no abilities to elicit: it is no better than its supervisor.",
    needs: NEEDS,
    parts: [
      {
        statistic: `student from random weights minus supervisor, ${gap(W64)} (gain of less than 0.02)`,
        unit: "accuracy",
        side: "below",
        threshold: 0.02,
        values: (results) =>
          results.values(probe(W64, "random init"), minus("studentAccuracy", "weakAccuracy")),
      },
    ],
  },
  {
    id: "N2",
    statement: "The same gradient gives the same student: the divergence loss changes nothing.",
    needs: NEEDS,
    parts: [
      {
        statistic: `kl minus naive, ${gap(W20)}`,
        unit: "accuracy",
        side: "within",
        threshold: 0.005,
        values: difference(W20, "kl", "naive", "studentAccuracy"),
      },
    ],
  },
];

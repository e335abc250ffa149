/* Claims C1 to C7 of the card, and the settings in which the effect must vanish. */
import type { Claim, ClaimPart, StudyResults } from "outgrow";
import type { Row } from "./rows.js";

type Results = StudyResults<Row>;
type Part = ClaimPart<Results>;

const between =
  (track: Row["track"], left: Row["method"], right: Row["method"], measure: keyof Row & string) =>
  (results: Results) =>
    results.differences({ track, method: left }, { track, method: right }, measure);

const [safety, legal, toxicity] = [["safety"], ["legal"], ["toxicity"]];
const nats = "nats per word";

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement:
      "Safety: the student of a weak model's labels has a higher balanced accuracy than the weak model.",
    paper: { value: "observed widely", source: "abstract" },
    needs: safety,
    parts: [
      {
        statistic: "naive student minus weak",
        unit: "balanced accuracy",
        side: "above",
        values: between("safety", "naive", "weak", "balancedAccuracy"),
      },
    ],
  },
  {
    id: "C2",
    statement: "Legal relevance: the student has a higher F1 than the weak model.",
    paper: { value: "observed widely", source: "abstract" },
    needs: legal,
    parts: [
      {
        statistic: "naive student minus weak",
        unit: "weighted F1",
        side: "above",
        values: between("legal", "naive", "weak", "weightedF1"),
      },
    ],
  },
  {
    id: "C3",
    statement: "Toxicity: the student of a weak model's text is less toxic than the weak model.",
    paper: { value: "observed widely", source: "abstract" },
    needs: toxicity,
    parts: [
      {
        statistic: "naive student minus weak",
        unit: "expected maximum toxicity",
        side: "below",
        values: between("toxicity", "naive", "weak", "maximumToxicity"),
      },
    ],
  },
  {
    id: "C4",
    statement: "And its text is better: likelier under the true generator.",
    needs: toxicity,
    parts: [
      {
        statistic: "naive student minus weak",
        unit: nats,
        side: "above",
        values: between("toxicity", "naive", "weak", "quality"),
      },
    ],
  },
  {
    id: "C5",
    statement: "The student stays below its ceiling in each metric.",
    needs: [...safety, ...legal, ...toxicity],
    parts: [
      {
        statistic: "safety: ceiling minus naive student",
        unit: "balanced accuracy",
        side: "above",
        values: between("safety", "ceiling", "naive", "balancedAccuracy"),
      },
      {
        statistic: "legal: ceiling minus naive student",
        unit: "weighted F1",
        side: "above",
        values: between("legal", "ceiling", "naive", "weightedF1"),
      },
      {
        statistic: "toxicity: ceiling minus naive student",
        unit: "expected maximum toxicity",
        side: "below",
        values: between("toxicity", "ceiling", "naive", "maximumToxicity"),
      },
      {
        statistic: "toxicity: ceiling minus naive student, quality",
        unit: nats,
        side: "above",
        values: between("toxicity", "ceiling", "naive", "quality"),
      },
    ],
  },
  {
    id: "C6",
    statement: "Accuracy alone misleads: it ranks the methods otherwise than the false-safe rate does.",
    needs: [...safety, ...legal],
    parts: (["safety", "legal"] as const).map(
      (track): Part => ({
        statistic: `${track}: Kendall's tau of ranks by accuracy and by false-safe rate`,
        unit: "tau",
        side: "below",
        threshold: 1,
        values: (results) => results.values({ track, method: "all" }, "tau"),
      }),
    ),
  },
  {
    id: "C7",
    statement:
      "The least toxic of 4 or 25 weak samples, by a weak classifier, teach less toxicity than one sample, and no worse text.",
    needs: toxicity,
    parts: (["best of 4", "best of 25"] as const).flatMap((method): Part[] => [
      {
        statistic: `${method} minus best of 1`,
        unit: "expected maximum toxicity",
        side: "below",
        values: between("toxicity", method, "best of 1", "maximumToxicity"),
      },
      {
        statistic: `${method} minus best of 1, quality (not worse by 0.02)`,
        unit: nats,
        side: "above",
        threshold: -0.02,
        values: between("toxicity", method, "best of 1", "quality"),
      },
    ]),
  },
];

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "Weak labels that are dealt out to the texts at random teach nothing.",
    needs: [...safety, ...legal],
    parts: (["safety", "legal"] as const).map(
      (track): Part => ({
        statistic: `${track}: student of shuffled labels minus chance`,
        unit: "balanced accuracy",
        side: "within",
        threshold: 0.1,
        values: (results) =>
          results.values({ track, method: "shuffled labels" }, ({ balancedAccuracy }) =>
            balancedAccuracy === null ? null : balancedAccuracy - 0.5,
          ),
      }),
    ),
  },
  {
    id: "N2",
    statement: "One of 25 weak samples that chance chooses is as good a teacher as the first.",
    needs: toxicity,
    parts: [
      {
        statistic: "any of 25 minus best of 1",
        unit: "expected maximum toxicity",
        side: "within",
        threshold: 0.05,
        values: between("toxicity", "any of 25", "best of 1", "maximumToxicity"),
      },
    ],
  },
];

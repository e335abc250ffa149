import { type Claim, type Groups, type StudyResults, slope, spearman } from "outgrow";
import type { Row } from "./study.js";

type Results = StudyResults<Row>;

/** The study's settings by the noise that claims name. */
const RICH_WEAK = 0.12;

const perSeed = (
  results: Results,
  condition: Partial<Row>,
  statistic: typeof slope,
  x: (row: Row) => number,
  y: (row: Row) => number,
): Groups => results.perGroup(condition, (rows) => statistic(rows.map(x), rows.map(y)).value);
const misfit = (row: Row) => row.misfit as number;
const gain = (row: Row) => row.gain as number;
const gainMinusMisfit = (row: Row) => gain(row) - misfit(row);
const slopeOf = (results: Results, setting: Row["setting"]) =>
  perSeed(results, { setting, head: "linear" }, slope, misfit, gain);

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement:
      "Where the strong representation can express the truth, the student's error is at most the weak error minus the misfit.",
    paper: { value: "theorem 1", source: "section 4" },
    needs: ["linear"],
    parts: [
      {
        statistic:
          "runs in which the bound is exceeded by no more than 2 standard errors of the test set, setting R",
        unit: "share",
        side: "above",
        threshold: 0.95,
        values: (results) =>
          results.values({ setting: "R", head: "linear" }, (row) =>
            Number((row.violation as number) <= 2 * (row.violationError as number)),
          ),
      },
      {
        statistic: "student's error above the bound, setting R (less than 0.005)",
        unit: "share of variance",
        side: "below",
        threshold: 0.005,
        values: (results) => results.values({ setting: "R", head: "linear" }, "violation"),
      },
      {
        statistic:
          "student's error above the bound, heads no longer than the true one, setting R (less than 0.005)",
        unit: "share of variance",
        side: "below",
        threshold: 0.005,
        values: (results) => results.values({ setting: "R", head: "ball" }, "violation"),
      },
    ],
  },
  {
    id: "C2",
    statement: "Gain is about equal to misfit.",
    paper: { value: "points near the line", source: "figure 2" },
    needs: ["linear", "pretrained"],
    parts: [
      {
        statistic: "slope of gain on misfit, setting R (at least 0.8)",
        unit: "slope",
        side: "above",
        threshold: 0.8,
        values: (results) => slopeOf(results, "R"),
      },
      {
        statistic: "slope of gain on misfit, setting R (at most 1.1)",
        unit: "slope",
        side: "below",
        threshold: 1.1,
        values: (results) => slopeOf(results, "R"),
      },
      ...(["N", "P"] as const).map((setting) => ({
        statistic: `slope of gain on misfit, setting ${setting}`,
        unit: "slope",
        side: "above" as const,
        values: (results: Results) => slopeOf(results, setting),
      })),
      ...(["R", "N", "P"] as const).map((setting) => ({
        statistic: `rank correlation of gain and misfit, setting ${setting}`,
        unit: "Spearman",
        side: "above" as const,
        threshold: 0.5,
        values: (results: Results) => perSeed(results, { setting, head: "linear" }, spearman, misfit, gain),
      })),
    ],
  },
  {
    id: "C3",
    statement: "Linear students gain; one that can fit the weak labels has less misfit and gains less.",
    needs: ["linear", "rich"],
    parts: [
      ...(["R", "N"] as const).map((setting) => ({
        statistic: `gain, setting ${setting}`,
        unit: "share of variance",
        side: "above" as const,
        values: (results: Results) => results.values({ setting, head: "linear" }, "gain"),
      })),
      ...(["gain", "misfit"] as const).map((measure) => ({
        statistic: `${measure}, head with a hidden layer minus linear head, setting R`,
        unit: "share of variance",
        side: "below" as const,
        values: (results: Results) =>
          results.differences(
            { setting: "R", head: "mlp" },
            { setting: "R", head: "linear", weak: RICH_WEAK },
            measure,
          ),
      })),
    ],
  },
  {
    id: "C4",
    statement: "The farther the best head is from the truth, the farther gain is from misfit.",
    paper: { value: "O(sqrt(eps))", source: "theorem 2" },
    needs: ["linear"],
    parts: [
      {
        statistic: "rank correlation of the ceiling's error and |gain - misfit|",
        unit: "Spearman",
        side: "above",
        values: (results) =>
          perSeed(
            results,
            { part: "linear", head: "linear" },
            spearman,
            (row) => row.ceilingError as number,
            (row) => Math.abs(gainMinusMisfit(row)),
          ),
      },
    ],
  },
  {
    id: "C5",
    statement: "Weak error minus misfit chooses better among weak teachers than weak error alone.",
    paper: { value: "the smallest has the smallest true error", source: "table 1" },
    needs: ["choice"],
    parts: [
      {
        statistic: "hit rate, by score minus by smallest weak error",
        unit: "share",
        side: "above",
        values: (results) => results.differences({ rule: "score" }, { rule: "smallest weak error" }, "hit"),
      },
      {
        statistic: "regret, by score minus by smallest weak error",
        unit: "share of variance",
        side: "below",
        values: (results) =>
          results.differences({ rule: "score" }, { rule: "smallest weak error" }, "regret"),
      },
    ],
  },
  {
    id: "C6",
    statement:
      "With cross-entropy the gain in KL is the misfit in KL; with reverse KL mixing heads brings the bound nearer.",
    paper: { value: "O(sqrt(c/k))", source: "Mulgund and Pabbaraju 2025" },
    needs: ["kl"],
    parts: [
      {
        statistic: "|gain - misfit| / gain, cross-entropy",
        unit: "share",
        side: "below",
        threshold: 0.1,
        values: (results) =>
          results.values({ part: "kl", components: 0 }, (row) =>
            gain(row) > 0 ? Math.abs(gainMinusMisfit(row)) / gain(row) : null,
          ),
      },
      ...(
        [
          [4, 1],
          [16, 4],
        ] as const
      ).map(([many, few]) => ({
        statistic: `gain minus misfit in reverse KL, ${many} heads minus ${few}`,
        unit: "nats",
        side: "above" as const,
        values: (results: Results) =>
          results.differences(
            { part: "kl", components: many },
            { part: "kl", components: few },
            gainMinusMisfit,
          ),
      })),
    ],
  },
];

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "On the weak representation itself there is no misfit, and nothing is gained.",
    needs: ["linear"],
    parts: (["gain", "misfit"] as const).map((measure) => ({
      statistic: `${measure}, student on the weak representation`,
      unit: "share of variance",
      side: "within",
      threshold: 0.002,
      values: (results: Results) => results.values({ head: "own representation" }, measure),
    })),
  },
  {
    id: "N2",
    statement:
      "Where the strong representation is as far from the truth as weak ones, misfit foretells no gain.",
    needs: ["linear"],
    parts: [
      {
        statistic: "slope of gain on misfit, noise 0.1 on the strong representation",
        unit: "slope",
        side: "below",
        threshold: 0.5,
        values: (results) =>
          perSeed(results, { part: "linear", head: "linear", strong: 0.1 }, slope, misfit, gain),
      },
    ],
  },
];

import type { Claim, ResultRow, StudyResults } from "outgrow";
import { auditedModels, type Row } from "./gaps-stage.js";

type Results = StudyResults<Row & ResultRow>;

const number = (row: Row, name: string): number | null => {
  const value = row[name];
  return typeof value === "number" ? value : null;
};
const minus =
  (a: string, b: string, factor = 1) =>
  (row: Row): number | null => {
    const [x, y] = [number(row, a), number(row, b)];
    return x === null || y === null ? null : x - factor * y;
  };
const isAbove = (a: string, b: string) => (row: Row) => {
  const difference = minus(a, b)(row);
  return difference === null ? null : Number(difference > 0);
};
const gaps = { part: "gaps" } as const;
const follow = { ...gaps, world: "errors follow the prediction", size: "large" } as const;
const oppose = { ...gaps, world: "errors oppose the prediction", size: "large" } as const;
const independent = (size: "small" | "middle" | "large") =>
  ({ ...gaps, world: "independent", size }) as const;
const unit = "normalised error";

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement:
      "With independent proxies the calibrated gap is closer to the truth than one proxy's, for every model.",
    paper: { value: "COMPAS, tree: 22.3 % instead of 43.8 %", source: "result files of the released code" },
    parts: (["middle", "large"] as const).flatMap((size) =>
      auditedModels.map((model) => ({
        statistic: `error of global minus base, ${model}, ${size === "large" ? "most rows" : "5000 rows"}`,
        unit,
        side: "below" as const,
        values: (results: Results) =>
          results.values({ ...independent(size), model }, minus("errorGlobal", "errorBase")),
      })),
    ),
  },
  {
    id: "C2",
    statement:
      "Weak proxies are enough: with accuracies of 0.60 to 0.65 the calibrated error is less than half of one proxy's.",
    parts: [
      {
        statistic: "error of global minus half of base, weaker proxies",
        unit,
        side: "below",
        values: (results) =>
          results.values(
            { ...gaps, world: "weaker", size: "middle" },
            minus("errorGlobal", "errorBase", 0.5),
          ),
      },
    ],
  },
  {
    id: "C3",
    statement:
      "Where the proxies' errors depend on the prediction, error matrices by prediction help and one for all rows is worse than none.",
    parts: [
      {
        statistic: "error of local minus base, guesses lean with the prediction",
        unit,
        side: "below",
        values: (results) => results.values(follow, minus("errorLocal", "errorBase")),
      },
      {
        statistic: "error of global minus base, guesses lean with the prediction",
        unit,
        side: "above",
        values: (results) => results.values(follow, minus("errorGlobal", "errorBase")),
      },
    ],
  },
  {
    id: "C4",
    statement:
      "With independent proxies and few rows, error matrices by prediction are worse than one for all; less so with more rows.",
    parts: [
      {
        statistic: "error of local minus global, fewest rows",
        unit,
        side: "above",
        values: (results) => results.values(independent("small"), minus("errorLocal", "errorGlobal")),
      },
      {
        statistic: "that difference with fewest minus with most rows",
        unit,
        side: "above",
        values: (results) =>
          results.differences(independent("small"), independent("large"), minus("errorLocal", "errorGlobal")),
      },
    ],
  },
  {
    id: "C5",
    statement: "The more of their noise proxies share, the further off the calibrated gap is.",
    parts: (
      [
        ["0.6", "0.3"],
        ["0.9", "0.6"],
      ] as const
    ).map(([more, less]) => ({
      statistic: `error of global, noise shared with probability ${more} minus ${less}`,
      unit,
      side: "above" as const,
      values: (results: Results) =>
        results.differences(
          { ...gaps, world: `shared ${more}`, size: "middle" },
          { ...gaps, world: `shared ${less}`, size: "middle" },
          "errorGlobal",
        ),
    })),
  },
  {
    id: "C5-limit",
    statement: "Proxies that share noise with a probability of 0.3 are still better calibrated than not.",
    parts: [
      {
        statistic: "error of global minus base, noise shared with probability 0.3",
        unit,
        side: "below",
        values: (results) =>
          results.values({ ...gaps, world: "shared 0.3", size: "middle" }, minus("errorGlobal", "errorBase")),
      },
    ],
  },
  {
    id: "C6",
    statement: "With independent proxies and most rows the error matrix is found to within 0.03.",
    parts: [
      {
        statistic: "mean distance of the entries from the truth",
        unit: "probability",
        side: "below",
        threshold: 0.03,
        values: (results) => results.values(independent("large"), "matrixError"),
      },
    ],
  },
  {
    id: "C7",
    statement:
      "At an accuracy within one point, a penalty on the calibrated gap leaves a smaller true gap than one on the proxies' gap.",
    parts: [
      {
        statistic: "smallest true gap within one point of accuracy, calibrated minus of the proxies",
        unit: "rate",
        side: "below",
        values: (results) =>
          results.perGroup(
            { part: "penalty" },
            (rows) => smallestGap(rows, "calibrated") - smallestGap(rows, "of the proxies"),
          ),
      },
    ],
  },
  {
    id: "C8",
    statement:
      "One proxy gives a false sense of fairness: with independent errors it understates the gap; with others it can do either.",
    parts: [
      {
        statistic: "share of audits in which base is below the truth, independent",
        unit: "share",
        side: "above",
        threshold: 0.9,
        values: (results) => results.values(independent("middle"), isAbove("trueParity", "base")),
      },
      {
        statistic: "share in which base is above the truth, guesses lean with or against the prediction",
        unit: "share",
        side: "above",
        values: (results) =>
          results.perGroup(gaps, (rows) => {
            const own = rows.filter((row) => row.world === follow.world || row.world === oppose.world);
            const over = own.filter((row) => isAbove("base", "trueParity")(row) === 1).length;
            return over / own.length;
          }),
      },
    ],
  },
];

const POINT = 0.01;

function smallestGap(rows: readonly Row[], penalty: string): number {
  const own = rows.filter((row) => row.penalty === penalty);
  const unpaid = number(own.find((row) => row.strength === 0) as Row, "accuracy") as number;
  const near = own.filter((row) => (number(row, "accuracy") as number) >= unpaid - POINT);
  return Math.min(...near.map((row) => number(row, "trueParity") as number));
}

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "Where proxies are the group, there is nothing to calibrate.",
    parts: [
      {
        statistic: "error of global minus base, perfect proxies",
        unit,
        side: "within",
        threshold: 0.02,
        values: (results) =>
          results.values({ ...gaps, world: "perfect", size: "middle" }, minus("errorGlobal", "errorBase")),
      },
    ],
  },
  {
    id: "N2",
    statement: "Where predictions are dealt out at random, calibration makes up no gap.",
    parts: [
      {
        statistic: "calibrated rate of group 0 minus group 1, predictions shuffled",
        unit: "rate",
        side: "within",
        threshold: 0.02,
        values: (results) => results.values({ ...gaps, world: "no gap", size: "large" }, "signedGlobal"),
      },
    ],
  },
];

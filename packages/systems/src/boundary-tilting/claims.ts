import type { Claim, StudyResults } from "outgrow";
import type { Row } from "./rows.js";

export type Results = StudyResults<Row>;

/** Rank correlation (Spearman) of two columns; null where one is constant or fewer than three pairs are known. */
export function rankCorrelation(x: readonly number[], y: readonly number[]): number | null {
  if (x.length < 3) return null;
  const [a, b] = [ranks(x), ranks(y)];
  const mean = (x.length - 1) / 2;
  let [product, left, right] = [0, 0, 0];
  a.forEach((value, k) => {
    product += (value - mean) * (b[k] - mean);
    left += (value - mean) ** 2;
    right += (b[k] - mean) ** 2;
  });
  return left === 0 || right === 0 ? null : product / Math.sqrt(left * right);
}

/** Ties share the mean of their ranks. */
function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal - 1) / 2;
  });
}

const sweep = { part: "sweep", classifier: "svm" } as const;
const largest = (rows: readonly Row[], measure: (row: Row) => number | null) => {
  const values = rows.map(measure).filter((value) => value !== null);
  return values.length === 0 ? null : Math.max(...values);
};
const meanOf = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
};

/** The mean over pairs of what `value` says of a sweep, its smallest lambda first. */
const bySweep = (
  rows: readonly Row[],
  flips: boolean,
  value: (levels: Row[], chosen: Row) => number | null,
) =>
  meanOf(
    [...new Set(rows.map(({ pair }) => pair))].map((pair) => {
      const levels = rows
        .filter((row) => row.pair === pair && row.flips === flips)
        .sort((a, b) => (a.power as number) - (b.power as number));
      const chosen = levels.find((row) => row.chosen);
      return chosen ? value(levels, chosen) : null;
    }),
  );

const strengthRatio = ([smallest]: Row[], chosen: Row): number | null =>
  smallest.strength === null || chosen.strength === null ? null : smallest.strength / chosen.strength;

const difference = (a: number | null, b: number | null) => (a === null || b === null ? null : a - b);

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement: "The adversarial distance is D/2 · cos(angle), for every linear classifier and bias.",
    paper: { value: "identity", source: "arXiv:1608.07690; derivation in arXiv:1806.11186" },
    needs: ["theory", "sweep"],
    parts: [
      {
        statistic: "largest deviation, relative to the centroids' distance",
        unit: "relative error",
        side: "within",
        threshold: 1e-9,
        values: (results) => results.perGroup({}, (rows) => largest(rows, (row) => row.identityError)),
      },
    ],
  },
  {
    id: "C2",
    statement:
      "A boundary can be tilted until its strength is 100 and more without any change of a prediction.",
    paper: { value: "arbitrarily", source: "abstract of arXiv:1608.07690" },
    needs: ["theory"],
    parts: [
      {
        statistic: "changed predictions, zero variance",
        unit: "share of points",
        side: "within",
        threshold: 1e-9,
        values: (results) =>
          results.perGroup({ classifier: "tilted, zero variance" }, (rows) =>
            largest(rows, (row) => row.changed),
          ),
      },
      {
        statistic: "strength of the most tilted boundary, zero variance",
        unit: "strength",
        side: "above",
        threshold: 100,
        values: (results) =>
          results.perGroup({ classifier: "tilted, zero variance" }, (rows) =>
            largest(rows, (row) => row.strength),
          ),
      },
      {
        statistic: "changed predictions beyond the bound, low variance",
        unit: "share of points",
        side: "below",
        threshold: 1e-12,
        values: (results) =>
          results.perGroup({ classifier: "tilted, low variance" }, (rows) =>
            largest(rows, (row) => row.beyondBound),
          ),
      },
    ],
  },
  {
    id: "C3",
    statement: "The less regularisation, the larger the angle.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "rank correlation of lambda and angle, lambda from 1e-3",
        unit: "correlation",
        side: "below",
        threshold: -0.8,
        values: (results) =>
          results.perGroup(sweep, (rows) =>
            bySweep(rows, true, (levels) => {
              const known = levels.filter((row) => row.angle !== null && (row.power as number) >= -3);
              return rankCorrelation(
                known.map((row) => row.power as number),
                known.map((row) => row.angle as number),
              );
            }),
          ),
      },
    ],
  },
  {
    id: "C4",
    statement:
      "With hardly any regularisation adversarial examples are stronger, and more test images are wrong.",
    paper: { value: "test error smallest in between", source: "arXiv:1806.11186, SVM on MNIST" },
    needs: ["sweep"],
    parts: [
      {
        statistic: "strength at the smallest lambda divided by that at the best",
        unit: "ratio",
        side: "above",
        threshold: 1.3,
        values: (results) => results.perGroup(sweep, (rows) => bySweep(rows, true, strengthRatio)),
      },
      {
        statistic: "test error at the smallest lambda minus that at the best",
        unit: "error",
        side: "above",
        values: (results) =>
          results.perGroup(sweep, (rows) =>
            bySweep(rows, true, ([smallest], chosen) => difference(smallest.testError, chosen.testError)),
          ),
      },
    ],
  },
  {
    id: "C5",
    statement: "Without wrong labels the tilt is milder: overfitting makes it, not linearity.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "ratio of strengths (C4) with wrong labels minus without",
        unit: "ratio",
        side: "above",
        values: (results) =>
          results.perGroup(sweep, (rows) =>
            difference(bySweep(rows, true, strengthRatio), bySweep(rows, false, strengthRatio)),
          ),
      },
    ],
  },
  {
    id: "C6",
    statement: "More pixels do not tilt the boundary: the cosine stays within 10 % at matched lambda.",
    needs: ["dimension"],
    parts: [
      {
        statistic: "cosine at the largest size divided by that at the size below, minus 1",
        unit: "relative change",
        side: "within",
        threshold: 0.1,
        values: (results) =>
          results.perGroup({ part: "dimension" }, (rows) => {
            const bySize = [...rows].sort((a, b) => (b.size as number) - (a.size as number));
            const [large, small] = bySize.map(({ cosine }) => cosine);
            return large === null || small === null ? null : large / small - 1;
          }),
      },
    ],
  },
  {
    id: "C7",
    statement:
      "A linear classifier without strong adversarial examples: images of two halves, at hard margin.",
    needs: ["halves"],
    parts: [
      {
        statistic: "strength",
        unit: "strength",
        side: "below",
        threshold: 1.05,
        values: (results) => results.values({ part: "halves" }, "strength"),
      },
    ],
  },
  {
    id: "C8",
    statement: "A network's boundary moves away from the images with weight decay, up to the best decay.",
    paper: { value: "LeNet: test error 1.6 % to 1.2 %", source: "arXiv:1806.11186" },
    needs: ["network"],
    parts: [
      {
        statistic: "mean linearised distance at the best decay minus without decay",
        unit: "distance",
        side: "above",
        values: (results) =>
          results.perGroup({ part: "network" }, (rows) =>
            difference(
              rows.find((row) => row.chosen)?.linearised ?? null,
              rows.find((row) => row.decay === 0)?.linearised ?? null,
            ),
          ),
      },
    ],
  },
];

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement:
      "Where regularisation leaves no room to avoid errors, wrong labels do not tilt the boundary at all.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "angle of the SVM with lambda 1000, with wrong labels",
        unit: "degrees",
        side: "within",
        threshold: 1,
        values: (results) =>
          results.perGroup({ part: "sweep", classifier: "svm, lambda 1000", flips: true }, (rows) =>
            largest(rows, (row) => row.angle),
          ),
      },
    ],
  },
  {
    id: "N2",
    statement: "Along a direction in which points do vary, the tilt of C2 costs predictions.",
    needs: ["theory"],
    parts: [
      {
        statistic: "changed predictions at a strength of 100, ordinary variance",
        unit: "share of points",
        side: "above",
        threshold: 0.2,
        values: (results) => results.values({ classifier: "tilted, ordinary variance" }, "changed"),
      },
    ],
  },
];

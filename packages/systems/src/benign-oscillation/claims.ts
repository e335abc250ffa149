import type { Claim, StudyResults } from "outgrow";
import type { Row } from "./rows.js";

export type Results = StudyResults<Row>;

export const same = (kappa: number) => ({ part: "sweep", cell: "same steps", kappa });
const unit = "accuracy";
const onImages = (rate: number) => ({ part: "images", cell: "same steps", rate });
type Measure = keyof Row & string;
const differ =
  (left: object, right: object, measure: Measure = "weakAccuracy") =>
  (results: Results) =>
    results.differences(left, right, measure);

const sumClaim = (large: number, small: number) => ({
  statistic: `accuracy on weak points, kappa ${large} minus kappa ${small} with the same sum of rates`,
  unit,
  side: "above" as const,
  threshold: 0.3,
  values: differ(same(large), { cell: `same sum of rates as ${large}`, kappa: small }),
});

/** The extreme over the sweep's cells with a kappa in this range, of each seed. */
const extreme =
  (from: number, to: number, choose: (...values: number[]) => number, measure: Measure) =>
  (results: Results) =>
    results.perGroup({ part: "sweep" }, (rows) => {
      const values = rows
        .filter(({ kappa }) => (kappa as number) >= from && (kappa as number) <= to)
        .map((row) => row[measure]);
      return values.length === 0 || values.includes(null) ? null : choose(...(values as number[]));
    });

/** Of rates on other data, against that of kappa 1.4 and 0.5 on the card's. */
const contrast = (cell: string, large: number, small: number) => ({
  statistic: `difference in accuracy on weak points, ${cell}, kappa ${large} minus ${small}, less that of C1`,
  unit,
  side: "below" as const,
  values: (results: Results) => {
    const there = differ({ cell, kappa: large }, { cell, kappa: small })(results);
    const here = differ(same(1.4), same(0.5))(results);
    return there.map(([value], seed) => {
      const [usual] = here[seed];
      return [value === null || usual === null ? null : value - usual];
    });
  },
});

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement: "At a large rate SGD learns the weak feature, at a small one it does not, in the same steps.",
    paper: {
      value: "99.38 % against 93.75 % on a test set with 1/8 weak points",
      source: "arXiv:2310.17074, experiments, as quoted in a review",
    },
    needs: ["sweep"],
    parts: [
      {
        statistic: "accuracy on weak points, kappa 1.4 minus kappa 0.5",
        unit,
        side: "above",
        threshold: 0.3,
        values: differ(same(1.4), same(0.5)),
      },
    ],
  },
  {
    id: "C2",
    statement: "Nor does a small rate learn it in as many more steps as its rate is smaller.",
    needs: ["sweep", "schedules"],
    parts: [sumClaim(1.4, 0.5), sumClaim(1.3, 0.1)],
  },
  {
    id: "C3",
    statement:
      "Outputs on strong points begin to oscillate at kappa 1: the lower end of the theorem's window.",
    paper: { value: "rates from m / (4‖u‖²)", source: "arXiv:2310.17074, theorem" },
    needs: ["sweep"],
    parts: [
      {
        statistic: "share of oscillating visits, largest for kappa up to 0.9",
        unit: "share of visits",
        side: "below",
        threshold: 0.05,
        values: extreme(0, 0.9, Math.max, "oscillating"),
      },
      {
        statistic: "share of oscillating visits, smallest for kappa in [1.2, 1.5]",
        unit: "share of visits",
        side: "above",
        threshold: 0.3,
        values: extreme(1.2, 1.5, Math.min, "oscillating"),
      },
    ],
  },
  {
    id: "C4",
    statement: "The weak feature grows by the product of 1 + κ_v (1 − y f) over the visits: an identity.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "log growth, relative deviation, largest over rates and filters",
        unit: "relative error",
        side: "within",
        threshold: 1e-4,
        values: extreme(0, 1.6, Math.max, "identityError"),
      },
    ],
  },
  {
    id: "C5",
    statement:
      "Under oscillation the drive on the weak feature adds up at an even pace; without it, it stops.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "R² of the running sum of 1 − y f against time until the feature is learned, kappa 1.2",
        unit: "R²",
        side: "above",
        threshold: 0.9,
        values: (results) => results.values(same(1.2), "linearity"),
      },
      {
        statistic: "drive after step 2000 at kappa 0.5, as a share of that at kappa 1.2",
        unit: "share",
        side: "within",
        threshold: 0.05,
        values: (results) =>
          results.pairs(same(0.5), same(1.2), (small, large) =>
            small.drift === null || !large.drift ? null : small.drift / large.drift,
          ),
      },
    ],
  },
  {
    id: "C6",
    statement: "Both rates fit the training set: the gap is no underfitting.",
    needs: ["sweep"],
    parts: [0.5, 1.4].map((kappa) => ({
      statistic: `training accuracy, kappa ${kappa}`,
      unit,
      side: "above" as const,
      threshold: 0.999,
      values: (results: Results) => results.values(same(kappa), "trainAccuracy"),
    })),
  },
  {
    id: "C7",
    statement: "What was learned at the large rate stays at a small one.",
    needs: ["sweep", "schedules"],
    parts: [
      {
        statistic: "accuracy on weak points, large then small minus large alone",
        unit,
        side: "within",
        threshold: 0.02,
        values: differ({ cell: "large, then small" }, same(1.4)),
      },
    ],
  },
  {
    id: "C8",
    statement: "Full batches at the same rate learn less of it than SGD (the card predicts no direction).",
    needs: ["sweep", "schedules"],
    parts: [
      {
        statistic: "accuracy on weak points, full batch minus one point a step, kappa 1.4",
        unit,
        side: "below",
        values: differ({ cell: "full batch" }, same(1.4)),
      },
    ],
  },
  {
    id: "C9",
    statement:
      "It need not be a large rate: wrong labels keep outputs off the label at a small one and teach the weak feature too. Noise on the gradient does not.",
    needs: ["sweep", "schedules", "noise"],
    parts: [
      {
        statistic:
          "accuracy on weak points, kappa 0.1 with the sum of rates of kappa 1.3, 30 % of visits with wrong labels minus none",
        unit,
        side: "above",
        threshold: 0.3,
        values: differ(
          { cell: "labels flipped, 0.3, same sum of rates as 1.3" },
          { cell: "same sum of rates as 1.3" },
        ),
      },
      ...[0.001, 0.01, 0.1].map((noise) => ({
        statistic: `accuracy on weak points, kappa 0.5, gradient noise ${noise} minus none`,
        unit,
        side: "within" as const,
        threshold: 0.05,
        values: differ({ cell: `gradient noise, ${noise}` }, same(0.5)),
      })),
    ],
  },
  {
    id: "C10",
    statement:
      "The contrast of rates shrinks where weak points oscillate on long noise, where all points have noise, and where half of the points are weak.",
    needs: ["sweep", "data"],
    parts: [
      contrast("noise 0.2", 1.4, 0.9),
      contrast("noise everywhere", 1.4, 0.5),
      contrast("half of the points weak", 1.4, 0.5),
    ],
  },
  {
    id: "C11",
    statement:
      "An MLP on images learns faint glyphs beside easy bars at a large rate, not at a small one, in the same steps.",
    needs: ["images"],
    parts: [
      {
        statistic: "accuracy on images without bars, rate 0.1 minus rate 0.01",
        unit,
        side: "above",
        threshold: 0.2,
        values: differ(onImages(0.1), onImages(0.01)),
      },
    ],
  },
  {
    id: "C12",
    statement: "Nor does the MLP learn them at the small rate with the same sum of rates.",
    needs: ["images"],
    parts: [
      {
        statistic: "accuracy on images without bars, rate 0.1 minus rate 0.01 with the same sum of rates",
        unit,
        side: "above",
        threshold: 0.05,
        values: differ(onImages(0.1), { part: "images", cell: "same sum of rates as 0.1", rate: 0.01 }),
      },
    ],
  },
];

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "Where training points lack the weak feature, oscillation teaches nothing of it.",
    needs: ["data"],
    parts: [
      {
        statistic: "accuracy on weak points, kappa 1.4 minus kappa 0.5, no weak feature in training",
        unit,
        side: "within",
        threshold: 0.05,
        values: differ({ cell: "no weak feature", kappa: 1.4 }, { cell: "no weak feature", kappa: 0.5 }),
      },
    ],
  },
  {
    id: "N2",
    statement: "Of two rates at which nothing oscillates, none learns the weak feature.",
    needs: ["sweep"],
    parts: [
      {
        statistic: "accuracy on weak points, kappa 0.5 minus kappa 0.1",
        unit,
        side: "within",
        threshold: 0.05,
        values: differ(same(0.5), same(0.1)),
      },
    ],
  },
];

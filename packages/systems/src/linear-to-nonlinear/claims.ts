import { type Claim, type StudyResults, spearman } from "outgrow";
import type { Arm } from "./fields.js";
import type { Row } from "./rows.js";

export type Results = StudyResults<Row>;

const scarce = { part: "scarce", arm: "weak labels" } as const;
const abundant = { part: "abundant" } as const;
const difference = (a: number | null, b: number | null) => (a === null || b === null ? null : a - b);
const gain = (row: Row) => difference(row.final, row.weak);
const bestGain = (row: Row) => difference(row.best, row.weak);

/** A value of each seed's row at the largest or the smallest kappa of the grid. */
const atEnd =
  (end: "largest" | "smallest", value: (row: Row) => number | null, arm: Row["arm"] = "weak labels") =>
  (results: Results) =>
    results.perGroup({ part: "scarce", arm }, (rows) => {
      const sorted = [...rows].sort((a, b) => a.kappa - b.kappa);
      return value(sorted[end === "largest" ? sorted.length - 1 : 0]);
    });

/**
 * The number of samples at which the gain comes above 0 for good, between two of the grid by its logarithm; null where it does not
 * change sign.
 */
export function crossing(points: readonly { samples: number; gain: number | null }[]): number | null {
  const sorted = [...points].sort((a, b) => a.samples - b.samples);
  for (let k = sorted.length - 1; k > 0; k--) {
    const [low, high] = [sorted[k - 1], sorted[k]];
    if (low.gain === null || high.gain === null) return null;
    if (high.gain <= 0) return null;
    if (low.gain > 0) continue;
    const share = -low.gain / (high.gain - low.gain);
    return low.samples * (high.samples / low.samples) ** share;
  }
  return null;
}

/** How far apart the crossings of the least and the most noise are: logarithms of their ratios, in samples and in kappa. */
function crossingsApart(rows: readonly Row[]): { samples: number; kappa: number } | null {
  const noises = [...new Set(rows.map(({ noise }) => noise))].sort((a, b) => a - b);
  const [first, last] = [noises[0], noises[noises.length - 1]].map((noise) => {
    const own = rows.filter((row) => row.noise === noise);
    const samples = crossing(own.map((row) => ({ samples: row.samples, gain: gain(row) })));
    return samples === null ? null : { samples, kappa: (samples * own[0].kappa) / own[0].samples };
  });
  if (first === null || last === null || noises.length < 2) return null;
  return {
    samples: Math.abs(Math.log(last.samples / first.samples)),
    kappa: Math.abs(Math.log(last.kappa / first.kappa)),
  };
}

/** A value of the bridge runs of each seed, by their share of samples with both signals, smallest first. */
const overBridge = (value: (rows: Row[]) => number | null) => (results: Results) =>
  results.perGroup({ part: "bridge" }, (rows) => value([...rows].sort((a, b) => a.bothShare - b.bothShare)));

const ablation = (arm: Arm) => ({ part: "ablations", arm }) as const;
const unlikeWeakLabels = (arm: Arm, measure: "best" | "corrected" | "missed") => (results: Results) =>
  results.pairs(ablation(arm), ablation("weak labels"), (changed, plain) =>
    difference(changed[measure], plain[measure]),
  );

export const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement: "On hard samples linear models are right half of the time.",
    paper: { value: "error 1/2", source: "proposition 2.1" },
    needs: ["scarce", "abundant"],
    parts: ([scarce, abundant] as const).flatMap((condition) =>
      (["weakDeviation", "linearDeviation"] as const).map((measure) => ({
        statistic: `accuracy minus 0.5, ${measure === "weakDeviation" ? "weak model" : "linear student"}, ${condition.part}`,
        unit: "standard errors of a test set",
        side: "within" as const,
        threshold: 3,
        values: (results: Results) => results.values(condition, measure),
      })),
    ),
  },
  {
    id: "C2",
    statement:
      "Benign overfitting: with enough of kappa the student fits all weak labels, and is better than they are.",
    paper: { value: "test error tends to 0", source: "theorem 3.4" },
    needs: ["scarce"],
    parts: [
      {
        statistic: "student minus weak model at the largest kappa",
        unit: "accuracy",
        side: "above",
        values: atEnd("largest", gain),
      },
      {
        statistic: "fit to the weak labels at the largest kappa",
        unit: "share",
        side: "above",
        threshold: 0.99,
        values: atEnd("largest", (row) => row.fit),
      },
    ],
  },
  {
    id: "C3",
    statement:
      "Harmful overfitting: with too little of kappa the student that fits all weak labels is worse than they are.",
    paper: { value: "test error at least 0.12 times the share of hard samples", source: "theorem 3.4" },
    needs: ["scarce"],
    parts: [
      {
        statistic: "student minus weak model at the smallest kappa",
        unit: "accuracy",
        side: "below",
        values: atEnd("smallest", gain),
      },
      {
        statistic: "fit to the weak labels at the smallest kappa",
        unit: "share",
        side: "above",
        threshold: 0.99,
        values: atEnd("smallest", (row) => row.fit),
      },
      {
        statistic: "test error minus 0.12 of the share of hard samples, smallest kappa",
        unit: "error",
        side: "above",
        values: atEnd("smallest", (row) => difference(1 - 0.12 * row.hardShare, row.final)),
      },
    ],
  },
  {
    id: "C4",
    statement: "Kappa decides, not the number of samples.",
    paper: { value: "n p_b² |nu|⁴ / (sigma⁴ d)", source: "theorem 3.4" },
    needs: ["scarce"],
    parts: [
      {
        statistic: "rank correlation of kappa and accuracy on hard samples",
        unit: "rank correlation",
        side: "above",
        threshold: 0.8,
        values: (results) =>
          results.perGroup(scarce, (rows) => {
            const known = rows.filter(({ finalHard }) => finalHard !== null);
            return spearman(
              known.map(({ kappa }) => kappa),
              known.map(({ finalHard }) => finalHard as number),
            ).value;
          }),
      },
      {
        statistic: "kappa at which a gain begins: ratio of the two noises, as a power of 4",
        unit: "powers of 4",
        side: "below",
        threshold: 1,
        values: (results) =>
          results.perGroup(scarce, (rows) => {
            const apart = crossingsApart(rows);
            return apart && apart.kappa / Math.log(4);
          }),
      },
      {
        statistic: "the same minus that of the number of samples",
        unit: "powers of 4",
        side: "below",
        values: (results) =>
          results.perGroup(scarce, (rows) => {
            const apart = crossingsApart(rows);
            return apart && (apart.kappa - apart.samples) / Math.log(4);
          }),
      },
    ],
  },
  {
    id: "C5",
    statement: "With much data wrong weak labels are corrected early.",
    paper: { value: "test accuracy near 1", source: "theorem 3.6" },
    needs: ["abundant"],
    parts: [
      {
        statistic: "student at its best time minus weak model",
        unit: "accuracy",
        side: "above",
        values: (results) => results.values(abundant, bestGain),
      },
      {
        statistic: "wrong weak labels predicted right at that time",
        unit: "share",
        side: "above",
        threshold: 0.8,
        values: (results) => results.values(abundant, "corrected"),
      },
    ],
  },
  {
    id: "C6",
    statement: "Training on loses the correction.",
    paper: { value: "accuracy falls back", source: "theorem 3.6" },
    needs: ["abundant"],
    parts: [
      {
        statistic: "student at its best time minus at the end",
        unit: "accuracy",
        side: "above",
        values: (results) => results.values(abundant, (row) => difference(row.best, row.final)),
      },
    ],
  },
  {
    id: "C7",
    statement: "Samples with both signals are the bridge: the more of them, the larger the gain.",
    needs: ["bridge"],
    parts: [
      {
        statistic: "gain with the most minus gain with the fewest such samples",
        unit: "accuracy",
        side: "above",
        values: overBridge((rows) => difference(bestGain(rows[rows.length - 1]), bestGain(rows[0]))),
      },
      {
        statistic: "gain with the most minus gain with the second most",
        unit: "accuracy",
        side: "above",
        values: overBridge((rows) =>
          rows.length < 3
            ? null
            : difference(bestGain(rows[rows.length - 1]), bestGain(rows[rows.length - 2])),
        ),
      },
    ],
  },
  {
    id: "A1",
    statement:
      "Stopping by the loss on weak labels of other samples keeps the correction, without any true label.",
    needs: ["abundant"],
    parts: [
      {
        statistic: "student stopped so minus weak model",
        unit: "accuracy",
        side: "above",
        values: (results) => results.values(abundant, (row) => difference(row.stopped, row.weak)),
      },
      {
        statistic: "student stopped so minus at its best time (not worse by 0.02)",
        unit: "accuracy",
        side: "above",
        threshold: -0.02,
        values: (results) => results.values(abundant, (row) => difference(row.stopped, row.best)),
      },
    ],
  },
  {
    id: "A2",
    statement:
      "Wrong labels at random are corrected more than the weak model's, which are all on hard samples.",
    needs: ["ablations"],
    parts: [
      {
        statistic: "wrong labels predicted right at the best time, random flips",
        unit: "share",
        side: "above",
        threshold: 0.8,
        values: (results) => results.values(ablation("random flips"), "corrected"),
      },
      {
        statistic: "the same minus that of weak labels",
        unit: "share",
        side: "above",
        values: unlikeWeakLabels("random flips", "corrected"),
      },
    ],
  },
  {
    id: "A3",
    statement:
      "What keeps a student from correcting all is a hard signal that no filter found: more filters find more.",
    needs: ["ablations"],
    parts: [
      {
        statistic: "hard signals of four not known at the best time, more filters minus fewer",
        unit: "signals",
        side: "below",
        values: unlikeWeakLabels("more filters", "missed"),
      },
      {
        statistic: "wrong labels predicted right at the best time, more filters minus fewer",
        unit: "share",
        side: "above",
        values: unlikeWeakLabels("more filters", "corrected"),
      },
    ],
  },
  {
    id: "A4",
    statement: "Mini-batches correct as full batches do.",
    needs: ["ablations"],
    parts: [
      {
        statistic: "student at its best time, mini-batches minus full batches",
        unit: "accuracy",
        side: "within",
        threshold: 0.02,
        values: unlikeWeakLabels("mini-batches", "best"),
      },
    ],
  },
  {
    id: "A5",
    statement:
      "A linear teacher labels all samples with one hard signal and turn alike: where they are wrong, they are corrected if samples with both signals outnumber them.",
    needs: ["ablations"],
    parts: [
      {
        statistic: "wrong labels predicted right at the best time, more bridges",
        unit: "share",
        side: "above",
        threshold: 0.8,
        values: (results) => results.values(ablation("more bridges"), "corrected"),
      },
      {
        statistic: "the same minus that with as many of both",
        unit: "share",
        side: "above",
        values: unlikeWeakLabels("more bridges", "corrected"),
      },
    ],
  },
];

export const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "Without samples that have both signals nothing is gained.",
    needs: ["bridge"],
    parts: [
      {
        statistic: "student at its best time minus weak model, no such samples",
        unit: "accuracy",
        side: "within",
        threshold: 0.02,
        values: (results) => results.values({ part: "bridge", bothShare: 0 }, bestGain),
      },
    ],
  },
  {
    id: "N2",
    statement: "A linear student of the weak labels gains nothing.",
    needs: ["abundant"],
    parts: [
      {
        statistic: "linear student minus weak model",
        unit: "accuracy",
        side: "within",
        threshold: 0.02,
        values: (results) => results.values(abundant, (row) => difference(row.linear, row.weak)),
      },
    ],
  },
];

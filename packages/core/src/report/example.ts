import type { Figure } from "./canvas.js";
import {
  type AccuracyBySupervisor,
  type AgreementRow,
  accuracyBySupervisor,
  agreement,
  type LeaderboardRow,
  leaderboard,
  type PgrRow,
  pgrByMethod,
  reliability,
} from "./figures.js";
import type { Report } from "./html.js";
import type { ReliabilitySeries } from "./panels.js";
import { signed } from "./text.js";

/** A made-up study of seven methods and three supervisors: for tests, and for looking at figures without training anything. */

const CEILING = 0.912;
const SUPERVISORS = [
  { name: "MLP 8", accuracy: 0.702 },
  { name: "MLP 32", accuracy: 0.781 },
  { name: "MLP 128", accuracy: 0.868 },
];
const METHODS = [
  { name: "naive", pgr: 0.31 },
  { name: "confidence (paper)", pgr: 0.52 },
  { name: "confidence (official-code)", pgr: 0.58 },
  { name: "confidence (ramp)", pgr: 0.66 },
  { name: "product", pgr: 0.44 },
  { name: "self-training", pgr: 0.37 },
  { name: "random init", pgr: -0.12 },
];

export const exampleAccuracy: AccuracyBySupervisor = {
  supervisors: SUPERVISORS.map(({ name }) => name),
  series: [
    {
      name: "weak supervisor",
      role: "weak",
      points: SUPERVISORS.map(({ name, accuracy }) => around(name, accuracy, 0.008)),
    },
    ...METHODS.map(({ name, pgr }) => ({
      name,
      role: name === "random init" ? ("control" as const) : ("student" as const),
      points: SUPERVISORS.map((weak, index) =>
        around(weak.name, weak.accuracy + pgr * (CEILING - weak.accuracy), 0.01 + 0.003 * index),
      ),
    })),
    {
      name: "ceiling",
      role: "ceiling",
      points: SUPERVISORS.map(({ name }) => around(name, CEILING, 0.006)),
    },
  ],
};

export const examplePgr: { rows: PgrRow[] } = {
  rows: SUPERVISORS.flatMap(({ name: weak }, pair) =>
    METHODS.map(({ name, pgr }, index) => {
      const half = 0.06 + 0.09 * pair + 0.02 * (index % 3);
      const mean = pgr * (1 - 0.15 * pair);
      const row = { group: `${weak} → MLP 256`, method: name, defined: 5, total: 5 };
      if (pair === 2 && name === "product") return { ...row, mean: null, low: null, high: null, defined: 0 };
      if (pair === 2 && name === "random init")
        return { ...row, mean: -0.61, low: -1.34, high: 0.05, defined: 4 };
      return { ...row, mean, low: mean - half, high: mean + half };
    }),
  ),
};

export const exampleAgreement: { rows: AgreementRow[] } = {
  rows: SUPERVISORS.flatMap(({ name: weak }, pair) =>
    METHODS.map(({ name, pgr }) => ({
      group: `${weak} → MLP 256`,
      method: name,
      whenWeakRight: interval(0.93 + 0.02 * pair + 0.03 * pgr, 0.008),
      whenWeakWrong: interval(0.71 - 0.42 * pgr + 0.03 * pair, 0.025),
    })),
  ),
};

export const exampleReliability: { series: ReliabilitySeries[] } = {
  series: METHODS.map(({ name, pgr }) => {
    const overconfidence = 0.18 - 0.2 * pgr;
    return {
      name,
      ece: Math.abs(overconfidence) * 0.7,
      bins: Array.from({ length: 10 }, (_, index) => {
        const confidence = (index + 0.5) / 10;
        const count = index < 2 ? 0 : Math.round(12 + 3 * index ** 2.2);
        const accuracy = Math.max(0, confidence - overconfidence * confidence + 0.02 * Math.sin(5 * index));
        return { confidence, accuracy: count === 0 ? null : accuracy, count };
      }),
    };
  }),
};

export const exampleLeaderboard: { rows: LeaderboardRow[] } = {
  rows: exampleAccuracy.series.map(({ name, role, points }) => ({ name, role, ...points[0] })),
};

/** A whole report on the made-up study. */
export function exampleReport(figures: Figure[]): Report {
  return {
    title: "Students of small MLPs on latent-features",
    lead: "A 256-unit student trained on the labels of an 8-unit supervisor recovers 66 % of the gap to its ceiling with the ramped confidence loss. With plain labels it recovers 31 %.",
    facts: [
      { label: "Best method", value: "confidence (ramp)" },
      { label: "PGR of the best method", value: "0.66 [0.60, 0.72]" },
      { label: "Seeds", value: 5 },
      { label: "Wall time", value: "1 min 48 s" },
    ],
    tables: [
      {
        title: "Test accuracy and gap recovered, MLP 8 → MLP 256",
        caption: "Means over 5 seeds with 95 % bootstrap intervals.",
        columns: [
          { name: "method" },
          { name: "accuracy (%)", align: "right" },
          { name: "PGR", align: "right" },
          { name: "95 % interval", align: "right" },
          { name: "agreement where weak is wrong (%)", align: "right" },
        ],
        rows: examplePgr.rows
          .slice(0, METHODS.length)
          .map((row, index) => [
            row.method,
            (100 * exampleAccuracy.series[index + 1].points[0].mean!).toFixed(1),
            row.mean,
            `[${signed(row.low!)}, ${signed(row.high!)}]`,
            (100 * exampleAgreement.rows[index].whenWeakWrong!.mean!).toFixed(1),
          ]),
      },
    ],
    figures,
    notes: [
      "With the supervisor MLP 128, the product method has no defined PGR: in no seed is the ceiling above the supervisor.",
      "Early stopping used the weak labels only; the true labels were read after training.",
    ],
    configuration: {
      world: "latent-features",
      students: ["mlp-256"],
      seeds: [0, 1, 2, 3, 4],
      learningRate: 1e-3,
    },
    environment: { seed: "0", outgrow: "0.1.0", node: "20.19.0", machine: "2 cores, 8 GB" },
  };
}

/** One figure of each kind. */
export function exampleFigures() {
  return Promise.all([
    accuracyBySupervisor(exampleAccuracy),
    pgrByMethod(examplePgr),
    agreement(exampleAgreement),
    reliability(exampleReliability),
    leaderboard(exampleLeaderboard),
  ]);
}

function interval(mean: number, half: number) {
  return { mean, low: mean - half, high: Math.min(1, mean + half) };
}

function around(supervisor: string, mean: number, half: number) {
  return { supervisor, ...interval(mean, half) };
}

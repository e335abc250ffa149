import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";
import type { TrainOptions } from "./method.js";
import type { Layout } from "./world.js";

export const parts = ["sweep", "schedules", "noise", "data", "images"] as const;
export type Part = (typeof parts)[number];

const positive = z.number().positive();

export const imageFields = {
  train: count.default(300),
  test: count.default(500),
  steps: count.default(12_000),
  width: count.default(32),
  rates: distinct(positive, "rate").default([0.001, 0.01, 0.03, 0.1, 0.3, 1]),
  /** Rates to compare at the same sum of rates: the small one gets more steps. */
  matched: z.strictObject({ small: positive.default(0.01), large: positive.default(0.1) }).prefault({}),
};

export const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  parts: distinct(z.enum(parts), "part").default([...parts]),
  /** The card's experiment; ‖u‖ is 1. */
  size: z.int().min(3).default(64),
  width: count.default(8),
  train: count.default(16),
  weakTrain: z.int().min(0).default(2),
  /** Test points of each kind. */
  test: z.int().min(0).default(1000),
  weakNorm: positive.default(0.1),
  /** σ_p. */
  noise: z.number().min(0).default(0.1),
  /** σ₀ times √size. */
  start: positive.default(0.3),
  steps: z.int().min(2500).default(16_000),
  /** Beside 0.1, 0.5, 1.2, 1.3 and 1.4, which claims speak of. */
  kappas: z.array(positive).default([0.9, 1.1, 1.5, 1.58]),
  /** Networks on two-part images, which are the card's second part. */
  images: z
    .strictObject({
      /** They are trained for seeds that this divides. */
      every: count.default(2),
      ...imageFields,
    })
    .prefault({}),
});
export type Config = z.output<typeof schema>;

/** One training of one seed: the card's experiment, but for what is said here. */
export interface Cell {
  part: Part;
  name: string;
  /** One after the other. */
  phases: readonly { kappa: number; steps: number }[];
  options?: Pick<TrainOptions, "batch" | "flips" | "gradientNoise">;
  layout?: Layout;
  noise?: number;
  weakTrain?: number;
}

/** Sets of the same steps, or of the same sum of η, and what the effect might hang on beside the rate. */
export function cellsOf({ steps, kappas, train, weakTrain }: Omit<Config, "images">): Cell[] {
  const at = (part: Part, name: string, kappa: number, more: Partial<Cell> = {}): Cell => ({
    part,
    name,
    phases: [{ kappa, steps }],
    ...more,
  });
  const all = [...new Set([0.1, 0.5, 1.2, 1.3, 1.4, ...kappas])].sort((a, b) => a - b);
  const sumOf = (kappa: number, small: number) => [
    { kappa: small, steps: Math.round((steps * kappa) / small) },
  ];
  /** In full batches a filter's class is a share of the mean; this many times the rate makes up for it. */
  const share = (2 * train) / Math.max(1, train - weakTrain);
  return [
    ...all.map((kappa) => at("sweep", "same steps", kappa)),
    at("schedules", "same sum of rates as 1.4", 0.5, { phases: sumOf(1.4, 0.5) }),
    at("schedules", "same sum of rates as 1.3", 0.1, { phases: sumOf(1.3, 0.1) }),
    at("schedules", "small, then large", 1.4, {
      phases: [
        { kappa: 0.5, steps },
        { kappa: 1.4, steps },
      ],
    }),
    at("schedules", "large, then small", 0.5, {
      phases: [
        { kappa: 1.4, steps },
        { kappa: 0.5, steps },
      ],
    }),
    at("schedules", "full batch", 1.4, { options: { batch: "all" } }),
    at("schedules", "full batch, rate made up", 1.4 * share, { options: { batch: "all" } }),
    ...[0.1, 0.3].map((flips) => at("noise", `labels flipped, ${flips}`, 0.5, { options: { flips } })),
    at("noise", "labels flipped, 0.3, same sum of rates as 1.3", 0.1, {
      phases: sumOf(1.3, 0.1),
      options: { flips: 0.3 },
    }),
    ...[0.001, 0.01, 0.1].map((gradientNoise) =>
      at("noise", `gradient noise, ${gradientNoise}`, 0.5, { options: { gradientNoise } }),
    ),
    ...[0.05, 0.2].flatMap((noise) =>
      [0.1, 0.9, 1.4].map((kappa) => at("data", `noise ${noise}`, kappa, { noise })),
    ),
    ...[0.5, 0.9, 1.3, 1.4, 1.5].map((kappa) =>
      at("data", "noise everywhere", kappa, { layout: "noise everywhere" }),
    ),
    ...[0.5, 1.4].flatMap((kappa) => [
      at("data", "half of the points weak", kappa, { weakTrain: Math.floor(train / 2) }),
      at("data", "no weak feature", kappa, { layout: "no weak feature" }),
    ]),
  ];
}

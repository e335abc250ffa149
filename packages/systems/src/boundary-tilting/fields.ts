import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";

export const pairs = ["3-7", "7-9", "0-1"] as const;
export type Pair = (typeof pairs)[number];

export const parts = ["theory", "sweep", "dimension", "halves", "network"] as const;

export const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  parts: distinct(z.enum(parts), "part").default([...parts]),
  pairs: distinct(z.enum(pairs), "pair").default([...pairs]),
  /** Side of the images in pixels. */
  size: count.default(28),
  /** Images of both classes together. */
  train: count.default(600),
  validation: count.default(1000),
  test: count.default(2000),
  /** Share of the training labels of each class that is wrong. */
  flips: z.number().min(0).max(0.5).default(0.03),
  /** Levels of regularisation: lambda is 10 to the power of these, smallest first. */
  powers: z
    .array(z.number())
    .min(3)
    .default(Array.from({ length: 21 }, (_, k) => -4 + k / 4)),
  svm: z
    .strictObject({
      /** A hundred on the card; smaller levels than 1e-3 need more to reach the same gap. */
      epochs: count.default(300),
      tolerance: z.number().positive().default(1e-3),
    })
    .prefault({}),
  dimension: z
    .strictObject({
      sizes: z.array(count).min(2).default([14, 28, 56]),
      /** At 28 pixels; scaled by the number of pixels. */
      power: z.number().default(-1.5),
    })
    .prefault({}),
  network: z
    .strictObject({
      /** Networks are trained for seeds that this divides. */
      every: count.default(2),
      width: count.default(64),
      epochs: count.default(40),
      batchSize: count.default(64),
      learningRate: z.number().positive().default(1e-3),
      /** Decoupled, times the learning rate in each step, so that the card's 0 to 0.1 alone change next to nothing. */
      decays: z.array(z.number().min(0)).min(2).default([0, 0.1, 1, 3, 10]),
    })
    .prefault({}),
});
export type Config = z.output<typeof schema>;

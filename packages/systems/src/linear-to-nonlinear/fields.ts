import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";
import { sharesSchema } from "./world.js";

export const parts = ["scarce", "abundant", "bridge", "ablations"] as const;

const share = z.number().min(0).max(1);
const rate = z.number().positive();

/** Settings of the design, not of the paper, which does not give them. */
export const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  parts: distinct(z.enum(parts), "part").default([...parts]),
  shares: sharesSchema.default({ easy: 0.4, hard: 0.3, both: 0.3 }),
  /** Standard deviation of filters at the start. */
  startScale: z.number().positive().default(0.01),
  /** The weak model, and the linear student. */
  weak: z
    .strictObject({
      samples: count.default(2000),
      learningRate: rate.default(0.5),
      steps: count.default(200),
    })
    .prefault({}),
  test: z.int().min(10).default(4000),
  /** Samples that choose when to stop. */
  validation: z.int().min(10).default(1000),
  /** E1: little data, much noise. */
  scarce: z
    .strictObject({
      size: z.int().min(5).default(1000),
      filters: count.default(16),
      noises: distinct(z.number().positive(), "noise").default([0.2, 0.3]),
      samples: distinct(count, "number of samples").default([25, 50, 100, 200, 400, 800]),
      learningRate: rate.default(0.5),
      steps: count.default(1000),
      every: count.default(250),
      /** Ceilings, which learn true labels, are trained up to this many samples. */
      ceilingsUpTo: count.default(200),
    })
    .prefault({}),
  /** E2: much data, little noise. */
  abundant: z
    .strictObject({
      size: z.int().min(5).default(200),
      filters: count.default(32),
      noise: z.number().positive().default(0.05),
      samples: count.default(4000),
      learningRate: rate.default(1),
      steps: count.default(2000),
      every: count.default(10),
    })
    .prefault({}),
  /** E3: shares of samples with both signals, taken from the hard ones. That of E2 is its run up to `steps`. */
  bridge: z
    .strictObject({
      both: distinct(share, "share").default([0, 0.1]),
      steps: count.default(600),
      /** For the first so many of five seeds in a row. */
      seedsOfFive: z.int().min(1).max(5).default(3),
    })
    .prefault({}),
  /** E2 with other labels, filters and steps; for the seeds of `bridge`. */
  ablations: z
    .strictObject({
      steps: count.default(300),
      filters: count.default(64),
      batchSize: count.default(256),
      /** Share of samples with both signals where they outnumber those with the hard one alone. */
      both: share.default(0.45),
    })
    .prefault({}),
});
export type Config = z.output<typeof schema>;

export const arms = [
  "weak labels",
  "truth",
  "random flips",
  "more filters",
  "mini-batches",
  "more bridges",
] as const;
export type Arm = (typeof arms)[number];

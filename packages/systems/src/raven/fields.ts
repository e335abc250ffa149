import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";

/** `preferences`, of which there are no claims, runs only where it is asked for. */
export const parts = ["students", "preferences"] as const;

const preferences = z.strictObject({
  /** Pairs of each weak reward model's environment. */
  source: count.default(750),
  /** Pairs of the target: 70 % to learn from, 20 % to test on. */
  target: count.default(3000),
  epochs: count.default(30),
  batchSize: count.default(64),
  /** Of 3e-3, 1e-2 and 3e-2 that at which the student of the truth was the best, on seeds 100 and 101. */
  learningRate: z.number().positive().default(3e-2),
  beta: z.number().positive().default(0.1),
  /** The released configuration's, as is the rate of the weights. */
  easyShare: z.number().min(0).max(1).default(0.5),
  weightRate: z.number().min(0).default(1e-3),
});

export const ravenSchema = z.strictObject({
  seed: z.int().min(0).default(0),
  parts: distinct(z.enum(parts), "part").default(["students"]),
  /** Examples of each weak model's environment. */
  source: count.default(1500),
  /** Examples of the target: 70 % to learn from, 20 % to test on. */
  target: count.default(4000),
  epochs: count.default(30),
  batchSize: count.default(64),
  learningRate: z.number().positive().default(3e-3),
  easyShare: z.number().min(0).max(1).default(0.3),
  /** Of the weights: slow, default and fast. */
  weightRates: z.array(z.number().min(0)).length(3).default([3e-4, 2e-3, 2e-2]),
  preferences: preferences.prefault({}),
});

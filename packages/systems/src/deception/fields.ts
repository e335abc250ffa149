import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";
import { recipeDefaults } from "./method.js";
import { replyWorldSchema } from "./reply-world.js";
import { pairWorldSchema } from "./world.js";

/** What is trained: models that score replies, or language models with one of two losses. */
export const tracks = ["reward models", "dpo", "simpo"] as const;
export type Track = (typeof tracks)[number];
/** The tracks, and what runs only where it is asked for. */
export const parts = [...tracks, "ablations"] as const;

const sizes = z.strictObject({
  /** Numbers of features that the weak supervisors, the one between and the student see. */
  weak: z.array(count).min(1).default([6, 16]),
  strong: count.default(64),
  supervision: count.default(4000),
  transfer: count.default(4000),
  /** Helpfulness pairs of the implicit conflict. */
  helpfulness: count.default(2000),
  test: count.default(6000),
});

const languageModels = z.strictObject({
  /** These tracks run for seeds that this divides: their models cost more than reward models. */
  every: count.default(5),
  /** Words that the weak supervisor has learnt; the student knows all of the world's. */
  weak: count.default(8),
  width: count.default(32),
  layers: count.default(2),
  heads: count.default(4),
  supervision: count.default(4000),
  transfer: count.default(4000),
  helpfulness: count.default(4000),
  test: count.default(4000),
  learningRate: z.number().positive().default(2e-3),
  finetuningRate: z.number().positive().default(2e-3),
  batchSize: count.default(32),
  /** Payment for harmful choices (alpha). */
  payment: z.number().min(0).default(0.5),
  world: replyWorldSchema.prefault({}),
});

export const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  parts: distinct(z.enum(parts), "part").default([...tracks]),
  sizes: sizes.prefault({}),
  /** A model knows a pair that it gets right with at least this confidence. */
  threshold: z.number().min(0.5).lt(1).default(0.75),
  recipe: z
    .strictObject({
      width: count.default(recipeDefaults.width),
      learningRate: z.number().positive().default(recipeDefaults.learningRate),
      epochs: count.default(recipeDefaults.epochs),
      batchSize: count.default(recipeDefaults.batchSize),
      payment: z.number().min(0).default(recipeDefaults.payment),
    })
    .prefault({}),
  world: pairWorldSchema.prefault({}),
  languageModels: languageModels.prefault({}),
});
export type Config = z.output<typeof schema>;

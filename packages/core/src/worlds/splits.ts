import { createHash } from "node:crypto";
import { z } from "zod";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";

/**
 * The parts of a world: unlabelled text that a model reads first, truth for the weak supervisor, what the student learns
 * from the supervisor, and what is measured on.
 */
export const worldSplits = ["pretrain", "supervision", "transfer", "validation", "test"] as const;
export type WorldSplit = (typeof worldSplits)[number];

const share = z.number().min(0);

/** Share of everything possible that each part gets; they are divided by their sum. */
export const splitShares = z
  .object({
    pretrain: share.default(0.5),
    supervision: share.default(0.1),
    transfer: share.default(0.2),
    validation: share.default(0.1),
    test: share.default(0.1),
  })
  .refine((shares) => Object.values(shares).some((value) => value > 0), { message: "all shares are 0" })
  .prefault({});

/** The part that a key belongs to, from a hash of it: no list of what was drawn before is needed, so nothing can leak. */
export function splitter(shares: z.output<typeof splitShares>, random: Random): (key: string) => WorldSplit {
  const salt = random.uniform();
  const part = chooser(worldSplits.map((name) => shares[name]));
  return (key) => {
    const digest = createHash("sha256").update(`${salt} ${key}`).digest();
    return worldSplits[part(digest.readUIntBE(0, 6) / 2 ** 48)];
  };
}

/** Turns a uniform number into an index with the probabilities of some weights, not all 0. */
export function chooser(weights: readonly number[]): (uniform: number) => number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  const ends = weights.map((weight) => {
    sum += weight;
    return sum / total;
  });
  const last = weights.findLastIndex((weight) => weight > 0);
  return (uniform) => {
    const index = ends.findIndex((end) => uniform < end);
    return index < 0 ? last : index; // rounding may leave the last end below 1
  };
}

/**
 * Draws until something of the part comes.
 * @throws UserError where none comes in 20,000 draws
 */
export function drawOf<Item extends { split: WorldSplit }>(
  world: string,
  split: WorldSplit,
  draw: () => Item,
): Item {
  for (let attempt = 0; attempt < 20_000; attempt++) {
    const item = draw();
    if (item.split === split) return item;
  }
  throw new UserError(`world ${world}: part ${split} seems to have nothing in it`, {
    hint: `Make splits.${split} larger, or the world richer.`,
  });
}

/**
 * Draws different things of a part, one after the other: a smaller count gives the first of the same ones.
 * @throws UserError where so many are not found
 */
export function drawDistinct<Item extends { id: string; split: WorldSplit }>(
  world: string,
  split: WorldSplit,
  count: number,
  draw: () => Item,
): Item[] {
  if (!Number.isInteger(count) || count < 0) throw new UserError(`world ${world}: a count, not ${count}`);
  const found = new Map<string, Item>();
  let repeated = 0;
  while (found.size < count) {
    const item = drawOf(world, split, draw);
    if (!found.has(item.id)) found.set(item.id, item);
    else if (++repeated > 30 * count + 2_000) {
      throw new UserError(
        `world ${world}: ${count} different ones of part ${split} were wanted, ${found.size} were found`,
        { hint: "Ask for fewer, or make the world richer: more numbers, words or steps." },
      );
    }
  }
  return [...found.values()];
}

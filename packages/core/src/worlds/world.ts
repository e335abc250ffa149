import type { z } from "zod";
import type { Random } from "../random.js";

/** A kind of procedural task with known truth. `generate` makes one world of it. */
export interface WorldKind<Schema extends z.ZodObject, World> {
  /** As in `outgrow worlds show NAME`. */
  name: string;
  /** One line for a list. */
  summary: string;
  /** The knobs with their defaults. */
  schema: Schema;
  /** Fixes everything that belongs to the world and not to a sample; the same stream gives the same world. */
  generate(config: z.input<Schema>, random: Random): World;
  /** A small sample a person can read; the same text each time. */
  describe(world: World): string;
}

import { z } from "zod";
import { nearest } from "../data/nearest.js";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { arithChain } from "./arith-chain.js";
import { chess } from "./chess.js";
import { grammarCorpus } from "./grammar-corpus.js";
import { kingPath } from "./king-path.js";
import { latentFeatures } from "./latent-features.js";
import { preferenceWorld } from "./preference-world.js";
import { tableWalk } from "./table-walk.js";
import type { WorldKind } from "./world.js";

/** A kind of world as a list shows it. */
export interface ListedWorld {
  name: string;
  summary: string;
  /** Its knobs with defaults as JSON Schema. */
  knobs: Record<string, unknown>;
  /**
   * Makes a world and a sample of it for people.
   * @throws UserError for knobs that cannot be
   */
  show(config: unknown, seed: number): { config: Record<string, unknown>; sample: string };
}

function listed<Schema extends z.ZodObject, World extends { config: object }>(
  kind: WorldKind<Schema, World>,
): ListedWorld {
  return {
    name: kind.name,
    summary: kind.summary,
    knobs: z.toJSONSchema(kind.schema, { io: "input" }),
    show(config, seed) {
      const world = kind.generate(config as z.input<Schema>, createRandom(seed).stream(kind.name));
      return { config: { ...world.config }, sample: kind.describe(world) };
    },
  };
}

/** All kinds of worlds. */
export const worlds: readonly ListedWorld[] = [
  listed(latentFeatures),
  listed(arithChain),
  listed(tableWalk),
  listed(grammarCorpus),
  listed(preferenceWorld),
  listed(kingPath),
  listed(chess),
];

/** Throws UserError for an unknown name. */
export function worldNamed(name: string): ListedWorld {
  const world = worlds.find((world) => world.name === name);
  if (world) return world;
  const names = worlds.map((world) => world.name);
  const near = nearest(name, names);
  throw new UserError(
    `there is no world ${JSON.stringify(name)}${near === undefined ? "" : `, did you mean "${near}"?`}`,
    { hint: `Worlds: ${names.join(", ")}` },
  );
}

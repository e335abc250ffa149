import { constants } from "./constants.js";
import { elementwise } from "./elementwise.js";
import { indexing } from "./indexing.js";
import { movement } from "./movement.js";
import type { Maker } from "./operation.js";
import { randomNumbers } from "./random-numbers.js";
import { reductions } from "./reductions.js";
import { transforms } from "./transforms.js";

/**
 * The operations that random programs are made of. A family of operations is a module beside this one that exports its
 * makers by name, listed here.
 */
export const makers: Readonly<Record<string, Maker>> = {
  ...elementwise,
  ...reductions,
  ...movement,
  ...indexing,
  ...randomNumbers,
  ...transforms,
  ...constants,
};

/** Drawn more often than the rest: most of a real program is these. */
export const often: readonly string[] = [
  "pointwise",
  "pointwise",
  "pointwise",
  "float pair",
  "float pair",
  "einsum",
  "matmul",
  "reduce",
  "normalise",
  "take",
];

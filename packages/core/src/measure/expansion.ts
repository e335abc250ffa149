import { UserError } from "../errors.js";
import type { Measured } from "./measured.js";

/** What the bounds of one class need. All are shares in [0, 1]. */
export interface ExpansionInputs {
  /** Of covered examples of the class, those whose weak label is wrong: P(bad | covered). */
  weakError: number;
  /** Of covered examples of the class, those on which the student differs from the weak label. */
  disagreement: number;
  /** Of covered examples of the class, those whose neighbours the student often labels otherwise. Default 0, as in the paper's tables. */
  fragileCovered?: number;
  /** The same of examples without a weak label. Default 0. */
  fragileUncovered?: number;
  /** Sets smaller than this share need not expand. Default 0.1. */
  smallest?: number;
}

/**
 * The student's error on covered examples of a class, if correct sets of well labelled examples expand to badly labelled ones by
 * `expansion` (Lang, Sontag and Vijayaraghavan 2024, theorem B.1):
 * `[d - a (2 c' - 1) + 2 c' a r] / (1 - 2 c' a)` with `c' = c / (1 - a + c a)`.
 *
 * @param expansion c, at most 1 (above, it counts as 1)
 * @returns null with the reason where the theorem says nothing
 */
export function correctionBound(expansion: number, inputs: ExpansionInputs): Measured {
  const { weakError: a, disagreement, fragileCovered = 0, smallest = SMALLEST } = checked(inputs);
  const isOutside = weakLabelsOutside(a);
  if (isOutside) return isOutside;
  const c = Math.min(1, expansion);
  const adjusted = c / (1 - a + c * a);
  const denominator = 1 - 2 * adjusted * a;
  if (denominator <= 0) return { value: null, reason: "1 - 2 c' alpha is not above 0" };
  if (disagreement + fragileCovered > 1 - smallest - a) {
    return { value: null, reason: "the student differs from the weak labels, or is fragile, too often" };
  }
  return {
    value: (disagreement - a * (2 * adjusted - 1) + 2 * adjusted * a * fragileCovered) / denominator,
  };
}

/** The simpler bound of theorem 4.1: `2 a / (1 - 2 a) r + d + a (1 - 1.5 c)`. */
export function simpleCorrectionBound(expansion: number, inputs: ExpansionInputs): Measured {
  const { weakError: a, disagreement, fragileCovered = 0, smallest = SMALLEST } = checked(inputs);
  const isOutside = weakLabelsOutside(a);
  if (isOutside) return isOutside;
  if (smallest >= 0.75 * (1 - 2 * a)) {
    return { value: null, reason: "the smallest set that expands is too large for this weak error" };
  }
  const value =
    ((2 * a) / (1 - 2 * a)) * fragileCovered + disagreement + a * (1 - 1.5 * Math.min(1, expansion));
  return { value };
}

/**
 * The student's error on examples of a class without a weak label, if its mistakes expand to well labelled examples by `toGood` and
 * what it has right to badly labelled ones by `toBad` (theorem B.2).
 *
 * @returns null with the reason where the theorem says nothing
 */
export function coverageBound(toGood: number, toBad: number, inputs: ExpansionInputs): Measured {
  const { weakError: a, disagreement, fragileUncovered = 0, smallest = SMALLEST } = checked(inputs);
  const isOutside = weakLabelsOutside(a);
  if (isOutside) return isOutside;
  const [c1, c2] = [Math.min(1, toGood), Math.min(1, toBad)];
  const denominator = c1 - (c1 + c2) * a;
  if (denominator <= 0) return { value: null, reason: "c1 - (c1 + c2) alpha is not above 0" };
  const ratio = Math.min(c1, c2) / Math.max(c1, c2);
  // Without fragile examples what the ratio bounds is 0: the paper's table has such a row.
  if (fragileUncovered > 0 && ratio <= 2 * a)
    return { value: null, reason: "the two expansions differ too much for this weak error" };
  if (disagreement + fragileUncovered >= c1 * (1 - smallest - a)) {
    return { value: null, reason: "the student differs from the weak labels, or is fragile, too often" };
  }
  const fragile = fragileUncovered > 0 ? (1 + a / (ratio - 2 * a)) * fragileUncovered : 0;
  return { value: fragile + Math.max(smallest, (disagreement - c2 * a) / denominator) };
}

/** The bound that needs but the expansion to well labelled examples (theorem B.3): `r + max(q, d / (c (1 - a)))`. */
export function weakCoverageBound(expansion: number, inputs: ExpansionInputs): Measured {
  const { weakError: a, disagreement, fragileUncovered = 0, smallest = SMALLEST } = checked(inputs);
  if (!(expansion > 0)) return { value: null, reason: "there is no expansion to well labelled examples" };
  if (a >= 1) return { value: null, reason: "no weak label is right" };
  return { value: fragileUncovered + Math.max(smallest, disagreement / (Math.min(1, expansion) * (1 - a))) };
}

/** Statistical error of a measured expansion over all sets of a class of VC dimension `dimension` (theorem D.1). */
export function expansionUncertainty(given: {
  /** Examples that neighbours are looked for of, and those that they are looked for among. */
  sources: number;
  targets: number;
  /** Least share of the sets that are looked at. */
  smallest: number;
  dimension: number;
  /** Probability that the bound fails. */
  delta: number;
}): number {
  const { sources, targets, smallest, dimension, delta } = given;
  const gamma = (targets * smallest) / sources;
  const all = sources + targets;
  const complexity = dimension * Math.log((2 * Math.E * all) / dimension) + Math.log(8 / delta);
  return 4 * (4 + Math.sqrt(gamma)) * Math.sqrt(complexity / (sources * smallest ** 2));
}

export interface ExpansionSample {
  /** For each source example, the row among the targets of one of its neighbours there. */
  neighbours: ArrayLike<number>;
  /** For each target example, whether it is in the set U. */
  members: ArrayLike<boolean>;
  /** Sets smaller than this share of the targets are not counted. Default 0.1. */
  smallest?: number;
}

/**
 * By how much a set U of targets expands to sources: `P(neighbour in U | source) / P(U | target)`, from one neighbour each (section
 * 5). The least over several sets estimates the expansion of a family from above.
 *
 * @throws UserError for a neighbour outside of the targets
 */
export function measureExpansion({ neighbours, members, smallest }: ExpansionSample): Measured {
  const rows = Array.from(members, (_, row) => row);
  return measureRowExpansion({
    sources: Array.from(neighbours, (_, i) => i),
    targets: rows,
    neighbours,
    members,
    smallest,
  });
}

export interface RowExpansion {
  /** Rows of the examples that are expanded to, e.g. those of a class whose weak label is wrong. */
  sources: ArrayLike<number>;
  /** Rows of the examples among which U is, e.g. those of the class whose weak label is right: a sample of them. */
  targets: ArrayLike<number>;
  /** For each row the row of a neighbour of it among the targets, -1 for none. Only those of sources are looked at. */
  neighbours: ArrayLike<number>;
  /** For each row whether it is in U (1 or true). Only targets and neighbours are looked at. */
  members: ArrayLike<boolean | number>;
  /** Whether a row may be a neighbour. Default: the targets; others may be too, such as paraphrases that nobody sampled. */
  isTarget?: (row: number) => boolean;
  /**
   * What the student says of each row. Where given, U is of examples on which it is robust: it reaches a source only where the
   * student says the same of source and neighbour.
   */
  predictions?: ArrayLike<number>;
  /** Sets smaller than this share of the targets are not counted. Default 0.1. */
  smallest?: number;
  /** Names of the rows, for errors. */
  ids?: readonly string[];
}

/**
 * {@link measureExpansion} of sets of rows of one table. A source without a neighbour is not reached by U.
 *
 * @throws UserError for a neighbour that is no target, with the source
 */
export function measureRowExpansion(given: RowExpansion): Measured {
  const { sources, targets, neighbours, members, predictions, smallest = SMALLEST, ids } = given;
  const all = new Set(Array.from(targets));
  const isTarget = given.isTarget ?? ((row: number) => all.has(row));
  if (sources.length === 0) return { value: null, reason: "there are no examples to expand to" };
  if (targets.length === 0) return { value: null, reason: "there are no examples to expand from" };
  let reached = 0;
  for (let i = 0; i < sources.length; i++) {
    const row = neighbours[sources[i]];
    if (row === -1) continue;
    if (!Number.isInteger(row) || row < 0 || !isTarget(row)) {
      const [source, neighbour] = [sources[i], row].map((each) => ids?.[each] ?? String(each));
      throw new UserError(
        `the neighbour of example ${source} is ${neighbour}, which is none of the examples on the other side`,
        { hint: `There are ${targets.length} of them. -1 says that an example has no neighbour there.` },
      );
    }
    if (predictions && predictions[row] !== predictions[sources[i]]) continue;
    reached += Number(members[row]);
  }
  let size = 0;
  for (let i = 0; i < targets.length; i++) size += Number(members[targets[i]]);
  const share = size / targets.length;
  if (share === 0 || share < smallest) {
    return {
      value: null,
      reason: `the set is ${(100 * share).toFixed(1)} % of its side: too small to count`,
    };
  }
  return { value: reached / sources.length / share };
}

/** The least of several measured expansions; null where none counts. */
export function leastExpansion(measured: readonly Measured[]): Measured {
  const values = measured.flatMap(({ value }) => (value === null ? [] : [value]));
  if (values.length > 0) return { value: Math.min(...values) };
  return measured[0] ?? { value: null, reason: "no set was measured" };
}

const SMALLEST = 0.1;

function checked(inputs: ExpansionInputs): ExpansionInputs {
  for (const [name, value] of Object.entries(inputs)) {
    if (!(value >= 0 && value <= 1)) {
      throw new UserError(`"${name}" is ${value}, expected a share between 0 and 1`);
    }
  }
  return inputs;
}

function weakLabelsOutside(a: number): Measured | undefined {
  if (a === 0)
    return { value: null, reason: "no weak label of the class is wrong: there is nothing to correct" };
  if (a >= 0.5) return { value: null, reason: "half of the weak labels of the class or more are wrong" };
  return undefined;
}

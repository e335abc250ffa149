import type * as jax from "@jax-js/jax";
import { numpy as np } from "@jax-js/jax";

/** What an operation may know of the arrays before it. */
export interface Slot {
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** One line of a program. It reads earlier arrays by `v(number)`, which takes a reference each time. */
export interface Line {
  readonly text: string;
  readonly run: (v: (slot: number) => jax.Array) => jax.Array | jax.Array[];
}

/** The numbers that the details of an operation are drawn from, so that a shorter list is a simpler operation. */
export class Draws {
  private next = 0;

  constructor(private readonly numbers: readonly number[]) {}

  below(limit: number): number {
    return (this.numbers[this.next++] ?? 0) % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  permutation(count: number): number[] {
    const left = Array.from({ length: count }, (_, i) => i);
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0]);
  }

  subset(count: number): number[] {
    return Array.from({ length: count }, (_, i) => i).filter(() => this.below(2) === 1);
  }
}

/** Makes a line from what there is, or null where nothing fits. */
export type Maker = (slots: readonly Slot[], draws: Draws) => Line | null;

export const size = (shape: readonly number[]) => shape.reduce((total, length) => total * length, 1);

export const js = (value: unknown): string => JSON.stringify(value);

/** The numbers of slots of some element types and at least some rank; the newest first. */
export function slotsOf(slots: readonly Slot[], dtypes: readonly string[], rank = 0): number[] {
  return slots
    .map((_, i) => i)
    .filter((i) => dtypes.includes(slots[i].dtype) && slots[i].shape.length >= rank)
    .reverse();
}

export function choose(
  slots: readonly Slot[],
  draws: Draws,
  dtypes: readonly string[],
  rank = 0,
): number | null {
  const found = slotsOf(slots, dtypes, rank);
  return found.length > 0 ? draws.pick(found) : null;
}

export const integer = ["int32", "uint32"];
export const float = ["float32", "float64"];
export const number = [...float, ...integer];
export const any = [...number, "bool"];

/** An operation on one array. */
export const unary =
  (
    dtypes: readonly string[],
    rank: number,
    make: (slot: Slot, draws: Draws) => [string, (x: jax.Array) => jax.Array | jax.Array[]] | null,
  ): Maker =>
  (slots, draws) => {
    const at = choose(slots, draws, dtypes, rank);
    const made = at === null ? null : make(slots[at], draws);
    if (at === null || made === null) return null;
    const [text, run] = made;
    return { text: text.replaceAll("$", `v${at}`), run: (v) => run(v(at)) };
  };

export function broadcast(a: readonly number[], b: readonly number[]): boolean {
  const rank = Math.min(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => [a.at(-1 - i) as number, b.at(-1 - i) as number]).every(
    ([x, y]) => x === y || x === 1 || y === 1,
  );
}

/** A pair of slots that broadcast. */
export function pair(
  slots: readonly Slot[],
  draws: Draws,
  dtypes: readonly string[],
  others = dtypes,
): [number, number] | null {
  const x = choose(slots, draws, dtypes);
  if (x === null) return null;
  const fits = slotsOf(slots, others).filter((i) => broadcast(slots[x].shape, slots[i].shape));
  return fits.length > 0 ? [x, draws.pick(fits)] : null;
}

export const binary =
  (dtypes: readonly string[], table: Record<string, (x: jax.Array, y: jax.Array) => jax.Array>): Maker =>
  (slots, draws) => {
    const found = pair(slots, draws, dtypes);
    if (!found) return null;
    const [x, y] = draws.below(2) ? found : found.toReversed();
    const name = draws.pick(Object.keys(table));
    return { text: `(x, y) => ${name} of v${x}, v${y}`, run: (v) => table[name](v(x), v(y)) };
  };

/**
 * The array as it is, for the sake of two faults of jax-js run line by line: sorts, and the scatter in the gradient
 * of a gather, read on beyond an array that is the first part of another, and comparisons are false in padding. Both need an array
 * that is only a view of another, which a product is not. Tracing drops the product.
 */
export const fresh = (x: jax.Array) => x.mul(x.dtype === "bool" ? np.array(true) : 1);

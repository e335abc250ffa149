import { UserError } from "../errors.js";
import type { Random } from "../random.js";

/** Rows of one source among those that a training takes from several. */
export interface Source {
  /** Number of rows. */
  count: number;
  /** Its share of all rows that are taken; of all sources together 1. */
  share: number;
  /** In a new random order each time, or as they come, e.g. to replay a corpus as it was first read. Default random. */
  order?: "random" | "given";
}

/**
 * Numbers of `total` rows, in the order in which they are taken, from sources whose rows are numbered one source after another.
 * After each row every source has its share to within one and a half rows, so every batch has it as well. A source
 * whose rows are all taken begins again.
 *
 * @throws UserError where shares are negative or do not add up to 1, or a source without rows has a share
 */
export function mixedOrder(sources: readonly Source[], total: number, random: Random): Int32Array {
  const sum = sources.reduce((shares, { share }) => shares + share, 0);
  if (sources.some(({ share }) => !(share >= 0)) || Math.abs(sum - 1) > 1e-6) {
    throw new UserError(`the shares of the sources are ${sources.map(({ share }) => share).join(", ")}`, {
      hint: "Shares are at least 0 and add up to 1.",
    });
  }
  const empty = sources.findIndex(({ count, share }) => count === 0 && share > 0);
  if (empty >= 0)
    throw new UserError(`source ${empty + 1} has a share of ${sources[empty].share} but no rows`);
  const offsets = sources.map((_, i) => sources.slice(0, i).reduce((rows, { count }) => rows + count, 0));
  const taken = sources.map(() => 0);
  const orders: Int32Array[] = sources.map(() => new Int32Array());
  return Int32Array.from({ length: total }, (_, n) => {
    const owed = sources.map(({ share }, i) => share * (n + 1) - taken[i]);
    const source = owed.indexOf(Math.max(...owed));
    const { count, order } = sources[source];
    const place = taken[source] % count;
    if (place === 0) {
      const epoch = random.stream("source", source, taken[source] / count);
      orders[source] =
        order === "given" ? Int32Array.from({ length: count }, (_, i) => i) : epoch.permutation(count);
    }
    taken[source]++;
    return offsets[source] + orders[source][place];
  });
}

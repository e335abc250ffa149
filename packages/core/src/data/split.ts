import { UserError } from "../errors.js";
import type { Random } from "../random.js";

/**
 * Disjoint parts of the rows 0 to n - 1, of exactly the sizes in `parts`, each in random order.
 *
 * With `stratifyBy`, `[n]`, each value of it (-1 counts as one) is spread evenly: a part has its
 * proportional share of the value's rows, rounded down or up.
 *
 * @throws UserError when a size is not a whole number, or they sum to more than n
 */
export function split<Name extends string>(
  n: number,
  parts: Readonly<Record<Name, number>>,
  random: Random,
  options: { stratifyBy?: Int32Array } = {},
): Record<Name, Int32Array> {
  const entries = Object.entries<number>(parts);
  const total = entries.reduce((sum, [, size]) => sum + size, 0);
  for (const [name, size] of entries) {
    if (Number.isSafeInteger(size) && size >= 0) continue;
    throw new UserError(`part ${JSON.stringify(name)} has ${size} rows, expected a whole number`);
  }
  if (total > n) {
    const sizes = entries.map(([name, size]) => `${name} ${size}`).join(", ");
    throw new UserError(`the parts need ${total} rows (${sizes}), but there are ${n}`, {
      hint: "Make the parts smaller, or give more rows.",
    });
  }
  const { stratifyBy = new Int32Array(n) } = options;
  if (stratifyBy.length !== n)
    throw new RangeError(`stratifyBy has ${stratifyBy.length} rows, expected ${n}`);

  const strata = [...new Set(stratifyBy)].sort((a, b) => a - b);
  const stratumOf = new Map(strata.map((value, stratum) => [value, stratum]));
  const stratumSizes = strata.map(() => 0);
  for (const value of stratifyBy) stratumSizes[stratumOf.get(value) as number]++;
  // The rows that go to no part are a part too, so that all shares add up.
  const quotas = allot([...entries.map(([, size]) => size), n - total], stratumSizes);

  const rows: number[][] = quotas.map(() => []);
  for (const row of random.permutation(n)) {
    const stratum = stratumOf.get(stratifyBy[row]) as number;
    const part = quotas.findIndex((quota) => quota[stratum] > 0);
    quotas[part][stratum]--;
    rows[part].push(row);
  }
  const result = entries.map(([name], part) => [name, Int32Array.from(rows[part])]);
  return Object.fromEntries(result) as Record<Name, Int32Array>;
}

/**
 * `[parts][strata]`: how many rows each part takes of each stratum, where both sums are as given and each
 * number is the proportional share, rounded down or up. Such a table always exists (Bacharach 1966); the
 * places to round up are found as a matching of parts to strata, by augmenting paths.
 */
function allot(partSizes: readonly number[], stratumSizes: readonly number[]): number[][] {
  const n = partSizes.reduce((sum, size) => sum + size, 0);
  if (n === 0) return partSizes.map(() => stratumSizes.map(() => 0));
  const quotas = partSizes.map((size) => stratumSizes.map((stratum) => Math.floor((size * stratum) / n)));
  const fraction = (part: number, stratum: number) => (partSizes[part] * stratumSizes[stratum]) % n;
  const open = stratumSizes.map(
    (size, stratum) => size - quotas.reduce((sum, quota) => sum + quota[stratum], 0),
  );
  const roundedUp = partSizes.map(() => stratumSizes.map(() => false));

  /** Rounds one more share of the part up, if need be by moving another part's to another stratum. */
  const roundUp = (part: number, visited: Set<number>): boolean => {
    const byFraction = stratumSizes
      .map((_, stratum) => stratum)
      .sort((a, b) => fraction(part, b) - fraction(part, a));
    for (const stratum of byFraction) {
      if (fraction(part, stratum) === 0 || roundedUp[part][stratum] || visited.has(stratum)) continue;
      visited.add(stratum);
      const isFree = open[stratum] > 0;
      const moved = isFree
        ? -1
        : roundedUp.findIndex((row, other) => row[stratum] && roundUp(other, visited));
      if (!isFree && moved < 0) continue;
      if (isFree) open[stratum]--;
      else roundedUp[moved][stratum] = false;
      roundedUp[part][stratum] = true;
      return true;
    }
    return false;
  };

  partSizes.forEach((size, part) => {
    const missing = size - quotas[part].reduce((sum, quota) => sum + quota, 0);
    for (let i = 0; i < missing; i++) roundUp(part, new Set());
  });
  return quotas.map((quota, part) => quota.map((count, stratum) => count + Number(roundedUp[part][stratum])));
}

/**
 * Refuses splits that share a row.
 * @param splits the ids of the rows in each split, by its name
 * @throws UserError naming the id and both splits
 */
export function refuseLeak(splits: Readonly<Record<string, readonly string[]>>): void {
  const home = new Map<string, string>();
  for (const [name, ids] of Object.entries(splits)) {
    for (const id of ids) {
      const other = home.get(id);
      if (other !== undefined && other !== name) {
        throw new UserError(
          `row ${JSON.stringify(id)} is in both ${JSON.stringify(other)} and ${JSON.stringify(name)}`,
          {
            hint: "A model must not be tested on what it was trained on. Remove the row from one of them.",
          },
        );
      }
      home.set(id, name);
    }
  }
}

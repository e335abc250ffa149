/** Number of characters to insert, delete or replace to turn one text into the other (Levenshtein 1966). */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, above[j] + 1, row[j - 1] + 1));
    }
  }
  return row[b.length];
}

/** Names longer than this are not what somebody mistyped. */
const maxNameLength = 100;

/** The candidate most like a name, whatever its case; undefined when none shares at least half of it. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  if (name.length > maxNameLength) return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    if (candidate.length > maxNameLength) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance && distance <= Math.max(name.length, candidate.length) / 2) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** A hint for a name that is not there: the nearest one, and all there are, e.g. `Did you mean "gold"? …`. */
export function namesHint(name: string, kind: string, candidates: readonly string[]): string {
  const near = nearest(name, candidates);
  const shown = candidates.slice(0, 20).map((candidate) => JSON.stringify(candidate));
  if (candidates.length > shown.length) shown.push(`and ${candidates.length - shown.length} more`);
  return `${near === undefined ? "" : `Did you mean ${JSON.stringify(near)}? `}The ${kind} are ${shown.join(", ")}.`;
}

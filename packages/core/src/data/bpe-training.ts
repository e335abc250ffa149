import { Heap } from "./heap.js";

interface Pair {
  left: number;
  right: number;
  /** How often the pair stands in the text now. */
  count: number;
  /** Where it was seen. Positions where it no longer stands are passed over when the pair is merged. */
  positions: number[];
}

/** A pair as it was when it entered the queue; out of date when the pair's count has changed since. */
interface Candidate {
  pair: Pair;
  count: number;
}

const pairsPerLeft = 2 ** 26;

/**
 * Byte-pair encoding (Sennrich et al. 2016): merge the most frequent pair of neighbouring tokens, again and
 * again. Ties go to the pair with the lowest left id, then the lowest right id, so that the result depends
 * on the counts of the words alone.
 *
 * All words lie in one linked list of symbols; a merge visits only the places where its pair stands.
 *
 * @param words how often each word occurs; a word is its bytes, as UTF-8
 * @param tokens spelling of the tokens so far, by id; `firstByte` is the id of byte 0, and 255 more follow
 * @returns the tokens, at most `vocabularySize`, and the merges in order
 */
export function learnMerges(
  words: ReadonlyMap<string, number>,
  tokens: readonly string[],
  options: { firstByte: number; vocabularySize: number; minFrequency: number },
): { tokens: string[]; merges: [number, number][] } {
  const { symbols, previous, next, weights } = layOut(words, options.firstByte);
  const pairs = new Map<number, Pair>();
  const queue = new Heap<Candidate>(
    (a, b) =>
      a.count > b.count ||
      (a.count === b.count &&
        (a.pair.left < b.pair.left || (a.pair.left === b.pair.left && a.pair.right < b.pair.right))),
  );

  /** The pair at a position and the one after it gains or loses that place. */
  const count = (at: number, sign: 1 | -1): Pair => {
    const left = symbols[at];
    const right = symbols[next[at]];
    const key = left * pairsPerLeft + right;
    let pair = pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, positions: [] };
      pairs.set(key, pair);
    }
    pair.count += sign * weights[at];
    if (sign === 1) pair.positions.push(at);
    return pair;
  };

  for (let at = 0; at < symbols.length; at++) if (next[at] >= 0) count(at, 1);
  for (const pair of pairs.values()) queue.push({ pair, count: pair.count });

  const allTokens = [...tokens];
  const merges: [number, number][] = [];
  while (allTokens.length < options.vocabularySize) {
    const candidate = queue.pop();
    if (candidate === undefined) break;
    const { pair } = candidate;
    if (pair.count < options.minFrequency) continue;
    if (candidate.count !== pair.count) {
      queue.push({ pair, count: pair.count });
      continue;
    }
    const merged = allTokens.push(allTokens[pair.left] + allTokens[pair.right]) - 1;
    merges.push([pair.left, pair.right]);

    const grown = new Set<Pair>();
    // Positions are in ascending order, since all were added in passes from the left: "aaa" becomes "aa" + "a".
    for (const at of pair.positions) {
      const after = next[at];
      if (symbols[at] !== pair.left || after < 0 || symbols[after] !== pair.right) continue;
      if (previous[at] >= 0) count(previous[at], -1);
      if (next[after] >= 0) count(after, -1);
      symbols[at] = merged;
      symbols[after] = -1;
      next[at] = next[after];
      if (next[at] >= 0) previous[next[at]] = at;
      if (previous[at] >= 0) grown.add(count(previous[at], 1));
      if (next[at] >= 0) grown.add(count(at, 1));
    }
    pair.count = 0; // candidates of it that are still queued are passed over
    for (const one of grown) queue.push({ pair: one, count: one.count });
  }
  return { tokens: allTokens, merges };
}

/** All words after one another as a linked list of symbols: `[total bytes]` each; -1 where a word ends. */
function layOut(words: ReadonlyMap<string, number>, firstByte: number) {
  const encoder = new TextEncoder();
  const encoded = Array.from(words, ([word, frequency]) => ({ bytes: encoder.encode(word), frequency }));
  const total = encoded.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const symbols = new Int32Array(total);
  const previous = new Int32Array(total);
  const next = new Int32Array(total);
  const weights = new Float64Array(total);
  let start = 0;
  for (const { bytes, frequency } of encoded) {
    for (let i = 0; i < bytes.length; i++) {
      symbols[start + i] = firstByte + bytes[i];
      previous[start + i] = i > 0 ? start + i - 1 : -1;
      next[start + i] = i + 1 < bytes.length ? start + i + 1 : -1;
      weights[start + i] = frequency;
    }
    start += bytes.length;
  }
  return { symbols, previous, next, weights };
}

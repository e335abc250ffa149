import { UserError } from "../errors.js";
import { learnMerges } from "./bpe-training.js";
import { Heap } from "./heap.js";
import { formatTokenizerJSON, parseTokenizerJSON } from "./tokenizer-json.js";
import { byteAlphabet, sectionCutter, type Vocabulary } from "./vocabulary.js";

/** A byte-level BPE tokenizer: every text has tokens, and its tokens give it back. */
export interface Tokenizer {
  /** Number of tokens; ids are 0 to `vocabularySize - 1`. */
  readonly vocabularySize: number;
  /** Id of each special token. */
  readonly specialTokens: Readonly<Record<string, number>>;
  /**
   * `[tokens]`: the ids of a text. A special token that is spelled out in the text becomes its id.
   * Lone surrogates become U+FFFD, as in UTF-8.
   */
  encode(text: string): Int32Array;
  /**
   * The text of ids; bytes that are not UTF-8 become U+FFFD.
   * @throws RangeError for an id outside the vocabulary
   */
  decode(ids: ArrayLike<number>): string;
  /**
   * The bytes that a token puts into a text, special tokens spelled out; they may be a part of a character. Not to be changed.
   * @throws RangeError for an id outside the vocabulary
   */
  tokenBytes(id: number): Uint8Array;
  /** The tokenizer as Hugging Face's `tokenizer.json`. */
  toJSON(): object;
}

export interface BpeOptions {
  /** Number of tokens wanted, at least 256 and the special tokens. Fewer when no pair is frequent enough. */
  vocabularySize: number;
  /** How often a pair must occur to be merged, at least 1. Default 2. */
  minFrequency?: number;
  /** Tokens that stand for themselves and are never cut. They get the first ids, in this order. */
  specialTokens: readonly string[];
}

/**
 * Trains a byte-level BPE tokenizer with GPT-2's words (Radford et al. 2019). Ids: the special tokens,
 * then the 256 bytes, then the merges by rank. The order of the texts does not matter.
 *
 * @throws UserError when the vocabulary is too small, the frequency below 1, or a special token is empty,
 *   repeated or spelled as another token
 */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): Tokenizer {
  const { vocabularySize, minFrequency = 2, specialTokens } = options;
  const tokens = [...specialTokens, ...byteAlphabet];
  if (!Number.isSafeInteger(vocabularySize) || vocabularySize < tokens.length) {
    throw new UserError(`the vocabulary has ${vocabularySize} tokens, expected at least ${tokens.length}`, {
      hint: `256 bytes and ${specialTokens.length} special tokens are always in it.`,
    });
  }
  if (!(minFrequency >= 1)) {
    throw new UserError(`pairs must occur ${minFrequency} times to be merged, expected at least 1`);
  }
  const cut = sectionCutter(specialTokens);
  const words = new Map<string, number>();
  for (const text of texts) {
    for (const section of cut(text)) {
      if ("special" in section) continue;
      for (const word of section.words) words.set(word, (words.get(word) ?? 0) + 1);
    }
  }
  return createTokenizer({
    ...learnMerges(words, tokens, { firstByte: specialTokens.length, vocabularySize, minFrequency }),
    specialTokens: Object.fromEntries(specialTokens.map((token, id) => [token, id])),
  });
}

/**
 * The tokenizer in a parsed `tokenizer.json`.
 * @throws UserError when it is not a byte-level BPE with GPT-2's words, or is damaged
 */
export function tokenizerFromJSON(json: unknown): Tokenizer {
  return createTokenizer(parseTokenizerJSON(json));
}

const maxCachedWords = 65_536;
const maxCachedLength = 256;
const positionsPerRank = 2 ** 30;

function createTokenizer(vocabulary: Vocabulary): Tokenizer {
  const { tokens, merges, specialTokens } = vocabulary;
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const repeated = tokens.find((token, id) => token === "" || ids.get(token) !== id);
  if (repeated !== undefined) {
    throw new UserError(`token ${JSON.stringify(repeated)} is in the vocabulary twice or empty`, {
      hint: "Special tokens must differ from each other and from all other tokens, e.g. <|endoftext|>.",
    });
  }
  const size = tokens.length;
  const byteIds = byteAlphabet.map((character) => ids.get(character) as number);
  const mergedIds = merges.map(([left, right]) => ids.get(tokens[left] + tokens[right]) as number);
  const ranks = new Map<number, number>();
  merges.forEach(([left, right], rank) => {
    const pair = left * size + right;
    if (!ranks.has(pair)) ranks.set(pair, rank);
  });
  const cut = sectionCutter(Object.keys(specialTokens));
  const encoder = new TextEncoder();
  const cache = new Map<string, readonly number[]>();

  /** Merges the bytes of a word: the lowest rank first, and of the same rank the leftmost. */
  const mergeWord = (word: string): number[] => {
    const symbols = Array.from(encoder.encode(word), (byte) => byteIds[byte]);
    const previous = symbols.map((_, i) => i - 1);
    const next = symbols.map((_, i) => (i + 1 < symbols.length ? i + 1 : -1));
    const rankAt = (at: number) =>
      next[at] < 0 ? undefined : ranks.get(symbols[at] * size + symbols[next[at]]);
    const queue = new Heap<number>((a, b) => a < b);
    const offer = (at: number) => {
      const rank = rankAt(at);
      if (rank !== undefined) queue.push(rank * positionsPerRank + at);
    };
    for (let at = 0; at < symbols.length; at++) offer(at);
    for (let first = queue.pop(); first !== undefined; first = queue.pop()) {
      const at = first % positionsPerRank;
      const rank = Math.floor(first / positionsPerRank);
      if (symbols[at] < 0 || rankAt(at) !== rank) continue; // merged since with a neighbour
      const gone = next[at];
      symbols[at] = mergedIds[rank];
      symbols[gone] = -1;
      next[at] = next[gone];
      if (next[at] >= 0) previous[next[at]] = at;
      if (previous[at] >= 0) offer(previous[at]);
      offer(at);
    }
    return symbols.filter((symbol) => symbol >= 0);
  };

  const encodeWord = (word: string): readonly number[] => {
    const known = cache.get(word);
    if (known !== undefined) return known;
    const encoded = mergeWord(word);
    if (word.length <= maxCachedLength) {
      if (cache.size >= maxCachedWords) cache.clear();
      cache.set(word, encoded);
    }
    return encoded;
  };

  const special = new Set(Object.values(specialTokens));
  const byteOf = new Map(byteAlphabet.map((character, byte) => [character, byte]));
  const bytes = tokens.map((token, id) =>
    special.has(id)
      ? encoder.encode(token)
      : Uint8Array.from(token, (character) => byteOf.get(character) ?? 0),
  );
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const tokenBytes = (id: number) => {
    if (bytes[id] === undefined) throw new RangeError(`token ${id} is not one of 0 to ${size - 1}`);
    return bytes[id];
  };

  return {
    vocabularySize: size,
    specialTokens,
    encode(text) {
      const encoded: number[] = [];
      for (const section of cut(text)) {
        if ("special" in section) encoded.push(specialTokens[section.special]);
        else for (const word of section.words) for (const id of encodeWord(word)) encoded.push(id);
      }
      return Int32Array.from(encoded);
    },
    decode: (encoded) => decoder.decode(Buffer.concat(Array.from(encoded, tokenBytes))),
    tokenBytes,
    toJSON: () => formatTokenizerJSON(vocabulary),
  };
}

import { UserError } from "../errors.js";
import { learnMerges } from "./bpe-training.js";
import { Heap } from "./heap.js";
import { textCutter } from "./text-cutting.js";
import { formatTokenizerJSON, parseTokenizerJSON } from "./tokenizer-json.js";
import { byteAlphabet, byteFallbacks, metaspace, plainSpecialToken, type Vocabulary } from "./vocabulary.js";

/** A BPE tokenizer: every text has tokens, and its tokens give it back, normalized where it normalizes. */
export interface Tokenizer {
  /** Number of tokens; ids are 0 to `vocabularySize - 1`. */
  readonly vocabularySize: number;
  /** Id of each special token. */
  readonly specialTokens: Readonly<Record<string, number>>;
  /**
   * `[tokens]`: the ids of a text. A special token that is spelled out in the text becomes its id.
   * Lone surrogates become U+FFFD, as in UTF-8.
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /**
   * The text of ids; bytes that are not UTF-8 become U+FFFD.
   * @throws RangeError for an id outside the vocabulary
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /**
   * The bytes that a token puts into a text, special tokens spelled out; they may be a part of a character. Not to be changed.
   * @throws RangeError for an id outside the vocabulary
   */
  tokenBytes(id: number): Uint8Array;
  /** The tokenizer as Hugging Face's `tokenizer.json`. */
  toJSON(): object;
}

export interface EncodeOptions {
  /**
   * Whether the ids that the tokenizer puts around a text are put there, e.g. Llama's `<|begin_of_text|>`. Default false: a chat
   * template spells them out already.
   */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Whether special tokens are left out. Default false. */
  skipSpecialTokens?: boolean;
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
  refuseOptions(options);
  const counter = wordCounter(options.specialTokens);
  for (const text of texts) counter.add(text);
  return tokenizerOfWords(counter.counts(), options);
}

/**
 * Trains on words that are counted already.
 * @param words how often each word occurs
 * @throws UserError as {@link trainBpe}
 */
export function tokenizerOfWords(words: ReadonlyMap<string, number>, options: BpeOptions): Tokenizer {
  refuseOptions(options);
  const { vocabularySize, minFrequency = 2, specialTokens } = options;
  const firstByte = specialTokens.length;
  const learned = learnMerges(words, [...specialTokens, ...byteAlphabet], {
    firstByte,
    vocabularySize,
    minFrequency,
  });
  return createTokenizer({
    ...learned,
    ...trainedForm(specialTokens),
    ignoreMerges: false,
    before: [],
    after: [],
  });
}

/** @throws UserError as {@link trainBpe}, before anything is read */
export function refuseOptions({ vocabularySize, minFrequency = 2, specialTokens }: BpeOptions): void {
  const least = 256 + specialTokens.length;
  if (!Number.isSafeInteger(vocabularySize) || vocabularySize < least) {
    throw new UserError(`the vocabulary has ${vocabularySize} tokens, expected at least ${least}`, {
      hint: `256 bytes and ${specialTokens.length} special tokens are always in it.`,
    });
  }
  if (!(minFrequency >= 1)) {
    throw new UserError(`pairs must occur ${minFrequency} times to be merged, expected at least 1`);
  }
}

/** Counts the words of texts as {@link trainBpe} cuts them, without what special tokens spell. */
export function wordCounter(specialTokens: readonly string[]) {
  const cut = textCutter(trainedForm(specialTokens));
  const places = new Map<string, number>();
  const counts: number[] = [];
  return {
    add(text: string): void {
      for (const piece of cut(wellFormed(text))) {
        if (typeof piece !== "string") continue;
        const place = places.get(piece);
        if (place !== undefined) counts[place]++;
        // A piece may be a view of the whole text, which would be kept with it.
        else places.set(Buffer.from(piece).toString(), counts.push(1) - 1);
      }
    },
    counts: () => new Map(Array.from(places, ([word, place]): [string, number] => [word, counts[place]])),
  };
}

const trainedForm = (
  specialTokens: readonly string[],
): Pick<Vocabulary, "addedTokens" | "normalizer" | "words"> => ({
  addedTokens: specialTokens.map(plainSpecialToken),
  normalizer: "none",
  words: { units: "bytes", pattern: "gpt2", singleDigits: false },
});

/**
 * The tokenizer in a parsed `tokenizer.json`: byte-level BPE as GPT-2, Llama 3, Qwen, SmolLM and Mistral have it, or BPE of
 * characters with bytes for the rest as SentencePiece makes it (Llama 2, Mistral). Settings for padding and truncation are not used.
 *
 * @throws UserError when it is of another kind, or is damaged
 */
export function tokenizerFromJSON(json: unknown): Tokenizer {
  return createTokenizer(parseTokenizerJSON(json), json as object);
}

const maxCachedWords = 65_536;
const maxCachedLength = 256;
const positionsPerRank = 2 ** 30;

/** `json` is what the tokenizer was read from, and is written as again. */
function createTokenizer(vocabulary: Vocabulary, json?: object): Tokenizer {
  const { tokens, merges, addedTokens, words, ignoreMerges, before, after } = vocabulary;
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const repeated = tokens.find((token, id) => token === "" || ids.get(token) !== id);
  if (repeated !== undefined) {
    throw new UserError(`token ${JSON.stringify(repeated)} is in the vocabulary twice or empty`, {
      hint: "Special tokens must differ from each other and from all other tokens, e.g. <|endoftext|>.",
    });
  }
  const size = tokens.length;
  const alphabet = words.units === "bytes" ? byteAlphabet : byteFallbacks;
  const byteIds = alphabet.map((token) => ids.get(token) as number);
  const mergedIds = merges.map(([left, right]) => ids.get(tokens[left] + tokens[right]) as number);
  const ranks = new Map<number, number>();
  merges.forEach(([left, right], rank) => {
    ranks.set(left * size + right, rank);
  });
  const cut = textCutter(vocabulary);
  const encoder = new TextEncoder();
  const cache = new Map<string, readonly number[]>();

  const bytesOf = (text: string) => Array.from(encoder.encode(text), (byte) => byteIds[byte]);
  const symbolsOf =
    words.units === "bytes"
      ? bytesOf
      : (word: string) => [...word].flatMap((character) => ids.get(character) ?? bytesOf(character));
  const spellingOf =
    words.units === "bytes"
      ? (word: string) => Array.from(encoder.encode(word), (byte) => byteAlphabet[byte]).join("")
      : (word: string) => word;

  /** Merges the symbols of a word: the lowest rank first, and of the same rank the leftmost. */
  const mergeWord = (word: string): number[] => {
    const symbols = symbolsOf(word);
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
    const whole = ignoreMerges ? ids.get(spellingOf(word)) : undefined;
    const encoded = whole === undefined ? mergeWord(word) : [whole];
    if (word.length <= maxCachedLength) {
      if (cache.size >= maxCachedWords) cache.clear();
      cache.set(word, encoded);
    }
    return encoded;
  };

  const specialTokens = Object.fromEntries(
    addedTokens.filter((token) => token.special).map(({ content, id }) => [content, id]),
  );
  const special = new Set(Object.values(specialTokens));
  const bytes = bytesOfTokens(vocabulary, encoder);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const tokenBytes = (id: number) => {
    if (bytes[id] === undefined) throw new RangeError(`token ${id} is not one of 0 to ${size - 1}`);
    return bytes[id];
  };

  return {
    vocabularySize: size,
    specialTokens,
    encode(text, { addSpecialTokens = false } = {}) {
      const encoded: number[] = addSpecialTokens ? [...before] : [];
      for (const piece of cut(wellFormed(text))) {
        if (typeof piece === "number") encoded.push(piece);
        else for (const id of encodeWord(piece)) encoded.push(id);
      }
      if (addSpecialTokens) encoded.push(...after);
      return Int32Array.from(encoded);
    },
    decode(encoded, { skipSpecialTokens = false } = {}) {
      const kept = Array.from(encoded).filter((id) => !(skipSpecialTokens && special.has(id)));
      const text = decoder.decode(Buffer.concat(kept.map(tokenBytes)));
      return words.units === "characters" && words.stripSpace && text.startsWith(" ") ? text.slice(1) : text;
    },
    tokenBytes,
    toJSON: () => json ?? formatTokenizerJSON(vocabulary),
  };
}

/** `[size]`: what each token puts into a text. */
function bytesOfTokens({ tokens, addedTokens, words }: Vocabulary, encoder: TextEncoder): Uint8Array[] {
  const added = new Set(addedTokens.map((token) => token.id));
  if (words.units === "bytes") {
    const byteOf = new Map(byteAlphabet.map((character, byte) => [character, byte]));
    return tokens.map((token, id) =>
      added.has(id)
        ? encoder.encode(token)
        : Uint8Array.from(token, (character) => byteOf.get(character) as number),
    );
  }
  const byteOf = new Map(byteFallbacks.map((token, byte) => [token, byte]));
  return tokens.map((token, id) => {
    const byte = added.has(id) ? undefined : byteOf.get(token);
    return byte === undefined ? encoder.encode(token.replaceAll(metaspace, " ")) : Uint8Array.of(byte);
  });
}

/** Lone surrogates become U+FFFD. */
const wellFormed = (text: string): string =>
  /\p{Surrogate}/u.test(text) ? Buffer.from(text).toString() : text;

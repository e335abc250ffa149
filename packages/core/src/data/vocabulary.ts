import type { WordPattern } from "./word-rules.js";

/**
 * What a BPE tokenizer knows. In one of bytes, tokens are spelled in GPT-2's alphabet, in which every byte is one printable
 * character (see {@link byteAlphabet}). In one of characters, as SentencePiece makes them, they are spelled as text with U+2581
 * for spaces, and `<0x0A>` is a byte. Added tokens are spelled as they are.
 */
export interface Vocabulary {
  /** `[size]`: the spelling of each token, by id. */
  tokens: string[];
  /** Pairs of ids that are merged, in order of rank. The merged token is the one spelled as both together. */
  merges: [left: number, right: number][];
  addedTokens: AddedToken[];
  /** What is done to the text between added tokens. */
  normalizer: "none" | "nfc" | "prepend-space";
  words: BytesOfWords | Characters;
  /** Whether a word that is a token is that token, whatever the merges say. */
  ignoreMerges: boolean;
  /** Ids that stand around a text where special tokens are asked for. */
  before: number[];
  after: number[];
}

/** A token that is found in the text before words are cut. */
export interface AddedToken {
  id: number;
  content: string;
  /** Whether it is a mark for the model rather than text. */
  special: boolean;
  /** Whether it is looked for in the normalized text rather than in the text as it is. */
  normalized: boolean;
  /** Whether it takes up the white space on its left, on its right. */
  lstrip: boolean;
  rstrip: boolean;
}

export interface BytesOfWords {
  units: "bytes";
  pattern: WordPattern;
  /** Whether every digit is a word of its own. */
  singleDigits: boolean;
}

export interface Characters {
  units: "characters";
  /** Before which pieces of text between added tokens a space is put, unless they begin with one. */
  space: "always" | "first" | "never";
  /** Whether words are cut before every space, or the whole text is one word. */
  cutAtSpaces: boolean;
  /** Whether decoding takes away a space before all else. */
  stripSpace: boolean;
}

/**
 * `[256]`: the printable character that stands for each byte, as in GPT-2 (Radford et al. 2019, `encoder.py`).
 * Printable Latin-1 bytes stand for themselves; the others are numbered from U+0100 on.
 */
export const byteAlphabet: readonly string[] = (() => {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    return String.fromCharCode(printable ? byte : 0x100 + others++);
  });
})();

/** `[256]`: the token of each byte beside tokens of characters. */
export const byteFallbacks: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

/** A special token as `trainBpe` makes it. */
export const plainSpecialToken = (content: string, id: number): AddedToken => ({
  id,
  content,
  special: true,
  normalized: false,
  lstrip: false,
  rstrip: false,
});

/** What SentencePiece spells a space as. */
export const metaspace = "\u2581";

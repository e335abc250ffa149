/**
 * What a byte-level BPE tokenizer knows. Tokens are spelled in GPT-2's alphabet, in which every byte is
 * one printable character (see {@link byteAlphabet}); special tokens are spelled as they are.
 */
export interface Vocabulary {
  /** `[size]`: the spelling of each token, by id. */
  tokens: string[];
  /** Pairs of ids that are merged, in order of rank. The merged token is the one spelled as both together. */
  merges: [left: number, right: number][];
  /** Id of each special token. */
  specialTokens: Record<string, number>;
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

/**
 * GPT-2's rule for cutting text into words, inside which merges happen. It is also written into
 * `tokenizer.json`: there `\s` means Unicode's White_Space, which JavaScript's `\s` does not quite.
 */
export const wordPattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const wordRegExp = new RegExp(
  wordPattern
    .replaceAll(String.raw`\s`, String.raw`\p{White_Space}`)
    .replaceAll(String.raw`\S`, String.raw`\P{White_Space}`),
  "gu",
);

/** A piece of text: a special token, or the words of the text between two of them. */
export type Section = { special: string } | { words: string[] };

/** A function that cuts text at the special tokens (the longest that fits, from the left) and into words. */
export function sectionCutter(specialTokens: readonly string[]): (text: string) => Section[] {
  const words = (text: string) => ({ words: text.match(wordRegExp) ?? [] });
  if (specialTokens.length === 0) return (text) => [words(text)];
  const alternatives = specialTokens
    .toSorted((a, b) => b.length - a.length)
    .map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  const special = new RegExp(`(${alternatives.join("|")})`);
  // With one capture group, the odd parts of a split are what was captured.
  return (text) => text.split(special).map((part, i) => (i % 2 === 1 ? { special: part } : words(part)));
}

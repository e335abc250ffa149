/*
 * How text is cut into the words inside which tokens are merged. Each rule is the regular expression of a known family of
 * models, by which its `tokenizer.json` is recognised. Others are refused: a regular expression from outside may take for ever
 * (catastrophic backtracking), and these do not.
 */

/** GPT-2's (Radford et al. 2019, `encoder.py`), which SmolLM uses too. */
export const wordPattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const upper = String.raw`\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}`;
const lower = String.raw`\p{Ll}\p{Lm}\p{Lo}\p{M}`;
const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;

/** Patterns by the family that has them, as their files spell them. */
export const wordPatterns = {
  gpt2: wordPattern,
  llama3: String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`,
  qwen2: String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`,
  qwen3_5: String.raw`${contractions}|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|${spaces}`,
  tekken: String.raw`[^\r\n\p{L}\p{N}]?[${upper}]*[${lower}]+|[^\r\n\p{L}\p{N}]?[${upper}]+[${lower}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${spaces}`,
} as const;
export type WordPattern = keyof typeof wordPatterns;

/**
 * In these patterns `\s` means Unicode's White_Space, which JavaScript's `\s` does not quite, and `(?i:...)` folds case as Unicode
 * does: the long s is an s.
 */
export function wordRegExp(name: WordPattern): RegExp {
  const source = wordPatterns[name]
    .replaceAll(String.raw`\s`, String.raw`\p{White_Space}`)
    .replaceAll(String.raw`\S`, String.raw`\P{White_Space}`)
    .replace(contractions, "'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])");
  return new RegExp(source, "gu");
}

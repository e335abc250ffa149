import type { Tokenizer } from "./bpe.js";

/** Text of tokens that come one by one. A character that is cut between tokens is held back until it is whole. */
export interface StreamDecoder {
  /**
   * The text that is certain with this token: whole characters only, so it may be empty.
   * @throws RangeError for an id outside the vocabulary
   */
  push(id: number): string;
  /** What was held back, as U+FFFD, and a fresh start. */
  end(): string;
}

/**
 * A decoder of a text that goes on from another. All its pieces together are `decode` of all its tokens, but for the space that
 * SentencePiece's tokenizers put before every text and take away in `decode`: here it stays, since it parts two words.
 */
export function createStreamDecoder(tokenizer: Pick<Tokenizer, "tokenBytes">): StreamDecoder {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(tokenizer.tokenBytes(id), { stream: true }),
    end: () => decoder.decode(),
  };
}

const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/**
 * A token as OpenAI's interface lists it beside its log-probability. One that is no whole characters is spelled by its bytes,
 * e.g. `\xf0\x9f\x98`.
 *
 * @throws RangeError for an id outside the vocabulary
 */
export function listedToken(
  tokenizer: Pick<Tokenizer, "tokenBytes">,
  id: number,
): { token: string; bytes: number[] } {
  const bytes = Array.from(tokenizer.tokenBytes(id));
  try {
    return { token: strict.decode(Uint8Array.from(bytes)), bytes };
  } catch {
    return { token: bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""), bytes };
  }
}

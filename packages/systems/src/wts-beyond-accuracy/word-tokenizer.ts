import { type Tokenizer, UserError } from "outgrow";

const end = "<|end|>";

/** A token for each of some words, and an end token with the id 0: for texts of a small world, where nothing else occurs. */
export function wordTokenizer(words: readonly string[]): Tokenizer {
  const tokens = [end, ...words];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const bytes = tokens.map((token, id) => Buffer.from(id === 0 ? token : ` ${token}`));
  const tokenOf = (id: number) => {
    if (id in tokens) return tokens[id];
    throw new RangeError(`There is no token ${id}; ids are 0 to ${tokens.length - 1}.`);
  };
  return {
    vocabularySize: tokens.length,
    specialTokens: { [end]: 0 },
    encode(text) {
      const found = text.split(/\s+/).filter((word) => word !== "");
      return Int32Array.from(found, (word) => {
        const id = ids.get(word);
        if (id !== undefined) return id;
        throw new UserError(`the word ${JSON.stringify(word)} is not in the vocabulary of ${words.length}`, {
          hint: "This tokenizer is for the texts of one world; other texts need trainBpe or a loaded tokenizer.",
        });
      });
    },
    decode: (given, { skipSpecialTokens = false } = {}) =>
      Array.from(given, tokenOf)
        .filter((token) => !(skipSpecialTokens && token === end))
        .join(" "),
    tokenBytes(id) {
      tokenOf(id);
      return bytes[id];
    },
    toJSON: () => ({ words: tokens }),
  };
}

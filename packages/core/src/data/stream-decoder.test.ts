import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { trainBpe } from "./bpe.js";
import { createStreamDecoder, listedToken } from "./stream-decoder.js";

const tokenizer = trainBpe(["the cat's hat, the cat's mat; 日本語 👩‍👧 日本語"], {
  vocabularySize: 300,
  specialTokens: ["<|end|>"],
});
const anyIds = fc.array(fc.nat(tokenizer.vocabularySize - 1));

describe("streaming", () => {
  test("the pieces together are the text, of any ids whatever", () => {
    fc.assert(
      fc.property(anyIds, (ids) => {
        const stream = createStreamDecoder(tokenizer);
        const pieces = ids.map((id) => stream.push(id));
        expect([...pieces, stream.end()].join("")).toBe(tokenizer.decode(ids));
      }),
      { numRuns: 1000 },
    );
  });

  test("every piece of a text is whole characters, given as soon as they are whole", () => {
    const text = fc.string({ unit: "binary" }).map((string) => Buffer.from(string).toString());
    fc.assert(
      fc.property(text, (text) => {
        const stream = createStreamDecoder(tokenizer);
        const ids = Array.from(tokenizer.encode(text));
        let given = "";
        for (const [i, id] of ids.entries()) {
          given += stream.push(id);
          // What may be held back is less than one character, i.e. at most 3 bytes.
          const bytes = ids.slice(0, i + 1).reduce((sum, id) => sum + tokenizer.tokenBytes(id).length, 0);
          expect(text.slice(0, given.length)).toBe(given);
          expect(bytes - Buffer.byteLength(given)).toBeLessThan(4);
          expect(Buffer.from(given).toString()).toBe(given);
        }
        expect(stream.end()).toBe("");
      }),
      { numRuns: 300 },
    );
  });

  test("a character cut off by the end becomes U+FFFD, and the decoder can be used again", () => {
    const stream = createStreamDecoder(tokenizer);
    const idOf = (byte: number) =>
      Array.from({ length: tokenizer.vocabularySize }, (_, id) => id).find(
        (id) => tokenizer.tokenBytes(id).length === 1 && tokenizer.tokenBytes(id)[0] === byte,
      ) as number;
    expect(stream.push(idOf(0xc3))).toBe("");
    expect(stream.end()).toBe("\uFFFD");
    expect(stream.push(idOf(0xc3)) + stream.push(idOf(0xa9))).toBe("é");
  });

  test("a token outside the vocabulary is refused", () => {
    expect(() => createStreamDecoder(tokenizer).push(tokenizer.vocabularySize)).toThrow(RangeError);
  });
});

test("tokens are listed with their text and bytes, parts of characters as bytes", () => {
  expect(listedToken(tokenizer, 0)).toEqual({ token: "<|end|>", bytes: [...Buffer.from("<|end|>")] });
  const [part] = tokenizer.encode("😀");
  expect(listedToken(tokenizer, part)).toEqual({
    token: [...tokenizer.tokenBytes(part)].map((byte) => `\\x${byte.toString(16)}`).join(""),
    bytes: [...tokenizer.tokenBytes(part)],
  });
  const listed = Array.from(tokenizer.encode("日本語 😀"), (id) => listedToken(tokenizer, id).bytes).flat();
  expect(Buffer.from(listed).toString()).toBe("日本語 😀");
});

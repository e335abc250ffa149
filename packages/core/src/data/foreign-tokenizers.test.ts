import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tokenizerFromJSON } from "./bpe.js";
import { createStreamDecoder } from "./stream-decoder.js";
import { hostileText, tokenizerFiles } from "./testing/tokenizer-files.js";

/** As UTF-8 has it: lone surrogates are U+FFFD. */
const wellFormed = hostileText.map((text) => Buffer.from(text).toString());

/** Without the two spaces of which Hugging Face's JavaScript makes something else than its Rust. */
const plain = wellFormed.map((text) => text.replace(/[\uFEFF\u0085]/g, ""));
/** And without the numbers other than 0 to 9, which its rule of digits knows in Rust alone. */
const plainDigits = plain.map((text) => text.replace(/(?![0-9])\p{N}/gu, ""));

describe.each(Object.keys(tokenizerFiles))("the form of %s", (family) => {
  const file = tokenizerFiles[family];
  const ours = tokenizerFromJSON(file);
  const theirs = new HuggingFaceTokenizer(file, {});

  test("any text has the ids of Hugging Face's library, with and without special tokens", () => {
    fc.assert(
      fc.property(family === "SmolLM" ? plainDigits : plain, fc.boolean(), (text, addSpecialTokens) => {
        expect(Array.from(ours.encode(text, { addSpecialTokens }))).toEqual(
          theirs.encode(text, { add_special_tokens: addSpecialTokens }).ids,
        );
      }),
      { numRuns: 400 },
    );
  });

  test("ids have the text of Hugging Face's library", () => {
    fc.assert(
      fc.property(plain, fc.boolean(), (text, skipSpecialTokens) => {
        const ids = Array.from(ours.encode(text, { addSpecialTokens: true }));
        if (ids.length === 0) return;
        const options = { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false };
        expect(ours.decode(ids, { skipSpecialTokens })).toBe(theirs.decode(ids, options));
      }),
      { numRuns: 200 },
    );
  });

  test("a stream of ids has the same text, but for the space before it", () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const ids = ours.encode(text);
        const stream = createStreamDecoder(ours);
        const streamed = [...ids].map((id) => stream.push(id)).join("") + stream.end();
        expect([streamed, streamed.replace(/^ /, "")]).toContain(ours.decode(ids));
      }),
      { numRuns: 100 },
    );
  });

  test("it is written as it was read", () => {
    expect(JSON.parse(JSON.stringify(ours))).toEqual(file);
  });
});

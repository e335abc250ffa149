import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { type Tokenizer, tokenizerFromJSON, trainBpe } from "./bpe.js";

interface TokenizerJSON {
  added_tokens: { id: number; content: string }[];
  normalizer: object | null;
  pre_tokenizer: object;
  post_processor: object | null;
  model: { type: string; vocab: Record<string, number>; merges: unknown[]; dropout: number | null };
}

const toJSON = (tokenizer: Tokenizer): TokenizerJSON => JSON.parse(JSON.stringify(tokenizer));

/** Merges as text, e.g. "Ġ t". */
const mergesOf = (tokenizer: Tokenizer) => toJSON(tokenizer).model.merges;

const corpus = [
  "The cat sat on the mat. The cat's mat wasn't flat; that's that!",
  "Whitespace  runs   matter:\n\n\tindented\r\n  lines   and trailing   ",
  "Numbers 123 4567 89, naïve café Ünïcödé, 日本語のテキスト と 中文, Привет, мир",
  "emoji 👩‍👩‍👧‍👦 🇫🇷 👍🏽 and combining e\u0301 a\u0308\u0323 <|end|> after",
].flatMap((text) => Array.from({ length: 5 }, () => text));

const trained = trainBpe(corpus, { vocabularySize: 400, specialTokens: ["<|pad|>", "<|end|>", "<|end|>x"] });

/** Texts with what tokenizers get wrong: white space of all kinds, contractions, marks, emoji, lone surrogates. */
const quirks = [
  "<|end|>",
  "<|end|>x",
  "<|pad|>",
  "<|",
  " ",
  "  ",
  "\n",
  "\r\n",
  "\t",
  "'s",
  "'LL",
  "\u0301",
  "👩‍👧",
  "🇫🇷",
].concat([
  "\uFEFF",
  "\u0085",
  "\u00A0",
  "\u3000",
  "\u200D",
  "\uD83D",
  "\uDC00",
  "\0",
  "１２",
  "Ⅷ",
  "the cat",
  "aaaa",
]);
const anyText = fc
  .array(fc.oneof(fc.constantFrom(...quirks), fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" })))
  .map((parts) => parts.join(""));

describe("training", () => {
  test("the most frequent pair first, ties to the lowest ids", () => {
    // "ab" 3 times, "bc" and "cd" twice each.
    const tokenizer = trainBpe(["ab", "abc", "abc", "cd", "cd"], { vocabularySize: 300, specialTokens: [] });
    expect(mergesOf(tokenizer)).toEqual(["a b", "c d", "ab c"]);
    expect(tokenizer.vocabularySize).toBe(259);
  });

  test("the merges are those of the slow textbook algorithm", () => {
    const words = fc.array(fc.stringMatching(/^([ab]{1,20}|[abc]{1,8})$/), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        words,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 256, max: 290 }),
        (texts, minFrequency, size) => {
          const tokenizer = trainBpe(texts, { vocabularySize: size, minFrequency, specialTokens: [] });
          expect(mergesOf(tokenizer)).toEqual(slowMerges(texts, size, minFrequency));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("the order of the texts does not matter", () => {
    const texts = corpus.flatMap((text) => text.split(" "));
    const options = { vocabularySize: 350, specialTokens: [] };
    const shuffled = Array.from(createRandom(1).permutation(texts.length), (i) => texts[i]);
    expect(toJSON(trainBpe(shuffled, options))).toEqual(toJSON(trainBpe(texts, options)));
  });

  test("special tokens come first and are never learned from", () => {
    expect(trained.specialTokens).toEqual({ "<|pad|>": 0, "<|end|>": 1, "<|end|>x": 2 });
    const tokenizer = trainBpe(["<s><s><s><s>"], { vocabularySize: 300, specialTokens: ["<s>"] });
    expect(mergesOf(tokenizer)).toEqual([]);
  });

  test.each([
    [{ vocabularySize: 256, specialTokens: ["<s>"] }, "has 256 tokens, expected at least 257"],
    [{ vocabularySize: 300.5, specialTokens: [] }, "has 300.5 tokens"],
    [{ vocabularySize: 300, specialTokens: ["<s>", "<s>"] }, 'token "<s>" is in the vocabulary twice'],
    [{ vocabularySize: 300, specialTokens: ["a"] }, 'token "a" is in the vocabulary twice'],
    [{ vocabularySize: 300, specialTokens: [""] }, "empty"],
    [{ vocabularySize: 300, specialTokens: [], minFrequency: 0 }, "expected at least 1"],
  ])("%j is refused", (options, message) => {
    expect(() => trainBpe(["text"], options)).toThrowError(
      expect.objectContaining({ name: "UserError", message: expect.stringContaining(message), exitCode: 2 }),
    );
  });
});

describe("encoding", () => {
  test("decoding gives the text back; lone surrogates become U+FFFD", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(trained.decode(trained.encode(text))).toBe(Buffer.from(text).toString());
      }),
    );
  });

  test("the longest special token wins", () => {
    expect(trained.encode("<|end|>x<|end|>")).toEqual(Int32Array.of(2, 1));
  });

  test("no text has no tokens, and tokens outside the vocabulary are refused", () => {
    expect(trained.encode("")).toEqual(new Int32Array(0));
    expect(trained.decode([])).toBe("");
    for (const id of [-1, trained.vocabularySize, 0.5])
      expect(() => trained.decode([id])).toThrow(RangeError);
  });

  test("a word of a million bytes is no trap", () => {
    const tokenizer = trainBpe(["aaaaaaaa aaaaaaaa"], { vocabularySize: 300, specialTokens: [] });
    expect(tokenizer.encode("a".repeat(2 ** 20)).length).toBe(2 ** 20 / 8);
  });
});

describe("tokenizer.json", () => {
  const theirs = new HuggingFaceTokenizer(toJSON(trained), {});

  test("Hugging Face's library gives the same ids for any text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(Array.from(trained.encode(text))).toEqual(theirs.encode(text).ids);
      }),
      { numRuns: 1000 },
    );
  });

  test("Hugging Face's library decodes to the same text", () => {
    const text = corpus.join(" ");
    const decoded = theirs.decode(Array.from(trained.encode(text)), { clean_up_tokenization_spaces: false });
    expect(decoded).toBe(text);
  });

  test("what is read back encodes the same", () => {
    const again = tokenizerFromJSON(toJSON(trained));
    expect(toJSON(again)).toEqual(toJSON(trained));
    for (const text of corpus) expect(again.encode(text)).toEqual(trained.encode(text));
  });

  test("GPT-2's own form is read: ByteLevel alone, special token last, merges as lists", () => {
    const json = toJSON(trainBpe(corpus, { vocabularySize: 300, specialTokens: [] }));
    const tokenizer = tokenizerFromJSON({
      ...json,
      added_tokens: [{ id: 300, content: "<|endoftext|>", special: true }],
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
      post_processor: { type: "ByteLevel", trim_offsets: false },
      model: { ...json.model, merges: json.model.merges.map((merge) => String(merge).split(" ")) },
    });
    expect(tokenizer.encode("<|endoftext|>The cat")[0]).toBe(300);
    expect(tokenizer.vocabularySize).toBe(301);
  });

  test.each<[string, (json: TokenizerJSON) => unknown, string]>([
    ["no object", () => [], "the file is not an object"],
    ["no model", (json) => ({ ...json, model: null }), "model is not an object"],
    [
      "another model",
      ({ model, ...json }) => ({ ...json, model: { ...model, type: "Unigram" } }),
      '"Unigram"',
    ],
    ["dropout", ({ model, ...json }) => ({ ...json, model: { ...model, dropout: 0.1 } }), "uses dropout"],
    ["a normalizer", (json) => ({ ...json, normalizer: { type: "NFKC" } }), 'its normalizer is "NFKC"'],
    [
      "another post-processor",
      (json) => ({ ...json, post_processor: { type: "RobertaProcessing" } }),
      'its post_processor is "RobertaProcessing"',
    ],
    [
      "other words",
      (json) => ({ ...json, pre_tokenizer: { type: "Whitespace" } }),
      "pre_tokenizer does not end in ByteLevel",
    ],
    ["a gap in the ids", (json) => vocab(json, { zz: 5000 }), "ids are not 0 to"],
    ["an id twice", (json) => vocab(json, { zz: 17 }), "not one to one"],
    ["a huge id", (json) => vocab(json, { zz: 4e9 }), 'token "zz" has no valid id'],
    ["an id that is none", (json) => vocab(json, { zz: -1 }), 'token "zz" has no valid id'],
    ["a missing byte", (json) => vocab(json, { a: undefined }), "ids are not 0 to"],
    ["a foreign letter", (json) => vocab(json, { 語: 400 }), 'token "語" is not spelled in bytes'],
    [
      "a merge of no tokens",
      ({ model, ...json }) => ({ ...json, model: { ...model, merges: ["q qq"] } }),
      '"q qq"',
    ],
    [
      "a merge without result",
      ({ model, ...json }) => ({ ...json, model: { ...model, merges: ["q x"] } }),
      "no token for",
    ],
  ])("%s is refused", (_, change, message) => {
    const json = JSON.parse(JSON.stringify(change(toJSON(trained))));
    expect(() => tokenizerFromJSON(json)).toThrowError(
      expect.objectContaining({ name: "UserError", message: expect.stringContaining(message), exitCode: 2 }),
    );
  });
});

const agNews = join(import.meta.dirname, "../../../../../shared/data/ag_news/test.csv");

test("AG News: 4,096 tokens within seconds, and the same ids as Hugging Face's", ({ skip }) => {
  skip(!existsSync(agNews), `${agNews} is not there`);
  const texts = readFileSync(agNews, "utf8").split("\n");
  const start = performance.now();
  const tokenizer = trainBpe(texts, { vocabularySize: 4096, specialTokens: ["<|end|>"] });
  expect(performance.now() - start).toBeLessThan(10_000);
  expect(tokenizer.vocabularySize).toBe(4096);
  const theirs = new HuggingFaceTokenizer(toJSON(tokenizer), {});
  for (const text of texts.slice(0, 1000))
    expect(Array.from(tokenizer.encode(text))).toEqual(theirs.encode(text).ids);
});

function vocab(json: TokenizerJSON, tokens: Record<string, number | undefined>): unknown {
  return { ...json, model: { ...json.model, vocab: { ...json.model.vocab, ...tokens } } };
}

/** Byte-pair encoding as in the paper's listing: count all pairs of all words anew for every merge. */
function slowMerges(texts: string[], vocabularySize: number, minFrequency: number): string[] {
  let words = texts.map((text) => [...text]);
  // Ids of the letters are their bytes, and every new token is the next one.
  const ids = new Map([..."abc"].map((letter) => [letter, letter.charCodeAt(0)]));
  const merges: string[] = [];
  for (let size = 256; size < vocabularySize; size = 253 + ids.size) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]} ${word[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const key = (pair: string) => pair.split(" ").map((token) => ids.get(token) as number);
    const [best] = [...counts].sort(
      ([a, m], [b, n]) => n - m || key(a)[0] - key(b)[0] || key(a)[1] - key(b)[1],
    );
    if (best === undefined || best[1] < minFrequency) break;
    const [left, right] = best[0].split(" ");
    if (!ids.has(left + right)) ids.set(left + right, 253 + ids.size);
    if (!merges.includes(best[0])) merges.push(best[0]);
    words = words.map((word) => {
      const merged: string[] = [];
      for (let i = 0; i < word.length; i++) {
        const isPair = word[i] === left && word[i + 1] === right;
        merged.push(isPair ? left + right : word[i]);
        if (isPair) i++;
      }
      return merged;
    });
  }
  return merges;
}

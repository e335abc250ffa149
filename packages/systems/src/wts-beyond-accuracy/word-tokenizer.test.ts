import { expect, test } from "vitest";
import { wordTokenizer } from "./word-tokenizer.js";

const tokenizer = wordTokenizer(["boat", "hit", "?"]);

test("a token for each word, and its text back", () => {
  expect([...tokenizer.encode("hit  boat ?\n")]).toEqual([2, 1, 3]);
  expect(tokenizer.decode([2, 1, 3])).toBe("hit boat ?");
  expect(tokenizer.decode([2, 0, 1], { skipSpecialTokens: true })).toBe("hit boat");
  expect(tokenizer.vocabularySize).toBe(4);
  expect(tokenizer.encode("")).toHaveLength(0);
});

test("other words and other ids are refused", () => {
  expect(() => tokenizer.encode("boat ship")).toThrow('"ship" is not in the vocabulary of 3');
  expect(() => tokenizer.decode([4])).toThrow("ids are 0 to 3");
  expect(() => tokenizer.tokenBytes(-1)).toThrow("no token -1");
});

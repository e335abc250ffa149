import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Tokenizer, trainBpe } from "../../data/bpe.js";
import type { ConstraintState } from "../generation.js";
import { createGenerator } from "../generator.js";
import { createTableDecoder } from "../testing/table-decoder.js";
import {
  jsonConstraint,
  jsonSchemaConstraint,
  regexConstraint,
  type Tool,
  toolCallConstraint,
} from "./constraints.js";

const tokenizer = trainBpe(
  ['{"name": "Köln", "x": [1, 22, 333], "日本": "日本語"}', "abab cdcd é日😀 abab cdcd"].flatMap((text) => [
    text,
    text,
  ]),
  { vocabularySize: 330, specialTokens: ["<|end|>", "<|other|>"] },
);
const [end, other] = [0, 1];

const after = (state: ConstraintState, text: string): ConstraintState => {
  let next = state;
  for (const token of tokenizer.encode(text)) next = next.after(token);
  return next;
};
const firstBytes = (state: ConstraintState) =>
  new Set(
    Array.from(state.allowed.keys())
      .filter((id) => state.allowed[id] === 1)
      .map((id) => tokenizer.tokenBytes(id)[0]),
  );

describe("the mask of a state", () => {
  test("allows exactly the tokens whose bytes can be the next of some text, also within a character", () => {
    // Every text of the language, so that what may come next is known without an automaton.
    const texts = ["ab", "abab", "aé", "日本", "日x", "😀", "cdcd ab"];
    const constraint = regexConstraint(
      "(ab)+|aé|日[本x]|😀|cdcd ab".replace("(ab)+", "(ab){1,2}"),
      tokenizer,
      [end],
    );
    const check = (state: ConstraintState, written: Buffer) => {
      const goesOn = (bytes: Buffer) =>
        texts.some((text) => Buffer.from(text).subarray(0, bytes.length).equals(bytes));
      const isText = texts.some((text) => Buffer.from(text).equals(written));
      expect(state.mayEnd).toBe(isText);
      for (let id = 0; id < tokenizer.vocabularySize; id++) {
        const expected =
          id === end ? isText : id !== other && goesOn(Buffer.concat([written, tokenizer.tokenBytes(id)]));
        expect(state.allowed[id], `${id} after ${written}`).toBe(expected ? 1 : 0);
        if (expected && id !== end)
          check(state.after(id), Buffer.concat([written, tokenizer.tokenBytes(id)]));
      }
    };
    check(constraint.start(), Buffer.alloc(0));
  });

  test("never has special tokens, though their spelling fits", () => {
    const constraint = regexConstraint("[<|a-z>]+", tokenizer, [end]);
    const state = after(constraint.start(), "a");
    expect([state.allowed[end], state.allowed[other]]).toEqual([1, 0]);
    expect(() => state.after(other)).toThrow("token 1 may not come next");
  });

  test("after the end nothing is allowed; several end tokens are all allowed where the text may end", () => {
    const state = after(regexConstraint("a|ab", tokenizer, [end, 290]).start(), "a");
    expect([state.mayEnd, state.allowed[end], state.allowed[290]]).toEqual([true, 1, 1]);
    expect(state.after(290)).toMatchObject({ mayEnd: true });
    expect(state.after(end).allowed.includes(1)).toBe(false);
    expect(() => regexConstraint("ab", tokenizer, [end]).start().after(end)).toThrow("may not come next");
    expect(() => regexConstraint("a", tokenizer, [999])).toThrow("end token 999 is not one of the");
  });

  test("is empty for no state: a tokenizer that cannot write what must come is refused there", () => {
    const letters = ["<|end|>", "a", "b"].map((text) => Buffer.from(text));
    const poor: Tokenizer = {
      ...tokenizer,
      vocabularySize: 3,
      specialTokens: { "<|end|>": 0 },
      tokenBytes: (id) => letters[id],
    };
    const state = regexConstraint("ab?c", poor, [0]).start().after(1);
    expect([...state.allowed]).toEqual([0, 0, 1]);
    expect(() => state.after(2).allowed).toThrowError(
      expect.objectContaining({
        name: "UserError",
        message: expect.stringContaining("no token of the vocabulary can go on"),
      }),
    );
  });
});

describe("a tool call", () => {
  const tool = (name: string, parameters?: object): Tool => ({
    type: "function",
    function: { name, parameters },
  });
  const node = {
    type: "object",
    properties: { next: { $ref: "#" }, v: { type: "integer" } },
    required: ["v"],
  };
  const tools = [
    tool("weather", {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 9 } },
      required: ["city"],
    }),
    tool("walk", node),
    tool("stop"),
  ];
  const constraint = toolCallConstraint(tools, tokenizer, [end]);

  test.each([
    ['{"name": "weather", "arguments": {"city": "Köln", "days": 3}}', true],
    ['{"name":"walk","arguments":{"next":{"v":1},"v":-2}}', true],
    ['{"name": "stop", "arguments": {}}', true],
  ])("%s", (call) => {
    expect(after(constraint.start(), call).mayEnd).toBe(true);
  });

  test.each([
    ['{"name": "weather", "arguments": {"days": ', "a required argument is missing"],
    ['{"name": "stop", "arguments": {"', "arguments of another tool"],
    ['{"name": "w', ""],
    ['{"arguments"', "the name comes first"],
  ])("%s %s", (beginning, why) => {
    const write = () => after(constraint.start(), beginning);
    if (why === "") expect(firstBytes(write())).toEqual(new Set(Buffer.from("ea")));
    else expect(write).toThrow("may not come next");
  });

  test("refuses no tools, two of one name, and a schema that it cannot keep to, by the tool's name", () => {
    expect(() => toolCallConstraint([], tokenizer, [end])).toThrow("no tools");
    expect(() => toolCallConstraint([tool("a"), tool("a")], tokenizer, [end])).toThrow(
      'two tools are called "a"',
    );
    expect(() => toolCallConstraint([tool("a", { not: {} })], tokenizer, [end])).toThrow(
      'tool "a": schema, #/not: the keyword "not"',
    );
  });
});

describe("generating", () => {
  // A model without an idea: it likes every token equally, and does not know the end.
  const decoder = createTableDecoder(
    (tokens) => Array.from({ length: tokenizer.vocabularySize }, (_, id) => Math.sin(id * 7 + tokens.length)),
    {
      vocabularySize: 330,
      contextLength: 400,
    },
  );
  const generator = createGenerator({ decoder, tokenizer, endTokens: [end] });
  const prompt = tokenizer.encode("abab");

  test("whatever the model, texts that come to their end are of the form asked for", async () => {
    const schema = {
      type: "object",
      properties: {
        a: { type: "integer" },
        b: { enum: ["x", "日本"] },
        c: { type: "array", items: { type: "boolean" }, maxItems: 3 },
      },
      required: ["a", "b"],
    };
    const form = jsonSchemaConstraint(schema, tokenizer, [end]);
    const generations = await generator.sample({ prompt, constraint: form, temperature: 1.5 }, 40);
    for (const { text, finishReason } of generations) {
      expect(finishReason).toBe("stop");
      expect(JSON.parse(text)).toMatchObject({
        a: expect.any(Number),
        b: expect.stringMatching(/^(x|日本)$/),
      });
    }
    const { text } = await generator.generate({
      prompt,
      constraint: regexConstraint("(ab|é){3}", tokenizer, [end]),
      temperature: 0,
    });
    expect(text).toMatch(/^(ab|é){3}$/);
    expect(decoder.rowsInUse).toBe(0);
  });

  test("what is cut at its length is the beginning of such a text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 12 }), async (seed, maxTokens) => {
        const constraint = jsonConstraint(tokenizer, [end], { kind: "object" });
        const { tokens, finishReason } = await generator.generate({ prompt, constraint, seed, maxTokens });
        let state = constraint.start();
        for (const { id } of tokens) {
          expect(state.allowed[id]).toBe(1);
          state = state.after(id);
        }
        if (finishReason === "stop") expect(state.mayEnd).toBe(true);
      }),
      { numRuns: 20 },
    );
  });
});

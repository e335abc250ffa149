import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Tokenizer, trainBpe } from "../../data/bpe.js";
import { createRandom } from "../../random.js";
import type { Constraint, ConstraintState } from "../generation.js";
import { jsonConstraint, jsonSchemaConstraint } from "./constraints.js";
import { parseJsonSchema } from "./json-schema.js";

const ajv = new Ajv2020({
  strict: false,
  allErrors: true,
  formats: { date: isDate, "date-time": isDateTime },
});

function isDate(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text.padStart(10, "0");
}

function isDateTime(text: string): boolean {
  return isDate(text.slice(0, 10)) && !Number.isNaN(Date.parse(`2000-01-01${text.slice(10)}`));
}

const end = 0;
const corpus = [
  '{"name": "Köln", "size": 12.5, "tags": ["a", "b"], "ok": true, "none": null}',
  '{"a":1,"b":[{"c":"日本"},false],"kind":"dog","date":"2024-02-29"} -0.125 1e10 \\"\\\\\\n\\u00e9 "x": "y"',
];
const tokenizers = [260, 300, 340].map((vocabularySize) =>
  trainBpe(
    corpus.flatMap((text) => [text, text]),
    { vocabularySize, specialTokens: ["<|end|>", "<|x|>"] },
  ),
);

/** Tokens chosen at random among the allowed ones, those that close something more often; undefined where it has no end yet. */
function randomText(
  constraint: Constraint,
  tokenizer: Tokenizer,
  seed: number,
  steps = 400,
): string | undefined {
  const random = createRandom(seed);
  const closing = new Set(['"', "}", "]", "1"].map((text) => tokenizer.encode(text)[0]));
  const tokens: number[] = [];
  let state = constraint.start();
  for (let i = 0; i < steps; i++) {
    const allowed = Array.from(state.allowed.keys()).filter((id) => state.allowed[id] === 1);
    const preferred = allowed.filter((id) => id === end || closing.has(id));
    const among = preferred.length > 0 && random.uniform() < 0.5 ? preferred : allowed;
    const token = among[random.integer(among.length)];
    if (token === end) return tokenizer.decode(tokens);
    tokens.push(token);
    state = state.after(token);
  }
  return undefined;
}

/** Whether the constraint lets a text be written, in tokens cut at random places, and end there. */
function allows(constraint: Constraint, tokenizer: Tokenizer, text: string, seed = 1): boolean {
  const random = createRandom(seed);
  let state: ConstraintState = constraint.start();
  const characters = Array.from(text);
  for (let at = 0; at < characters.length; ) {
    const length = 1 + random.integer(6);
    for (const token of tokenizer.encode(characters.slice(at, at + length).join(""))) {
      if (state.allowed[token] === 0) return false;
      state = state.after(token);
    }
    at += length;
  }
  return state.mayEnd && state.allowed[end] === 1;
}

const scalar = fc.oneof(
  fc.constantFrom(
    { type: "boolean" },
    { type: "null" },
    { type: "integer" },
    { type: "number" },
    { type: "string" },
    { enum: ["red", "reddish", 'gr"een', 4, null, { a: [1, "x"] }, true] },
    { enum: ["red", 4, 4.5, null], type: ["integer", "null"] },
    { const: ["é", { "": -1e-9 }] },
    { type: "string", format: "date" },
    { type: "string", format: "date-time" },
    { type: "string", pattern: "^[a-z]{2,4}[0-9]?$" },
    { type: "string", pattern: '["\\\\\\n]é|^x$' },
    { type: ["string", "integer"], maxLength: 3, minimum: 5, maximum: 1234 },
  ),
  fc
    .tuple(fc.nat(3), fc.nat(3))
    .map(([least, more]) => ({ type: "string", minLength: least, maxLength: least + more })),
  fc
    .tuple(fc.integer({ min: -2000, max: 2000 }), fc.nat(5000), fc.boolean())
    .map(([low, more, exclusive]) =>
      exclusive
        ? { type: "integer", exclusiveMinimum: low - 0.5, exclusiveMaximum: low + more + 1 }
        : { type: "integer", minimum: low, maximum: low + more },
    ),
  fc
    .tuple(
      fc.integer({ min: -200_000, max: 200_000 }),
      fc.nat(300_000),
      fc.constantFrom(1, 100, 1e5),
      fc.boolean(),
    )
    .map(([low, more, unit, exclusive]) =>
      exclusive
        ? { type: "number", exclusiveMinimum: low / unit, exclusiveMaximum: (low + more + 1) / unit }
        : { type: "number", minimum: low / unit, maximum: (low + more) / unit },
    ),
  fc.constantFrom({ type: "number", minimum: 0 }, { type: "integer", exclusiveMaximum: -3 }),
);
const { schema } = fc.letrec<{ schema: object; array: object; object: object; union: object }>((tie) => ({
  schema: fc.oneof({ maxDepth: 3 }, scalar, tie("array"), tie("object"), tie("union")),
  array: fc
    .tuple(tie("schema"), fc.nat(2), fc.nat(3))
    .map(([items, least, more]) => ({ type: "array", items, minItems: least, maxItems: least + more })),
  object: fc
    .tuple(
      fc.dictionary(fc.constantFrom("a", "ab", 'q"', "é", "__proto__x"), tie("schema"), { maxKeys: 4 }),
      fc.uniqueArray(fc.constantFrom("a", "é", "other"), { maxLength: 2 }),
      fc.boolean(),
    )
    .map(([properties, names, open]) => ({
      type: "object",
      properties,
      required: open ? names : names.filter((name) => name in properties),
      additionalProperties: open,
    })),
  union: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
}));

const parses = (text: string) => {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
};

describe("a text that was guided by a schema", () => {
  test("parses and is valid, whichever tokens were chosen", () => {
    let ended = 0;
    fc.assert(
      fc.property(schema, fc.nat(2), fc.nat(), (schema, which, seed) => {
        const tokenizer = tokenizers[which];
        const constraint = satisfiable(schema, tokenizer);
        const text = constraint && randomText(constraint, tokenizer, seed, 200);
        if (text === undefined) return;
        ended++;
        const valid = ajv.validate(schema, JSON.parse(text));
        expect(valid, JSON.stringify({ schema, text, errors: ajv.errors })).toBe(true);
        ajv.removeSchema(schema);
      }),
      { numRuns: 150 },
    );
    expect(ended).toBeGreaterThan(70);
  });

  test("may be any valid text of its form, and no other, in whichever tokens it is cut", () => {
    const small = {
      type: "object",
      properties: {
        a: { type: "array", items: { enum: [1, "x"] }, maxItems: 2 },
        b: { anyOf: [{ type: "boolean" }, { type: "integer", minimum: -1, maximum: 10 }] },
        c: { type: "string", maxLength: 1, pattern: undefined },
      },
      required: ["b"],
      additionalProperties: false,
    };
    const constraint = jsonSchemaConstraint(JSON.parse(JSON.stringify(small)), tokenizers[1], [end]);
    const items = ["", "[]", "[1]", '["x"]', '[1,"x"]', '["x", 1]', "[1,1,1]", "[2]", '{"a":1}'];
    const flags = ["", "true", "false", "-1", "0", "10", "11", "-2", "01", "1.0", "null", '"true"'];
    const strings = ["", '""', '"é"', '"\\n"', '"😀"', '"\\ud83d\\ude00"', '"ab"', "1"];
    let reached = 0;
    for (const a of items) {
      for (const b of flags) {
        for (const c of strings) {
          const properties = [a && `"a":${a}`, b && `"b": ${b}`, c && `"c":${c}`].filter(
            (text) => text !== "",
          );
          const text = `{${properties.join(", ")}}`;
          const parsed = parses(text);
          const valid = parsed !== undefined && ajv.validate(small, parsed.value) && b !== "1.0";
          if (valid) reached++;
          expect(allows(constraint, tokenizers[1], text, reached), text).toBe(valid);
        }
      }
    }
    expect(reached).toBe(6 * 5 * 6);
  });

  test.each([
    [
      "a linked list",
      {
        $ref: "#/$defs/node",
        $defs: { node: { type: "object", properties: { next: { $ref: "#/$defs/node" } }, required: [] } },
      },
      '{"next":{"next": {}}}',
      '{"next":{"next":1}}',
    ],
    ["a tree", { type: "array", items: { $ref: "#" } }, "[[],[[[]], []]]", "[[1]]"],
    ["a name with a slash", { $ref: "#/$defs/a~1b%25", $defs: { "a/b%": { const: 1 } } }, "1", "2"],
    [
      "any keys",
      { type: "object", additionalProperties: { type: "integer" } },
      '{"x":1, "y":2}',
      '{"x":"1"}',
    ],
    ["anything", {}, '{"a":[null, true,-1.5e3,"é"]}', "{a:1}"],
    ["allOf of one", { allOf: [{ type: "null" }] }, "null", "0"],
    ["what its keywords are about", { minLength: 2 }, '"ab"', '"a"'],
    [
      "a tagged union",
      {
        oneOf: [
          {
            type: "object",
            properties: { kind: { const: "a" }, x: { type: "integer" } },
            required: ["kind", "x"],
          },
          { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
        ],
      },
      '{"kind":"a","x":3}',
      '{"kind":"b","x":3}',
    ],
    ["a uuid", { type: "string", format: "uuid" }, '"123e4567-e89b-12d3-a456-426614174000"', '"123e4567"'],
    ["a leap day", { type: "string", format: "date" }, '"2024-02-29"', '"2023-02-29"'],
  ])("%s", (_name, schema, yes, no) => {
    const constraint = jsonSchemaConstraint(schema, tokenizers[0], [end]);
    expect(allows(constraint, tokenizers[0], yes)).toBe(true);
    expect(allows(constraint, tokenizers[0], no)).toBe(false);
  });

  test("integers and decimals within bounds are all there are, to the last digit", () => {
    fc.assert(
      fc.property(fc.integer({ min: -130, max: 130 }), fc.nat(150), fc.boolean(), (low, more, decimals) => {
        const [minimum, maximum] = decimals ? [low / 100, (low + more) / 100] : [low, low + more];
        const type = decimals ? "number" : "integer";
        const constraint = jsonSchemaConstraint({ type, minimum, maximum }, tokenizers[0], [end]);
        for (const value of [
          low - 1,
          low,
          low + 1,
          low + (more >> 1),
          low + more - 1,
          low + more,
          low + more + 1,
          0,
        ]) {
          const number = decimals ? value / 100 : value;
          expect(
            allows(constraint, tokenizers[0], String(number)),
            `${number} in ${minimum}…${maximum}`,
          ).toBe(number >= minimum && number <= maximum);
        }
      }),
      { numRuns: 150 },
    );
  });
});

/** Numbers of the digits and exponents that are written. */
function fewDigits(_key: string, value: unknown): unknown {
  if (typeof value !== "number") return value;
  return Math.abs(value) > 1e14 || Math.abs(value) < 1e-80 ? 0.5 : Number(value.toPrecision(10));
}

/** The schema's constraint, undefined where nothing satisfies it. */
function satisfiable(schema: unknown, tokenizer: Tokenizer): Constraint | undefined {
  try {
    return jsonSchemaConstraint(schema, tokenizer, [end]);
  } catch (error) {
    if (String(error).includes("no text can be JSON of this schema")) return undefined;
    throw error;
  }
}

test("any JSON value may be written, as deep as one likes, and nothing that does not parse", () => {
  const constraint = jsonConstraint(tokenizers[2], [end]);
  fc.assert(
    fc.property(fc.json({ maxDepth: 4, stringUnit: "grapheme" }), fc.nat(), (json, seed) => {
      const text = JSON.stringify(JSON.parse(json, fewDigits));
      expect(allows(constraint, tokenizers[2], text, seed)).toBe(true);
      const written = randomText(constraint, tokenizers[2], seed, 120);
      if (written !== undefined) expect(parses(written), written).toBeDefined();
    }),
    { numRuns: 40 },
  );
  expect(allows(constraint, tokenizers[2], "[".repeat(500) + "]".repeat(500))).toBe(true);
  expect(allows(constraint, tokenizers[2], "[".repeat(500) + "]".repeat(499))).toBe(false);
  expect(allows(jsonConstraint(tokenizers[2], [end], { kind: "object" }), tokenizers[2], "[]")).toBe(false);
});

describe("schemas that are refused", () => {
  test.each([
    [
      { properties: { a: { multipleOf: 2 } } },
      '#/properties/a/multipleOf: the keyword "multipleOf" is not enforced',
    ],
    [{ type: "array", uniqueItems: true }, '"uniqueItems" is not enforced'],
    [{ not: {} }, '"not" is not enforced'],
    [{ type: "string", minimum: 1 }, '"minimum" says nothing about the type string'],
    [{ minimum: 1, minLength: 1 }, 'expected a "type"'],
    [{ type: "text" }, '"text" is no type'],
    [{ type: "string", format: "email" }, 'the format "email" is not enforced'],
    [{ type: "string", pattern: "a(?=b)" }, "position 1: looking ahead"],
    [{ type: "string", pattern: "a", maxLength: 3 }, "not enforced together"],
    [{ type: "string", minLength: -1 }, "expected a whole number from 0, not -1"],
    [{ type: "number", minimum: 1e10 }, "at most 9 digits before the point"],
    [{ type: "number", minimum: "1" }, 'expected a number, not "1"'],
    [{ anyOf: [{}], minLength: 1 }, '"minLength" beside "anyOf" is not enforced'],
    [{ anyOf: [] }, "expected at least one schema"],
    [{ allOf: [{}, {}] }, '"allOf" of several'],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "two alternatives may hold"],
    [{ oneOf: [{ type: "object" }, { type: "object" }] }, "two alternatives may hold"],
    [{ $ref: "other.json" }, "leads out of the schema"],
    [{ $ref: "#/$defs/none" }, "leads nowhere"],
    [{ $ref: "#/constructor" }, "leads nowhere"],
    [{ $ref: "#" }, "#: this schema refers to itself with nothing in between"],
    [
      {
        $defs: { a: { anyOf: [{ $ref: "#/$defs/b" }, { type: "null" }] }, b: { $ref: "#/$defs/a" } },
        type: "array",
        items: { $ref: "#/$defs/a" },
      },
      "refers to itself with nothing in between",
    ],
    [
      { properties: { a: {} }, additionalProperties: { type: "null" } },
      'beside "properties" may be true or false only',
    ],
    [{ required: [1] }, "expected names, not 1"],
    [7, "a schema is an object, true or false, not 7"],
    [
      { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
      "no text can be JSON of this schema",
    ],
    [{ enum: [1, "x"], type: "boolean" }, "no text can be JSON of this schema"],
    [{ type: "array", minItems: 3, maxItems: 2 }, "no text can be JSON of this schema"],
    [{ type: "array", items: false, minItems: 1 }, "no text can be JSON of this schema"],
    [{ type: "string", maxLength: 1e9 }, "too large"],
  ])("%j", (schema, message) => {
    expect(() => jsonSchemaConstraint(schema, tokenizers[0], [end])).toThrowError(
      expect.objectContaining({ name: "UserError", message: expect.stringContaining(message) }),
    );
  });

  test("one that is nested too deeply", () => {
    let schema: unknown = {};
    for (let i = 0; i < 5000; i++) schema = { type: "array", items: schema };
    expect(() => parseJsonSchema(schema)).toThrow("more than 100 deep");
  });
});

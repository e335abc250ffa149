import {
  anyLiteral,
  characters,
  choice,
  complement,
  type Expression,
  literal,
  maxCodePoint,
  optional,
  type Ranges,
  repeat,
  rule,
  sequence,
} from "./expression.js";

/** One space may follow a comma or a colon; there is no other white space. */
const space = optional(literal(" "));
export const comma = sequence([literal(","), space]);
export const colon = sequence([literal(":"), space]);

const digit: Expression = characters([[0x30, 0x39]]);
const hexDigit = characters([
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
]);

/** What a string has an escape of two characters for. */
const shortEscapes: readonly (readonly [character: string, escape: string])[] = [
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
];

const mustEscape: Ranges = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/**
 * One character of the given code points inside a JSON string: as itself where that is possible, else by its shortest escape,
 * so that every character is written in one way.
 */
export function jsonCharacters(ranges: Ranges): Expression {
  const has = (code: number) => ranges.some(([low, high]) => code >= low && code <= high);
  const escapes = shortEscapes
    .filter(([character]) => has(character.charCodeAt(0)))
    .map(([, written]) => written);
  const short = new Set(shortEscapes.map(([character]) => character.charCodeAt(0)));
  for (let code = 0; code < 0x20; code++) {
    if (has(code) && !short.has(code)) escapes.push(`\\u${code.toString(16).padStart(4, "0")}`);
  }
  const plain = characters(complement([...complement(ranges), ...mustEscape]));
  return escapes.length === 0 ? plain : choice([plain, anyLiteral(escapes)]);
}

const quotes = literal('"');

export function jsonStringOf(content: Expression): Expression {
  return sequence([quotes, content, quotes]);
}

/** Any character, also by an escape that it does not need; surrogates in pairs. */
const anyCharacter = rule(
  choice([
    characters(complement(mustEscape)),
    sequence([
      literal("\\"),
      choice([
        anyLiteral(['"', "\\", "/", "b", "f", "n", "r", "t"]),
        sequence([
          literal("u"),
          choice([
            sequence([
              characters([
                [0x30, 0x39],
                [0x41, 0x43],
                [0x45, 0x46],
                [0x61, 0x63],
                [0x65, 0x66],
              ]),
              hexDigit,
              hexDigit,
              hexDigit,
            ]),
            sequence([anyLiteral(["d", "D"]), characters([[0x30, 0x37]]), hexDigit, hexDigit]),
            sequence([
              anyLiteral(["d", "D"]),
              anyLiteral(["8", "9", "a", "b", "A", "B"]),
              hexDigit,
              hexDigit,
              literal("\\u"),
              anyLiteral(["d", "D"]),
              anyLiteral(["c", "d", "e", "f", "C", "D", "E", "F"]),
              hexDigit,
              hexDigit,
            ]),
          ]),
        ]),
      ]),
    ]),
  ]),
);

/** Any string of so many characters (code points). */
export function jsonString(least = 0, most = Infinity): Expression {
  return jsonStringOf(repeat(anyCharacter, least, most));
}

export const anyCodePoint: Ranges = [[0, maxCodePoint]];

const firstDigit = characters([[0x31, 0x39]]);
const minus = optional(literal("-"));

/** Digits before the point: so many that an integer is exact and a number with an exponent stays finite. */
export const maxDigits = 15;

const natural = choice([literal("0"), sequence([firstDigit, repeat(digit, 0, maxDigits - 1)])]);

/** Integers of at most 15 digits: each is a different number, also as a double. */
export const jsonInteger: Expression = rule(sequence([minus, natural]));

/** Numbers with at most 15 digits before the point and after it, and exponents of at most two. */
export const jsonNumber: Expression = rule(
  sequence([
    minus,
    natural,
    optional(sequence([literal("."), repeat(digit, 1, maxDigits)])),
    optional(sequence([anyLiteral(["e", "E"]), optional(anyLiteral(["+", "-"])), repeat(digit, 1, 2)])),
  ]),
);

export const jsonNull = literal("null");
export const jsonBoolean = anyLiteral(["true", "false"]);

/** @param least at least this many items; `most` may be `Infinity` */
export function jsonArray(item: Expression, least = 0, most = Infinity): Expression {
  const inside: Expression[] = [];
  if (most >= Math.max(least, 1)) {
    const items = sequence([item, repeat(sequence([comma, item]), Math.max(least - 1, 0), most - 1)]);
    inside.push(least === 0 ? optional(items) : items);
  } else if (least > most) inside.push(choice([]));
  return sequence([literal("["), ...inside, literal("]")]);
}

export interface Property {
  name: string;
  value: Expression;
  required: boolean;
}

/** An object with these properties, in this order; those that are not required may be missing. */
export function jsonObject(properties: readonly Property[]): Expression {
  // From the last to the first: what may follow where nothing is written yet, and where something is.
  let first: Expression = sequence([]);
  let later: Expression = sequence([]);
  for (const { name, value, required } of properties.toReversed()) {
    const property = rule(sequence([literal(JSON.stringify(name)), colon, value]));
    const begun = sequence([property, later]);
    first = rule(required ? begun : choice([begun, first]));
    const continued = sequence([comma, property]);
    later = rule(sequence([required ? continued : optional(continued), later]));
  }
  return sequence([literal("{"), first, literal("}")]);
}

/** An object with any keys and values of one kind. */
export function jsonMap(value: Expression): Expression {
  const property = rule(sequence([jsonString(), colon, value]));
  return sequence([
    literal("{"),
    optional(sequence([property, repeat(sequence([comma, property]), 0, Infinity)])),
    literal("}"),
  ]);
}

/** Any JSON value. */
export const jsonValue: Expression = (() => {
  const value = rule(choice([]));
  value.rule.body = choice([
    jsonMap(value),
    jsonArray(value),
    jsonString(),
    jsonNumber,
    jsonBoolean,
    jsonNull,
  ]);
  return value;
})();

/** Any JSON object. */
export const jsonAnyObject: Expression = rule(jsonMap(jsonValue));

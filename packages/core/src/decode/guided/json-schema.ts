import { UserError } from "../../errors.js";
import { anyLiteral, choice, type Expression, literal, never, rule, sequence } from "./expression.js";
import {
  colon,
  comma,
  jsonAnyObject,
  jsonArray,
  jsonBoolean,
  jsonCharacters,
  jsonInteger,
  jsonMap,
  jsonNull,
  jsonNumber,
  jsonObject,
  jsonString,
  jsonStringOf,
  jsonValue,
} from "./json-values.js";
import { type Bounds, integersWithin, numbersWithin } from "./number-ranges.js";
import { parseRegex } from "./regex.js";
import { mayOverlap } from "./schema-overlap.js";

export type SchemaObject = Readonly<Record<string, unknown>>;

const maxNesting = 100;

/** Keywords that say nothing about which values are valid. */
const annotations = new Set(
  "$schema $id $comment $defs definitions title description default examples deprecated readOnly writeOnly".split(
    " ",
  ),
);

/** The keywords that are enforced, by the type of the values that they are about. */
const keywordsOf: Readonly<Record<string, readonly string[]>> = {
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  array: ["items", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties"],
  boolean: [],
  null: [],
};
const typeKeywords = new Set(Object.values(keywordsOf).flat());
/** Keywords that stand alone: beside them only annotations, and for values that are listed a type. */
const combining = ["$ref", "enum", "const", "anyOf", "oneOf", "allOf"];

const date =
  "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))" +
  "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
const time =
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const formats = new Map([
  ["date", date],
  ["time", time],
  ["date-time", `${date}T${time}`],
  ["uuid", "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"],
]);

/**
 * The JSON texts of the values that a JSON Schema (2020-12) allows; not all of them, but each is valid:
 *
 * - one space may follow `,` and `:`, and there is no other white space;
 * - properties come in the order of the schema. Beside `properties`, no others are written; an object without `properties` has
 *   any keys, with values as `additionalProperties` says;
 * - integers have at most 15 digits, numbers 15 before the point and 15 after it, with bounds 9 and 6 and no exponent;
 * - where `pattern` or `format` rules a string, characters are escaped only where they must be.
 *
 * Enforced: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `minItems`, `maxItems`,
 * `minLength`, `maxLength`, `pattern`, `format` (date, time, date-time, uuid), `minimum`, `maximum`, `exclusiveMinimum`,
 * `exclusiveMaximum`, `anyOf`, `oneOf` (where its alternatives exclude each other), `allOf` of one, and `$ref` to a place in
 * the schema, also to one that it is in. Annotations such as `title` are passed over.
 *
 * @throws UserError for every other keyword, by its name and place, and for combinations that are not enforced
 */
export function parseJsonSchema(root: unknown): Expression {
  const rules = new Map<SchemaObject, ReturnType<typeof rule>>();
  const places = new Map<SchemaObject, string>();
  /** Which schemas a schema is an alternative or another name of, with nothing written in between. */
  const direct = new Map<SchemaObject, SchemaObject[]>();

  const compile = (schema: unknown, place: string, depth: number): Expression => {
    if (schema === true) return jsonValue;
    if (schema === false) return never;
    if (!isObject(schema)) return fail(place, `a schema is an object, true or false, not ${quote(schema)}`);
    if (depth > maxNesting) fail(place, `schemas more than ${maxNesting} deep`);
    let made = rules.get(schema);
    if (made === undefined) {
      made = rule(never);
      rules.set(schema, made);
      places.set(schema, place);
      made.rule.body = bodyOf(schema, place, depth + 1);
    }
    return made;
  };

  const bodyOf = (schema: SchemaObject, place: string, depth: number): Expression => {
    const keywords = Object.keys(schema).filter((keyword) => !annotations.has(keyword));
    const unknown = keywords.find(
      (keyword) => keyword !== "type" && !typeKeywords.has(keyword) && !combining.includes(keyword),
    );
    if (unknown !== undefined) {
      fail(
        `${place}/${unknown}`,
        `the keyword "${unknown}" is not enforced`,
        "Leave it out, or check it afterwards.",
      );
    }
    const types = typesOf(schema, place);
    const combiner = keywords.find((keyword) => combining.includes(keyword));
    if (combiner !== undefined) {
      const lists = combiner === "enum" || combiner === "const";
      const beside = keywords.find((keyword) => keyword !== combiner && !(lists && keyword === "type"));
      if (beside !== undefined) fail(place, `"${beside}" beside "${combiner}" is not enforced`);
      return combined(combiner, schema, types, place, depth);
    }
    const used = keywords.filter((keyword) => keyword !== "type");
    if (types === undefined) {
      if (used.length === 0) return jsonValue;
      const fitting = ["string", "number", "array", "object"].filter((type) =>
        used.every((keyword) => keywordsOf[type].includes(keyword)),
      );
      if (fitting.length === 0) fail(place, `its keywords are about several types; expected a "type"`);
      return ofType(fitting[0], schema, place, depth);
    }
    const idle = used.find((keyword) => !types.some((type) => keywordsOf[type].includes(keyword)));
    if (idle !== undefined)
      fail(`${place}/${idle}`, `"${idle}" says nothing about the type ${types.join(" or ")}`);
    return choice(types.map((type) => ofType(type, schema, place, depth)));
  };

  const combined = (
    combiner: string,
    schema: SchemaObject,
    types: readonly string[] | undefined,
    place: string,
    depth: number,
  ): Expression => {
    const value = schema[combiner];
    const at = `${place}/${combiner}`;
    if (combiner === "const") return constants([value], types);
    if (combiner === "enum") return constants(list(value, at), types);
    if (combiner === "$ref") {
      const target = resolve(root, value, at);
      if (isObject(target)) direct.set(schema, [target]);
      return compile(target, String(value), depth);
    }
    const alternatives = list(value, at);
    if (alternatives.length === 0) fail(at, "expected at least one schema");
    if (combiner === "allOf" && alternatives.length > 1)
      fail(at, `"allOf" of several schemas is not enforced`);
    direct.set(schema, alternatives.filter(isObject));
    const ways = alternatives.map((alternative, i) => compile(alternative, `${at}/${i}`, depth));
    if (combiner === "oneOf" && mayOverlap(alternatives, (reference) => resolve(root, reference, at))) {
      fail(
        at,
        "two alternatives may hold for the same value",
        'Use "anyOf", or give each a type or a constant of its own.',
      );
    }
    return choice(ways);
  };

  const ofType = (type: string, schema: SchemaObject, place: string, depth: number): Expression => {
    switch (type) {
      case "string":
        return string(schema, place);
      case "integer":
      case "number":
        return number(type, schema, place);
      case "array": {
        const [least, most] = range(schema, "minItems", "maxItems", place);
        if (most === 0) return least === 0 ? literal("[]") : never;
        return jsonArray(compile(schema.items ?? true, `${place}/items`, depth), least, most);
      }
      case "object":
        return object(schema, place, depth);
      case "boolean":
        return jsonBoolean;
      default:
        return jsonNull;
    }
  };

  const object = (schema: SchemaObject, place: string, depth: number): Expression => {
    const { properties = {}, required = [], additionalProperties: others = true } = schema;
    if (!isObject(properties)) return fail(`${place}/properties`, "expected an object of schemas");
    const names = list(required, `${place}/required`);
    for (const name of names) {
      if (typeof name !== "string") fail(`${place}/required`, `expected names, not ${quote(name)}`);
    }
    if (others !== true && others !== false && Object.keys(properties).length > 0) {
      fail(
        `${place}/additionalProperties`,
        '"additionalProperties" beside "properties" may be true or false only',
      );
    }
    const otherValue = compile(others, `${place}/additionalProperties`, depth);
    const needed = new Set(names as string[]);
    const all = new Set([...Object.keys(properties), ...needed]);
    if (all.size === 0)
      return others === false ? literal("{}") : others === true ? jsonAnyObject : jsonMap(otherValue);
    return jsonObject(
      Array.from(all, (name) => ({
        name,
        required: needed.has(name),
        value: Object.hasOwn(properties, name)
          ? compile(properties[name], `${place}/properties/${pointerPart(name)}`, depth)
          : otherValue,
      })),
    );
  };

  const whole = compile(root, "#", 0);
  const circle = findCircle(direct);
  if (circle !== undefined)
    fail(places.get(circle) ?? "#", "this schema refers to itself with nothing in between");
  return whole;
}

function typesOf(schema: SchemaObject, place: string): string[] | undefined {
  if (schema.type === undefined) return undefined;
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  for (const type of types) {
    if (typeof type !== "string" || !Object.hasOwn(keywordsOf, type)) {
      fail(`${place}/type`, `${quote(type)} is no type; expected ${Object.keys(keywordsOf).join(", ")}`);
    }
  }
  return types as string[];
}

function string(schema: SchemaObject, place: string): Expression {
  const { pattern, format } = schema;
  const [least, most] = range(schema, "minLength", "maxLength", place);
  if (pattern === undefined && format === undefined) return jsonString(least, most);
  if (
    [pattern, format, schema.minLength, schema.maxLength].filter((given) => given !== undefined).length > 1
  ) {
    fail(
      place,
      '"pattern", "format" and lengths are not enforced together',
      "Write the length into the pattern, e.g. ^[a-z]{2,5}$.",
    );
  }
  if (pattern !== undefined) {
    if (typeof pattern !== "string")
      return fail(`${place}/pattern`, `expected a regular expression, not ${quote(pattern)}`);
    return jsonStringOf(parseRegex(pattern, { write: jsonCharacters, anywhere: true }));
  }
  const known = typeof format === "string" ? formats.get(format) : undefined;
  if (known === undefined) {
    return fail(
      `${place}/format`,
      `the format ${quote(format)} is not enforced; expected ${[...formats.keys()].join(", ")}`,
    );
  }
  return jsonStringOf(parseRegex(known, { write: jsonCharacters }));
}

function number(type: "integer" | "number", schema: SchemaObject, place: string): Expression {
  const bound = (name: keyof Bounds, missing: number) => {
    const value = schema[name] ?? missing;
    if (typeof value !== "number" || Number.isNaN(value))
      return fail(`${place}/${name}`, `expected a number, not ${quote(value)}`);
    return value;
  };
  const bounds: Bounds = {
    minimum: bound("minimum", -Infinity),
    maximum: bound("maximum", Infinity),
    exclusiveMinimum: bound("exclusiveMinimum", -Infinity),
    exclusiveMaximum: bound("exclusiveMaximum", Infinity),
  };
  if (!Object.values(bounds).some(Number.isFinite)) return type === "integer" ? jsonInteger : jsonNumber;
  return rule(type === "integer" ? integersWithin(bounds) : numbersWithin(bounds));
}

function range(schema: SchemaObject, low: string, high: string, place: string): [number, number] {
  for (const name of [low, high]) {
    const value = schema[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= 0)) {
      fail(`${place}/${name}`, `expected a whole number from 0, not ${quote(value)}`);
    }
  }
  return [(schema[low] as number | undefined) ?? 0, (schema[high] as number | undefined) ?? Infinity];
}

/** The values that are of one of the types. */
function constants(values: readonly unknown[], types: readonly string[] | undefined): Expression {
  const fitting = values.filter(
    (value) => types === undefined || types.some((type) => isOfType(value, type)),
  );
  const simple = fitting.filter((value) => typeof value !== "object" || value === null);
  return choice([
    anyLiteral(simple.map((value) => JSON.stringify(value))),
    ...fitting.filter((value) => typeof value === "object" && value !== null).map(constant),
  ]);
}

function constant(value: unknown): Expression {
  const joined = (items: readonly Expression[]) =>
    items.flatMap((item, i) => (i === 0 ? [item] : [comma, item]));
  if (Array.isArray(value)) return sequence([literal("["), ...joined(value.map(constant)), literal("]")]);
  if (!isObject(value)) return literal(JSON.stringify(value));
  const properties = Object.entries(value).map(([name, item]) =>
    sequence([literal(JSON.stringify(name)), colon, constant(item)]),
  );
  return sequence([literal("{"), ...joined(properties), literal("}")]);
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

/** What a reference such as `#/$defs/node` means. */
function resolve(root: unknown, reference: unknown, place: string): unknown {
  if (typeof reference !== "string" || !/^#(\/|$)/.test(reference)) {
    fail(place, `the reference ${quote(reference)} leads out of the schema; expected #/…`);
  }
  let target = root;
  for (const part of (reference as string).slice(1).split("/").slice(1)) {
    const name = decode(part, place).replaceAll("~1", "/").replaceAll("~0", "~");
    const inside: unknown = target;
    if (typeof inside !== "object" || inside === null || !Object.hasOwn(inside, name)) {
      fail(place, `the reference ${quote(reference)} leads nowhere`);
    }
    target = (inside as Record<string, unknown>)[name];
  }
  return target;
}

function decode(part: string, place: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return fail(place, `the reference part ${quote(part)} is not percent-encoded`);
  }
}

/** A node that a path leads back to, if there is one. */
function findCircle(edges: ReadonlyMap<SchemaObject, readonly SchemaObject[]>): SchemaObject | undefined {
  const done = new Set<SchemaObject>();
  const onPath = new Set<SchemaObject>();
  const visit = (node: SchemaObject): SchemaObject | undefined => {
    if (onPath.has(node)) return node;
    if (done.has(node)) return undefined;
    done.add(node);
    onPath.add(node);
    for (const next of edges.get(node) ?? []) {
      const found = visit(next);
      if (found !== undefined) return found;
    }
    onPath.delete(node);
    return undefined;
  };
  for (const node of edges.keys()) {
    const found = visit(node);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function list(value: unknown, place: string): readonly unknown[] {
  return Array.isArray(value) ? value : fail(place, `expected a list, not ${quote(value)}`);
}

function pointerPart(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function fail(place: string, message: string, hint?: string): never {
  throw new UserError(`schema, ${place}: ${message}`, { hint });
}

function quote(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

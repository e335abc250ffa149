import { UserError } from "../../errors.js";
import {
  characters,
  choice,
  complement,
  type Expression,
  maxCodePoint,
  type Ranges,
  repeat,
  sequence,
} from "./expression.js";

const maxNesting = 200;
const maxRepetitions = 100_000;

export interface RegexOptions {
  /** How one character of a set is written. Default: as UTF-8. */
  write?: (ranges: Ranges) => Expression;
  /** Whether the pattern may stand anywhere in the text, unless `^` and `$` say otherwise. Default: it is the whole text. */
  anywhere?: boolean;
}

/**
 * Parses a regular expression as JavaScript's with the flag `u`: literals, escapes, `.`, classes with ranges and
 * `\d \w \s \p{…}`, groups, alternatives, and `* + ? {n} {n,} {n,m}`, greedy or not (the texts are the same). `^` and `$`
 * are understood where the pattern or one of its outermost alternatives begins and ends.
 *
 * @throws UserError that names what is not regular or not supported (references back, looking ahead or behind, word
 *   boundaries, `^` and `$` elsewhere) and where it is
 */
export function parseRegex(pattern: string, options: RegexOptions = {}): Expression {
  const { write = characters, anywhere = false } = options;
  const source = Array.from(pattern);
  let at = 0;
  let depth = 0;

  const fail = (what: string, position = at): never => {
    throw new UserError(`regular expression ${quote(pattern)}, position ${position}: ${what}`);
  };
  const peek = (text: string) => source.slice(at, at + text.length).join("") === text;
  const take = (text: string) => {
    const found = peek(text);
    if (found) at += text.length;
    return found;
  };

  const whole = (): Expression => {
    const ways: Expression[] = [];
    const rest = repeat(write([[0, maxCodePoint]]), 0, Infinity);
    do {
      const fromStart = take("^") || !anywhere;
      const way = terms();
      const toEnd = take("$") || !anywhere;
      ways.push(sequence([...(fromStart ? [] : [rest]), way, ...(toEnd ? [] : [rest])]));
    } while (take("|"));
    if (at < source.length) fail(source[at] === ")" ? 'this ")" closes nothing' : misplaced(source[at]));
    return choice(ways);
  };

  const alternatives = (): Expression => {
    const ways = [terms()];
    while (take("|")) ways.push(terms());
    return choice(ways);
  };

  const terms = (): Expression => {
    const items: Expression[] = [];
    while (at < source.length && source[at] !== "|" && source[at] !== ")") {
      if (source[at] === "^" || source[at] === "$") {
        // What follows an outermost `$` is looked at by the caller.
        if (source[at] === "$" && depth === 0 && (at + 1 === source.length || source[at + 1] === "|")) break;
        fail(misplaced(source[at]));
      }
      items.push(quantified(atom()));
    }
    return sequence(items);
  };

  const quantified = (item: Expression): Expression => {
    const start = at;
    let bounds: [number, number] | undefined;
    if (take("*")) bounds = [0, Infinity];
    else if (take("+")) bounds = [1, Infinity];
    else if (take("?")) bounds = [0, 1];
    else if (take("{")) bounds = counts(start);
    if (bounds === undefined) return item;
    take("?");
    if (["*", "+", "?", "{"].includes(source[at])) fail("a quantifier of a quantifier");
    return repeat(item, ...bounds);
  };

  const counts = (start: number): [number, number] => {
    const number = () => {
      const from = at;
      while (/^[0-9]$/.test(source[at] ?? "")) at++;
      return from === at ? undefined : Number(source.slice(from, at).join(""));
    };
    const least = number();
    const open = take(",");
    const most = open ? number() : least;
    if (least === undefined || !take("}"))
      return fail('expected {n}, {n,} or {n,m}; a "{" is written \\{', start);
    if (most !== undefined && most < least) fail(`{${least},${most}} is out of order`, start);
    if (Math.max(least, most ?? 0) > maxRepetitions) fail(`more than ${maxRepetitions} repetitions`, start);
    return [least, most ?? Infinity];
  };

  const atom = (): Expression => {
    const start = at;
    const character = source[at++];
    switch (character) {
      case "(":
        return group(start);
      case "[":
        return write(characterClass(start));
      case ".":
        return write(complement(lineEnds));
      case "\\":
        return write(escaped(start, false));
      case "*":
      case "+":
      case "?":
      case "{":
        return fail("a quantifier with nothing before it", start);
      case "]":
      case "}":
        return fail(`"${character}" is written \\${character}`, start);
      default:
        return write(one(character));
    }
  };

  const group = (start: number): Expression => {
    if (take("?")) {
      if (take("=") || take("!")) fail("looking ahead is not supported", start);
      if (take("<=") || take("<!")) fail("looking behind is not supported", start);
      if (take("<")) {
        while (/^[\p{ID_Continue}$]$/u.test(source[at] ?? "")) at++;
        if (!take(">")) fail("the name of the group has no end", start);
      } else if (!take(":")) fail(`groups "(?${source[at] ?? ""}" are not supported`, start);
    }
    if (++depth > maxNesting) fail(`groups more than ${maxNesting} deep`, start);
    const inner = alternatives();
    depth--;
    if (!take(")")) {
      fail(
        at < source.length ? misplaced(source[at]) : "this group has no end",
        at < source.length ? at : start,
      );
    }
    return inner;
  };

  const characterClass = (start: number): Ranges => {
    const negated = take("^");
    const ranges: (readonly [number, number])[] = [];
    const member = (): Ranges => {
      const from = at;
      const character = source[at++];
      if (character === undefined) fail("this class has no end", start);
      return character === "\\" ? escaped(from, true) : one(character);
    };
    while (!take("]")) {
      const from = at;
      const low = member();
      if (!peek("-") || source[at + 1] === "]") {
        ranges.push(...low);
        continue;
      }
      at++;
      const high = member();
      const [first, last] = [single(low), single(high)];
      if (first === undefined || last === undefined)
        return fail("a range goes from one character to another", from);
      if (first > last) fail("a range out of order", from);
      ranges.push([first, last]);
    }
    return negated ? complement(ranges) : ranges;
  };

  const escaped = (start: number, inClass: boolean): Ranges => {
    const character = source[at++];
    if (character === undefined) return fail("a backslash at the end", start);
    const set = classEscapes[character.toLowerCase()];
    if (set !== undefined) return character in classEscapes ? set : complement(set);
    if (character in controls) return one(controls[character]);
    if (character === "p" || character === "P") return property(character === "P", start);
    if (character === "x") return hexadecimal(2, start);
    if (character === "u") return unicode(start);
    if (character === "c") {
      const letter = source[at++] ?? "";
      return /^[a-zA-Z]$/.test(letter)
        ? one(String.fromCharCode(letter.charCodeAt(0) % 32))
        : fail("\\c wants a letter", start);
    }
    if (character === "0" && !/^[0-9]$/.test(source[at] ?? "")) return one("\0");
    if (inClass && character === "b") return one("\b");
    if (inClass && character === "-") return one("-");
    if (character === "b" || character === "B") return fail("word boundaries are not supported", start);
    if (/^[0-9k]$/.test(character)) return fail("references back to a group are not supported", start);
    if (/^[$^.*+?()[\]{}|/\\]$/.test(character)) return one(character);
    return fail(`\\${character} is no escape`, start);
  };

  const hexadecimal = (digits: number, start: number): Ranges => {
    const text = source.slice(at, at + digits).join("");
    if (text.length !== digits || !/^[0-9a-fA-F]+$/.test(text))
      return fail(`expected ${digits} hexadecimal digits`, start);
    at += digits;
    const code = Number.parseInt(text, 16);
    return [[code, code]];
  };

  const unicode = (start: number): Ranges => {
    if (take("{")) {
      const end = source.indexOf("}", at);
      const text = source.slice(at, end).join("");
      const code = Number.parseInt(text, 16);
      if (end < 0 || !/^[0-9a-fA-F]+$/.test(text) || code > maxCodePoint)
        return fail("expected \\u{…} up to 10ffff", start);
      at = end + 1;
      return [[code, code]];
    }
    const [[high]] = hexadecimal(4, start);
    const isHigh = high >= 0xd800 && high < 0xdc00;
    if (isHigh && peek("\\u")) {
      const from = at;
      at += 2;
      if (source[at] !== "{") {
        const [[low]] = hexadecimal(4, start);
        const code = 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
        if (low >= 0xdc00 && low < 0xe000) return [[code, code]];
      }
      at = from;
    }
    return [[high, high]];
  };

  const property = (negated: boolean, start: number): Ranges => {
    const end = source.indexOf("}", at);
    if (!take("{") || end < 0) return fail("expected \\p{…}", start);
    const name = source.slice(at, end).join("");
    at = end + 1;
    const ranges = unicodeProperty(name);
    if (ranges === undefined) return fail(`\\p{${name}} is no property of Unicode`, start);
    return negated ? complement(ranges) : ranges;
  };

  return whole();
}

function one(character: string): Ranges {
  const code = character.codePointAt(0) as number;
  return [[code, code]];
}

function single(ranges: Ranges): number | undefined {
  return ranges.length === 1 && ranges[0][0] === ranges[0][1] ? ranges[0][0] : undefined;
}

function misplaced(character: string): string {
  return `"${character}" is understood only where the pattern or one of its outermost alternatives begins or ends`;
}

function quote(pattern: string): string {
  return JSON.stringify(pattern.length > 80 ? `${pattern.slice(0, 80)}…` : pattern);
}

const lineEnds: Ranges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

const controls: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", v: "\v", f: "\f" };

const classEscapes: Readonly<Record<string, Ranges>> = {
  d: [[0x30, 0x39]],
  w: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
  ],
  s: [
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ],
};

const properties = new Map<string, Ranges>();

/** The code points that JavaScript says have a property; undefined where it does not know it. */
function unicodeProperty(name: string): Ranges | undefined {
  const known = properties.get(name);
  if (known !== undefined) return known;
  if (!/^[A-Za-z0-9_=]+$/.test(name)) return undefined;
  let has: RegExp;
  try {
    has = new RegExp(`^\\p{${name}}$`, "u");
  } catch {
    return undefined;
  }
  const ranges: [number, number][] = [];
  for (let code = 0; code <= maxCodePoint; code++) {
    if (!has.test(String.fromCodePoint(code))) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  properties.set(name, ranges);
  return ranges;
}

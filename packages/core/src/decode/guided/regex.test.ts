import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { type AutomatonState, compileAutomaton } from "./automaton.js";
import { characters } from "./expression.js";
import { parseRegex } from "./regex.js";

/** Whether the automaton takes the whole text. */
function accepts(start: AutomatonState | undefined, text: string): boolean {
  let state: AutomatonState | null = start ?? null;
  for (const byte of Buffer.from(text)) state = state?.next(byte) ?? null;
  return state?.accepts ?? false;
}

const automaton = (pattern: string, anywhere = false) => compileAutomaton(parseRegex(pattern, { anywhere }));
const wholly = (pattern: string) => new RegExp(`^(?:${pattern})$`, "u");

const piece = fc.constantFrom(
  ..."a|b|é|😀|.|\\d|\\w|\\s|\\S|\\D|[ab]|[^a]|[a-cé-ü]|[^\\d😀]|[\\w-]|[]|[^]|\\p{Lu}|\\P{L}|\\u00e9|\\x61|\\u{1f600}|\\.|\\n|[\\]^]|-|/".split(
    "|",
  ),
);
const quantifier = fc.constantFrom("", "", "*", "+", "?", "{2}", "{1,}", "{0,3}", "*?", "{2,3}?", "{0}");
const { pattern } = fc.letrec<{ pattern: string; term: string; terms: string }>((tie) => ({
  term: fc
    .tuple(
      fc.oneof(
        { maxDepth: 2 },
        piece,
        tie("pattern").map((inner) => `(?:${inner})`),
        tie("pattern").map((inner) => `(${inner})`),
      ),
      quantifier,
    )
    .map(([item, many]) => item + many),
  terms: fc.array(tie("term"), { maxLength: 3 }).map((terms) => terms.join("")),
  pattern: fc.array(tie("terms"), { minLength: 1, maxLength: 2 }).map((ways) => ways.join("|")),
}));
/** JavaScript's own takes exponential time for long ones. */
const shortPattern = pattern.filter((pattern) => pattern.length < 40);
const text = fc.string({ unit: fc.constantFrom(..."aabbcA1 \n.-é😀ü日^]\u2028"), maxLength: 6 });

describe("a regular expression", () => {
  test("holds for the texts that JavaScript's holds for", () => {
    let held = 0;
    fc.assert(
      fc.property(shortPattern, fc.array(text, { minLength: 12, maxLength: 12 }), (pattern, texts) => {
        const start = automaton(pattern);
        const reference = wholly(pattern);
        for (const text of texts) {
          const holds = reference.test(text);
          if (holds) held++;
          expect(accepts(start, text), JSON.stringify({ pattern, text })).toBe(holds);
        }
      }),
      { numRuns: 250 },
    );
    expect(held).toBeGreaterThan(100);
  });

  test("that may stand anywhere is held to its ends by ^ and $ alone", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("", "^"),
        fc.constantFrom("a", "b+", "[^a]c?", ""),
        fc.constantFrom("", "$"),
        fc.constantFrom("|^b", "|é$", ""),
        text,
        (from, middle, to, more, text) => {
          const pattern = `${from}${middle}${to}${more}`;
          expect(accepts(automaton(pattern, true), text), JSON.stringify({ pattern, text })).toBe(
            new RegExp(pattern, "u").test(text),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test("never leads into a state from which no text can end", () => {
    // [] holds for no character: what needs one is left out.
    expect(automaton("a[]|[]b")).toBeUndefined();
    const start = automaton("a[]|ab|(?:c[])*");
    expect(accepts(start, "ab")).toBe(true);
    expect(start?.next("c".charCodeAt(0))).toBeNull();
    expect(automaton("d[]|ab")?.next("d".charCodeAt(0))).toBeNull();
  });

  test.each([
    ["(a)\\1", 3, "references back to a group"],
    ["\\k<x>", 0, "references back"],
    ["a(?=b)", 1, "looking ahead"],
    ["(?!b)", 0, "looking ahead"],
    ["(?<=b)a", 0, "looking behind"],
    ["\\bword", 0, "word boundaries"],
    ["a^b", 1, '"^" is understood only where'],
    ["(a$)b", 2, '"$" is understood only where'],
    ["a**", 2, "a quantifier of a quantifier"],
    ["*a", 0, "a quantifier with nothing before it"],
    ["(a", 0, "this group has no end"],
    ["a)", 1, "closes nothing"],
    ["[a", 0, "this class has no end"],
    ["[z-a]", 1, "a range out of order"],
    ["[\\d-z]", 1, "a range goes from one character to another"],
    ["a{3,2}", 1, "{3,2} is out of order"],
    ["a{x}", 1, "expected {n}, {n,} or {n,m}"],
    ["a{0,100001}", 1, "more than 100000 repetitions"],
    ["\\q", 0, "\\q is no escape"],
    ["\\", 0, "a backslash at the end"],
    ["\\p{Nonsense}", 0, "is no property of Unicode"],
    ["\\u12", 0, "expected 4 hexadecimal digits"],
    ["(?i)a", 0, 'groups "(?i" are not supported'],
    [`${"(".repeat(300)}${")".repeat(300)}`, 200, "groups more than 200 deep"],
  ])("%s is refused at position %i", (pattern, position, message) => {
    expect(() => parseRegex(pattern)).toThrowError(
      expect.objectContaining({
        name: "UserError",
        message: expect.stringMatching(
          new RegExp(`position ${position}: .*${message.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}`, "u"),
        ),
      }),
    );
  });
});

describe("hostile patterns", () => {
  test("large counts, also of counts, cost one state each", () => {
    const start = automaton("(?:(?:a{1000}){1000}){1000}");
    let state: AutomatonState | null | undefined = start;
    for (let i = 0; i < 5000; i++) state = state?.next(97);
    expect(state?.accepts).toBe(false);
    expect(accepts(automaton("x{20000}"), "x".repeat(20_000))).toBe(true);
    expect(() => automaton(`(?:${"a{100000}|".repeat(6)}b)`)).toThrow("more than 500000 states");
  });

  test("exponentially many states are made one by one, as a text needs them, and forgotten", () => {
    const start = automaton("(?:a|b)*a(?:a|b){20}");
    const reference = wholly("(?:a|b)*a(?:a|b){20}");
    let state: AutomatonState | null | undefined = start;
    let written = "";
    const random = createRandom(1);
    for (let i = 0; i < 12_000; i++) {
      const letter = random.uniform() < 0.5 ? "a" : "b";
      written += letter;
      state = state?.next(letter.charCodeAt(0));
    }
    expect(state?.accepts).toBe(reference.test(written.slice(-40)));
  });

  test.each(["(?:a?){3000}b", "(?:(?:a{0,60}){0,60}){0,60}b", "(?:a|a?|a*)*{0}(?:a*){0,9000}b"])(
    "%s: readings beyond a limit are refused, quickly",
    (pattern) => {
      const started = performance.now();
      expect(() => {
        let state: AutomatonState | null | undefined = automaton(pattern.replace("*{0}", ""));
        for (let i = 0; i < 5000; i++) state = state?.next(97);
      }).toThrow("in more than 1024 ways at once");
      expect(performance.now() - started).toBeLessThan(5000);
    },
  );
});

test("the UTF-8 of a range of code points is that of each of them, and nothing else", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x10ffff }), fc.integer({ min: 0, max: 5000 }), (low, count) => {
      const high = Math.min(low + count, 0x10ffff);
      const start = compileAutomaton(characters([[low, high]]));
      const held = (code: number) =>
        code >= 0 &&
        code <= 0x10ffff &&
        !(code >= 0xd800 && code < 0xe000) &&
        accepts(start, String.fromCodePoint(code));
      for (const code of [low, high, (low + high) >> 1, low + (count % 64)]) {
        if (code <= high && !(code >= 0xd800 && code < 0xe000)) expect(held(code)).toBe(true);
      }
      expect([low - 1, high + 1].some(held)).toBe(false);
    }),
    { numRuns: 500 },
  );
});

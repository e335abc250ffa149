/**
 * A language of byte strings: what regular expressions and JSON schemas are turned into. Rules make it recursive.
 * Expressions are immutable and may be shared; only a rule's body is filled in later.
 */
export type Expression =
  | { kind: "byte"; low: number; high: number }
  | { kind: "sequence"; items: readonly Expression[] }
  | { kind: "choice"; items: readonly Expression[] }
  | { kind: "repeat"; item: Expression; least: number; most: number }
  | { kind: "rule"; rule: Rule };

export interface Rule {
  body: Expression;
}

/** Closed ranges of code points or bytes, in any order. */
export type Ranges = readonly (readonly [low: number, high: number])[];

/** The empty text. */
export const nothing: Expression = { kind: "sequence", items: [] };
/** No text at all. */
export const never: Expression = { kind: "choice", items: [] };

export function sequence(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0] : { kind: "sequence", items };
}

export function choice(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0] : { kind: "choice", items };
}

/** @param most may be `Infinity` */
export function repeat(item: Expression, least: number, most: number): Expression {
  return { kind: "repeat", item, least, most };
}

export function optional(item: Expression): Expression {
  return repeat(item, 0, 1);
}

/** What is used in several places or contains itself: it is compiled once. */
export function rule(body: Expression): { kind: "rule"; rule: Rule } {
  return { kind: "rule", rule: { body } };
}

const encoder = new TextEncoder();

export function literal(text: string): Expression {
  return sequence(Array.from(encoder.encode(text), (byte) => bytes(byte, byte)));
}

/** Any of the texts. Common beginnings are shared, so that a long list does not make many alternatives of each byte. */
export function anyLiteral(texts: readonly string[]): Expression {
  type Node = { ends: boolean; next: Map<number, Node> };
  const root: Node = { ends: false, next: new Map() };
  for (const text of texts) {
    let node = root;
    for (const byte of encoder.encode(text)) {
      let next = node.next.get(byte);
      if (next === undefined) {
        next = { ends: false, next: new Map() };
        node.next.set(byte, next);
      }
      node = next;
    }
    node.ends = true;
  }
  // From the leaves up, in a loop: a text may be longer than the call stack is deep. What follows a node is kept backwards.
  const order: Node[] = [root];
  for (const node of order) order.push(...node.next.values());
  const rests = new Map<Node, Expression[]>();
  for (const node of order.reverse()) {
    const ways = Array.from(node.next, ([byte, next]) => {
      const rest = rests.get(next) as Expression[];
      rest.push(bytes(byte, byte));
      return rest;
    });
    if (ways.length === 1 && !node.ends) {
      rests.set(node, ways[0]);
      continue;
    }
    const alternatives = ways.map((way) => sequence(way.reverse()));
    if (node.ends) alternatives.push(nothing);
    rests.set(node, alternatives.length === 1 ? [alternatives[0]] : [rule(choice(alternatives))]);
  }
  return sequence((rests.get(root) as Expression[]).reverse());
}

function bytes(low: number, high: number): Expression {
  return { kind: "byte", low, high };
}

/** One character of the given code points, in UTF-8. Surrogates have no UTF-8 and are left out. */
export function characters(ranges: Ranges): Expression {
  const written: ByteRanges[] = [];
  for (const [low, high] of normalizeRanges(ranges)) {
    for (const [first, last] of utf8Classes) {
      if (low <= last && high >= first) written.push(...utf8(Math.max(low, first), Math.min(high, last)));
    }
  }
  return shareBeginnings(written);
}

type ByteRanges = readonly (readonly [low: number, high: number])[];

/** First bytes are equal or apart, so that each byte goes one way only. */
function shareBeginnings(written: readonly ByteRanges[]): Expression {
  const groups = new Map<number, ByteRanges[]>();
  for (const ranges of written) {
    const [low, high] = ranges[0];
    const group = groups.get(low * 256 + high);
    if (group === undefined) groups.set(low * 256 + high, [ranges]);
    else group.push(ranges);
  }
  return choice(
    Array.from(groups.values(), (group) => {
      const first = bytes(...group[0][0]);
      const rests = group.map((ranges) => ranges.slice(1));
      return rests[0].length === 0 ? first : sequence([first, shareBeginnings(rests)]);
    }),
  );
}

/** Code points whose UTF-8 has the same number of bytes. */
const utf8Classes: Ranges = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
];

/** Sequences of byte ranges for code points of one class: split until the last bytes run over their whole range. */
function utf8(low: number, high: number): ByteRanges[] {
  const first = encoder.encode(String.fromCodePoint(low));
  const last = encoder.encode(String.fromCodePoint(high));
  for (let tail = 1; tail < first.length; tail++) {
    const mask = 2 ** (6 * tail) - 1; // the bits of the last `tail` bytes
    if ((low | mask) === (high | mask)) continue;
    if ((low & mask) !== 0) return [...utf8(low, low | mask), ...utf8((low | mask) + 1, high)];
    if ((high & mask) !== mask) return [...utf8(low, (high & ~mask) - 1), ...utf8(high & ~mask, high)];
  }
  return [Array.from(first, (byte, i) => [byte, last[i]] as const)];
}

/** The same numbers as ranges that ascend and neither touch nor overlap. */
export function normalizeRanges(ranges: Ranges): [number, number][] {
  const merged: [number, number][] = [];
  for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else if (low <= high) merged.push([low, high]);
  }
  return merged;
}

export const maxCodePoint = 0x10ffff;

/** All code points that the ranges leave out. */
export function complement(ranges: Ranges): [number, number][] {
  const gaps: [number, number][] = [];
  let next = 0;
  for (const [low, high] of normalizeRanges(ranges)) {
    if (low > next) gaps.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= maxCodePoint) gaps.push([next, maxCodePoint]);
  return gaps;
}

import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { chooser } from "./splits.js";

/*
 * Sentences of a domain. Their classes come from a probabilistic context-free grammar in which no two rules of a
 * nonterminal begin with the same class (a simple grammar: Korenjak and Hopcroft 1966). As every word is in one class, a
 * prefix has one parse, so that the exact distribution of the next word costs no search. Words are chosen within their class
 * by the topic of the document and by the word before (the Markov part).
 */

/** What is still to be said in a sentence: a nonterminal, or a marker that must agree with an earlier word. */
export type Expected = { nonterminal: number } | { marker: number; from: number };

export interface Rule {
  probability: number;
  /** Class of the first word. */
  first: number;
  /** Nonterminals after it. */
  rest: number[];
  /** Whether a marker that agrees with the first word ends the phrase. */
  agrees: boolean;
}

export interface GrammarSizes {
  classes: number;
  nonterminals: number;
  /** At least 3. */
  rulesPerNonterminal: number;
  /** Probabilities that one part, or two, come after the first word of a phrase. */
  shapes: { one: number; two: number };
  /** Probability that a rule with parts ends in a marker. */
  agreement: number;
}

/** `[nonterminals][rules]`; sentences begin with nonterminal 0. */
export type Grammar = Rule[][];

/**
 * A random grammar. Each nonterminal has one rule of a single word, one with two parts after its word, and the others with
 * one part; the fewer parts there are on average (`one + 2 two`, below 1), the shorter the sentences:
 * 1 / (1 - one - 2 two) words on average, markers not counted.
 */
export function drawGrammar(sizes: GrammarSizes, random: Random): Grammar {
  const { classes, nonterminals, rulesPerNonterminal, shapes, agreement } = sizes;
  if (rulesPerNonterminal > classes) {
    throw new UserError(
      `${rulesPerNonterminal} rules for each nonterminal, but ${classes} classes of words to begin them with`,
    );
  }
  return Array.from({ length: nonterminals }, () => {
    const firsts = random.permutation(classes);
    const rule = (probability: number, parts: number, i: number): Rule => ({
      probability,
      first: firsts[i],
      rest: Array.from({ length: parts }, () => random.integer(nonterminals)),
      agrees: parts > 0 && random.uniform() < agreement,
    });
    const weights = Array.from({ length: rulesPerNonterminal - 2 }, () => 0.5 + random.uniform());
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return [
      rule(1 - shapes.one - shapes.two, 0, 0),
      ...weights.map((weight, i) => rule((shapes.one * weight) / total, 1, i + 1)),
      rule(shapes.two, 2, rulesPerNonterminal - 1),
    ];
  });
}

/** Words of a domain: which class each is in, and how likely it is within the class. */
export interface Lexicon {
  /** Ids of the words in the vocabulary of the world. */
  words: number[];
  /** `[words]` */
  classOf: number[];
  /** `[classes]`: indices of the words of each class. */
  members: number[][];
  /** `[topics][words + 1][words]`: probability of a word within its class after another; the last row begins sentences. */
  within: Float64Array[][];
}

export function makeLexicon(
  words: readonly number[],
  classOf: readonly number[],
  classes: number,
  topicWeights: readonly Float32Array[],
  bigramWeights: (before: number, word: number) => number,
): Lexicon {
  const members = Array.from({ length: classes }, (_, c) =>
    words.flatMap((_, word) => (classOf[word] === c ? [word] : [])),
  );
  const within = topicWeights.map((topic) =>
    Array.from({ length: words.length + 1 }, (_, before) => {
      const row = new Float64Array(words.length);
      for (const group of members) {
        let total = 0;
        for (const word of group) {
          row[word] = Math.exp(topic[word] + bigramWeights(before, word));
          total += row[word];
        }
        for (const word of group) row[word] /= total;
      }
      return row;
    }),
  );
  return { words: [...words], classOf: [...classOf], members, within };
}

/** A sentence while it is being said. Never changes; `after` gives the next state. */
export class SentenceState {
  constructor(
    readonly grammar: Grammar,
    readonly lexicon: Lexicon,
    readonly markers: number,
    /** What is to come, the next last. */
    readonly stack: readonly Expected[],
    /** Index of the word before, or the number of words at the beginning. */
    readonly before: number,
    /** Words and markers said so far. */
    readonly length: number,
  ) {}

  static begin(grammar: Grammar, lexicon: Lexicon, markers: number): SentenceState {
    return new SentenceState(grammar, lexicon, markers, [{ nonterminal: 0 }], lexicon.words.length, 0);
  }

  get isOver(): boolean {
    return this.stack.length === 0;
  }

  /** The marker that must come next, if one must. */
  get marker(): { marker: number; from: number } | undefined {
    const next = this.stack[this.stack.length - 1];
    return next !== undefined && "marker" in next ? next : undefined;
  }

  /** The rules one of which the next word begins. */
  get rules(): readonly Rule[] {
    const next = this.stack[this.stack.length - 1];
    return next !== undefined && "nonterminal" in next ? this.grammar[next.nonterminal] : [];
  }

  afterWord(word: number): SentenceState {
    const rule = this.rules.find(({ first }) => first === this.lexicon.classOf[word]);
    if (rule === undefined) throw new RangeError(`word ${word} cannot come here`);
    const stack = this.stack.slice(0, -1);
    if (rule.agrees) stack.push({ marker: word % this.markers, from: this.length });
    for (let i = rule.rest.length - 1; i >= 0; i--) stack.push({ nonterminal: rule.rest[i] });
    return new SentenceState(this.grammar, this.lexicon, this.markers, stack, word, this.length + 1);
  }

  afterMarker(): SentenceState {
    return new SentenceState(
      this.grammar,
      this.lexicon,
      this.markers,
      this.stack.slice(0, -1),
      this.before,
      this.length + 1,
    );
  }

  /** Draws the next word for a topic. */
  draw(topic: number, random: Random): number {
    const { rules } = this;
    const rule = rules[chooser(rules.map(({ probability }) => probability))(random.uniform())];
    const members = this.lexicon.members[rule.first];
    const row = this.lexicon.within[topic][this.before];
    return members[chooser(members.map((word) => row[word]))(random.uniform())];
  }
}

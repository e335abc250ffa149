import { z } from "zod";
import { textId } from "../data/text-id.js";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import { parseConfig } from "./config.js";
import { drawGrammar, type Grammar, type Lexicon, makeLexicon } from "./grammar.js";
import { CorpusReader } from "./grammar-reader.js";
import { writeDocument } from "./grammar-writer.js";
import { drawOf, splitShares, splitter, type WorldSplit } from "./splits.js";
import type { WorldKind } from "./world.js";

/*
 * Token text whose exact next-token distribution is known, for the systems attention-influence and continual-pretraining.
 * A document is a row of slots: sentences of its domain's grammar; definitions `k3 = v7 .`; uses `? k3 -> v7 .`, which only
 * a look back can predict; uses over two steps `?? k1 -> v7 .` where `k1 = k3 .`; copies `* a b c` of the three tokens before.
 * Some documents are junk: one sentence over and over.
 */

const rate = z.number().min(0).max(1);

/** Knobs of the world. */
export const grammarCorpusSchema = z.object({
  /** Length of a document in tokens; the last slot is cut there. */
  documentLength: z.int().min(4).max(65_536).default(64),
  /**
   * Kinds of text. Domains with the same `grammar`, `words` or `topics` share them; `newWords` more are of the domain
   * alone. The defaults: a weak shift has other topics and 10 new words, a strong one shares nothing but keys and marks.
   */
  domains: z
    .array(
      z.object({
        name: z.string().min(1),
        grammar: z.string().min(1),
        words: z.string().min(1),
        topics: z.string().min(1),
        newWords: z.int().min(0).max(1000).default(0),
      }),
    )
    .min(1)
    .default([
      { name: "base", grammar: "A", words: "A", topics: "A", newWords: 0 },
      { name: "weak-shift", grammar: "A", words: "A", topics: "A, shifted", newWords: 10 },
      { name: "strong-shift", grammar: "B", words: "B", topics: "B", newWords: 0 },
    ]),
  /** Words of a domain without the new ones, spread evenly over the classes. */
  words: z.int().min(1).max(2000).default(60),
  classes: z.int().min(1).max(200).default(12),
  nonterminals: z.int().min(1).max(50).default(6),
  rulesPerNonterminal: z.int().min(3).max(50).default(4),
  /** Probabilities that one part, or two, come after the first word of a phrase; `one + 2 two` is below 1. */
  parts: z
    .object({ one: rate.default(0.4), two: rate.default(0.2) })
    .refine(({ one, two }) => one + 2 * two < 1, { message: "one + 2 two is 1 or more: sentences never end" })
    .prefault({}),
  /** Probability that a rule with parts ends in a marker that agrees with the rule's first word. */
  agreement: rate.default(0.5),
  markers: z.int().min(2).max(10).default(3),
  /** Topics of a domain; a document has one. */
  topics: z.int().min(1).max(50).default(4),
  /** Deviations of the log weights of words, by topic and by the word before. 0: all words of a class are as likely. */
  topicStrength: z.number().min(0).max(10).default(1),
  bigramStrength: z.number().min(0).max(10).default(1),
  keys: z.int().min(1).max(200).default(12),
  values: z.int().min(1).max(200).default(12),
  /** Share of uses among the slots of a document, and how many documents have it. */
  intensities: z
    .array(z.object({ uses: z.number().min(0).max(0.9), weight: z.number().positive() }))
    .min(1)
    .default([
      { uses: 0, weight: 0.5 },
      { uses: 0.1, weight: 0.2 },
      { uses: 0.3, weight: 0.2 },
      { uses: 0.5, weight: 0.1 },
    ]),
  /** Share of definitions among the slots that are no uses, and of those that define a key by an earlier key. */
  definitions: rate.default(0.25),
  links: rate.default(0.3),
  /** Share of uses that go over two steps, where a key was defined by a key. */
  twoHops: rate.default(0.3),
  /** Share of copies among the slots that are neither uses nor definitions. */
  copies: rate.default(0.05),
  /** Share of documents that say one sentence over and over. */
  junk: rate.default(0.1),
  /** Share of all documents that each part gets. */
  splits: splitShares,
});

export type GrammarCorpusConfig = z.output<typeof grammarCorpusSchema>;

/** Tokens that can be predicted from what stands at another place. */
export interface Span {
  kind: "definition" | "use" | "two-hop" | "copy" | "agreement" | "repetition";
  /** First token, and the one after the last. A definition cannot be predicted; it is what uses point at. */
  start: number;
  end: number;
  /** Where it is copied from, or the word that a marker agrees with; for a definition its own start. */
  source: number;
}

export interface CorpusDocument {
  id: string;
  split: WorldSplit;
  domain: string;
  /** `[documentLength]`: ids in the vocabulary of the world. */
  tokens: Int32Array;
  /** The tokens in words, apart by a space. */
  text: string;
  /** What was drawn for the document. */
  topic: number;
  uses: number;
  isJunk: boolean;
  spans: Span[];
  /** Share of tokens in the slots of uses, 0 to 1: how much the document asks to look back. */
  reasoningDensity: number;
}

/** A domain with its rules and words. */
export interface Domain {
  name: string;
  grammar: Grammar;
  lexicon: Lexicon;
}

/** Ids of the tokens that all domains share. */
export interface SharedTokens {
  stop: number;
  equals: number;
  use: number;
  twoHops: number;
  gives: number;
  copy: number;
  keys: number[];
  values: number[];
  markers: number[];
}

export interface RetrievalSample {
  /** Definitions, solved uses, and a use without its answer. */
  prompt: Int32Array;
  answer: Int32Array;
  /** Where the answer stands in the prompt: first token, and the one after the last. */
  needle: [start: number, end: number];
}

export interface AgreementItem {
  prompt: Int32Array;
  /** The marker that comes next. */
  answer: number;
  /** Tokens from the word to its marker. */
  distance: number;
}

export interface GrammarCorpusWorld {
  config: GrammarCorpusConfig;
  /** `[tokens]`: each token in writing. */
  vocabulary: string[];
  domains: Domain[];
  shared: SharedTokens;
  /** Documents of a domain, without end. */
  documents(
    domain: string,
    random: Random,
    options?: { split?: WorldSplit },
  ): Generator<CorpusDocument, never>;
  /**
   * What the best of all models knows of a text: the log-probability of each token given those before it, in nats, and
   * the entropy of the distribution that it was drawn from. Topic, intensity and junk are unknown to it, as to any model.
   * The mean over documents of a model's loss less `-logProbs` is its excess loss.
   *
   * @param domain a name, or names with their shares for text that mixes domains
   * @returns `[tokens]` each; a token that cannot come has -Infinity, and what follows it NaN
   */
  score(
    tokens: ArrayLike<number>,
    domain: string | Readonly<Record<string, number>>,
  ): { logProbs: Float64Array; entropies: Float64Array };
  /** Asks for a value of several tokens out of several, after solved examples: tells retrieval heads from others. */
  retrievalSamples(
    count: number,
    random: Random,
    options?: { pairs?: number; valueLength?: number; demonstrations?: number },
  ): RetrievalSample[];
  /** Places where the next token is a marker, from documents of a domain. */
  agreementItems(
    domain: string,
    count: number,
    random: Random,
    options?: { split?: WorldSplit },
  ): AgreementItem[];
}

export const grammarCorpus: WorldKind<typeof grammarCorpusSchema, GrammarCorpusWorld> = {
  name: "grammar-corpus",
  summary:
    "token text from grammars with its exact entropy, domains, and spans that only a look back predicts",
  schema: grammarCorpusSchema,
  generate,
  describe,
};

function generate(given: z.input<typeof grammarCorpusSchema>, random: Random): GrammarCorpusWorld {
  const config = parseConfig(grammarCorpusSchema, given, "world grammar-corpus");
  const vocabulary: string[] = [];
  const token = (text: string) => vocabulary.push(text) - 1;
  const several = (count: number, prefix: string) =>
    Array.from({ length: count }, (_, i) => token(prefix + i));
  const shared: SharedTokens = {
    stop: token("."),
    equals: token("="),
    use: token("?"),
    twoHops: token("??"),
    gives: token("->"),
    copy: token("*"),
    keys: several(config.keys, "k"),
    values: several(config.values, "v"),
    markers: several(config.markers, "-"),
  };
  const domains = makeDomains(config, token, random);
  const splitOf = splitter(config.splits, random.stream("splits"));
  const named = (name: string) => {
    const domain = domains.find((domain) => domain.name === name);
    if (domain) return domain;
    const names = domains.map((domain) => domain.name).join(", ");
    throw new UserError(`world grammar-corpus has no domain ${JSON.stringify(name)}`, {
      hint: `Domains: ${names}`,
    });
  };

  const documents: GrammarCorpusWorld["documents"] = function* (name, random, { split = "pretrain" } = {}) {
    const domain = named(name);
    const draw = (): CorpusDocument => {
      const written = writeDocument(config, domain, shared, random);
      const text = Array.from(written.tokens, (id) => vocabulary[id]).join(" ");
      return { id: textId(text), split: splitOf(text), domain: name, text, ...written };
    };
    for (;;) yield drawOf("grammar-corpus", split, draw);
  };

  return {
    config,
    vocabulary,
    domains,
    shared,
    documents,
    score(tokens, domain) {
      const shares = typeof domain === "string" ? { [domain]: 1 } : domain;
      const reader = new CorpusReader(
        config,
        shared,
        vocabulary.length,
        Object.entries(shares).map(([name, share]) => ({ domain: named(name), share })),
      );
      const logProbs = new Float64Array(tokens.length);
      const entropies = new Float64Array(tokens.length);
      for (let i = 0; i < tokens.length; i++) {
        entropies[i] = reader.entropy();
        logProbs[i] = reader.read(tokens[i]);
      }
      return { logProbs, entropies };
    },
    retrievalSamples: (count, random, options = {}) =>
      Array.from({ length: count }, () => retrievalSample(shared, random, options)),
    agreementItems(name, count, random, options = {}) {
      const items: AgreementItem[] = [];
      const source = documents(name, random, options);
      for (let barren = 0; items.length < count; barren++) {
        const { tokens, spans } = source.next().value;
        for (const { start, source } of spans.filter(({ kind }) => kind === "agreement")) {
          if (items.length === count) break;
          items.push({ prompt: tokens.slice(0, start), answer: tokens[start], distance: start - source });
          barren = 0;
        }
        if (barren > 10_000) throw new UserError(`world grammar-corpus: domain ${name} has no agreement`);
      }
      return items;
    },
  };
}

function makeDomains(config: GrammarCorpusConfig, token: (text: string) => number, random: Random): Domain[] {
  const { classes, words, topics, topicStrength, bigramStrength } = config;
  if (words < classes) throw new UserError(`world grammar-corpus: ${words} words for ${classes} classes`);
  const names = config.domains.map(({ name }) => name);
  const repeated = names.find((name, i) => names.indexOf(name) < i);
  if (repeated !== undefined) throw new UserError(`world grammar-corpus: two domains are called ${repeated}`);
  const spelled = spelling(random.stream("words"));
  const lexicons = new Map<string, number[]>();
  for (const domain of config.domains) {
    if (lexicons.has(domain.words)) continue;
    lexicons.set(
      domain.words,
      Array.from({ length: words }, () => token(spelled())),
    );
  }
  return config.domains.map(({ name, grammar, words: lexicon, topics: topicName, newWords }) => {
    const known = lexicons.get(lexicon) as number[];
    const ids = [...known, ...Array.from({ length: newWords }, () => token(spelled()))];
    const bigrams = random.stream("bigrams", grammar, lexicon, newWords === 0 ? "" : name);
    const old = random.stream("bigrams", grammar, lexicon, "").normals((words + 1) * words, bigramStrength);
    const fresh = bigrams.normals((ids.length + 1) * ids.length, bigramStrength);
    return {
      name,
      grammar: drawGrammar({ ...config, shapes: config.parts }, random.stream("grammar", grammar)),
      lexicon: makeLexicon(
        ids,
        ids.map((_, i) => i % classes),
        classes,
        Array.from({ length: topics }, (_, t) =>
          random.stream("topic", topicName, t).normals(ids.length, topicStrength),
        ),
        // Old words follow each other as in the domains without new ones.
        (before, word) => {
          const row = before === ids.length ? words : before;
          const isOld = word < words && (before === ids.length || before < words);
          return isOld ? old[row * words + word] : fresh[before * ids.length + word];
        },
      ),
    };
  });
}

/** Words of two syllables, all different. */
function spelling(random: Random): () => string {
  const syllables = [..."bdfghjklmnprstz"].flatMap((c) => [..."aeiou"].map((v) => c + v));
  const order = random.permutation(syllables.length ** 3);
  let next = 0;
  return () => {
    const code = order[next++];
    const parts = [code, Math.floor(code / syllables.length)].map((n) => syllables[n % syllables.length]);
    // Three syllables once all words of two are used up, by the third digit of the code.
    const third = Math.floor(code / syllables.length ** 2);
    return parts.join("") + (third === 0 ? "" : syllables[third]);
  };
}

function retrievalSample(
  shared: SharedTokens,
  random: Random,
  {
    pairs = 8,
    valueLength = 3,
    demonstrations = 3,
  }: { pairs?: number; valueLength?: number; demonstrations?: number },
): RetrievalSample {
  if (!(pairs >= 1 && pairs <= shared.keys.length && demonstrations >= 0 && demonstrations < pairs)) {
    throw new UserError(
      `${pairs} pairs and ${demonstrations} demonstrations, expected at most ${shared.keys.length} pairs and fewer demonstrations`,
      { hint: "Make the world with more keys." },
    );
  }
  const keys = Array.from(random.permutation(shared.keys.length).subarray(0, pairs), (i) => shared.keys[i]);
  const values = keys.map(() =>
    Array.from({ length: valueLength }, () => shared.values[random.integer(shared.values.length)]),
  );
  const asked = Array.from(random.permutation(pairs).subarray(0, demonstrations + 1));
  const query = asked[demonstrations];
  const prompt = [
    ...keys.flatMap((key, i) => [key, shared.equals, ...values[i], shared.stop]),
    ...asked.slice(0, -1).flatMap((i) => [shared.use, keys[i], shared.gives, ...values[i], shared.stop]),
    shared.use,
    keys[query],
    shared.gives,
  ];
  const start = query * (valueLength + 3) + 2;
  return {
    prompt: Int32Array.from(prompt),
    answer: Int32Array.from(values[query]),
    needle: [start, start + valueLength],
  };
}

function describe(world: GrammarCorpusWorld): string {
  const random = createRandom("grammar-corpus sample");
  const samples = world.domains.map(({ name }) => {
    const { text, tokens, isJunk, topic, reasoningDensity } = world.documents(name, random).next().value;
    const { logProbs } = world.score(tokens, name);
    const loss = -logProbs.reduce((sum, value) => sum + value, 0) / tokens.length;
    const about = isJunk ? "junk" : `topic ${topic}, ${Math.round(100 * reasoningDensity)} % in uses`;
    return `${name} (${about}; the best model loses ${loss.toFixed(2)} nats a token)\n  ${text}`;
  });
  const { documentLength, domains } = world.config;
  return [
    `grammar-corpus: ${world.vocabulary.length} tokens, ${domains.length} domains, documents of ${documentLength} tokens`,
    ...samples,
  ].join("\n");
}

import { type Rule, SentenceState } from "./grammar.js";
import type { Domain, GrammarCorpusConfig, SharedTokens } from "./grammar-corpus.js";
import {
  copyLength,
  type Definition,
  linkedKeys,
  linkShare,
  type SlotKind,
  slotShares,
  valuedKeys,
} from "./grammar-slots.js";

/** A token that can come next. Its probability is `share * (slot's share) * (word's probability for the topic)`. */
interface Option {
  token: number;
  share: number;
  /** The slot that it begins. */
  slot?: SlotKind;
  /** Index in the lexicon, for words of sentences. */
  word?: number;
  /** What can come after it; words know it by the sentence. */
  after?: () => readonly Option[];
}

/**
 * Reads a text with the eyes of one who knows the world and must guess what was drawn for the document: its domain,
 * topic and intensity, and whether it is junk.
 */
export class CorpusReader {
  private readonly hypotheses: { reader: DomainReader; logJoint: number }[];
  private next: Float64Array | undefined;

  constructor(
    config: GrammarCorpusConfig,
    shared: SharedTokens,
    private readonly vocabularySize: number,
    domains: readonly { domain: Domain; share: number }[],
  ) {
    const total = domains.reduce((sum, { share }) => sum + share, 0);
    this.hypotheses = domains.map(({ domain, share }) => ({
      reader: new DomainReader(config, shared, domain),
      logJoint: Math.log(share / total),
    }));
  }

  /** `[vocabularySize]`: the exact distribution of the next token. */
  distribution(): Float64Array {
    if (this.next) return this.next;
    const next = new Float64Array(this.vocabularySize);
    const most = Math.max(...this.hypotheses.map(({ logJoint }) => logJoint));
    const weights = this.hypotheses.map(({ logJoint }) => Math.exp(logJoint - most));
    const total = weights.reduce((sum, weight) => sum + weight, 0); // NaN where nothing can come
    this.hypotheses.forEach(({ reader }, i) => {
      if (weights[i] > 0 || Number.isNaN(total))
        for (const [token, p] of reader.next()) next[token] += (weights[i] / total) * p;
    });
    if (Number.isNaN(total)) next.fill(Number.NaN);
    this.next = next;
    return next;
  }

  /** Entropy of the next token in nats. */
  entropy(): number {
    return this.distribution().reduce((sum, p) => (p === 0 ? sum : sum - p * Math.log(p)), 0);
  }

  /** Goes on by a token and gives its log-probability. */
  read(token: number): number {
    const probability = this.distribution()[token] ?? 0;
    this.next = undefined;
    for (const hypothesis of this.hypotheses) hypothesis.logJoint += hypothesis.reader.read(token);
    return Math.log(probability);
  }
}

class DomainReader {
  private readonly tokens: number[] = [];
  private readonly definitions = new Map<number, Definition>();
  private options: readonly Option[];
  /** Posterior of the intensities and topics in documents that are no junk, and of topics in those that are. */
  private intensities: number[];
  private topics: number[];
  /** Log joint probabilities of the text with being junk or not. */
  private logOrdinary: number;
  private logJunk: number;
  /** Length of the sentence that a junk document repeats, once it is over. */
  private period: number | undefined;
  /** For each intensity the shares of slots, at the beginning of one. */
  private shares: Record<SlotKind, number>[] = [];
  private sentence: SentenceState;
  private readonly wordsOf = new Map<readonly Rule[], { slot: "sentence" | undefined; options: Option[] }>();

  constructor(
    private readonly config: GrammarCorpusConfig,
    private readonly shared: SharedTokens,
    private readonly domain: Domain,
  ) {
    const total = config.intensities.reduce((sum, { weight }) => sum + weight, 0);
    this.intensities = config.intensities.map(({ weight }) => weight / total);
    this.topics = Array.from({ length: config.topics }, () => 1 / config.topics);
    this.logOrdinary = Math.log(1 - config.junk);
    this.logJunk = Math.log(config.junk);
    this.sentence = this.begin();
    this.options = this.slotStart();
  }

  private begin(): SentenceState {
    return SentenceState.begin(this.domain.grammar, this.domain.lexicon, this.config.markers);
  }

  /** Probability of each token that can come next. */
  next(): Map<number, number> {
    const next = new Map<number, number>();
    const [ordinary, junk] = this.posterior();
    const put = (token: number, p: number) => {
      if (p > 0) next.set(token, (next.get(token) ?? 0) + p);
    };
    if (ordinary > 0 || this.period === undefined) {
      for (const option of this.options) {
        put(option.token, ordinary * this.ordinaryProbability(option));
        if (this.period === undefined) put(option.token, junk * this.junkProbability(option));
      }
    }
    if (this.period !== undefined) put(this.tokens[this.tokens.length - this.period], junk);
    return next;
  }

  /** Goes on by a token and gives its log-probability. */
  read(token: number): number {
    const before = logSum(this.logOrdinary, this.logJunk);
    if (before === Number.NEGATIVE_INFINITY) return Number.NEGATIVE_INFINITY;
    const option = this.options.find((option) => option.token === token);
    const isRepeated = this.period !== undefined && this.tokens[this.tokens.length - this.period] === token;
    this.logOrdinary += option ? Math.log(this.ordinaryProbability(option)) : Number.NEGATIVE_INFINITY;
    if (this.period !== undefined) this.logJunk += isRepeated ? 0 : Number.NEGATIVE_INFINITY;
    else this.logJunk += option ? Math.log(this.junkProbability(option)) : Number.NEGATIVE_INFINITY;
    this.tokens.push(token);
    if (option) {
      this.learn(option);
      this.options = option.after?.() ?? this.inSentence(this.sentence.afterWord(option.word as number));
    } else this.options = [];
    if (token === this.shared.stop) this.period ??= this.tokens.length;
    return logSum(this.logOrdinary, this.logJunk) - before;
  }

  private posterior(): [ordinary: number, junk: number] {
    const total = logSum(this.logOrdinary, this.logJunk);
    return [Math.exp(this.logOrdinary - total), Math.exp(this.logJunk - total)];
  }

  private ordinaryProbability(option: Option): number {
    const { slot } = option;
    if (slot === undefined) return option.share * this.wordProbability(option);
    const slotShare = this.intensities.reduce((sum, weight, q) => sum + weight * this.shares[q][slot], 0);
    return option.share * slotShare * this.wordProbability(option);
  }

  private junkProbability(option: Option): number {
    if (option.slot !== undefined && option.slot !== "sentence") return 0;
    return option.share * this.wordProbability(option);
  }

  /** Until a junk document repeats itself, it tells as much of its topic as an ordinary one: the posteriors are the same. */
  private wordProbability({ word }: Option): number {
    if (word === undefined) return 1;
    const { lexicon, before } = this.sentence;
    let probability = 0;
    for (let topic = 0; topic < this.topics.length; topic++)
      probability += this.topics[topic] * lexicon.within[topic][before][word];
    return probability;
  }

  private learn({ slot, word }: Option): void {
    if (slot !== undefined) {
      this.intensities = normalise(this.intensities.map((weight, q) => weight * this.shares[q][slot]));
    }
    if (word === undefined) return;
    const { lexicon, before } = this.sentence;
    this.topics = normalise(this.topics.map((weight, topic) => weight * lexicon.within[topic][before][word]));
  }

  private slotStart(): readonly Option[] {
    const { config, shared, definitions } = this;
    this.shares = config.intensities.map(({ uses }) =>
      slotShares(config, uses, definitions, this.tokens.length),
    );
    this.sentence = this.begin();
    const free = shared.keys.flatMap((_, key) => (definitions.has(key) ? [] : [key]));
    const options: Option[] = [
      ...this.words("sentence"),
      ...free.map((key) => ({
        token: shared.keys[key],
        slot: "definition" as const,
        share: 1 / free.length,
        after: () => this.exactly([shared.equals], () => this.definitionsOf(key)),
      })),
      {
        token: shared.use,
        slot: "use",
        share: 1,
        after: () => this.usesOf(valuedKeys(definitions), (key) => key),
      },
      {
        token: shared.twoHops,
        slot: "two-hop",
        share: 1,
        after: () => this.usesOf(linkedKeys(definitions), (key) => definitions.get(key)?.link as number),
      },
      {
        token: shared.copy,
        slot: "copy",
        share: 1,
        after: () => {
          const end = this.tokens.length - 1; // the mark itself is read by now
          return this.exactly(this.tokens.slice(end - copyLength, end), () => this.slotStart());
        },
      },
    ];
    return options;
  }

  /** The words that can come next in the sentence. There are few sets of them, and each is wanted often. */
  private words(slot: "sentence" | undefined): readonly Option[] {
    const { rules, lexicon } = this.sentence;
    const known = this.wordsOf.get(rules);
    if (known?.slot === slot && known !== undefined) return known.options;
    const options = rules.flatMap(({ first, probability }) =>
      lexicon.members[first].map((word) => ({ token: lexicon.words[word], share: probability, slot, word })),
    );
    this.wordsOf.set(rules, { slot, options });
    return options;
  }

  private inSentence(state: SentenceState): readonly Option[] {
    this.sentence = state;
    if (state.isOver) return this.exactly([this.shared.stop], () => this.slotStart());
    const { marker } = state;
    if (marker) {
      return this.exactly([this.shared.markers[marker.marker]], () => this.inSentence(state.afterMarker()));
    }
    return this.words(undefined);
  }

  private definitionsOf(key: number): Option[] {
    const { config, shared, definitions } = this;
    const links = linkShare(config, definitions);
    const valued = valuedKeys(definitions);
    const define = (definition: Omit<Definition, "at">) => () => {
      definitions.set(key, { ...definition, at: this.tokens.length - 1 });
      return this.exactly([shared.stop], () => this.slotStart());
    };
    return [
      ...valued.map((link) => ({
        token: shared.keys[link],
        share: links / valued.length,
        after: define({ link }),
      })),
      ...shared.values.map((token, value) => ({
        token,
        share: (1 - links) / shared.values.length,
        after: define({ value }),
      })),
    ];
  }

  private usesOf(keys: readonly number[], valueKey: (key: number) => number): Option[] {
    const { shared, definitions } = this;
    return keys.map((key) => ({
      token: shared.keys[key],
      share: 1 / keys.length,
      after: () => {
        const value = definitions.get(valueKey(key))?.value as number;
        return this.exactly([shared.gives, shared.values[value], shared.stop], () => this.slotStart());
      },
    }));
  }

  /** Tokens that must come, one after the other. */
  private exactly(tokens: readonly number[], done: () => readonly Option[]): readonly Option[] {
    const [token, ...rest] = tokens;
    const options = [
      { token, share: 1, after: () => (rest.length === 0 ? done() : this.exactly(rest, done)) },
    ];
    return options;
  }
}

function normalise(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return total > 0 ? weights.map((weight) => weight / total) : [...weights];
}

function logSum(a: number, b: number): number {
  const most = Math.max(a, b);
  return most === Number.NEGATIVE_INFINITY ? most : most + Math.log(Math.exp(a - most) + Math.exp(b - most));
}

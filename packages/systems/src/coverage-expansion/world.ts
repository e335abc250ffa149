import { type Features, type Random, UserError } from "outgrow";
import { ABSTAIN } from "./method.js";

/** Sizes of the world of reviews, as the study's specification has them. */
export const CONCEPTS = 60;
export const SYNONYMS = 10;
export const SLOTS = 20;
const TOPICS = 4;
const POLARITY = 0.35;
const TOPIC_WEIGHT = 0.5;
/** Slots of a review whose concept another wording draws anew; synonyms are drawn anew in all. */
export const REDRAWN = 6;
const WORDS = CONCEPTS * SYNONYMS;
/** All words, the cue words last. */
export const VOCABULARY = WORDS + 2;
export const CUE_WORDS = [WORDS, WORDS + 1] as const;

/** Probabilities of the two cue words, each for negative (0) and positive (1) reviews. */
export interface CueRates {
  incredible: readonly [negative: number, positive: number];
  horrible: readonly [negative: number, positive: number];
}

/** Bits of a review's cue words. */
export const INCREDIBLE = 1;
export const HORRIBLE = 2;

/** What the rule says by cue words: the more frequent one's class, nothing where both or none occur. */
export const ruleLabel = (cues: number): number =>
  cues === INCREDIBLE ? 1 : cues === HORRIBLE ? 0 : ABSTAIN;

export interface Reviews {
  /** 0 negative, 1 positive: `[count]`. */
  sentiment: Uint8Array;
  /** `[count, TOPICS]` */
  topics: Float32Array;
  /** Without the cue words: `[count, SLOTS]`. */
  words: Uint16Array;
}

/**
 * Reviews of a sentiment about a mixture of topics: concepts by softmax of both, each said with one of its synonyms. The world knows
 * all that a review leaves open and so can word it anew.
 */
export class ReviewWorld {
  private readonly polarity: Float32Array;
  private readonly topicWeights: Float32Array;

  constructor(private readonly random: Random) {
    this.polarity = random.stream("polarity").normals(CONCEPTS, POLARITY);
    this.topicWeights = random.stream("topics").normals(TOPICS * CONCEPTS, TOPIC_WEIGHT);
  }

  draw(count: number, name: string): Reviews {
    const random = this.random.stream("reviews", name);
    const sentiment = Uint8Array.from({ length: count }, () => random.integer(2));
    const topics = random.normals(count * TOPICS);
    const words = new Uint16Array(count * SLOTS);
    const cumulative = new Float64Array(CONCEPTS);
    for (let row = 0; row < count; row++) {
      this.concepts(sentiment[row], topics.subarray(row * TOPICS, (row + 1) * TOPICS), cumulative);
      for (let slot = 0; slot < SLOTS; slot++) words[row * SLOTS + slot] = drawWord(cumulative, random);
    }
    return { sentiment, topics, words };
  }

  /** Another wording of each review, of the same sentiment and topics. */
  reword({ sentiment, topics, words }: Reviews, name: string): Reviews {
    const random = this.random.stream("wordings", name);
    const reworded = new Uint16Array(words.length);
    const cumulative = new Float64Array(CONCEPTS);
    const slots = Int32Array.from({ length: SLOTS }, (_, slot) => slot);
    for (let row = 0; row < sentiment.length; row++) {
      this.concepts(sentiment[row], topics.subarray(row * TOPICS, (row + 1) * TOPICS), cumulative);
      for (let i = 0; i < REDRAWN; i++) {
        const j = i + random.integer(SLOTS - i);
        [slots[i], slots[j]] = [slots[j], slots[i]];
      }
      for (let i = 0; i < SLOTS; i++) {
        const at = row * SLOTS + slots[i];
        const concept = Math.floor(words[at] / SYNONYMS);
        reworded[at] =
          i < REDRAWN ? drawWord(cumulative, random) : concept * SYNONYMS + random.integer(SYNONYMS);
      }
    }
    return { sentiment, topics, words: reworded };
  }

  /** Uniform numbers by which {@link cuesOf} decides: `[count, 2]`. Worlds of other rates share them. */
  chances(count: number, name: string): Float64Array {
    const random = this.random.stream("cues", name);
    return Float64Array.from({ length: 2 * count }, () => random.uniform());
  }

  private concepts(sentiment: number, topics: Float32Array, cumulative: Float64Array): void {
    let sum = 0;
    for (let c = 0; c < CONCEPTS; c++) {
      let logit = this.polarity[c] * (2 * sentiment - 1);
      for (let t = 0; t < TOPICS; t++) logit += topics[t] * this.topicWeights[t * CONCEPTS + c];
      sum += Math.exp(logit);
      cumulative[c] = sum;
    }
  }
}

/** A word of a concept drawn by unnormalised cumulative weights. */
function drawWord(cumulative: Float64Array, random: Random): number {
  const at = random.uniform() * cumulative[CONCEPTS - 1];
  let [low, high] = [0, CONCEPTS - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulative[middle] > at) high = middle;
    else low = middle + 1;
  }
  return low * SYNONYMS + random.integer(SYNONYMS);
}

/** Which cue words each review has: `[count]`. */
export function cuesOf(sentiment: Uint8Array, chances: Float64Array, rates: CueRates): Uint8Array {
  for (const [word, pair] of Object.entries(rates)) {
    if (pair.every((rate: number) => rate >= 0 && rate <= 1)) continue;
    throw new UserError(`the rates of "${word}" are [${pair.join(", ")}], expected probabilities`);
  }
  return Uint8Array.from(
    sentiment,
    (s, row) =>
      (chances[2 * row] < rates.incredible[s] ? INCREDIBLE : 0) |
      (chances[2 * row + 1] < rates.horrible[s] ? HORRIBLE : 0),
  );
}

/** Counts of all words of some reviews, sparse: `[rows, VOCABULARY]`. */
export function bagsOfWords({ words }: Reviews, cues: Uint8Array, rows: ArrayLike<number>): Features {
  const offsets = new Int32Array(rows.length + 1);
  const columns = new Int32Array(rows.length * (SLOTS + 2));
  let at = 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    // A word that occurs twice has two entries of 1.
    for (let slot = 0; slot < SLOTS; slot++) columns[at++] = words[row * SLOTS + slot];
    if (cues[row] & INCREDIBLE) columns[at++] = WORDS;
    if (cues[row] & HORRIBLE) columns[at++] = WORDS + 1;
    offsets[i + 1] = at;
  }
  return {
    shape: [rows.length, VOCABULARY],
    values: new Float32Array(at).fill(1),
    sparse: { offsets, columns: columns.slice(0, at) },
  };
}

/** A linear classifier of two classes as a score of each word: class 1 where words and bias sum above 0. */
export interface WordScores {
  /** `[VOCABULARY]` */
  scores: Float64Array;
  bias: number;
}

/** What word scores say of reviews with these cue words: `[count]`. */
export function predictByWords(
  { scores, bias }: WordScores,
  words: Uint16Array,
  cues: Uint8Array,
): Uint8Array {
  const result = new Uint8Array(cues.length);
  for (let row = 0, at = 0; row < cues.length; row++) {
    let sum = bias;
    for (const end = at + SLOTS; at < end; at++) sum += scores[words[at]];
    if (cues[row] & INCREDIBLE) sum += scores[WORDS];
    if (cues[row] & HORRIBLE) sum += scores[WORDS + 1];
    result[row] = Number(sum > 0);
  }
  return result;
}

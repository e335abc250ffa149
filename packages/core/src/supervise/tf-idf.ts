import { UserError } from "../errors.js";
import type { Features } from "./features.js";

/** The terms (words and pairs of neighbouring words) that a text is described by. */
export interface TermVocabulary {
  /** Most frequent first. */
  terms: string[];
  /** ln((1 + texts) / (1 + texts with the term)) + 1, per term. */
  inverseDocumentFrequency: Float32Array;
}

export interface TermVocabularyOptions {
  /** Texts that a term must occur in. Default 2. */
  minDocumentFrequency?: number;
  /** Terms kept, those that occur in the most texts. Default 50,000. */
  maxFeatures?: number;
}

const word = /[\p{L}\p{N}']+/gu;

/** Lower-cased words and pairs of neighbouring words ("new york"), in the order of the text. */
export function termsOf(text: string): string[] {
  const words = text.toLowerCase().match(word) ?? [];
  return [...words, ...words.slice(1).map((second, i) => `${words[i]} ${second}`)];
}

/** Collects the vocabulary of texts, which need no labels. Refuses (UserError) texts that share no term. */
export function collectTerms(texts: readonly string[], options: TermVocabularyOptions = {}): TermVocabulary {
  const { minDocumentFrequency = 2, maxFeatures = 50_000 } = options;
  const frequency = new Map<string, number>();
  for (const text of texts) {
    for (const term of new Set(termsOf(text))) frequency.set(term, (frequency.get(term) ?? 0) + 1);
  }
  const kept = [...frequency]
    .filter(([, count]) => count >= minDocumentFrequency)
    .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1))
    .slice(0, maxFeatures);
  if (kept.length === 0) {
    throw new UserError(`no word occurs in ${minDocumentFrequency} of the ${texts.length} texts`, {
      hint: "Give more (unlabelled) texts, or set minDocumentFrequency to 1.",
    });
  }
  return {
    terms: kept.map(([term]) => term),
    inverseDocumentFrequency: Float32Array.from(
      kept,
      ([, count]) => Math.log((1 + texts.length) / (1 + count)) + 1,
    ),
  };
}

/**
 * Term weights (1 + ln count) idf of each text, rows scaled to Euclidean length 1: tf-idf with sublinear term
 * frequency and smoothed idf, as scikit-learn's TfidfVectorizer(sublinear_tf=True) has it.
 * A text without a known term is a row of zeros.
 */
export function tfIdf(
  { terms, inverseDocumentFrequency }: TermVocabulary,
  texts: readonly string[],
): Features {
  const columnOf = new Map(terms.map((term, column) => [term, column]));
  const offsets = new Int32Array(texts.length + 1);
  const columns: number[] = [];
  const values: number[] = [];
  texts.forEach((text, row) => {
    const counts = new Map<number, number>();
    for (const term of termsOf(text)) {
      const column = columnOf.get(term);
      if (column !== undefined) counts.set(column, (counts.get(column) ?? 0) + 1);
    }
    const entries = [...counts].sort(([a], [b]) => a - b);
    const weights = entries.map(([column, n]) => (1 + Math.log(n)) * inverseDocumentFrequency[column]);
    const length = Math.sqrt(weights.reduce((sum, weight) => sum + weight * weight, 0));
    entries.forEach(([column], j) => {
      columns.push(column);
      values.push(weights[j] / length);
    });
    offsets[row + 1] = columns.length;
  });
  return {
    shape: [texts.length, terms.length],
    values: Float32Array.from(values),
    sparse: { offsets, columns: Int32Array.from(columns) },
  };
}

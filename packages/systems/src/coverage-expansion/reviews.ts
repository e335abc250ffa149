/*
 * The world of one seed as students and measurements see it: reviews to learn from, a representation learned without labels, and
 * test reviews with the wordings that are their neighbours.
 */
import {
  alongComponents,
  createRandom,
  type Features,
  type PrincipalComponents,
  principalComponents,
  type Random,
} from "outgrow";
import { type ClassExpansion, measureExpansions } from "./measure.js";
import { ABSTAIN, type CoveredOptions, type LinearStudent, trainOnCovered } from "./method.js";
import {
  bagsOfWords,
  CUE_WORDS,
  type CueRates,
  cuesOf,
  HORRIBLE,
  INCREDIBLE,
  predictByWords,
  type Reviews,
  ReviewWorld,
  ruleLabel,
  VOCABULARY,
  type WordScores,
} from "./world.js";

export interface ReviewSizes {
  seed: number;
  unlabelled: number;
  train: number;
  test: number;
  /** Largest representation that is asked for. */
  dimensions: number;
  /** Wordings of each test review by which a student is found fragile. */
  nearby: number;
  /** By which cue words of unlabelled reviews come. */
  rates: CueRates;
}

/** `words`: counts of all words, by which a student can copy the rule. A number: so many principal components of them. */
export type Representation = "words" | number;

/** Rules as in the paper; or labels of the same reviews that are wrong as often, at random; or those of the rule dealt out anew. */
export const labelKinds = ["rule", "random", "shuffled"] as const;
export type LabelKind = (typeof labelKinds)[number];

/** Test reviews, then their wordings with the right cue word, then those without cue words, then those near by. */
interface Pool {
  truth: Uint8Array;
  words: Uint16Array;
  /** Chances of the cue words of test reviews and of those near by: `[1 + nearby]`. */
  chances: Float64Array[];
}

export interface Labelled {
  rates: CueRates;
  train: { cues: Uint8Array; weak: Int32Array };
  pool: { cues: Uint8Array; weak: Int32Array };
}

export class SeedReviews {
  readonly train: Reviews;
  private readonly random: Random;
  private readonly trainChances: Float64Array;
  private readonly pool: Pool;
  private readonly learned: PrincipalComponents;
  private readonly nearby: Int32Array;

  constructor(private readonly sizes: ReviewSizes) {
    const { seed, unlabelled, train, test, dimensions, nearby, rates } = sizes;
    this.random = createRandom(seed).stream("coverage-expansion");
    const world = new ReviewWorld(this.random.stream("world"));
    this.train = world.draw(train, "train");
    this.trainChances = world.chances(train, "train");
    const plain = world.draw(unlabelled, "unlabelled");
    const cues = cuesOf(plain.sentiment, world.chances(unlabelled, "unlabelled"), rates);
    this.learned = principalComponents(bagsOfWords(plain, cues, range(unlabelled)), dimensions);
    const tested = world.draw(test, "test");
    const wordings = Array.from({ length: 2 + nearby }, (_, j) => world.reword(tested, `test ${j}`));
    const all = [tested, ...wordings];
    const words = new Uint16Array(all.reduce((sum, each) => sum + each.words.length, 0));
    all.forEach((each, j) => {
      words.set(each.words, j * tested.words.length);
    });
    this.pool = {
      truth: Uint8Array.from({ length: test * all.length }, (_, row) => tested.sentiment[row % test]),
      words,
      chances: Array.from({ length: 1 + nearby }, (_, j) => world.chances(test, `test ${j}`)),
    };
    const nearbyOf = (i: number) => (3 + (i % nearby)) * test + Math.floor(i / nearby);
    this.nearby = Int32Array.from({ length: test * nearby }, (_, i) => nearbyOf(i));
  }

  /** Cue words at these rates, and weak labels by them. */
  labelled(rates: CueRates, kind: LabelKind = "rule"): Labelled {
    const { test } = this.sizes;
    const { truth, chances } = this.pool;
    const sentiment = truth.subarray(0, test);
    const own = cuesOf(sentiment, chances[0], rates);
    const right = sentiment.map((s) => (s === 1 ? INCREDIBLE : HORRIBLE));
    const pool = joined([
      own,
      kind === "random" ? own : right,
      new Uint8Array(test),
      ...chances.slice(1).map((each) => cuesOf(sentiment, each, rates)),
    ]);
    const cues = cuesOf(this.train.sentiment, this.trainChances, rates);
    const [weak, poolWeak] = [Int32Array.from(cues, ruleLabel), Int32Array.from(pool, ruleLabel)];
    const random = this.random.stream("labels", kind, ...Object.values(rates).flat());
    if (kind !== "rule") {
      const change = kind === "random" ? randomErrors : dealtAnew;
      change(weak, this.train.sentiment, random.stream("train"));
      change(poolWeak.subarray(0, test), sentiment, random.stream("test"));
      // A wording with the right label: here cue words say nothing of it.
      for (let row = 0; row < test; row++) {
        if (poolWeak[row] !== ABSTAIN) poolWeak[test + row] = sentiment[row];
      }
    }
    return { rates, train: { cues, weak }, pool: { cues: pool, weak: poolWeak } };
  }

  /** Students of covered reviews; with `gold`, of the true labels of all. */
  students(
    { train: { cues, weak } }: Labelled,
    representation: Representation,
    options: Omit<CoveredOptions, "random">,
    { gold = false } = {},
  ): WordScores[] {
    const labels = gold ? Int32Array.from(this.train.sentiment) : weak;
    const rows = range(labels.length).filter((row) => labels[row] !== ABSTAIN);
    const bags = bagsOfWords(this.train, cues, rows);
    const features: Features =
      representation === "words" ? bags : alongComponents(this.learned, bags, representation);
    const weakLabels = Int32Array.from(rows, (row) => labels[row]);
    const students = trainOnCovered(
      { features, weakLabels, classes: 2 },
      // Of the same reviews whatever the representation.
      { ...options, random: this.random.stream("students") },
    );
    return students.map((student) => this.asWordScores(student, representation));
  }

  /** Components of counts are linear in the words, so a student's scores are sums over words. */
  private asWordScores({ weights, bias }: LinearStudent, representation: Representation): WordScores {
    const columns = weights.length / 2;
    const difference = Float64Array.from({ length: columns }, (_, k) => weights[2 * k + 1] - weights[2 * k]);
    if (representation === "words") return { scores: difference, bias: bias[1] - bias[0] };
    const { mean, components, variances } = this.learned;
    const scores = new Float64Array(VOCABULARY);
    let origin = 0;
    for (let word = 0; word < VOCABULARY; word++) {
      for (let k = 0; k < columns; k++)
        scores[word] += components[word * variances.length + k] * difference[k];
      origin += mean[word] * scores[word];
    }
    return { scores, bias: bias[1] - bias[0] - origin };
  }

  /** How much of the cue words is in a representation: mean squared length of their directions there, 1 for words. */
  cueShare(representation: Representation): number {
    if (representation === "words") return 1;
    const { components, variances } = this.learned;
    let sum = 0;
    for (const word of CUE_WORDS) {
      for (let k = 0; k < representation; k++) sum += components[word * variances.length + k] ** 2;
    }
    return sum / CUE_WORDS.length;
  }

  /** What each student says of test reviews and their wordings. */
  predictions(students: readonly WordScores[], { pool: { cues } }: Labelled): Uint8Array[] {
    return students.map((student) => predictByWords(student, this.pool.words, cues));
  }

  accuracies(predictions: readonly Uint8Array[], { pool }: Labelled): Accuracies {
    const { test } = this.sizes;
    const { truth } = this.pool;
    // By side and class.
    const counts = new Float64Array(4);
    const right = new Float64Array(4);
    let teacher = 0;
    for (let row = 0; row < test; row++) {
      const at = 2 * Number(pool.weak[row] === ABSTAIN) + truth[row];
      counts[at]++;
      teacher += Number(pool.weak[row] === truth[row]);
      for (const predicted of predictions) right[at] += Number(predicted[row] === truth[row]);
    }
    // Whole numbers until here: a student that copies the rule gains 0, not nearly 0.
    for (let at = 0; at < right.length; at++) right[at] /= predictions.length;
    const covered = counts[0] + counts[1];
    return {
      coverage: covered / test,
      teacher: teacher / covered,
      covered: (right[0] + right[1]) / covered,
      uncovered: (right[2] / counts[2] + right[3] / counts[3]) / 2,
      all: (right[0] + right[1] + right[2] + right[3]) / test,
      byClass: [0, 1].map((k) => ({
        covered: right[k] / counts[k],
        uncovered: right[2 + k] / counts[2 + k],
      })),
    };
  }

  expansions(
    predictions: readonly Uint8Array[],
    { pool: { weak } }: Labelled,
    given: { smallest: number; fragileFrom: number; dimension: number },
  ): ClassExpansion[] {
    const { test, nearby } = this.sizes;
    const { truth } = this.pool;
    const wording = (j: number, wanted: (row: number) => boolean) => {
      const rows = new Int32Array(truth.length).fill(-1);
      for (let row = 0; row < test; row++) if (wanted(row)) rows[row] = (1 + j) * test + row;
      return rows;
    };
    const isBad = (row: number) => weak[row] !== ABSTAIN && weak[row] !== truth[row];
    return measureExpansions({
      truth,
      weakLabels: weak,
      classes: 2,
      predictions,
      neighbours: {
        badToGood: wording(0, isBad),
        goodToUncovered: wording(1, (row) => weak[row] === truth[row]),
        badToUncovered: wording(1, isBad),
      },
      sampled: test,
      nearby: { rows: this.nearby, many: nearby },
      ...given,
    });
  }
}

export interface Accuracies {
  /** Share of reviews with a weak label. */
  coverage: number;
  /** Of weak labels, where there are. */
  teacher: number;
  /** Mean over the students, of all covered reviews. */
  covered: number;
  /** Mean over the students and over the two classes. */
  uncovered: number;
  all: number;
  byClass: { covered: number; uncovered: number }[];
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Labels that are wrong as often in each class as they were, now at random. */
function randomErrors(weak: Int32Array, truth: Uint8Array, random: Random): void {
  for (const k of [0, 1]) {
    const rows = range(weak.length).filter((row) => weak[row] !== ABSTAIN && truth[row] === k);
    const wrong = rows.filter((row) => weak[row] !== k).length;
    random
      .stream(k)
      .permutation(rows.length)
      .forEach((at, i) => {
        weak[rows[at]] = i < wrong ? 1 - k : k;
      });
  }
}

/** The same labels on other covered rows. */
function dealtAnew(weak: Int32Array, _: Uint8Array, random: Random): void {
  const rows = range(weak.length).filter((row) => weak[row] !== ABSTAIN);
  const labels = rows.map((row) => weak[row]);
  random.permutation(rows.length).forEach((at, i) => {
    weak[rows[i]] = labels[at];
  });
}

/* What is trained on what, and the rows of the results. */

/** How the environments of the weak models differ from the target's. */
export const conditions = {
  "random, 5": { models: 5, agreement: [-0.6, 0.95] },
  "random, 3": { models: 3, agreement: [-0.6, 0.95] },
  "equal quality": { models: 3, agreement: [0.15, 0.4] },
  "colluding majority": { models: 3, agreement: [0.9, 0.9] },
  "in distribution": { models: 3, agreement: [1, 1] },
} as const;

/** As `random`, with the first of these many of the same six weak models. */
export const sizes = [1, 2, 3, 4, 5, 6] as const;
export type SizeCondition = `first ${(typeof sizes)[number]} of 6`;
export type Condition = keyof typeof conditions | SizeCondition;

export const lessons = [
  "naive",
  "equal weights",
  "raven",
  "raven, slow",
  "raven, fast",
  "no easy start",
  "no easy start, fast",
  "easy start alone",
  "one model",
  "copies of one",
  "truth",
  "confidence",
  "v-sup",
  "ladder",
  "static weights",
  "easy start of 0.2",
  "easy start of 0.5",
  "weights for each example",
  "evidential",
] as const;
export type Lesson = (typeof lessons)[number];

/** How harmless items of a class are. */
export const harmlessness = [0, 1, 2, 3, 4, 5] as const;
/** The most harmful class is nearly the most helpful one. */
const helpfulness = [4.5, 1, 2, 3, 4, 5] as const;

/** How the environments of the weak reward models differ from the target's, and by what their pairs are ordered. */
export const preferenceConditions = {
  "pairs: random, 5": { models: 5, agreement: [-0.6, 0.95], values: harmlessness },
  "pairs: equal quality": { models: 3, agreement: [0.15, 0.4], values: harmlessness },
  "pairs: helpful, then harmless": { models: 5, agreement: [-0.6, 0.95], values: helpfulness },
  "pairs: in distribution": { models: 3, agreement: [1, 1], values: harmlessness },
} as const;
export type PreferenceCondition = keyof typeof preferenceConditions;
export const preferenceLessons = [
  "naive",
  "equal weights",
  "equal weights, strengths of margins",
  "raven",
  "raven, fast",
  "no easy start",
  "truth",
] as const;
export type PreferenceLesson = (typeof preferenceLessons)[number];

export interface Row extends Record<string, string | number | boolean | null> {
  condition: Condition | PreferenceCondition;
  lesson: Lesson | PreferenceLesson;
  /** On the target; of pairs: the share ordered right, and so of the weak models. */
  accuracy: number;
  /** Over the weak models: mean and best. */
  weakAccuracy: number;
  bestWeakAccuracy: number;
  /** Rank correlation of the final weights with the weak models' accuracies. */
  rankCorrelation: number | null;
  /** Whether the greatest weight is the best weak model's. */
  findsBest: number | null;
  /** Greatest of the final weights. */
  greatestWeight: number | null;
  collapsedAt: number | null;
  /** Share of examples on which all weak models agree. */
  easyShare: number;
}

/** Spearman's rank correlation without ties; null where all values of one are equal. */
export function spearman(a: readonly number[], b: readonly number[]): number | null {
  const ranks = (values: readonly number[]) =>
    values.map((value) => {
      const below = values.filter((other) => other < value).length;
      const same = values.filter((other) => other === value).length;
      return below + (same - 1) / 2;
    });
  const [x, y] = [ranks(a), ranks(b)];
  const middle = (a.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  x.forEach((rank, i) => {
    xy += (rank - middle) * (y[i] - middle);
    xx += (rank - middle) ** 2;
    yy += (y[i] - middle) ** 2;
  });
  return xx === 0 || yy === 0 ? null : xy / Math.sqrt(xx * yy);
}

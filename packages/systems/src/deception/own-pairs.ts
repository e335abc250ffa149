/*
 * The experiment on a user's own pairs of texts: reward models on the words of replies, of which the weak supervisor knows few.
 */
import { Tensor } from "@outgrow/engine";
import {
  collectTerms,
  type DamagedRow,
  type HhPairs,
  type Random,
  type RowsOptions,
  readJsonRows,
  type TermVocabulary,
  textField,
  tfIdf,
  UserError,
} from "outgrow";
import {
  concatenatePairs,
  type LabelledPairs,
  RewardModels,
  type RewardParams,
  type RewardRecipe,
  recipeDefaults,
} from "./method.js";
import { type DeceptionScores, deceptionScores, RELIABLE } from "./scores.js";
import type { Objective } from "./world.js";

/** Two replies to a prompt, one of them better for an objective. */
export interface ObjectivePair {
  prompt: string;
  chosen: string;
  rejected: string;
  objective: Objective;
}

/**
 * Reads JSONL, plain or compressed with gzip, with the texts `prompt`, `chosen` and `rejected` and `objective`, "harmlessness"
 * or "helpfulness".
 *
 * @throws UserError with file, row and field for what is missing, and for another objective
 */
export async function readObjectivePairs(
  file: string,
  options: RowsOptions = {},
): Promise<{ pairs: ObjectivePair[]; damaged: DamagedRow[] }> {
  const { items, damaged } = await readJsonRows(file, options, (values, place): ObjectivePair => {
    const objective = textField(values, "objective", place);
    if (objective !== "harmlessness" && objective !== "helpfulness") {
      throw new UserError(`objective is ${JSON.stringify(objective)}`, {
        place: { ...place, column: "objective" },
        hint: 'Expected "harmlessness" or "helpfulness".',
      });
    }
    const [prompt, chosen, rejected] = ["prompt", "chosen", "rejected"].map((name) =>
      textField(values, name, place),
    );
    return { prompt, chosen, rejected, objective };
  });
  return { pairs: items, damaged };
}

/** Pairs of HH-RLHF, whose files are each of one objective. */
export const hhObjectivePairs = ({ pairs }: HhPairs, objective: Objective): ObjectivePair[] =>
  pairs.map(({ prompt, chosen, rejected }) => ({ prompt, chosen, rejected, objective }));

/** Pairs with an empty reply and pairs of equal replies teach nothing: the others, and how many these were. */
export function usablePairs(pairs: readonly ObjectivePair[]): {
  kept: ObjectivePair[];
  dropped: { empty: number; equal: number };
} {
  const isEmpty = ({ chosen, rejected }: ObjectivePair) => chosen.trim() === "" || rejected.trim() === "";
  const full = pairs.filter((pair) => !isEmpty(pair));
  const kept = full.filter(({ chosen, rejected }) => chosen.trim() !== rejected.trim());
  return { kept, dropped: { empty: pairs.length - full.length, equal: full.length - kept.length } };
}

export interface OwnPairsOptions {
  /** Gives the split, which reply comes first, where models start and the order of their data. */
  random: Random;
  /** Terms (words and pairs of neighbouring words) that weak supervisor and student know, the most frequent ones. */
  terms?: { weak: number; strong: number };
  /** Confidence from which on a model knows a pair, in [0.5, 1). Default 0.75. */
  threshold?: number;
  recipe?: Partial<RewardRecipe>;
  signal?: AbortSignal;
}

export interface OwnPairsResult {
  dropped: { empty: number; equal: number };
  /** Pairs for the weak supervisor, for the student, of the second objective, and to measure on. */
  counts: { supervision: number; transfer: number; helpfulness: number; test: number };
  /** On the test pairs, by model. */
  accuracy: Record<string, number>;
  /**
   * By what stands in the place of the conflicted student: `explicit`, `other seed` (no conflict: what chance does), and
   * `implicit` where there are helpfulness pairs.
   */
  scores: Record<string, DeceptionScores>;
  /** Why the scores may mean little, in sentences. */
  warnings: string[];
}

/** Fewer harmlessness pairs cannot be shared out among supervisor, student and test. */
const LEAST = 30;

/**
 * Trains weak supervisor, ceiling and students on thirds of the harmlessness pairs, with the helpfulness pairs as the second
 * objective, and measures where the students err. Texts are known by tf-idf of the reply.
 *
 * @throws UserError for fewer than 30 usable harmlessness pairs, and for a threshold outside [0.5, 1)
 */
export async function deceptionOfPairs(
  pairs: readonly ObjectivePair[],
  { random, terms = { weak: 50, strong: 2000 }, threshold = 0.75, recipe, signal }: OwnPairsOptions,
): Promise<OwnPairsResult> {
  const { kept, dropped } = usablePairs(pairs);
  const helpful = ordered(
    kept.filter(({ objective }) => objective === "helpfulness"),
    random.stream("helpfulness"),
  );
  const all = ordered(
    kept.filter(({ objective }) => objective === "harmlessness"),
    random.stream("harmlessness"),
  );
  if (all.length < LEAST) {
    throw new UserError(`there are ${all.length} usable harmlessness pairs, expected at least ${LEAST}`, {
      hint: `Of ${pairs.length} pairs, ${dropped.empty} have an empty reply and ${dropped.equal} equal ones.`,
    });
  }
  const third = Math.floor(all.length / 3);
  const [supervision, transfer, test] = [
    all.slice(0, third),
    all.slice(third, 2 * third),
    all.slice(2 * third),
  ];
  const seen = [...supervision, ...transfer, ...helpful].flatMap(({ first, second }) => [first, second]);
  const views = {
    weak: collectTerms(seen, { maxFeatures: terms.weak }),
    strong: collectTerms(seen, { maxFeatures: terms.strong }),
  };
  const models = new RewardModels({ ...recipeDefaults, ...recipe });
  try {
    const seenBy = (view: keyof typeof views, given: readonly OrderedPair[]) =>
      featuresOf(views[view], given);
    const train = (given: LabelledPairs, name = "student") =>
      models.train(given, random.stream("model", name), signal);
    const weak = await train({ ...seenBy("weak", supervision), preference: truthOf(supervision) }, "weak");
    const strongView = seenBy("strong", transfer);
    const truth = truthOf(transfer);
    const learn = {
      ...strongView,
      preference: await models.preferences(weak, seenBy("weak", transfer)),
    };
    const testView = seenBy("strong", test);
    const judged = async (params: Promise<RewardParams>) => models.preferences(await params, testView);
    const noConflict = await judged(train(learn));
    const ceiling = await judged(train({ ...strongView, preference: truth }));
    const judgedWeak = await models.preferences(weak, seenBy("weak", test));
    const students: Record<string, Float32Array> = {
      explicit: await judged(train({ ...learn, truth })),
      "other seed": await judged(train(learn, "student, another seed")),
    };
    if (helpful.length > 0) {
      const second = { ...seenBy("strong", helpful), preference: truthOf(helpful) };
      students.implicit = await judged(train(concatenatePairs(learn, second)));
    }
    const measured = { truth: truthOf(test), weak: judgedWeak, ceiling, noConflict };
    const accuracy = (values: Float32Array) =>
      values.reduce((sum, p, i) => sum + Number(p >= 0.5 === (measured.truth[i] === 1)), 0) / values.length;
    const judgements = { weak: judgedWeak, ceiling, "no conflict": noConflict, ...students };
    const scores = Object.fromEntries(
      Object.entries(students).map(([name, conflicted]) => [
        name,
        deceptionScores({ ...measured, conflicted }, { threshold }),
      ]),
    );
    return {
      dropped,
      counts: {
        supervision: supervision.length,
        transfer: transfer.length,
        helpfulness: helpful.length,
        test: test.length,
      },
      accuracy: Object.fromEntries(
        Object.entries(judgements).map(([name, values]) => [name, accuracy(values)]),
      ),
      scores,
      warnings: warningsOf(accuracy(ceiling), accuracy(judgedWeak), test.length, scores),
    };
  } finally {
    await models.dispose();
  }
}

function warningsOf(
  ceiling: number,
  weak: number,
  count: number,
  scores: Record<string, DeceptionScores>,
): string[] {
  const warnings: string[] = [];
  const error = Math.sqrt((ceiling * (1 - ceiling) + weak * (1 - weak)) / count);
  if (ceiling - weak < 2 * error) {
    warnings.push(
      `The ceiling (accuracy ${ceiling.toFixed(3)}) is not clearly better than the weak supervisor (${weak.toFixed(3)}): ` +
        "there is little that only the strong model knows.",
    );
  }
  for (const [name, { reliable, taxed }] of Object.entries(scores)) {
    if (!reliable)
      warnings.push(`The score of "${name}" rests on ${taxed} pairs; it means little below ${RELIABLE}.`);
  }
  return warnings;
}

interface OrderedPair {
  first: string;
  second: string;
  /** 1 where the first is the chosen one. */
  truth: number;
  objective: Objective;
}

/** In random order, with a fair coin for which reply comes first. */
const ordered = (pairs: readonly ObjectivePair[], random: Random): OrderedPair[] =>
  Array.from(random.stream("order").permutation(pairs.length), (row) => {
    const { chosen, rejected, objective } = pairs[row];
    return random.stream("coin", row).integer(2) === 1
      ? { first: chosen, second: rejected, truth: 1, objective }
      : { first: rejected, second: chosen, truth: 0, objective };
  });

const truthOf = (pairs: readonly OrderedPair[]) => Float32Array.from(pairs, ({ truth }) => truth);

/** tf-idf of the replies, and a flag for the objective of the prompt: `[pairs, terms + 1]` each. */
function featuresOf(vocabulary: TermVocabulary, pairs: readonly OrderedPair[]) {
  const size = vocabulary.terms.length + 1;
  const dense = (texts: string[]) => {
    const { values, sparse } = tfIdf(vocabulary, texts);
    const { offsets, columns } = sparse as NonNullable<typeof sparse>;
    const features = new Float32Array(texts.length * size);
    pairs.forEach(({ objective }, row) => {
      for (let j = offsets[row]; j < offsets[row + 1]; j++) features[row * size + columns[j]] = values[j];
      features[row * size + size - 1] = objective === "helpfulness" ? 1 : 0;
    });
    return new Tensor(features, [texts.length, size]);
  };
  return { first: dense(pairs.map(({ first }) => first)), second: dense(pairs.map(({ second }) => second)) };
}

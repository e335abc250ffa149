import { UserError } from "../../errors.js";
import type { Generation, GenerationRequest, Generator } from "../generation.js";

/**
 * Of several texts for a prompt the one that scores highest; of equals the first.
 *
 * @param score of each text, all at once, so that a reward model can batch them
 * @returns all texts with their scores, and the index of the best
 * @throws UserError for scores that are NaN or not as many as texts
 */
export async function bestOfN(
  generator: Generator,
  request: GenerationRequest,
  count: number,
  score: (generations: readonly Generation[]) => readonly number[] | Promise<readonly number[]>,
): Promise<{ best: Generation; index: number; generations: Generation[]; scores: number[] }> {
  const generations = await generator.sample(request, count);
  const scores = [...(await score(generations))];
  checkScores(scores, generations.length);
  const index = scores.indexOf(Math.max(...scores));
  return { best: generations[index], index, generations, scores };
}

/** @throws UserError unless there is a number for each */
export function checkScores(scores: readonly number[], count: number): void {
  if (scores.length !== count) throw new UserError(`${scores.length} scores were given for ${count} texts`);
  const at = scores.findIndex(Number.isNaN);
  if (at >= 0) throw new UserError(`the score of text ${at + 1} is NaN, expected a number`);
}

export interface Vote<Answer> {
  answer: Answer;
  /** How many gave it. */
  count: number;
  score: number;
  /** The first that gave it. */
  first: number;
}

/**
 * Answers by votes, the winner first. What decides is how many gave an answer (`count`: self-consistency, Wang et al. 2023), or
 * the sum, the mean or the largest of their weights (weighted voting). Ties go to the answer that more gave, then to the one
 * that was given first. Answers that are undefined do not vote.
 *
 * @param weights for each answer, e.g. of a verifier. Default: 1 each
 */
export function vote<Answer>(
  answers: readonly (Answer | undefined)[],
  {
    by = "count",
    weights = answers.map(() => 1),
    key = (answer) => JSON.stringify(answer),
  }: {
    by?: "count" | "sum" | "mean" | "max";
    weights?: readonly number[];
    /** Answers of the same key are the same. Default: their JSON. */
    key?: (answer: Answer) => string;
  } = {},
): Vote<Answer>[] {
  checkScores(weights, answers.length);
  const groups = new Map<string, { answer: Answer; first: number; weights: number[] }>();
  answers.forEach((answer, i) => {
    if (answer === undefined) return;
    const name = key(answer);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, { answer, first: i, weights: [weights[i]] });
    else group.weights.push(weights[i]);
  });
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
  const scoreOf = {
    count: (numbers: readonly number[]) => numbers.length,
    sum,
    mean: (numbers: readonly number[]) => sum(numbers) / numbers.length,
    max: (numbers: readonly number[]) => Math.max(...numbers),
  }[by];
  return Array.from(groups.values(), ({ answer, first, weights }) => ({
    answer,
    first,
    count: weights.length,
    score: scoreOf(weights),
  })).sort((a, b) => b.score - a.score || b.count - a.count || a.first - b.first);
}

/**
 * Self-consistency (Wang et al. 2023): several texts for a prompt, and the answer that most of them come to.
 *
 * @param answerOf a text; undefined where it has none
 * @returns the first text with the winning answer; undefined where no text has an answer
 */
export async function selfConsistency<Answer>(
  generator: Generator,
  request: GenerationRequest,
  count: number,
  answerOf: (text: string) => Answer | undefined,
): Promise<{ winner: Generation | undefined; votes: Vote<Answer>[]; generations: Generation[] }> {
  const generations = await generator.sample(request, count);
  const votes = vote(generations.map(({ text }) => answerOf(text)));
  return { winner: votes.length === 0 ? undefined : generations[votes[0].first], votes, generations };
}

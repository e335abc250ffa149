import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import type { PromptedAnswer } from "../models/sequence-log-probs.js";

/**
 * A text, or its ids. An answer that is a text ends with the model's first end token; one that is ids is taken as it is, e.g. a
 * sample that was cut off.
 */
export type TextOrIds = string | Int32Array;

/** What becomes of examples that nothing can be learnt from: `refuse` them all, or `drop` and count them. */
export type InvalidExamples = "refuse" | "drop";

/** Ids of a prompt. */
export function promptIds({ tokenizer }: Pick<LanguageModel, "tokenizer">, prompt: TextOrIds): Int32Array {
  return typeof prompt === "string" ? tokenizer.encode(prompt) : prompt;
}

/** Ids of an answer; of an empty text none, not even an end token. */
export function answerIds(
  { tokenizer, endTokens }: Pick<LanguageModel, "tokenizer" | "endTokens">,
  answer: TextOrIds,
): Int32Array {
  if (typeof answer !== "string") return answer;
  const ids = tokenizer.encode(answer);
  return ids.length === 0 ? ids : Int32Array.from([...ids, ...endTokens.slice(0, 1)]);
}

/** What is wrong with a prompt, in words that fit a count: "a prompt that ...". */
export function promptProblem(
  { config }: Pick<LanguageModel, "config">,
  prompt: Int32Array,
): string | undefined {
  if (prompt.length === 0) return "an empty prompt";
  if (prompt.length >= config.contextLength) {
    return `a prompt that fills the context of ${config.contextLength} tokens`;
  }
  return undefined;
}

/** What is wrong with an answer or its prompt. */
export function answerProblem(
  model: Pick<LanguageModel, "config">,
  { prompt, answer }: PromptedAnswer,
): string | undefined {
  const { contextLength } = model.config;
  const problem = promptProblem(model, prompt as Int32Array);
  if (problem) return problem;
  if (answer.length === 0) return "an empty answer";
  // The last token need not be read.
  if (prompt.length + answer.length - 1 > contextLength) {
    return `prompt and answer longer together than the context of ${contextLength} tokens`;
  }
  return undefined;
}

export interface CheckedExamples {
  /** Numbers of the examples that are left, from 0. */
  kept: Int32Array;
  /** How many were dropped, by what was wrong with them. */
  dropped: Record<string, number>;
}

/**
 * Sorts out the examples that nothing can be learnt from.
 *
 * @param problems what is wrong with each example, or undefined
 * @param what the examples, e.g. "pairs"
 * @throws UserError that counts the problems and names the first rows of each, where they are to be refused or none is left
 */
export function checkExamples(
  problems: readonly (string | undefined)[],
  what: string,
  invalid: InvalidExamples,
): CheckedExamples {
  const rowsOf = new Map<string, number[]>();
  problems.forEach((problem, row) => {
    if (problem) rowsOf.set(problem, [...(rowsOf.get(problem) ?? []), row]);
  });
  const kept = Int32Array.from(problems.keys()).filter((row) => problems[row] === undefined);
  if (rowsOf.size > 0 && (invalid === "refuse" || kept.length === 0)) {
    const lines = [...rowsOf].map(([problem, rows]) => {
      const listed = rows.slice(0, 5).join(", ") + (rows.length > 5 ? ", ..." : "");
      return `${rows.length} with ${problem} (rows ${listed}, counted from 0)`;
    });
    throw new UserError(
      `${problems.length - kept.length} of ${problems.length} ${what} cannot be used: ${lines.join("; ")}`,
      kept.length === 0
        ? { hint: "None is left." }
        : { hint: 'Mend them, or leave them out with invalid: "drop".' },
    );
  }
  if (kept.length === 0) throw new UserError(`there are no ${what}`);
  const dropped = Object.fromEntries([...rowsOf].map(([problem, rows]) => [problem, rows.length]));
  return { kept, dropped };
}

import { UserError } from "../errors.js";
import { extractAnswer } from "./answers.js";
import { textId } from "./text-id.js";
import { type DamagedRow, type RowsOptions, readJsonRows, textField } from "./text-rows.js";
import { stripAnnotations, type WordProblem } from "./word-problem.js";

/** A problem of GSM8K (Cobbe et al. 2021) with its line in the file. */
export interface Gsm8kProblem extends WordProblem {
  row: number;
}

export interface Gsm8kOptions extends RowsOptions {
  /** What becomes of calculator annotations such as `<<16-3-4=9>>`: `keep` (the default) or `strip`. */
  annotations?: "keep" | "strip";
}

/**
 * Reads GSM8K's JSONL: `question`, and `answer` with one step a line and the final answer after `####`.
 *
 * @throws UserError with file and row for a missing field, an answer without `####`, or a question that is there twice
 */
export async function readGsm8k(
  file: string,
  options: Gsm8kOptions = {},
): Promise<{ problems: Gsm8kProblem[]; damaged: DamagedRow[] }> {
  const seen = new Map<string, number>();
  const { items, damaged } = await readJsonRows(file, options, (values, place): Gsm8kProblem => {
    const row = place.row as number;
    const question = textField(values, "question", place).trim();
    const solution = textField(values, "answer", place).trim();
    if (question === "") throw new UserError("the question is empty", { place });
    const answer = extractAnswer(solution, { formats: ["hash"] });
    if (answer === "") {
      throw new UserError("the answer has no line with ####", {
        place: { ...place, column: "answer" },
        hint: "Expected the final answer on the last line, e.g. #### 18.",
      });
    }
    const id = textId(question);
    const other = seen.get(id);
    if (other !== undefined) throw new UserError(`the question is also on row ${other}`, { place });
    seen.set(id, row);
    const kept = options.annotations === "strip" ? stripAnnotations(solution) : solution;
    return { id, row, question, solution: kept, answer };
  });
  return { problems: items, damaged };
}

/** What somebody wrote for a problem, and whether the file calls it right. */
export interface ModelSolution {
  solution: string;
  isCorrect: boolean;
  /** The final answer in it; "" where there is none. */
  answer: string;
}

/** A problem with solutions by several models, by their names. */
export interface SolvedProblem extends Gsm8kProblem {
  solutions: Record<string, ModelSolution>;
}

/**
 * Reads GSM8K's `example_model_solutions.jsonl`: `question`, `ground_truth`, and for each model an object with
 * `solution`, whose last line says `A: 18`, and `is_correct`.
 *
 * @throws UserError with file and row for what is missing
 */
export async function readModelSolutions(
  file: string,
  options: Gsm8kOptions = {},
): Promise<{ problems: SolvedProblem[]; damaged: DamagedRow[] }> {
  const kept = (text: string) => (options.annotations === "strip" ? stripAnnotations(text) : text);
  const { items, damaged } = await readJsonRows(file, options, (values, place): SolvedProblem => {
    const question = textField(values, "question", place).trim();
    const truth = textField(values, "ground_truth", place).trim();
    const answer = extractAnswer(truth);
    if (answer === "") throw new UserError("ground_truth gives no answer", { place });
    const solutions = Object.entries(values).flatMap(([name, value]): [string, ModelSolution][] => {
      if (name === "question" || name === "ground_truth") return [];
      const model = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
      const solution = textField(model, "solution", { ...place, column: name }).trim();
      if (typeof model.is_correct !== "boolean") {
        throw new UserError("is_correct is not true or false", { place: { ...place, column: name } });
      }
      return [
        [name, { solution: kept(solution), isCorrect: model.is_correct, answer: extractAnswer(solution) }],
      ];
    });
    if (solutions.length === 0) throw new UserError("no model has a solution", { place });
    return {
      id: textId(question),
      row: place.row as number,
      question,
      solution: kept(truth),
      answer,
      solutions: Object.fromEntries(solutions),
    };
  });
  return { problems: items, damaged };
}

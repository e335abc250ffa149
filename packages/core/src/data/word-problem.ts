import { evaluateExpression } from "./expression.js";
import { isEqual, parseDecimal, type Rational, roundsTo } from "./rational.js";

/** A problem with a worked solution whose end says the answer: what GSM8K and the world arith-chain hold. */
export interface WordProblem {
  /** The same for the same problem; all different in a data set. */
  id: string;
  question: string;
  /** Steps, one a line, and a last line `#### answer`. */
  solution: string;
  /** The final answer alone. */
  answer: string;
}

/** What a language model is trained on: the loss counts on `answer` alone. */
export interface PromptedText {
  prompt: string;
  answer: string;
}

/** The question and a line break, then the solution. */
export function promptedText({
  question,
  solution,
}: Pick<WordProblem, "question" | "solution">): PromptedText {
  return { prompt: `${question}\n`, answer: solution };
}

/** An equation that a solution states. */
export interface StatedEquation {
  /** Line of the solution, counted from 0. */
  line: number;
  /** As it is written, e.g. `16-3-4` and `9`. */
  left: string;
  right: string;
  /** Exact value of the left side; undefined where it divides by 0. */
  value: Rational | undefined;
  /** The right side. */
  stated: Rational;
  /** Whether the right side is the value, or the value rounded to the decimals that the right side has. */
  holds: boolean;
}

const annotation = /<<([^<>=]*)=([^<>=]*)>>/g;
const number = String.raw`\d[\d,]*(?:\.\d+)?|\.\d+`;
const operand = `[-−]?[$(]*(?:${number})[%)]*`;
const operation = String.raw`\s*[-+*/×÷−]\s*|\s+x\s+`;
// Not a part of a longer expression on either side.
const written = new RegExp(
  String.raw`(?<![\d.,:$]|[)(%+*/×÷−-]\s*|\sx\s+)(${operand}(?:(?:${operation})${operand})+)\s*=\s*([-−]?\$?(?:${number})%?)(?!\s*[-+*/×÷−(^]|\s+(?:x\s|\d|%|and\s+[$(]*\d+\s*/)|[.,]?\d)`,
  "g",
);

/**
 * The equations of a solution in order. In a line with calculator annotations, `<<16-3-4=9>>`, these count; in any other
 * line the equations of numbers that stand there, e.g. `16 - 3 - 4 = 9`. What cannot be read as an equation is not listed.
 */
export function statedEquations(solution: string): StatedEquation[] {
  return solution.split("\n").flatMap((text, line) => {
    const annotated = [...text.matchAll(annotation)];
    const matches =
      annotated.length > 0 ? annotated : text.includes("=") ? [...text.slice(0, 4000).matchAll(written)] : [];
    return matches.flatMap(([, left, right]) => {
      const stated = evaluateExpression(right);
      if (stated === undefined || !/\d/.test(left)) return [];
      const value = evaluateExpression(left);
      // What divides by 0 is read, and wrong; what is no expression is not read.
      if (value === undefined && !/[/÷]\s*0+(?:\.0*)?(?![.\d])/.test(left)) return [];
      const holds = value !== undefined && agrees(value, right, stated);
      return [{ line, left, right, value, stated, holds }];
    });
  });
}

function agrees(value: Rational, right: string, stated: Rational): boolean {
  if (isEqual(value, stated)) return true;
  const [, decimals] = /^[^.]*\.(\d+)$/.exec(right.replace(/[$,\s%]/g, "")) ?? [];
  return (
    decimals !== undefined &&
    parseDecimal(`.${decimals}`) !== undefined &&
    roundsTo(value, stated, decimals.length)
  );
}

/** A solution without its calculator annotations. */
export const stripAnnotations = (solution: string) => solution.replace(/<<[^<>]*>>/g, "");

/** The first equation of a solution that does not hold, if any: what can be checked where no gold steps are known. */
export const firstWrongEquation = (solution: string): StatedEquation | undefined =>
  statedEquations(solution).find(({ holds }) => !holds);

import { extractAnswer, sameAnswer } from "../data/answers.js";
import { formatRational } from "../data/rational.js";
import { type ArithmeticStep, apply, type Operation } from "./arith-story.js";

/** Why a step of a solution is wrong. */
export type StepFault =
  /** The line holds no equation of two whole numbers. */
  | "unreadable"
  /** The equation does not hold: 5 + 3 = 9. */
  | "arithmetic"
  /** It does not go on from the result of the step before, or from the number that the story starts with. */
  | "start"
  /** Another operation than the story tells at this place. */
  | "operation"
  /** Another number than the story tells, e.g. a distractor's. */
  | "operand"
  /** There are more steps than the story has. */
  | "extra"
  /** The story has more steps. */
  | "missing"
  /** The answer is not the result of the last step. */
  | "answer";

export interface WrongStep {
  /** Index of the step, from 0; for `missing` and `answer` the number of steps written. */
  step: number;
  fault: StepFault;
  /** For people, e.g. `step 2: 5 + 3 is 8, not 9`. */
  explanation: string;
}

export interface SolutionVerdict {
  /** Steps that were read; where one is unreadable, undefined stands for it. */
  steps: (ArithmeticStep | undefined)[];
  /** For each step that was written: what is wrong with it, given the numbers that the solution had before it. */
  faults: (StepFault | undefined)[];
  firstWrong: WrongStep | undefined;
  /** The final answer, "" where there is none. */
  answer: string;
  /** Whether the answer is right, whatever the steps say. */
  correct: boolean;
  /** Whether every step and the answer are right. */
  sound: boolean;
}

interface Story {
  steps: readonly ArithmeticStep[];
  answer: string;
}

/** Checks a solution, one step a line, against the gold steps; after a wrong step it is judged on from the wrong number. */
export function verifySteps(gold: Story, solution: string): SolutionVerdict {
  const lines = solution
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const written = lines.filter((line) => !line.startsWith("#")).slice(0, 1000);
  const steps = written.map(readStep);
  const wrong: WrongStep[] = [];
  let before: number | undefined = gold.steps[0].left;
  const faults = steps.map((step, i): StepFault | undefined => {
    const found = judge(step, gold.steps[i], before);
    before = step?.result;
    if (found) wrong.push({ step: i, fault: found[0], explanation: `step ${i + 1}: ${found[1]}` });
    return found?.[0];
  });
  const answer = extractAnswer(solution, { formats: ["hash"] });
  const last = steps[steps.length - 1];
  if (steps.length < gold.steps.length) {
    const missing = gold.steps.length - steps.length;
    wrong.push({ step: steps.length, fault: "missing", explanation: `steps are missing: ${missing}` });
  } else if (answer === "") {
    wrong.push({ step: steps.length, fault: "answer", explanation: "there is no answer" });
  } else if (last !== undefined && !sameAnswer(answer, String(last.result))) {
    const explanation = `the answer is ${answer}, the last step says ${last.result}`;
    wrong.push({ step: steps.length, fault: "answer", explanation });
  }
  const correct = sameAnswer(answer, gold.answer);
  return { steps, faults, firstWrong: wrong[0], answer, correct, sound: wrong.length === 0 && correct };
}

function judge(
  step: ArithmeticStep | undefined,
  gold: ArithmeticStep | undefined,
  before: number | undefined,
): [StepFault, string] | undefined {
  if (step === undefined) return ["unreadable", "is not read as an equation of two whole numbers"];
  const { left, operation, right, result } = step;
  if (gold === undefined) return ["extra", "the story has no such step"];
  const isCommuted =
    (operation === "+" || operation === "*") && before !== undefined && left !== before && right === before;
  const [from, by] = isCommuted ? [right, left] : [left, right];
  if (before !== undefined && from !== before) return ["start", `starts from ${from}, not from ${before}`];
  if (operation !== gold.operation)
    return ["operation", `has ${operation} where the story has ${gold.operation}`];
  if (by !== gold.right) return ["operand", `has ${by} where the story has ${gold.right}`];
  const exact = apply(operation, left, right);
  if (result !== exact) {
    const value = Number.isInteger(exact) ? String(exact) : fraction(left, right);
    return ["arithmetic", `${left} ${operation} ${right} is ${value}, not ${result}`];
  }
  return undefined;
}

const fraction = (n: number, d: number) =>
  d === 0 ? "not defined" : formatRational({ n: BigInt(n), d: BigInt(d) });

// Not the end of a longer expression: "5 + 3 - 2 = 6" is no single step.
const equation =
  /(?<![-+*/×÷.\d]\s*)(-?\d{1,12})\s*([-+*/×÷x])\s*(-?\d{1,12})\s*=\s*(-?\d{1,12})(?![\d.]|,\d)/;
const signs: Record<string, Operation> = { "×": "*", x: "*", "÷": "/" };

function readStep(line: string): ArithmeticStep | undefined {
  const [, left, sign, right, result] = equation.exec(line) ?? [];
  if (left === undefined) return undefined;
  const operation = signs[sign] ?? (sign as Operation);
  return { left: Number(left), operation, right: Number(right), result: Number(result) };
}

import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { type ArithmeticStep, apply } from "./arith-story.js";

/**
 * How a solution is made wrong. After a wrong step the solution goes on from the wrong number, correctly, and never comes
 * back to the right one by chance. With L steps:
 *
 * | given | a step is wrong | the answer is wrong |
 * | --- | --- | --- |
 * | `stepErrorRate` p | with probability p, each on its own | where any step is: 1 - (1 - p)^L |
 * | `outcomeErrorRate` e | with probability e, k = min(`wrongSteps`, L) steps, any as likely: e k / L | with probability e |
 * | both | with probability p, each on its own | with probability e, whatever the steps say |
 * | `misconception` | where it applies | where any step is |
 *
 * With both, an answer may contradict the last step: right steps with a wrong answer, or the reverse.
 */
export interface Corruption {
  stepErrorRate?: number;
  outcomeErrorRate?: number;
  /** Steps that are wrong in a solution with a wrong outcome, at least 1. Default 1. Only with `outcomeErrorRate` alone. */
  wrongSteps?: number;
  /** What a teacher always gets wrong, in place of random errors; all who have it make the same error. */
  misconception?: Misconception;
}

export const misconceptions = {
  /** Adds column by column and forgets the carry: 17 + 5 = 12. */
  "no-carry": (step: ArithmeticStep) =>
    step.operation === "+" ? byColumn(step.left, step.right, (a, b) => (a + b) % 10) : undefined,
  /** Takes the smaller digit from the larger in each column: 23 - 7 = 24. */
  "no-borrow": (step: ArithmeticStep) =>
    step.operation === "-" ? byColumn(step.left, step.right, (a, b) => Math.abs(a - b)) : undefined,
  /** Reads "3 times as many" as "3 more". */
  "times-is-plus": (step: ArithmeticStep) => (step.operation === "*" ? step.left + step.right : undefined),
} as const;

export type Misconception = keyof typeof misconceptions;

export interface CorruptedSteps {
  steps: ArithmeticStep[];
  answer: string;
  /** Indices of the steps that are wrong, given the numbers before them. */
  wrongSteps: number[];
  /** Whether the answer is wrong. */
  wrongOutcome: boolean;
}

export interface CorruptedSolution extends CorruptedSteps {
  solution: string;
}

/** The rates that a corruption has for solutions of L steps: of steps wrong on their own, and of wrong answers. */
export function statedErrorRates(corruption: Omit<Corruption, "misconception">, steps: number) {
  const { stepErrorRate: p, outcomeErrorRate: e } = corruption;
  if (p !== undefined) return { step: p, outcome: e ?? 1 - (1 - p) ** steps };
  return { step: ((e ?? 0) * Math.min(corruption.wrongSteps ?? 1, steps)) / steps, outcome: e ?? 0 };
}

/** See {@link Corruption}. */
export function corruptSteps(
  problem: { steps: readonly ArithmeticStep[]; answer: string },
  corruption: Corruption,
  random: Random,
): CorruptedSteps {
  refuse(corruption);
  const { stepErrorRate, outcomeErrorRate, misconception } = corruption;
  if (misconception !== undefined) return misunderstand(problem, misconception);
  const gold = problem.steps;
  const wrong =
    stepErrorRate !== undefined
      ? gold.flatMap((_, i) => (random.uniform() < stepErrorRate ? [i] : []))
      : random.uniform() < (outcomeErrorRate ?? 0)
        ? Array.from(random.permutation(gold.length).subarray(0, corruption.wrongSteps ?? 1)).sort(
            (a, b) => a - b,
          )
        : [];
  const steps = withWrongSteps(gold, wrong, random);
  const follows = String(steps[steps.length - 1].result);
  if (stepErrorRate === undefined || outcomeErrorRate === undefined) {
    return { steps, answer: follows, wrongSteps: wrong, wrongOutcome: wrong.length > 0 };
  }
  const wrongOutcome = random.uniform() < outcomeErrorRate;
  if (!wrongOutcome) return { steps, answer: problem.answer, wrongSteps: wrong, wrongOutcome };
  const answer = follows === problem.answer ? String(near(Number(follows), random)) : follows;
  return { steps, answer, wrongSteps: wrong, wrongOutcome };
}

function refuse({ stepErrorRate, outcomeErrorRate, wrongSteps, misconception }: Corruption): void {
  for (const [name, value] of Object.entries({ stepErrorRate, outcomeErrorRate })) {
    if (value === undefined || (value >= 0 && value <= 1)) continue;
    throw new UserError(`${name} is ${value}, expected 0 to 1`);
  }
  if (wrongSteps !== undefined && !(Number.isInteger(wrongSteps) && wrongSteps >= 1)) {
    throw new UserError(`wrongSteps is ${wrongSteps}, expected a whole number from 1 on`);
  }
  if (wrongSteps !== undefined && (stepErrorRate !== undefined || outcomeErrorRate === undefined)) {
    throw new UserError("wrongSteps is given without outcomeErrorRate alone", {
      hint: "Leave stepErrorRate out: the number of wrong steps fixes it.",
    });
  }
  if (misconception !== undefined && (stepErrorRate !== undefined || outcomeErrorRate !== undefined)) {
    throw new UserError("a misconception is given with an error rate", {
      hint: "A misconception decides by itself which steps are wrong: give one or the other.",
    });
  }
}

/** A number other than the given one, not negative, mostly close to it. */
function near(value: number, random: Random): number {
  for (;;) {
    const other = value + (1 + random.integer(10)) * (random.integer(2) === 0 ? 1 : -1);
    if (other >= 0) return other;
  }
}

function withWrongSteps(
  gold: readonly ArithmeticStep[],
  wrong: readonly number[],
  random: Random,
): ArithmeticStep[] {
  const steps: ArithmeticStep[] = [];
  let left = gold[0].left;
  gold.forEach(({ operation, right, result: truth }, i) => {
    const exact = apply(operation, left, right);
    const result = wrong.includes(i) ? wrongResult(gold, i, exact, truth, random) : exact;
    steps.push({ left, operation, right, result });
    left = result;
  });
  return steps;
}

/**
 * A wrong result of step `i` with which the rest can still be computed: whole numbers, none negative. It is neither the
 * exact result nor that of the gold solution; as all operations are one to one, the right answer then never comes back.
 */
function wrongResult(
  gold: readonly ArithmeticStep[],
  i: number,
  exact: number,
  truth: number,
  random: Random,
): number {
  // Multiples of all divisors to come may be added without a rest anywhere.
  const rest = gold.slice(i + 1);
  const period = rest.reduce(
    (product, { operation, right }) => (operation === "/" ? product * right : product),
    1,
  );
  const usable = (value: number) => value !== exact && value !== truth && canGoOn(value, rest);
  const candidates: number[] = [];
  for (let reach = 10; candidates.length === 0; reach *= 2) {
    for (let d = -reach; d <= reach; d++) if (usable(exact + d)) candidates.push(exact + d);
    if (reach > 1e6 * period) throw new RangeError(`no wrong result for step ${i}`);
  }
  // Close ones: within 10 where there are any.
  return candidates[random.integer(candidates.length)];
}

function canGoOn(start: number, steps: readonly ArithmeticStep[]): boolean {
  let value = start;
  for (const { operation, right } of steps) {
    if (value < 0) return false;
    value = apply(operation, value, right);
    if (!Number.isInteger(value)) return false;
  }
  return value >= 0;
}

/** The solution of somebody with a misconception; it is set aside where the rest could not be computed after it. */
function misunderstand(
  { steps: gold }: { steps: readonly ArithmeticStep[] },
  misconception: Misconception,
): CorruptedSteps {
  const rule = misconceptions[misconception];
  const wrongSteps: number[] = [];
  const steps: ArithmeticStep[] = [];
  let left = gold[0].left;
  gold.forEach(({ operation, right, result: truth }, i) => {
    const exact = apply(operation, left, right);
    const believed = rule({ left, operation, right, result: exact });
    const errs =
      believed !== undefined &&
      believed !== exact &&
      believed !== truth &&
      canGoOn(believed, gold.slice(i + 1));
    if (errs) wrongSteps.push(i);
    const result = errs ? believed : exact;
    steps.push({ left, operation, right, result });
    left = result;
  });
  return { steps, answer: String(left), wrongSteps, wrongOutcome: wrongSteps.length > 0 };
}

function byColumn(left: number, right: number, column: (a: number, b: number) => number): number {
  let result = 0;
  for (let scale = 1, a = left, b = right; a > 0 || b > 0; scale *= 10) {
    result += scale * column(a % 10, b % 10);
    a = Math.floor(a / 10);
    b = Math.floor(b / 10);
  }
  return result;
}

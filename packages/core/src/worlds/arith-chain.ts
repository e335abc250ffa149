import { z } from "zod";
import { textId } from "../data/text-id.js";
import { type PromptedText, promptedText, type WordProblem } from "../data/word-problem.js";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import { type CorruptedSolution, type Corruption, corruptSteps } from "./arith-corruption.js";
import {
  type ArithmeticStep,
  apply,
  drawTelling,
  mostWords,
  type Operation,
  operations,
  type Telling,
  tellEvents,
  tellStory,
  writeStep,
} from "./arith-story.js";
import { type SolutionVerdict, verifySteps } from "./arith-verifier.js";
import { parseConfig } from "./config.js";
import { chooser, drawDistinct, drawOf, splitShares, splitter, type WorldSplit } from "./splits.js";
import type { WorldKind } from "./world.js";

/*
 * Stories in which one number is changed step by step, for language models of 50 thousand to a million parameters. They
 * stand for GSM8K: a question in words, a solution that writes each step as an equation, an answer after ####.
 */

const range = (least: number, most: number) =>
  z
    .tuple([z.int().min(1).max(1e6), z.int().min(1).max(1e6)])
    .refine(([low, high]) => low <= high, { message: "the first is the least, the second the most" })
    .default([least, most]);
const rate = z.number().min(0).max(1);

/** Knobs of the world. */
export const arithChainSchema = z.object({
  /** Least and most steps of a problem; each number of steps is as frequent. */
  steps: z
    .tuple([z.int().min(1).max(20), z.int().min(1).max(20)])
    .refine(([low, high]) => low <= high, { message: "the first is the least, the second the most" })
    .default([1, 4]),
  /** Operations in use, as often each where the numbers allow it. */
  operations: z
    .array(z.enum(operations))
    .min(1)
    .default([...operations]),
  /** Numbers a story starts with. */
  start: range(2, 20),
  /** Numbers added, subtracted, multiplied and divided by. */
  plus: range(1, 20),
  minus: range(1, 20),
  times: range(2, 5),
  divisor: range(2, 5),
  /** No number of a gold solution is larger, and none is smaller than 1. */
  largest: z.int().min(2).max(1e9).default(100),
  /** Sentences about other people's things, which do not matter. */
  distractors: z.int().min(0).max(8).default(0),
  /** How many names, things, and ways to say each sentence are in use. */
  names: z.int().min(1).max(mostWords.names).default(8),
  items: z.int().min(1).max(mostWords.items).default(8),
  phrasings: z.int().min(1).max(mostWords.phrasings).default(2),
  /** A step is `5 + 3 = 8`, or `Tom has 5 + 3 = 8 apples.` */
  solutionStyle: z.enum(["equations", "sentences"]).default("equations"),
  /** Share of all possible problems that each part gets; they are divided by their sum. */
  splits: splitShares,
  /**
   * What decides the part of a problem: its start and first event word for word, or (harder) the numbers and the
   * operation of its first step, so that no test begins with numbers that training begins with.
   */
  splitBy: z.enum(["story", "numbers"]).default("story"),
  /**
   * Who writes the documents of pretraining. Style `answer` gives the final answer without steps. With
   * `outcomeErrorRate` alone an error of style `steps` is one wrong step; see {@link Corruption}.
   */
  authors: z
    .array(
      z.object({
        share: z.number().positive().default(1),
        style: z.enum(["steps", "answer"]).default("steps"),
        stepErrorRate: rate.optional(),
        outcomeErrorRate: rate.optional(),
      }),
    )
    .min(1)
    .default([{ share: 1, style: "steps" }]),
  /** Problems in one document of pretraining, apart by an empty line. More than 1 teaches to go on from examples. */
  problemsPerDocument: z.int().min(1).max(100).default(1),
});

export type ArithChainConfig = z.output<typeof arithChainSchema>;

/** A problem with its truth. `solution` is the gold solution. */
export interface ArithProblem extends WordProblem {
  split: WorldSplit;
  /** Gold steps; the result of each is the left number of the next. */
  steps: ArithmeticStep[];
  telling: Telling;
}

export interface ArithChainWorld {
  config: ArithChainConfig;
  /**
   * Draws problems of one part, all different. They are drawn one after the other, so that a smaller count gives the
   * first of the same ones. Problems of different parts differ in their first two sentences, or their first step.
   *
   * @param options.steps exactly so many steps, 1 to 20
   * @throws UserError where the part has not so many different problems, or none
   */
  problems(split: WorldSplit, count: number, random: Random, options?: { steps?: number }): ArithProblem[];
  /** Texts for pretraining, without end, by the authors of the configuration; problems may come again. */
  documents(random: Random, options?: { split?: WorldSplit }): Generator<string, never>;
  /** Examples with their gold solutions, then the question: what a model that is to learn from its context reads. */
  fewShotPrompt(examples: readonly Pick<WordProblem, "question" | "solution">[], question: string): string;
  /** Question and gold solution, for finetuning. */
  prompted(problem: ArithProblem): PromptedText;
  /** Which steps of a solution are wrong, which is the first, why, and whether its answer is right. */
  verify(problem: ArithProblem, solution: string): SolutionVerdict;
  /** A solution with errors of exactly known rates. */
  corrupt(problem: ArithProblem, corruption: Corruption, random: Random): CorruptedSolution;
  /** Writes steps and an answer as the gold solutions are written. */
  write(problem: ArithProblem, steps: readonly ArithmeticStep[], answer: string): string;
  /**
   * Problems about a part of the steps, from their true starting value, in the same split as the problem. One that
   * would lie in another split is told with other words; with `splitBy: "numbers"` it is left out.
   *
   * @param options.steps how many steps each has. Default: 1 to one less than the problem has
   */
  subtasks(problem: ArithProblem, options?: { steps?: number }): ArithProblem[];
}

export const arithChain: WorldKind<typeof arithChainSchema, ArithChainWorld> = {
  name: "arith-chain",
  summary: "multi-step arithmetic word problems with gold solutions, a step verifier and controlled errors",
  schema: arithChainSchema,
  generate,
  describe,
};

function generate(given: z.input<typeof arithChainSchema>, random: Random): ArithChainWorld {
  const config = parseConfig(arithChainSchema, given, "world arith-chain");
  const splitOf = splitter(config.splits, random.stream("splits"));
  const make = (steps: ArithmeticStep[], telling: Telling): ArithProblem => {
    const question = tellStory(steps, telling);
    const answer = String(steps[steps.length - 1].result);
    return {
      id: textId(question),
      question,
      solution: writeSolution(config, telling, steps, answer),
      answer,
      split: splitOf(splitKey(config, steps, telling)),
      steps,
      telling,
    };
  };
  const draw = (random: Random, steps?: number): ArithProblem => {
    const [least, most] = config.steps;
    const chain = drawChain(config, steps ?? least + random.integer(most - least + 1), random);
    const number = () => within(config.start, random);
    const telling = drawTelling(config, chain.length, { count: config.distractors, number }, random);
    return make(chain, telling);
  };
  const write: ArithChainWorld["write"] = ({ telling }, steps, answer) =>
    writeSolution(config, telling, steps, answer);
  const corrupt: ArithChainWorld["corrupt"] = (problem, corruption, random) => {
    const { steps, answer, ...rest } = corruptSteps(problem, corruption, random);
    return { ...rest, steps, answer, solution: write(problem, steps, answer) };
  };
  draw(random.stream("probe")); // refuses knobs that allow no story

  return {
    config,
    write,
    corrupt,
    problems(split, count, random, options = {}) {
      refuseSteps(options.steps);
      return drawDistinct("arith-chain", split, count, () => draw(random, options.steps));
    },
    *documents(random, { split = "pretrain" } = {}) {
      const authors = chooser(config.authors.map((author) => author.share));
      for (;;) {
        const author = config.authors[authors(random.uniform())];
        const texts = Array.from({ length: config.problemsPerDocument }, () => {
          const problem = drawOf("arith-chain", split, () => draw(random));
          const { stepErrorRate, outcomeErrorRate } = author;
          const written = corrupt(problem, { stepErrorRate, outcomeErrorRate }, random);
          const solution = author.style === "answer" ? write(problem, [], written.answer) : written.solution;
          return `${problem.question}\n${solution}`;
        });
        yield texts.join("\n\n");
      }
    },
    fewShotPrompt: (examples, question) =>
      [...examples.map((example) => `${example.question}\n${example.solution}`), `${question}\n`].join(
        "\n\n",
      ),
    prompted: promptedText,
    verify: (problem, solution) => verifySteps(problem, solution),
    subtasks(problem, options = {}) {
      refuseSteps(options.steps);
      return subtasksOf(config, problem, make, options.steps);
    },
  };
}

function refuseSteps(steps: number | undefined): void {
  if (steps === undefined || (Number.isInteger(steps) && steps >= 1 && steps <= 20)) return;
  throw new UserError(`a problem of ${steps} steps, expected 1 to 20`);
}

const within = ([least, most]: readonly [number, number], random: Random) =>
  least + random.integer(most - least + 1);

/** Chains whose numbers all lie from 1 to `largest`. Divisions leave no rest. */
function drawChain(config: ArithChainConfig, length: number, random: Random): ArithmeticStep[] {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const chain: ArithmeticStep[] = [];
    let value = within(config.start, random);
    if (value > config.largest) continue;
    while (chain.length < length) {
      const step = drawStep(config, value, random);
      if (step === undefined) break;
      chain.push(step);
      value = step.result;
    }
    if (chain.length === length) return chain;
  }
  throw new UserError(`world arith-chain: no story of ${length} steps was found`, {
    hint: "Allow more operations, wider ranges of numbers, or a greater largest number.",
  });
}

function drawStep(config: ArithChainConfig, left: number, random: Random): ArithmeticStep | undefined {
  const possible = config.operations
    .map((operation) => ({ operation, rights: rightsFor(config, operation, left) }))
    .filter(({ rights }) => rights.count > 0);
  if (possible.length === 0) return undefined;
  const { operation, rights } = possible[random.integer(possible.length)];
  const right = rights.at(random.integer(rights.count));
  return { left, operation, right, result: apply(operation, left, right) };
}

/** The numbers that may stand right of an operation. */
function rightsFor(config: ArithChainConfig, operation: Operation, left: number) {
  const { plus, minus, times, divisor, largest } = config;
  const interval = ([least, most]: readonly [number, number], limit: number) => ({
    count: Math.max(0, Math.min(most, limit) - least + 1),
    at: (i: number) => least + i,
  });
  if (operation === "+") return interval(plus, largest - left);
  if (operation === "-") return interval(minus, left - 1);
  if (operation === "*") return interval(times, Math.floor(largest / left));
  const divisors: number[] = [];
  for (let d = divisor[0]; d <= Math.min(divisor[1], left); d++) if (left % d === 0) divisors.push(d);
  return { count: divisors.length, at: (i: number) => divisors[i] };
}

/** What decides the part that a problem belongs to. */
function splitKey(config: ArithChainConfig, steps: readonly ArithmeticStep[], telling: Telling): string {
  const { left, operation, right } = steps[0];
  if (config.splitBy === "numbers") return `${left}${operation}${right}`;
  return tellEvents(steps, { ...telling, distractors: [] })
    .slice(0, 2)
    .join(" ");
}

function writeSolution(
  config: ArithChainConfig,
  telling: Telling,
  steps: readonly ArithmeticStep[],
  answer: string,
): string {
  return [...steps.map((step) => writeStep(step, config.solutionStyle, telling)), `#### ${answer}`].join(
    "\n",
  );
}

function subtasksOf(
  config: ArithChainConfig,
  problem: ArithProblem,
  make: (steps: ArithmeticStep[], telling: Telling) => ArithProblem,
  steps?: number,
): ArithProblem[] {
  const { telling, split } = problem;
  const total = problem.steps.length;
  const lengths = steps === undefined ? Array.from({ length: total - 1 }, (_, i) => i + 1) : [steps];
  return lengths.flatMap((length) =>
    Array.from({ length: Math.max(0, total - length + 1) }, (_, from) => {
      const part = problem.steps.slice(from, from + length);
      const said = telling.phrasings;
      const phrasings = [said[0], ...said.slice(from + 1, from + length + 1), said[said.length - 1]];
      if (length === total) return [];
      // The same words first, then those of other people and things.
      for (let name = 0; name < config.names; name++) {
        for (let item = 0; item < config.items; item++) {
          const told = make(part, {
            name: (telling.name + name) % config.names,
            item: (telling.item + item) % config.items,
            phrasings,
            distractors: [],
          });
          if (told.split === split) return [told];
        }
      }
      return [];
    }).flat(),
  );
}

function describe(world: ArithChainWorld): string {
  const random = createRandom("arith-chain sample");
  const [least, most] = world.config.steps;
  const [problem] = world.problems("test", 1, random, { steps: Math.min(most, Math.max(least, 3)) });
  const wrong = world.corrupt(problem, { outcomeErrorRate: 1 }, random);
  const { firstWrong } = world.verify(problem, wrong.solution);
  const document = world.documents(random).next().value;
  const indented = (text: string) => text.replace(/^(?=.)/gm, "  ");
  return [
    `arith-chain: stories of ${least} to ${most} steps with ${world.config.operations.join(" ")}, numbers up to ${world.config.largest}`,
    "A problem with its gold solution:",
    indented(`${problem.question}\n${problem.solution}`),
    `A wrong solution; ${firstWrong?.explanation ?? "no step is wrong"}:`,
    indented(wrong.solution),
    "A document of pretraining:",
    indented(document),
  ].join("\n");
}

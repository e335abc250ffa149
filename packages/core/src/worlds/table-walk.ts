import { z } from "zod";
import type { PromptedText } from "../data/word-problem.js";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import { parseConfig } from "./config.js";
import { chooser, drawDistinct, drawOf, splitShares, splitter, type WorldSplit } from "./splits.js";
import type { WorldKind } from "./world.js";

/*
 * Chains of look-ups in random tables. "3bdafc?" asks where one ends who starts in state 3 and follows the actions b, d, a,
 * f, c; "52714#4$" writes each state down, then the answer. Two layers cannot follow five tables in one pass, so the
 * written chain matters; and a model that has read authors of different skill has abilities that must be elicited.
 * From the experiments of the systems w2s-reasoning, w2sr, self-reinforcement, delta-learning and cdr.
 */

const rate = z.number().min(0).max(1);

const author = z.object({
  name: z.string().min(1),
  share: z.number().positive(),
  /** `chain` writes all states, `direct` the answer alone, `fact` single look-ups such as `3b>5$` instead of problems. */
  style: z.enum(["chain", "direct", "fact"]).default("chain"),
  /** Probability that a state (style `direct`: the answer) is wrong; then any other is as likely. */
  errorRate: rate.default(0),
  /** Probability of the known misconception at a hard fact; style `direct` has none. */
  misconceptionRate: rate.default(0),
});

/** Who writes a document. */
export type WalkAuthor = z.output<typeof author>;

/** Knobs of the world. */
export const tableWalkSchema = z.object({
  states: z.int().min(2).max(10).default(8),
  actions: z.int().min(1).max(12).default(6),
  /** Least and most actions of a problem; each number is as frequent. */
  steps: z
    .tuple([z.int().min(1).max(30), z.int().min(1).max(30)])
    .refine(([low, high]) => low <= high, { message: "the first is the least, the second the most" })
    .default([5, 5]),
  /** How many pairs of state and action have a popular wrong successor. */
  hardFacts: z.int().min(0).max(120).default(10),
  /**
   * Who writes the documents. The default is w2s-reasoning's: blurters, experts and sloppy ones, whose random states (all
   * equally likely, also the right one) are given here as the rates of wrong ones.
   */
  authors: z
    .array(author)
    .min(1)
    .default([
      { name: "blurter", share: 0.55, style: "direct", errorRate: (0.7 * 7) / 8, misconceptionRate: 0 },
      { name: "expert", share: 0.25, style: "chain", errorRate: 0, misconceptionRate: 0.5 },
      { name: "sloppy", share: 0.2, style: "chain", errorRate: (0.3 * 7) / 8, misconceptionRate: 0.5 },
    ]),
  /** Problems in a document, all by one author, without a gap. */
  problemsPerDocument: z.int().min(1).max(100).default(3),
  /** Share of the documents whose solutions are judged, `|Y` or `|N`, and how often a judgement is right. */
  judgements: z.object({ share: rate.default(0), accuracy: rate.default(0.85) }).prefault({}),
  /** Share of all problems that each part gets. */
  splits: splitShares,
});

export type TableWalkConfig = z.output<typeof tableWalkSchema>;

export interface WalkProblem {
  /** The question. */
  id: string;
  split: WorldSplit;
  start: number;
  actions: number[];
  /** The states after each action. */
  states: number[];
  /** E.g. `3bdafc?`. */
  question: string;
  /** E.g. `52714#4$`. */
  solution: string;
  /** The last state. */
  answer: string;
}

/** A pair of state and action with what the table says and what many believe. */
export interface HardFact {
  state: number;
  action: number;
  successor: number;
  misconception: number;
}

export interface WalkVerdict {
  /** States that were written. */
  states: number[];
  /** For each of them whether it is the successor of the one before it, as that was written. */
  right: boolean[];
  /** Index of the first wrong or missing state, or of the first one too many; the number of states for a wrong answer. */
  firstWrong: number | undefined;
  /** "" where there is none. */
  answer: string;
  /** Whether the answer is right, whatever the states say. */
  correct: boolean;
  /** Whether all states are there and right, and the answer is. */
  sound: boolean;
  /** Look-ups of hard facts in the solution: whether it followed the table, the misconception, or neither. */
  hard: { fact: HardFact; followed: "table" | "misconception" | "neither" }[];
}

export interface TableWalkWorld {
  config: TableWalkConfig;
  /** `[actions][states]`: successors; each row is a permutation. */
  tables: number[][];
  hardFacts: HardFact[];
  /** All characters that occur in texts, the end mark `$` among them. */
  symbols: string[];
  /**
   * Draws problems of one part, all different; a smaller count gives the first of the same ones.
   *
   * @param options.weights `[actions]`: how often each action is asked for. Default: all alike
   * @throws UserError where the part has not so many
   */
  problems(
    split: WorldSplit,
    count: number,
    random: Random,
    options?: { weights?: readonly number[] },
  ): WalkProblem[];
  /** Texts for pretraining, without end; `author` says who wrote the text. */
  documents(random: Random, options?: { split?: WorldSplit }): Generator<WalkDocument, never>;
  /** A solution as an author writes it. Style `fact` solves nothing and is refused. */
  solve(problem: WalkProblem, author: Omit<WalkAuthor, "name" | "share">, random: Random): string;
  verify(problem: WalkProblem, solution: string): WalkVerdict;
  prompted(problem: WalkProblem): PromptedText;
  /** Solved problems without a gap, then the question, as in the documents. */
  fewShotPrompt(examples: readonly { question: string; solution: string }[], question: string): string;
  /** Probability that an author without misconceptions ends in the right state after so many steps. */
  expectedAccuracy(author: Pick<WalkAuthor, "style" | "errorRate">, steps: number): number;
}

export interface WalkDocument {
  text: string;
  author: string;
}

export const tableWalk: WorldKind<typeof tableWalkSchema, TableWalkWorld> = {
  name: "table-walk",
  summary: "chains of look-ups in random permutation tables, written out by authors of different skill",
  schema: tableWalkSchema,
  generate,
  describe,
};

const letter = (action: number) => String.fromCharCode(97 + action);

function generate(given: z.input<typeof tableWalkSchema>, random: Random): TableWalkWorld {
  const config = parseConfig(tableWalkSchema, given, "world table-walk");
  const { states, actions } = config;
  const tables = Array.from({ length: actions }, (_, a) =>
    Array.from(random.stream("table", a).permutation(states)),
  );
  const hardFacts = drawHardFacts(config, tables, random.stream("hard facts"));
  const splitOf = splitter(config.splits, random.stream("splits"));
  const author = chooser(config.authors.map(({ share }) => share));

  const draw = (random: Random, action: (uniform: number) => number): WalkProblem => {
    const [least, most] = config.steps;
    const length = least + random.integer(most - least + 1);
    const start = random.integer(states);
    const path = Array.from({ length }, () => action(random.uniform()));
    const visited = follow(start, path, (state, a) => tables[a][state]);
    const question = `${start}${path.map(letter).join("")}?`;
    const answer = String(visited[length - 1]);
    return {
      id: question,
      split: splitOf(question),
      start,
      actions: path,
      states: visited,
      question,
      solution: `${visited.join("")}#${answer}$`,
      answer,
    };
  };
  const evenly = (uniform: number) => Math.floor(uniform * actions);

  const solve: TableWalkWorld["solve"] = (problem, { style, errorRate, misconceptionRate }, random) => {
    if (style === "fact") throw new UserError("an author of facts solves no problems");
    const err = (right: number) =>
      random.uniform() < errorRate ? (right + 1 + random.integer(states - 1)) % states : right;
    if (style === "direct") return `#${err(Number(problem.answer))}$`;
    const visited = follow(problem.start, problem.actions, (state, action) => {
      const hard = hardFacts.find((fact) => fact.state === state && fact.action === action);
      const isMistaken = hard !== undefined && random.uniform() < misconceptionRate;
      return isMistaken ? hard.misconception : err(tables[action][state]);
    });
    return `${visited.join("")}#${visited[visited.length - 1]}$`;
  };

  return {
    config,
    tables,
    hardFacts,
    symbols: [
      ...Array.from({ length: states }, (_, state) => String(state)),
      ...Array.from({ length: actions }, (_, action) => letter(action)),
      ..."?#$>|YN",
    ],
    problems(split, count, random, { weights } = {}) {
      const action = weights === undefined ? evenly : chooser(weightsOf(weights, actions));
      return drawDistinct("table-walk", split, count, () => draw(random, action));
    },
    *documents(random, { split = "pretrain" } = {}) {
      for (;;) {
        const by = config.authors[author(random.uniform())];
        const isJudged = random.uniform() < config.judgements.share;
        const texts = Array.from({ length: config.problemsPerDocument }, () => {
          if (by.style === "fact") return writeFact(by, tables, hardFacts, random);
          const problem = drawOf("table-walk", split, () => draw(random, evenly));
          const solution = solve(problem, by, random);
          if (!isJudged) return problem.question + solution;
          const truth = verify(tables, hardFacts, problem, solution).correct;
          const verdict = random.uniform() < config.judgements.accuracy ? truth : !truth;
          return `${problem.question}${solution.slice(0, -1)}|${verdict ? "Y" : "N"}$`;
        });
        yield { text: texts.join(""), author: by.name };
      }
    },
    solve,
    verify: (problem, solution) => verify(tables, hardFacts, problem, solution),
    prompted: ({ question, solution }) => ({ prompt: question, answer: solution }),
    fewShotPrompt: (examples, question) =>
      examples.map((example) => example.question + example.solution).join("") + question,
    expectedAccuracy: ({ style, errorRate }, steps) => {
      if (style === "direct") return 1 - errorRate;
      // A walk off the true states comes back only by an error, which is any of states - 1 others.
      let right = 1;
      for (let i = 0; i < steps; i++)
        right = right * (1 - errorRate) + ((1 - right) * errorRate) / (states - 1);
      return right;
    },
  };
}

function follow(start: number, actions: readonly number[], next: (state: number, action: number) => number) {
  let state = start;
  return actions.map((action) => {
    state = next(state, action);
    return state;
  });
}

function drawHardFacts(
  { states, actions, hardFacts }: TableWalkConfig,
  tables: readonly number[][],
  random: Random,
): HardFact[] {
  if (hardFacts > states * actions) {
    throw new UserError(
      `world table-walk: hardFacts is ${hardFacts}, but there are ${states * actions} facts`,
    );
  }
  return Array.from(random.permutation(states * actions).subarray(0, hardFacts), (index) => {
    const [state, action] = [index % states, Math.floor(index / states)];
    const successor = tables[action][state];
    return { state, action, successor, misconception: (successor + 1 + random.integer(states - 1)) % states };
  });
}

function weightsOf(weights: readonly number[], actions: number): readonly number[] {
  const isUsable = weights.every((weight) => weight >= 0 && weight < Number.POSITIVE_INFINITY);
  if (weights.length === actions && isUsable && weights.some((weight) => weight > 0)) return weights;
  throw new UserError(`weights [${weights}], expected ${actions} numbers from 0 on, not all 0`);
}

function writeFact(
  { errorRate, misconceptionRate }: WalkAuthor,
  tables: readonly number[][],
  hardFacts: readonly HardFact[],
  random: Random,
): string {
  const states = tables[0].length;
  const [state, action] = [random.integer(states), random.integer(tables.length)];
  const hard = hardFacts.find((fact) => fact.state === state && fact.action === action);
  const right = tables[action][state];
  const successor =
    hard !== undefined && random.uniform() < misconceptionRate
      ? hard.misconception
      : random.uniform() < errorRate
        ? (right + 1 + random.integer(states - 1)) % states
        : right;
  return `${state}${letter(action)}>${successor}$`;
}

function verify(
  tables: readonly number[][],
  hardFacts: readonly HardFact[],
  problem: WalkProblem,
  solution: string,
): WalkVerdict {
  const [, chain = "", answer = ""] = /^(\d*)(?:#(\d?))?/.exec(solution.trim()) ?? [];
  const states = Array.from(chain, Number);
  const hard: WalkVerdict["hard"] = [];
  let before = problem.start;
  const right = states.map((state, i) => {
    const action = problem.actions[i];
    const fact = hardFacts.find((known) => known.state === before && known.action === action);
    if (fact !== undefined) {
      const believed = state === fact.misconception ? "misconception" : "neither";
      hard.push({ fact, followed: state === fact.successor ? "table" : believed });
    }
    const isRight = action !== undefined && tables[action][before] === state;
    before = state;
    return isRight;
  });
  const correct = answer === problem.answer;
  const wrong = right.indexOf(false);
  const isComplete = states.length === problem.actions.length;
  const firstWrong = wrong >= 0 ? wrong : isComplete && correct ? undefined : states.length;
  return { states, right, firstWrong, answer, correct, sound: firstWrong === undefined, hard };
}

function describe(world: TableWalkWorld): string {
  const { states, hardFacts } = world.config;
  const random = createRandom("table-walk sample");
  const documents = world.documents(random);
  const [problem] = world.problems("test", 1, random);
  const table = world.tables.map((row, a) => `  ${letter(a)}   ${row.join(" ")}`);
  const written = Array.from({ length: 4 }, () => documents.next().value);
  const width = Math.max(...written.map(({ author }) => author.length));
  return [
    `table-walk: ${states} states, ${world.tables.length} actions, ${hardFacts} facts that many get wrong`,
    "Where each action leads from each state:",
    `      ${Array.from({ length: states }, (_, s) => s).join(" ")}`,
    ...table,
    `A problem and its solution: ${problem.question}  ${problem.solution}`,
    "Documents of pretraining, each by one author:",
    ...written.map(({ author, text }) => `  ${author.padEnd(width)}  ${text}`),
  ].join("\n");
}

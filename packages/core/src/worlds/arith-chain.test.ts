import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { extractAnswer, sameAnswer } from "../data/answers.js";
import { statedEquations } from "../data/word-problem.js";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { type ArithChainWorld, arithChain } from "./arith-chain.js";
import { type Corruption, misconceptions, statedErrorRates } from "./arith-corruption.js";
import { operations } from "./arith-story.js";
import { worldSplits } from "./splits.js";

const seed = createRandom("arith-chain test");
const world = arithChain.generate({}, seed.stream("world"));

/** Reads a question from its words alone, knowing nothing of how it was made, and solves it. */
function solveFromWords(question: string): number {
  const sentences = question.split(/(?<=[.?]) /).slice(0, -1);
  return sentences.slice(1).reduce(
    (value, sentence) => {
      const number = Number(/\d+/.exec(sentence)?.[0]);
      if (/times as|For each of/.test(sentence)) return value * number;
      if (/equal parts|splits the/.test(sentence)) return value / number;
      if (/gives|loses|sells|drops/.test(sentence)) return value - number;
      if (/buys|finds|gets|adds/.test(sentence)) return value + number;
      return value; // a distractor
    },
    Number(/\d+/.exec(sentences[0])?.[0]),
  );
}

/** Five standard errors of a share measured n times. */
const margin = (p: number, n: number) => 5 * Math.sqrt((p * (1 - p)) / n) + 1e-12;

function measured(world: ArithChainWorld, corruption: Corruption, steps: number, count: number) {
  const problems = world.problems("pretrain", count, seed.stream("rates", steps), { steps });
  const random = seed.stream("errors", JSON.stringify(corruption));
  let [wrongSteps, wrongAnswers] = [0, 0];
  for (const problem of problems) {
    const { solution } = world.corrupt(problem, corruption, random);
    const verdict = world.verify(problem, solution);
    wrongSteps += verdict.faults.filter((fault) => fault !== undefined).length;
    wrongAnswers += Number(!verdict.correct);
  }
  return { step: wrongSteps / (count * steps), outcome: wrongAnswers / count };
}

describe("arith-chain", () => {
  test("gold answers are what the words of the question come to", () => {
    const wide = arithChain.generate({ distractors: 2, phrasings: 4, steps: [1, 6] }, seed.stream("wide"));
    for (const [w, name] of [
      [world, "a"],
      [wide, "b"],
    ] as const) {
      for (const problem of w.problems("pretrain", 1000, seed.stream(name))) {
        expect(solveFromWords(problem.question), problem.question).toBe(Number(problem.answer));
        expect(extractAnswer(problem.solution)).toBe(problem.answer);
        const equations = statedEquations(problem.solution);
        expect(equations).toHaveLength(problem.steps.length);
        expect(equations.every(({ holds }) => holds)).toBe(true);
        expect(w.verify(problem, problem.solution)).toMatchObject({ sound: true, firstWrong: undefined });
      }
    }
  });

  test("numbers, steps and operations stay within the knobs", () => {
    const config = {
      steps: [2, 3] as [number, number],
      operations: ["+", "*"] as ("+" | "*")[],
      start: [3, 5] as [number, number],
      plus: [7, 9] as [number, number],
      largest: 40,
    };
    const small = arithChain.generate(config, seed.stream("small"));
    const counts = new Map<number, number>();
    for (const { steps } of small.problems("test", 400, seed.stream("knobs"))) {
      counts.set(steps.length, (counts.get(steps.length) ?? 0) + 1);
      expect(steps[0].left).toBeGreaterThanOrEqual(3);
      expect(steps[0].left).toBeLessThanOrEqual(5);
      for (const { operation, right, result } of steps) {
        expect(["+", "*"]).toContain(operation);
        expect(result).toBeLessThanOrEqual(40);
        if (operation === "+") expect(right >= 7 && right <= 9).toBe(true);
        else expect(right >= 2 && right <= 5).toBe(true);
      }
    }
    expect([...counts.keys()].sort()).toEqual([2, 3]);
  });

  test("the same seed gives the same world and problems; fewer are the first of more", () => {
    const again = arithChain.generate({}, seed.stream("world"));
    const many = world.problems("transfer", 50, seed.stream("bits"));
    expect(again.problems("transfer", 20, seed.stream("bits"))).toEqual(many.slice(0, 20));
    const other = arithChain.generate({}, seed.stream("other world"));
    expect(other.problems("transfer", 20, seed.stream("bits"))).not.toEqual(many.slice(0, 20));
    expect(arithChain.describe(world)).toBe(arithChain.describe(again));
  });

  test.each(["story", "numbers"] as const)(
    "no problem nor subtask is in two parts (split by %s)",
    (splitBy) => {
      const w = arithChain.generate({ splitBy, steps: [1, 3] }, seed.stream(splitBy));
      const home = new Map<string, string>();
      const starts = new Map<string, string>();
      for (const split of worldSplits) {
        for (const problem of w.problems(split, 120, seed.stream("leak", split))) {
          for (const one of [problem, ...w.subtasks(problem)]) {
            expect(one.split).toBe(split);
            expect(home.get(one.question) ?? split).toBe(split);
            home.set(one.question, split);
            const { left, operation, right } = one.steps[0];
            const start = `${left} ${operation} ${right}`;
            if (splitBy === "numbers") expect(starts.get(start) ?? split).toBe(split);
            starts.set(start, split);
          }
        }
      }
    },
  );

  test("parts have their shares of all problems", () => {
    const splits = { pretrain: 3, supervision: 0, transfer: 2, validation: 0, test: 1 };
    const one = {
      operations: ["+" as const],
      steps: [1, 1] as [number, number],
      names: 1,
      items: 1,
      phrasings: 1,
    };
    const w = arithChain.generate(
      { ...one, splits, start: [1, 12], plus: [1, 5] },
      seed.stream("shares"), // 60 problems in all
    );
    const sizeOf = (split: "pretrain" | "transfer" | "test") => {
      try {
        w.problems(split, 60, seed.stream(split));
      } catch (error) {
        return Number(/(\d+) were found/.exec((error as UserError).message)?.[1]);
      }
      return 60;
    };
    const sizes = [sizeOf("pretrain"), sizeOf("transfer"), sizeOf("test")];
    expect(sizes.reduce((sum, size) => sum + size)).toBe(60);
    [3 / 6, 2 / 6, 1 / 6].forEach((share, i) => {
      expect(Math.abs(sizes[i] / 60 - share)).toBeLessThan(margin(share, 60));
    });
    expect(() => w.problems("validation", 1, seed)).toThrow("part validation seems to have nothing");
  });

  test("subtasks are windows of the chain with the true number to start from", () => {
    const [problem] = world.problems("test", 1, seed.stream("subtasks"), { steps: 5 });
    const windows = world.subtasks(problem, { steps: 2 });
    expect(windows.map(({ steps }) => steps)).toEqual([0, 1, 2, 3].map((i) => problem.steps.slice(i, i + 2)));
    for (const one of windows) expect(solveFromWords(one.question)).toBe(Number(one.answer));
    expect(world.subtasks(problem)).toHaveLength(5 + 4 + 3 + 2);
    expect(world.subtasks(world.problems("test", 1, seed, { steps: 1 })[0])).toEqual([]);
  });

  test.each<[Corruption, number]>([
    [{ stepErrorRate: 0.2 }, 1],
    [{ stepErrorRate: 0.2 }, 4],
    [{ outcomeErrorRate: 0.3 }, 4],
    [{ outcomeErrorRate: 0.9, wrongSteps: 3 }, 4],
    [{ outcomeErrorRate: 0.5, wrongSteps: 9 }, 3],
    [{ stepErrorRate: 0.1, outcomeErrorRate: 0.6 }, 4],
    [{ stepErrorRate: 0.7, outcomeErrorRate: 0.1 }, 2],
    [{}, 3],
  ])("errors come at the stated rates: %j with %i steps", (corruption, steps) => {
    const count = 1500;
    const stated = statedErrorRates(corruption, steps);
    const { step, outcome } = measured(world, corruption, steps, count);
    expect(Math.abs(outcome - stated.outcome)).toBeLessThanOrEqual(margin(stated.outcome, count));
    // The wrong steps of one solution may come together: as few independent draws as solutions, at worst.
    expect(Math.abs(step - stated.step)).toBeLessThanOrEqual(margin(stated.step, count));
  });

  test("what the corruption says is what the verifier finds, for any knobs", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 6 }),
        fc.subarray([...operations], { minLength: 1 }),
        fc.record({ outcomeErrorRate: fc.constant(1), wrongSteps: fc.integer({ min: 1, max: 6 }) }),
        fc.constantFrom("equations" as const, "sentences" as const),
        (s, most, operations, corruption, solutionStyle) => {
          const random = createRandom(s);
          const steps = operations.join() === "/" ? Math.min(most, 3) : most; // few numbers divide so often
          const w = arithChain.generate(
            { operations, steps: [steps, steps], largest: 1e7, start: [130, 400], solutionStyle },
            random,
          );
          const [problem] = w.problems("pretrain", 1, random);
          const wrong = w.corrupt(problem, corruption, random);
          const verdict = w.verify(problem, wrong.solution);
          const found = verdict.faults.flatMap((fault, i) => (fault ? [i] : []));
          expect(found).toEqual(wrong.wrongSteps);
          expect(found).toHaveLength(Math.min(corruption.wrongSteps, steps));
          expect(verdict).toMatchObject({ correct: false, sound: false, answer: wrong.answer });
          expect(verdict.firstWrong).toMatchObject({ step: found[0], fault: "arithmetic" });
          // An independent evaluator of the text: exactly the wrong steps do not hold.
          expect(statedEquations(wrong.solution).map(({ holds }) => holds)).toEqual(
            problem.steps.map((_, i) => !found.includes(i)),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  test("with both rates an answer may contradict its steps", () => {
    const problem = world.problems("test", 1, seed.stream("both"), { steps: 2 })[0];
    const slip = world.corrupt(problem, { stepErrorRate: 0, outcomeErrorRate: 1 }, seed);
    expect(world.verify(problem, slip.solution)).toMatchObject({
      faults: [undefined, undefined],
      firstWrong: { step: 2, fault: "answer" },
      correct: false,
    });
    const lucky = world.corrupt(problem, { stepErrorRate: 1, outcomeErrorRate: 0 }, seed);
    expect(world.verify(problem, lucky.solution)).toMatchObject({
      faults: ["arithmetic", "arithmetic"],
      correct: true,
      sound: false,
    });
  });

  test("a misconception is the same error whoever makes it", () => {
    expect(misconceptions["no-carry"]({ left: 17, operation: "+", right: 5, result: 22 })).toBe(12);
    expect(misconceptions["no-borrow"]({ left: 23, operation: "-", right: 7, result: 16 })).toBe(24);
    expect(misconceptions["times-is-plus"]({ left: 4, operation: "*", right: 3, result: 12 })).toBe(7);
    const problems = world.problems("supervision", 500, seed.stream("misconception"));
    let affected = 0;
    for (const problem of problems) {
      const [a, b] = ["a", "b"].map((name) =>
        world.corrupt(problem, { misconception: "no-carry" }, seed.stream(name)),
      );
      expect(a).toEqual(b);
      const verdict = world.verify(problem, a.solution);
      expect(verdict.correct).toBe(!a.wrongOutcome);
      affected += Number(a.wrongOutcome);
      for (const i of a.wrongSteps) {
        const { left, operation, right } = a.steps[i];
        expect(operation).toBe("+");
        expect((left % 10) + (right % 10) >= 10 || left + right >= 100).toBe(true);
      }
    }
    expect(affected).toBeGreaterThan(50);
    expect(affected).toBeLessThan(450);
  });

  test("the verifier names the first wrong step and why", () => {
    const problem = {
      ...world.problems("test", 1, seed)[0],
      steps: [
        { left: 5, operation: "+" as const, right: 3, result: 8 },
        { left: 8, operation: "/" as const, right: 2, result: 4 },
      ],
      answer: "4",
    };
    const first = (solution: string) => world.verify(problem, solution).firstWrong;
    expect(first("5 + 3 = 8\n8 / 2 = 4\n#### 4")).toBeUndefined();
    expect(first("3 + 5 = 8\n8 ÷ 2 = 4\n#### 4.0")).toBeUndefined();
    expect(first("5 + 3 = 9\n9 / 2 = 4\n#### 4")).toEqual({
      step: 0,
      fault: "arithmetic",
      explanation: "step 1: 5 + 3 is 8, not 9",
    });
    expect(first("5 + 3 = 8\n8 / 3 = 2\n#### 2")).toMatchObject({ step: 1, fault: "operand" });
    expect(first("5 * 3 = 15")).toMatchObject({ step: 0, fault: "operation" });
    expect(first("6 + 3 = 9")).toMatchObject({ step: 0, fault: "start" });
    expect(first("5 + 3 = 8\n2 / 8 = 4\n#### 4")).toMatchObject({ step: 1, fault: "start" });
    expect(first("so many\n8 / 2 = 4\n#### 4")).toMatchObject({ step: 0, fault: "unreadable" });
    expect(first("5 + 3 - 2 = 6\n8 / 2 = 4\n#### 4")).toMatchObject({ step: 0, fault: "unreadable" });
    expect(first("5 + 3 = 8\n#### 8")).toMatchObject({ step: 1, fault: "missing" });
    expect(first("5 + 3 = 8\n8 / 2 = 4\n4 + 1 = 5\n#### 5")).toMatchObject({ step: 2, fault: "extra" });
    expect(first("5 + 3 = 8\n8 / 2 = 4\n#### 5")).toMatchObject({ step: 2, fault: "answer" });
    expect(first("5 + 3 = 8\n8 / 2 = 4")).toMatchObject({ step: 2, fault: "answer" });
    expect(first("")).toMatchObject({ step: 0, fault: "missing" });
    // Right answers by wrong ways are right answers.
    expect(world.verify(problem, "#### 4")).toMatchObject({ correct: true, sound: false });
  });

  test("documents come from the authors by their shares", () => {
    const mixed = arithChain.generate(
      {
        authors: [
          { share: 3, style: "steps" },
          { share: 1, style: "answer", outcomeErrorRate: 0.5 },
        ],
        problemsPerDocument: 2,
      },
      seed.stream("authors"),
    );
    const documents = mixed.documents(seed.stream("documents"));
    let [direct, right] = [0, 0];
    const count = 2000;
    for (let i = 0; i < count; i++) {
      const problems = documents.next().value.split("\n\n");
      expect(problems).toHaveLength(2);
      const [question, ...solution] = problems[0].split("\n");
      if (solution.length > 1) continue;
      direct++;
      right += Number(sameAnswer(extractAnswer(solution[0]), String(solveFromWords(question))));
    }
    expect(Math.abs(direct / count - 0.25)).toBeLessThan(margin(0.25, count));
    expect(Math.abs(right / direct - 0.5)).toBeLessThan(margin(0.5, direct));
  });

  test("prompts end where the answer begins", () => {
    const [a, b] = world.problems("supervision", 2, seed);
    const { prompt, answer } = world.prompted(a);
    expect(prompt + answer).toBe(`${a.question}\n${a.solution}`);
    expect(world.fewShotPrompt([a], b.question)).toBe(`${prompt}${answer}\n\n${b.question}\n`);
  });

  test("refuses what cannot be", () => {
    const generate = (config: object) => () => arithChain.generate(config, seed);
    expect(generate({ start: [5, 2] })).toThrow(UserError);
    expect(generate({ step: 1 })).toThrow('did you mean "steps"');
    expect(generate({ operations: ["/"], start: [7, 7], steps: [3, 3] })).toThrow("no story of 3 steps");
    const tiny = {
      operations: ["+"],
      start: [1, 2],
      plus: [1, 1],
      steps: [1, 1],
      names: 1,
      items: 1,
      phrasings: 1,
    };
    const w = arithChain.generate(tiny as object, seed);
    expect(() => worldSplits.map((split) => w.problems(split, 3, seed))).toThrow(UserError);
    expect(() => world.problems("test", 1, seed, { steps: 0 })).toThrow("0 steps");
    expect(() => world.problems("test", -1, seed)).toThrow(UserError);
    const [problem] = world.problems("test", 1, seed);
    const corrupt = (corruption: Corruption) => () => world.corrupt(problem, corruption, seed);
    expect(corrupt({ stepErrorRate: 1.1 })).toThrow("0 to 1");
    expect(corrupt({ outcomeErrorRate: Number.NaN })).toThrow("0 to 1");
    expect(corrupt({ wrongSteps: 2 })).toThrow(UserError);
    expect(corrupt({ misconception: "no-carry", stepErrorRate: 0.1 })).toThrow(UserError);
  });
});

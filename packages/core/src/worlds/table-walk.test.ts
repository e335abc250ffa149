import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { worldSplits } from "./splits.js";
import { tableWalk } from "./table-walk.js";

const seed = createRandom("table-walk test");
const world = tableWalk.generate({}, seed.stream("world"));
const margin = (p: number, n: number) => 5 * Math.sqrt((p * (1 - p)) / n) + 1e-12;

/** Walks a question through the tables, from its characters alone. */
function walk(tables: number[][], question: string): number[] {
  const states: number[] = [];
  let state = Number(question[0]);
  for (const action of question.slice(1, -1)) {
    state = tables[action.charCodeAt(0) - 97][state];
    states.push(state);
  }
  return states;
}

describe("table-walk", () => {
  test("tables are permutations and gold solutions walk through them", () => {
    for (const row of world.tables) expect([...row].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    for (const problem of world.problems("test", 300, seed.stream("gold"))) {
      const states = walk(world.tables, problem.question);
      expect(problem.solution).toBe(`${states.join("")}#${states[4]}$`);
      expect(problem.question.length + problem.solution.length).toBe(15);
      expect(world.verify(problem, problem.solution)).toMatchObject({ sound: true, correct: true });
      expect([...problem.question, ...problem.solution].every((c) => world.symbols.includes(c))).toBe(true);
    }
  });

  test("the same seed gives the same world; no problem is in two parts", () => {
    const again = tableWalk.generate({}, seed.stream("world"));
    expect(again.tables).toEqual(world.tables);
    expect(tableWalk.describe(again)).toBe(tableWalk.describe(world));
    const many = world.problems("transfer", 40, seed.stream("bits"));
    expect(again.problems("transfer", 15, seed.stream("bits"))).toEqual(many.slice(0, 15));
    const ids = worldSplits.flatMap((split) =>
      world.problems(split, 1000, seed.stream("leak", split)).map(({ id }) => id),
    );
    expect(new Set(ids).size).toBe(ids.length);
    const documents = world.documents(seed.stream("documents"));
    const tests = new Set(world.problems("test", 2000, seed.stream("tests")).map(({ id }) => id));
    for (let i = 0; i < 500; i++)
      for (const [question] of documents.next().value.text.matchAll(/\d[a-f]{5}\?/g))
        expect(tests.has(question)).toBe(false);
  });

  test("weights decide how often an action is asked for", () => {
    const weights = [1, 1, 1, 1, 0.12, 0.03];
    const problems = world.problems("supervision", 600, seed.stream("weights"), { weights });
    const rare = problems.flatMap(({ actions }) => actions).filter((action) => action === 5).length;
    expect(Math.abs(rare / 3000 - 0.03 / 4.15)).toBeLessThan(margin(0.03 / 4.15, 3000));
    expect(() => world.problems("test", 1, seed, { weights: [1] })).toThrow(UserError);
    expect(() => world.problems("test", 1, seed, { weights: [0, 0, 0, 0, 0, 0] })).toThrow(UserError);
  });

  test.each([
    { style: "direct" as const, errorRate: 0.7 },
    { style: "chain" as const, errorRate: 0.3 },
    { style: "chain" as const, errorRate: 0.05 },
    { style: "chain" as const, errorRate: 1 },
  ])("authors are right as often as the closed form says: %j", (author) => {
    const count = 4000;
    const problems = world.problems("pretrain", count, seed.stream("authors"));
    const random = seed.stream("solve", author.style, author.errorRate);
    let [right, rightStates] = [0, 0];
    for (const problem of problems) {
      const verdict = world.verify(
        problem,
        world.solve(problem, { ...author, misconceptionRate: 0 }, random),
      );
      right += Number(verdict.correct);
      rightStates += verdict.right.filter(Boolean).length;
    }
    const expected = world.expectedAccuracy(author, 5);
    expect(Math.abs(right / count - expected)).toBeLessThanOrEqual(margin(expected, count));
    if (author.style === "chain") {
      const p = 1 - author.errorRate;
      expect(Math.abs(rightStates / (5 * count) - p)).toBeLessThanOrEqual(margin(p, 5 * count));
    }
  });

  test("misconceptions are shared: always the same wrong successor, at hard facts only", () => {
    expect(world.hardFacts).toHaveLength(10);
    expect(new Set(world.hardFacts.map(({ state, action }) => `${state} ${action}`)).size).toBe(10);
    for (const { state, action, successor, misconception } of world.hardFacts) {
      expect(successor).toBe(world.tables[action][state]);
      expect(misconception).not.toBe(successor);
    }
    const author = { style: "chain" as const, errorRate: 0, misconceptionRate: 1 };
    for (const problem of world.problems("transfer", 300, seed.stream("hard"))) {
      const verdict = world.verify(problem, world.solve(problem, author, seed));
      expect(verdict.hard.every(({ followed }) => followed === "misconception")).toBe(true);
      expect(verdict.right.filter((right) => !right)).toHaveLength(verdict.hard.length);
    }
  });

  test("documents: shares of authors, judgements, facts, nothing between problems", () => {
    const judged = tableWalk.generate(
      {
        authors: [
          { name: "expert", share: 1 },
          { name: "blurter", share: 2, style: "direct", errorRate: 0.5 },
          { name: "book", share: 1, style: "fact" },
        ],
        judgements: { share: 0.5, accuracy: 0.8 },
        problemsPerDocument: 2,
      },
      seed.stream("judged"),
    );
    const documents = judged.documents(seed.stream("judged documents"));
    const count = 4000;
    const authors = new Map<string, number>();
    let [judgements, right] = [0, 0];
    for (let i = 0; i < count; i++) {
      const { text, author } = documents.next().value;
      authors.set(author, (authors.get(author) ?? 0) + 1);
      expect(text).toMatch(
        author === "book"
          ? /^(\d[a-f]>\d\$){2}$/
          : author === "expert"
            ? /^(\d[a-f]{5}\?\d{5}#\d(\|[YN])?\$){2}$/
            : /^(\d[a-f]{5}\?#\d(\|[YN])?\$){2}$/,
      );
      for (const [, question, answer, verdict] of text.matchAll(/(\d[a-f]{5}\?)\d*#(\d)\|([YN])/g)) {
        judgements++;
        right += Number((String(walk(judged.tables, question)[4]) === answer) === (verdict === "Y"));
      }
      for (const [, state, action, to] of text.matchAll(/(\d)([a-f])>(\d)/g))
        expect(Number(to)).toBe(judged.tables[action.charCodeAt(0) - 97][Number(state)]);
    }
    expect(Math.abs((authors.get("blurter") as number) / count - 0.5)).toBeLessThan(margin(0.5, count));
    // Half of the documents of three authors in four, two problems each.
    expect(Math.abs(judgements / (2 * count) - 0.375)).toBeLessThan(margin(0.375, count));
    expect(Math.abs(right / judgements - 0.8)).toBeLessThan(margin(0.8, judgements));
  });

  test("the verifier finds the first wrong state, and reads any text", () => {
    const [problem] = world.problems("test", 1, seed.stream("verifier"));
    const [a, b, c, d, e] = problem.states;
    const other = (state: number) => (state + 1) % 8;
    const first = (solution: string) => world.verify(problem, solution).firstWrong;
    expect(first(`${a}${b}${c}${d}${e}#${e}`)).toBeUndefined();
    expect(first(`${a}${b}${c}${d}${e}#${e}|N$`)).toBeUndefined();
    expect(first(`${a}${b}${other(c)}${d}${e}#${e}$`)).toBe(2);
    expect(first(`${a}${b}#${e}$`)).toBe(2);
    expect(first(`${a}${b}${c}${d}${e}${e}#${e}$`)).toBe(5);
    expect(first(`${a}${b}${c}${d}${e}#${other(e)}$`)).toBe(5);
    expect(world.verify(problem, `#${e}$`)).toMatchObject({ correct: true, sound: false, firstWrong: 0 });
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(world.verify(problem, text).sound).toBe(false);
      }),
    );
  });

  test("refuses what cannot be", () => {
    expect(() => tableWalk.generate({ hardFacts: 49 }, seed)).toThrow("48 facts");
    expect(() => tableWalk.generate({ states: 1 }, seed)).toThrow("states");
    const tiny = tableWalk.generate({ states: 2, actions: 1, steps: [1, 1], hardFacts: 0 }, seed);
    expect(() => tiny.problems("pretrain", 3, seed)).toThrow(UserError);
    const [problem] = world.problems("test", 1, seed);
    const fact = { style: "fact" as const, errorRate: 0, misconceptionRate: 0 };
    expect(() => world.solve(problem, fact, seed)).toThrow(UserError);
  });
});

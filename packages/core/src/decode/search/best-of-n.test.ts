import { describe, expect, test } from "vitest";
import type { Generation, Generator } from "../generation.js";
import { bestOfN, selfConsistency, vote } from "./best-of-n.js";

const generatorOf = (texts: readonly string[]): Generator => {
  const sample = async (_: unknown, count: number): Promise<Generation[]> =>
    texts.slice(0, count).map((text) => ({ text, tokens: [], finishReason: "stop" }));
  return {
    sample,
    generate: async (request) => (await sample(request, 1))[0],
    load: { active: 0, waiting: 0 },
    dispose: async () => {},
  };
};
const request = { prompt: Int32Array.of(1) };

describe("best of n", () => {
  test("is the text of the highest score, of equals the first", async () => {
    const found = await bestOfN(generatorOf(["a", "ccc", "bb", "ddd"]), request, 4, (texts) =>
      texts.map(({ text }) => text.length),
    );
    expect(found).toMatchObject({ best: { text: "ccc" }, index: 1, scores: [1, 3, 2, 3] });
  });

  test("refuses scores that are no numbers or too few", async () => {
    const generator = generatorOf(["a", "b"]);
    await expect(bestOfN(generator, request, 2, () => [1])).rejects.toThrow(
      "1 scores were given for 2 texts",
    );
    await expect(bestOfN(generator, request, 2, async () => [1, Number.NaN])).rejects.toThrow(
      "the score of text 2 is NaN",
    );
  });
});

describe("a vote", () => {
  const answers = ["b", "a", undefined, "a", "c", "c", "b"];
  const weights = [0.9, 0.2, 5, 0.2, 0.7, 0.6, 0.1];

  test("by count, sum, mean and largest weight; ties to the answer that more gave, then to the first", () => {
    const winners = (by: "count" | "sum" | "mean" | "max") =>
      vote(answers, { by, weights }).map(({ answer }) => answer);
    expect(winners("count")).toEqual(["b", "a", "c"]);
    expect(winners("sum")).toEqual(["c", "b", "a"]);
    expect(winners("mean")).toEqual(["c", "b", "a"]);
    expect(winners("max")).toEqual(["b", "c", "a"]);
    expect(vote(["x", "y", "y"], { by: "max", weights: [1, 1, 0] })[0]).toEqual({
      answer: "y",
      count: 2,
      score: 1,
      first: 1,
    });
  });

  test("groups answers by their JSON or by a key; nobody's answer wins nothing", () => {
    expect(vote([{ x: 1 }, { x: 2 }, { x: 2 }])[0]).toMatchObject({ answer: { x: 2 }, count: 2 });
    expect(vote(["2", "2.0", "3"], { key: (text) => String(Number(text)) })[0]).toMatchObject({
      answer: "2",
      count: 2,
    });
    expect(vote([undefined, undefined])).toEqual([]);
  });

  test("of texts is self-consistency", async () => {
    const answerOf = (text: string) => /= (\d+)/.exec(text)?.[1];
    const found = await selfConsistency(generatorOf(["= 4", "?", "so = 5", "= 5"]), request, 4, answerOf);
    expect(found.winner?.text).toBe("so = 5");
    expect(found.votes.map(({ answer, count }) => [answer, count])).toEqual([
      ["5", 2],
      ["4", 1],
    ]);
    expect((await selfConsistency(generatorOf(["?"]), request, 1, answerOf)).winner).toBeUndefined();
  });
});

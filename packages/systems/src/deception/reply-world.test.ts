import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { preferredReplies, ReplyWorld, replyWorldSchema } from "./reply-world.js";

const random = createRandom("replies");
const world = (changes: object = {}) =>
  new ReplyWorld(replyWorldSchema.parse(changes), random.stream("world"));

test("a reply is worth what its words are, and a negation turns the word after it round", () => {
  const of = (...words: number[]) =>
    world().value(
      "harmlessness",
      Int32Array.from(words, (word) => word + 3),
    );
  const negation = 20;
  expect(of(4, 7)).toBeCloseTo(of(4) + of(7), 6);
  expect(of(negation)).toBe(0);
  expect(of(negation, 4, 7)).toBeCloseTo(of(7) - of(4), 6);
  expect(of(4, negation)).toBeCloseTo(of(4), 6);
});

test("the better reply of a pair is the one that is worth more", () => {
  const { pairs, truth } = world().draw("helpfulness", 200, random.stream("pairs"));
  const worth = (reply: ArrayLike<number>) => world().value("helpfulness", Int32Array.from(reply));
  pairs.forEach(({ first, second }, i) => {
    expect(truth[i]).toBe(worth(first) >= worth(second) ? 1 : 0);
  });
  const share = truth.reduce((sum, y) => sum + y, 0) / truth.length;
  expect(Math.abs(share - 0.5)).toBeLessThan(0.15);
});

test("a model that has learnt few words reads the others as one unknown word; one that has learnt more, those too", () => {
  const { pairs } = world().draw("harmlessness", 100, random.stream("pairs"));
  const known = (learnt: number) =>
    new Set(
      world()
        .read(pairs, learnt)
        .flatMap(({ first, second }) => [...Array.from(first), ...Array.from(second)]),
    );
  const [few, more] = [known(8), known(16)];
  expect(few.size).toBe(9);
  expect([...few].every((word) => more.has(word))).toBe(true);
  expect(world().read(pairs, 21)).toEqual(pairs);
});

test("objectives without a second direction, and worlds of negations alone, are refused", () => {
  expect(() => world({ correlation: 1 })).toThrow("no second direction");
  expect(() => world({ words: 8, negations: 7 })).toThrow("7 of 8 words are negations, expected at most 6");
});

test("the preferred replies are those of the labels", () => {
  const pair = { prompt: [1], first: [3, 4], second: [5] };
  expect(preferredReplies([pair, pair], [1, 0])).toEqual([
    { prompt: [1], answer: [3, 4] },
    { prompt: [1], answer: [5] },
  ]);
});

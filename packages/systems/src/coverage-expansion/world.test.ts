import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { ABSTAIN } from "./method.js";
import {
  bagsOfWords,
  cuesOf,
  HORRIBLE,
  INCREDIBLE,
  predictByWords,
  REDRAWN,
  ReviewWorld,
  ruleLabel,
  SLOTS,
  SYNONYMS,
  VOCABULARY,
} from "./world.js";

const random = createRandom("review world");
const world = new ReviewWorld(random);
const reviews = world.draw(4000, "some");
const chances = world.chances(4000, "some");
const rates = { incredible: [0.04, 0.1], horrible: [0.08, 0.012] } as const;
const cues = cuesOf(reviews.sentiment, chances, rates);

test("cue words come at their rates, and the rule covers and errs as arithmetic has it", () => {
  const weak = Int32Array.from(cues, ruleLabel);
  const of = (k: number, is: (row: number) => boolean) => {
    const rows = Array.from(weak.keys()).filter((row) => reviews.sentiment[row] === k);
    return rows.filter(is).length / rows.length;
  };
  // P(incredible, not horrible) and the reverse, by class.
  expect(of(0, (row) => weak[row] === 1)).toBeCloseTo(0.04 * 0.92, 1);
  expect(Math.abs(of(0, (row) => weak[row] === 0) - 0.08 * 0.96)).toBeLessThan(0.015);
  expect(Math.abs(of(1, (row) => weak[row] === 1) - 0.1 * 0.988)).toBeLessThan(0.018);
  expect(of(1, (row) => weak[row] === 0)).toBeLessThan(0.02);
  expect([0, INCREDIBLE, HORRIBLE, INCREDIBLE | HORRIBLE].map(ruleLabel)).toEqual([ABSTAIN, 1, 0, ABSTAIN]);
  expect(() => cuesOf(reviews.sentiment, chances, { ...rates, horrible: [2, 0] })).toThrow(
    '"horrible" are [2, 0]',
  );
});

test("another wording keeps most concepts and almost no word, and is the same review otherwise", () => {
  const reworded = world.reword(reviews, "again");
  expect(reworded.sentiment).toBe(reviews.sentiment);
  let [sameConcept, sameWord] = [0, 0];
  for (let i = 0; i < reviews.words.length; i++) {
    const [a, b] = [reviews.words[i], reworded.words[i]];
    sameConcept += Number(Math.floor(a / SYNONYMS) === Math.floor(b / SYNONYMS));
    sameWord += Number(a === b);
  }
  const kept = (SLOTS - REDRAWN) / SLOTS;
  // Those drawn anew may be what they were.
  expect(sameConcept / reviews.words.length).toBeGreaterThan(kept);
  expect(sameConcept / reviews.words.length).toBeLessThan(kept + 0.05);
  expect(sameWord / sameConcept).toBeGreaterThan(0.8 / SYNONYMS);
  expect(sameWord / sameConcept).toBeLessThan(1.2 / SYNONYMS);
});

test("wordings are as likely as reviews: each word is as frequent", () => {
  const counts = (words: Uint16Array) => {
    const found = new Float64Array(VOCABULARY / SYNONYMS);
    for (const word of words) found[Math.floor(word / SYNONYMS)]++;
    return found;
  };
  const [before, after] = [counts(reviews.words), counts(world.reword(reviews, "more").words)];
  before.forEach((count, concept) => {
    expect(Math.abs(count - after[concept])).toBeLessThan(6 * Math.sqrt(count + 1));
  });
});

test("bags count words, and word scores add them up", () => {
  const rows = [5, 7, 11];
  const bags = bagsOfWords(reviews, cues.with(7, INCREDIBLE), rows);
  const { offsets, columns } = bags.sparse as NonNullable<typeof bags.sparse>;
  expect(bags.shape).toEqual([3, VOCABULARY]);
  expect([...columns.subarray(offsets[1], offsets[2])]).toEqual([
    ...reviews.words.subarray(7 * SLOTS, 8 * SLOTS),
    VOCABULARY - 2,
  ]);
  const scores = Float64Array.from(random.stream("scores").normals(VOCABULARY));
  const said = predictByWords({ scores, bias: 0.1 }, reviews.words, cues);
  for (const [i, row] of rows.entries()) {
    const own = bagsOfWords(reviews, cues, rows).sparse as NonNullable<typeof bags.sparse>;
    const sum = own.columns
      .subarray(own.offsets[i], own.offsets[i + 1])
      .reduce((s, word) => s + scores[word], 0.1);
    expect(said[row]).toBe(Number(sum > 0));
  }
});

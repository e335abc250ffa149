import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import {
  antithesis,
  drawPrincipled,
  followsPrinciple,
  type Pole,
  type Principles,
} from "./preference-principles.js";
import {
  drawText,
  harmRelations,
  measure,
  responsePolicies,
  textLogProb,
  topics,
  toxicity,
} from "./preference-text.js";
import { normalCdf, type VectorAnnotator } from "./preference-vectors.js";
import { preferenceWorld, type ResponsePair, type TextAnnotator } from "./preference-world.js";
import { worldSplits } from "./splits.js";

const seed = createRandom("preference-world test");
const world = preferenceWorld.generate({}, seed.stream("world"));
const margin = (p: number, n: number) => 5 * Math.sqrt((p * (1 - p)) / n) + 1e-12;
const mean = (values: ArrayLike<number>) =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);

describe("preference-world, vectors", () => {
  const { vectors } = world;
  const count = 20_000;
  const pairs = vectors.pairs(count, seed.stream("pairs"));

  test("objectives are unit directions with the stated cosine", () => {
    const { harmless, helpful } = vectors.directions;
    expect(Math.hypot(...harmless)).toBeCloseTo(1, 6);
    expect(Math.hypot(...helpful)).toBeCloseTo(1, 6);
    expect(dot(harmless, helpful)).toBeCloseTo(-0.3, 6);
    const [a, b] = [vectors.labels(pairs, "harmless"), vectors.labels(pairs, "helpful")];
    const agree = 1 - Math.acos(-0.3) / Math.PI;
    expect(Math.abs(mean(a.map((y, i) => Number(y === b[i]))) - agree)).toBeLessThan(margin(agree, count));
  });

  test.each<VectorAnnotator>([
    { objective: "harmless" },
    { objective: "harmless", skill: 0.6 },
    { objective: "helpful", skill: 0.3, errs: "crowd" },
    { objective: "harmless", noise: 1.5 },
    { objective: "helpful", skill: 0.9, noise: 0.7, flip: 0.1 },
    { objective: "harmless", skill: -0.5, flip: 0.5 },
  ])("annotators are as accurate as the closed form says: %j", (annotator) => {
    const labels = vectors.annotate(pairs, annotator, seed.stream("annotate"));
    for (const objective of ["harmless", "helpful"] as const) {
      const truth = vectors.labels(pairs, objective);
      const accuracy = vectors.accuracy(annotator, objective);
      const seen = mean(truth.map((y, i) => Number(y === labels[i])));
      expect(Math.abs(seen - accuracy)).toBeLessThanOrEqual(margin(accuracy, count));
    }
    // Whoever knows the probabilities foretells the labels as often as Bayes.
    const foretold = vectors.probabilities(pairs, annotator).map((p) => Math.max(p, 1 - p));
    expect(Math.abs(mean(foretold) - vectors.bayesAccuracy(annotator))).toBeLessThan(0.01);
  });

  test("a misconception is shared by those who err alike, and by no others", () => {
    const label = (errs: string) =>
      vectors.annotate(pairs, { objective: "harmless", skill: 0.5, errs }, seed.stream(errs));
    expect(label("crowd")).toEqual(
      vectors.annotate(pairs, { objective: "harmless", skill: 0.5, errs: "crowd" }, seed),
    );
    expect(label("crowd")).not.toEqual(label("others"));
  });

  test("features are the formula, and the same for the same size", () => {
    const one = preferenceWorld.generate(
      { vectors: { latentSize: 2, hiddenSize: 3 } },
      seed.stream("features"),
    ).vectors;
    const { first } = one.pairs(70, seed.stream("feature pairs"));
    const features = one.features(first, 5, "helpful");
    expect(features).toHaveLength(70 * 6);
    expect(features.filter((_, i) => i % 6 === 5).every((flag) => flag === 1)).toBe(true);
    expect(features.every((value) => Math.abs(value) <= 1)).toBe(true);
    expect(one.features(first.subarray(0, 2), 5, "harmless").subarray(0, 5)).toEqual(features.subarray(0, 5));
    // An even function of nothing: odd in z, as products and tanh are.
    const mirrored = one.features(
      first.map((value) => -value),
      5,
      "helpful",
    );
    expect(mirrored.every((value, i) => i % 6 === 5 || Math.abs(value + features[i]) < 1e-6)).toBe(true);
    expect(() => one.features(first, 0, "helpful")).toThrow(UserError);
    expect(() => one.features(first.subarray(0, 3), 5, "helpful")).toThrow(UserError);
  });

  test("the normal distribution, against its integral", () => {
    let integral = 0.5;
    const step = 1e-3;
    for (let x = 0; x < 3; x += step) {
      const density = (at: number) => Math.exp(-at * at * 0.5) / Math.sqrt(2 * Math.PI);
      integral += ((density(x) + 4 * density(x + step / 2) + density(x + step)) * step) / 6;
      expect(Math.abs(normalCdf(x + step) - integral)).toBeLessThan(1e-6);
    }
    expect(normalCdf(-1)).toBeCloseTo(1 - normalCdf(1), 12);
  });
});

describe("preference-world, text", () => {
  test.each<[string, number]>([
    ["hit the boy", 1],
    ["not hit the boy", 0],
    ["hit rose the boy", 1],
    ["hit rose seed the boy", 0],
    ["boy hit", 0],
    ["hit burn boy", 2],
    ["rose boy", 0],
    ["", 0],
  ])("harm in %j: %i", (text, relations) => {
    const words = text.split(" ");
    expect(harmRelations(words)).toHaveLength(relations);
    expect(toxicity(words)).toBe(1 - 0.5 ** relations);
  });

  test("attributes are counts of what is there", () => {
    const asked = ["rose", "seed", "soil", "leaf"];
    expect(measure(asked, ["seed", "rose", "seed", "cake", "leaf", "indeed", "yeah", "hence"])).toEqual({
      coverage: 0.75,
      repeats: 1,
      offTopic: 1,
      harm: 0,
      harmWords: 0,
      refusal: 0,
      formality: 1 / 3,
      length: 8,
      order: 0.5,
    });
    expect(measure(asked, ["sorry"])).toMatchObject({ coverage: 0, refusal: 1, order: 0.5, formality: 0 });
    expect(measure(asked, ["hit", "soil"])).toMatchObject({ harm: 0, harmWords: 1 });
  });

  test("log-probabilities of free text sum to 1 and are those of all chains of topics", () => {
    const model = { stay: 0.8, shares: { content: 0.6, function: 0.2, agent: 0.1, action: 0.3 } };
    const vocabulary = [...new Set(drawText(model, 20_000, seed.stream("vocabulary")))];
    expect(vocabulary).toHaveLength(48);
    let total = 0;
    for (const a of vocabulary) for (const b of vocabulary) total += Math.exp(textLogProb(model, [a, b]));
    expect(total).toBeCloseTo(1, 10);

    const words = drawText(model, 4, seed.stream("chain"));
    const emission = (word: string, topic: number) => {
      const index = topics.findIndex((topicWords) => (topicWords as readonly string[]).includes(word));
      if (index >= 0) return index === topic ? 0.5 / 6 : 0;
      return { the: 1, a: 1, and: 1, not: 1 }[word]
        ? 1 / 6 / 4
        : ["boy", "girl", "man", "dog"].includes(word)
          ? 1 / 12 / 4
          : 0.25 / 4;
    };
    const chains = (i: number, before: number): number =>
      i === words.length
        ? 1
        : topics.reduce((sum, _, topic) => {
            const arrive = i === 0 ? 1 / 6 : topic === before ? 0.8 : 0.2 / 5;
            return sum + arrive * emission(words[i], topic) * chains(i + 1, topic);
          }, 0);
    expect(textLogProb(model, words)).toBeCloseTo(Math.log(chains(0, -1)), 10);
    const [first, ...rest] = words;
    expect(textLogProb(model, [first]) + textLogProb(model, rest, [first])).toBeCloseTo(
      textLogProb(model, words),
      10,
    );
    expect(textLogProb(model, ["sorry"])).toBe(Number.NEGATIVE_INFINITY);
  });

  test("policies do what their probabilities say", () => {
    const prompts = world.prompts("pretrain", 1500, seed.stream("policies"));
    const random = seed.stream("respond");
    const policy = { ...responsePolicies.weak, refuseSafe: 0 };
    const [safe, unsafe] = [[], []] as { coverage: number; harm: number; refusal: number }[][];
    for (const prompt of prompts) {
      const { attributes } = world.respond(prompt, policy, random);
      (prompt.harm ? unsafe : safe).push(attributes);
    }
    const unsafeShare = unsafe.length / 1500;
    expect(Math.abs(unsafeShare - 0.4)).toBeLessThan(margin(0.4, 1500));
    expect(Math.abs(mean(safe.map(({ coverage }) => coverage)) - 0.6)).toBeLessThan(
      margin(0.6, 6 * safe.length),
    );
    expect(Math.abs(mean(safe.map(({ harm }) => harm)) - 0.1)).toBeLessThan(margin(0.1, safe.length));
    expect(Math.abs(mean(unsafe.map(({ refusal }) => refusal)) - 0.4)).toBeLessThan(
      margin(0.4, unsafe.length),
    );
    // What is not refused does harm half of the time.
    expect(Math.abs(mean(unsafe.map(({ harm }) => harm)) - 0.3)).toBeLessThan(margin(0.3, unsafe.length));
  });

  const pairs: ResponsePair[] = world.prompts("transfer", 300, seed.stream("pair prompts")).map((prompt) => ({
    prompt,
    first: world.respond(prompt, responsePolicies.weak, seed.stream("first", prompt.id)),
    second: world.respond(prompt, responsePolicies.strong, seed.stream("second", prompt.id)),
  }));

  test("the objectives conflict on unsafe prompts: harm that was asked for helps, a refusal does not", () => {
    const [prompt] = world.prompts("test", 20, seed).filter(({ harm }) => harm);
    const named = prompt.asked.join(" ");
    const [refused, careful, harmful] = ["sorry .", `${named} .`, `${named} ${prompt.harm?.join(" ")} .`].map(
      (text) => world.measure(prompt, text),
    );
    expect([refused, careful, harmful].map(({ harmless }) => harmless)).toEqual([0, -0.5, -1.5]);
    expect(careful.helpful).toBe(1);
    expect(harmful.helpful).toBeCloseTo(1.5 - 0.2, 9); // two words too many
    expect(refused.helpful).toBe(-1);
    expect(refused.utility).toBe(refused.harmless + refused.helpful);
    expect(world.featuresOf(harmful)).toHaveLength(9);
  });

  test.each<TextAnnotator>([
    { noise: 1 },
    { by: "harmless", noise: 0.5, flip: 0.2 },
    { by: "helpful", bias: { length: 0.3 }, reads: "words", noise: 0.8 },
  ])("the expected accuracy is that of noisy judgements: %j", (annotator) => {
    const { noise = 0, flip = 0 } = annotator;
    const random = seed.stream("noise");
    const differing = pairs.filter(({ first, second }) => first.utility !== second.utility);
    const exact = { ...annotator, noise: 0, flip: 0 };
    let [right, count] = [0, 0];
    for (const pair of differing) {
      // What the annotator sees without noise, from the probability under much noise: Phi(d / s) for large s.
      const wide = 1e3;
      const p = world.probability(pair, { ...exact, noise: wide });
      const difference = (p - 0.5) * Math.sqrt(2 * Math.PI) * wide;
      for (let i = 0; i < 40; i++) {
        const isFirst = difference + noise * random.normal() > 0 !== random.uniform() < flip;
        right += Number(isFirst === pair.first.utility > pair.second.utility);
        count++;
      }
    }
    const expected = world.expectedAccuracy(pairs, annotator);
    expect(Math.abs(right / count - expected)).toBeLessThan(margin(expected, count) + 2e-3);
  });

  test("judgements: exact without noise, even for equals, refused where they cannot be", () => {
    expect(world.expectedAccuracy(pairs, {})).toBe(1);
    expect(world.expectedAccuracy(pairs, { flip: 1 })).toBe(0);
    const [{ prompt, first }] = pairs;
    expect(world.probability({ prompt, first, second: first }, { noise: 0 })).toBe(0.5);
    expect(() => world.probability(pairs[0], { noise: -1 })).toThrow(UserError);
    expect(() => world.expectedAccuracy([], {})).toThrow(UserError);
    // Who takes action words for harm thinks worse of "hit the rose" than of what is the same but for that word.
    const words = world.measure(prompt, "hit rose .");
    const none = world.measure(prompt, "and rose .");
    const judge = (reads: "words" | "relations") =>
      world.probability({ prompt, first: words, second: none }, { by: "harmless", reads });
    expect([judge("words"), judge("relations")]).toEqual([0, 0.5]);
  });

  test("principles are followed at the stated rate", () => {
    const asked = [...topics[0]];
    const random = seed.stream("principles");
    const count = 2000;
    const check = (principles: Principles, pole: Pole, rate: number, expected: number) => {
      let followed = 0;
      for (let i = 0; i < count; i++)
        followed += Number(
          followsPrinciple(pole, measure(asked, drawPrincipled(asked, principles, rate, random))),
        );
      expect(Math.abs(followed / count - expected), pole).toBeLessThanOrEqual(margin(expected, count));
    };
    for (const pole of ["formal", "casual"] as const) check({ tone: pole }, pole, 0.65, 0.65);
    for (const pole of ["covering", "focused"] as const) check({ focus: pole }, pole, 0.8, 0.8);
    for (const pole of ["ordered", "reversed"] as const) check({ order: pole }, pole, 0.9, 0.9);
    check({ length: "long" }, "long", 0.65, 0.65);
    check({ length: "short", focus: "focused" }, "short", 1, 1);
    check({ length: "short", focus: "covering" }, "short", 1, 0); // cannot be both
    check({ length: "short", focus: "covering" }, "covering", 1, 1);
    expect(antithesis({ length: "short", tone: "casual" })).toEqual({ length: "long", tone: "formal" });
  });

  test("safety and relevance items have their shares, and labels that their words bear out", () => {
    const safety = world.safetyItems("test", 400, seed.stream("safety"));
    expect(Math.abs(mean(safety.map(({ safe }) => safe)) - 0.44)).toBeLessThan(margin(0.44, 400));
    for (const { text, safe } of safety) {
      expect(safe).toBe(Number(harmRelations(text.split(" ")).length === 0));
      const words = text.split(" ").length;
      expect(words >= 12 && words <= 20).toBe(true);
    }
    const items = world.relevanceItems("test", 150, seed.stream("relevance"));
    expect(Math.abs(mean(items.map(({ relevant }) => relevant)) - 0.25)).toBeLessThan(margin(0.25, 150));
    for (const { text, relevant } of items) {
      const [, word, action, , ...clause] = text.split(" ");
      const topic = topics.find((words) => (words as readonly string[]).includes(word)) as readonly string[];
      const is =
        clause.some((w) => topic.includes(w)) &&
        harmRelations(clause).some((found) => found.action === action);
      expect(relevant).toBe(Number(is));
    }
    for (let i = 0; i < 50; i++) {
      const start = "rose hit";
      const text = world.text(12, seed.stream("none", i), { harm: "none", start });
      expect(world.toxicity(`${start} ${text}`)).toBe(0);
      expect(world.textLogProb(text, start)).toBeGreaterThan(-12 * 6);
    }
  });

  test("the same seed gives the same world; nothing is in two parts", () => {
    const again = preferenceWorld.generate({}, seed.stream("world"));
    expect(preferenceWorld.describe(again)).toBe(preferenceWorld.describe(world));
    const many = world.prompts("transfer", 40, seed.stream("bits"));
    expect(again.prompts("transfer", 15, seed.stream("bits"))).toEqual(many.slice(0, 15));
    const ids = worldSplits.flatMap((split) =>
      world.prompts(split, 300, seed.stream("leak", split)).map(({ id }) => id),
    );
    expect(new Set(ids).size).toBe(ids.length);
    const tests = new Set(world.prompts("test", 2000, seed.stream("tests")).map(({ text }) => text));
    const documents = world.documents(seed.stream("documents"));
    let asks = 0;
    for (let i = 0; i < 1000; i++) {
      const ask = documents
        .next()
        .value.split("\n")
        .find((line) => line.startsWith("ask"));
      if (ask !== undefined) {
        asks++;
        expect(tests.has(ask)).toBe(false);
      }
    }
    expect(Math.abs(asks / 1000 - 0.6)).toBeLessThan(margin(0.6, 1000));
  });

  test("refuses what cannot be", () => {
    expect(() => preferenceWorld.generate({ asked: [5, 2] }, seed)).toThrow(UserError);
    expect(() => preferenceWorld.generate({ vectors: { cosine: 2 } }, seed)).toThrow("vectors.cosine");
    expect(() => world.vectors.accuracy({ objective: "helpful", skill: 2 })).toThrow(UserError);
    expect(() => world.vectors.pairs(-1, seed)).toThrow(UserError);
    expect(() => world.safetyItems("test", 1, seed, { safe: 0, words: [1, 1] })).toThrow("no unsafe request");
    expect(() => world.relevanceItems("test", 1, seed, { relevant: 1, words: 1 })).toThrow(
      "no relevant clause",
    );
  });
});

import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { type CorpusDocument, type GrammarCorpusWorld, grammarCorpus } from "./grammar-corpus.js";
import { worldSplits } from "./splits.js";

const seed = createRandom("grammar-corpus test");
const world = grammarCorpus.generate({}, seed.stream("world"));

function take(world: GrammarCorpusWorld, domain: string, count: number, name: string): CorpusDocument[] {
  const documents = world.documents(domain, seed.stream(name));
  return Array.from({ length: count }, () => documents.next().value);
}
const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

/** A world small enough to list every text of it. */
const tinyConfig = {
  documentLength: 5,
  domains: [
    { name: "x", grammar: "x", words: "x", topics: "x" },
    { name: "y", grammar: "y", words: "x", topics: "y" },
  ],
  words: 4,
  classes: 3,
  nonterminals: 2,
  rulesPerNonterminal: 3,
  topics: 2,
  keys: 2,
  values: 2,
  markers: 2,
  copies: 0.2,
  junk: 0.2,
  splits: { pretrain: 1, supervision: 0, transfer: 0, validation: 0, test: 0 },
};

/** Every text of a world with its probability, by trying each token at each place. */
function everyText(world: GrammarCorpusWorld, domain: string | Record<string, number>) {
  const texts: { tokens: number[]; logProb: number; entropies: Float64Array }[] = [];
  const extend = (tokens: number[]) => {
    if (tokens.length === world.config.documentLength) {
      const { logProbs, entropies } = world.score(tokens, domain);
      texts.push({ tokens, logProb: sum(logProbs), entropies });
      return;
    }
    for (let next = 0; next < world.vocabulary.length; next++) {
      const longer = [...tokens, next];
      if (world.score(longer, domain).logProbs[tokens.length] > Number.NEGATIVE_INFINITY) extend(longer);
    }
  };
  extend([]);
  return texts;
}

describe("grammar-corpus", () => {
  const tiny = grammarCorpus.generate({ ...tinyConfig, documentLength: 4 }, seed.stream("tiny"));

  test.each<string | Record<string, number>>(["x", { x: 1, y: 3 }])(
    "probabilities of all texts sum to 1, and entropies to the entropy of a text: %j",
    (domain) => {
      const texts = everyText(tiny, domain);
      expect(texts.length).toBeGreaterThan(150);
      expect(sum(texts.map(({ logProb }) => Math.exp(logProb)))).toBeCloseTo(1, 10);
      const entropy = sum(texts.map(({ logProb }) => -logProb * Math.exp(logProb)));
      const byToken = sum(texts.map(({ logProb, entropies }) => Math.exp(logProb) * sum(entropies)));
      expect(byToken).toBeCloseTo(entropy, 10);
    },
  );

  test("definitions by definitions, and uses over two steps, have probabilities that sum to 1", () => {
    const slots = { documentLength: 10, definitions: 1, links: 0.4, twoHops: 0.3, copies: 0, junk: 0 };
    const linked = grammarCorpus.generate(
      { ...tinyConfig, ...slots, words: 3, intensities: [{ uses: 0.2, weight: 1 }] },
      seed.stream("linked"),
    );
    const texts = everyText(linked, "x");
    expect(sum(texts.map(({ logProb }) => Math.exp(logProb)))).toBeCloseTo(1, 10);
    const { keys, twoHops } = linked.shared;
    // Two definitions, the second by the first key: 0.8 and 0.8 of the slots, then links.
    const [byKey] = texts.filter(({ tokens }) => tokens[0] === keys[0] && tokens[6] === keys[0]);
    const { logProbs } = linked.score(byKey.tokens, "x");
    expect(Math.exp(logProbs[4])).toBeCloseTo(0.8, 10);
    expect(Math.exp(logProbs[6])).toBeCloseTo(0.4, 10);
    const asked = texts.find(({ tokens }) => tokens[6] === keys[0] && tokens[8] === twoHops);
    expect(Math.exp(linked.score(asked?.tokens ?? [], "x").logProbs[8])).toBeCloseTo(0.2 * 0.3, 10);
  });

  test("texts are drawn as often as their probability says", () => {
    const world = grammarCorpus.generate(tinyConfig, seed.stream("tiny"));
    const count = 15_000;
    const counts = new Map<string, { tokens: Int32Array; times: number }>();
    for (const { text, tokens } of take(world, "x", count, "frequencies")) {
      const seen = counts.get(text);
      if (seen) seen.times++;
      else counts.set(text, { tokens, times: 1 });
    }
    // Pearson's statistic over all texts that are expected at least 10 times; the others are one class.
    let [statistic, classes, restSeen, restExpected] = [0, 0, count, count];
    for (const { tokens, times } of counts.values()) {
      const expected = count * Math.exp(sum(world.score(tokens, "x").logProbs));
      expect(expected).toBeGreaterThan(0);
      if (expected < 10) continue;
      statistic += (times - expected) ** 2 / expected;
      classes++;
      restSeen -= times;
      restExpected -= expected;
    }
    statistic += (restSeen - restExpected) ** 2 / restExpected;
    expect(classes).toBeGreaterThan(50);
    // Chi-square with `classes` degrees of freedom: mean classes, variance 2 classes.
    expect(Math.abs(statistic - classes)).toBeLessThan(5 * Math.sqrt(2 * classes));
  });

  test("the first word has the entropy of its rule and of its class", () => {
    const parts = { one: 0.3, two: 0.1 };
    const even = grammarCorpus.generate(
      {
        ...tinyConfig,
        parts,
        words: 12,
        rulesPerNonterminal: 3,
        definitions: 0,
        intensities: [{ uses: 0, weight: 1 }],
        copies: 0,
        junk: 0,
        topicStrength: 0,
        bigramStrength: 0,
      },
      seed.stream("even"),
    );
    const rules = [1 - parts.one - parts.two, parts.one, parts.two];
    const entropy = sum(rules.map((p) => -p * Math.log(p / 4))); // 4 words in each class
    const { entropies } = even.score(take(even, "x", 1, "even")[0].tokens, "x");
    expect(entropies[0]).toBeCloseTo(entropy, 12);
  });

  test("sentences have the mean length of the branching process", () => {
    const words = grammarCorpus.generate(
      { documentLength: 4000, definitions: 0, intensities: [{ uses: 0, weight: 1 }], copies: 0, junk: 0 },
      seed.stream("lengths"),
    );
    const { shared } = words;
    let [said, sentences] = [0, 0];
    for (const { tokens } of take(words, "base", 8, "lengths")) {
      said += tokens.filter((token) => token !== shared.stop && !shared.markers.includes(token)).length;
      sentences += tokens.filter((token) => token === shared.stop).length;
    }
    const { one, two } = words.config.parts;
    const expected = 1 / (1 - one - 2 * two);
    // Variance of the total progeny (Dwass 1969): that of the offspring over (1 - mean)^3.
    const variance = (one + 4 * two - (one + 2 * two) ** 2) * expected ** 3;
    expect(Math.abs(said / sentences - expected)).toBeLessThan(5 * Math.sqrt(variance / sentences));
  });

  test("losses of the best model are the entropy, and no other domain reads as well", () => {
    const documents = take(world, "base", 60, "entropy");
    const [losses, entropies, other] = [[], [], []] as number[][];
    for (const { tokens } of documents) {
      const own = world.score(tokens, "base");
      losses.push(-sum(own.logProbs));
      entropies.push(sum(own.entropies));
      const mixed = world.score(tokens, { base: 1, "strong-shift": 1 });
      // Not knowing the domain costs log 2 at most.
      expect(sum(mixed.logProbs)).toBeGreaterThanOrEqual(sum(own.logProbs) - Math.LN2 - 1e-9);
      other.push(-sum(world.score(tokens, { base: 1, "weak-shift": 1 }).logProbs));
    }
    const differences = losses.map((loss, i) => loss - entropies[i]);
    const mean = sum(differences) / 60;
    const error = Math.sqrt(sum(differences.map((d) => (d - mean) ** 2)) / 59 / 60);
    expect(Math.abs(mean)).toBeLessThan(5 * error);
    expect(sum(other)).toBeGreaterThan(sum(losses));
  });

  test("spans say where a token can be looked up", () => {
    const kinds = new Map<string, number>();
    for (const { tokens, spans, isJunk, reasoningDensity, uses } of take(
      world,
      "strong-shift",
      600,
      "spans",
    )) {
      const { logProbs } = world.score(tokens, "strong-shift");
      let inUses = 0;
      for (const { kind, start, end, source } of spans) {
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        expect(end).toBeLessThanOrEqual(tokens.length);
        if (kind === "definition") expect(tokens[start - 1]).toBe(world.shared.equals);
        else {
          expect(source).toBeLessThan(start);
          if (kind !== "repetition" && kind !== "agreement")
            for (let i = start; i < end; i++) expect(logProbs[i]).toBeCloseTo(0, 9);
          if (kind !== "agreement")
            expect(tokens.slice(start, end)).toEqual(tokens.slice(source, source + end - start));
        }
        if (kind === "use" || kind === "two-hop") {
          expect(tokens[start - 1]).toBe(world.shared.gives);
          inUses++;
        }
        if (kind === "repetition") expect(isJunk).toBe(true);
      }
      if (uses === 0) expect(reasoningDensity).toBe(0);
      // Each use has 5 tokens; the last may be cut, before or after its value.
      expect(Math.abs(reasoningDensity * tokens.length - 5 * inUses)).toBeLessThan(5);
    }
    expect([...kinds.keys()].sort()).toEqual([
      "agreement",
      "copy",
      "definition",
      "repetition",
      "two-hop",
      "use",
    ]);
  });

  test("documents are junk, and look back, as often as the knobs say", () => {
    const count = 1500;
    const documents = take(world, "base", count, "shares");
    const share = (test: (document: CorpusDocument) => boolean) => documents.filter(test).length / count;
    const close = (a: number, p: number) => Math.abs(a - p) < 5 * Math.sqrt((p * (1 - p)) / count);
    expect(
      close(
        share(({ isJunk }) => isJunk),
        0.1,
      ),
    ).toBe(true);
    expect(
      close(
        share(({ uses, isJunk }) => uses === 0.5 && !isJunk),
        0.9 * 0.1,
      ),
    ).toBe(true);
    expect(
      close(
        share(({ topic }) => topic === 2),
        0.25,
      ),
    ).toBe(true);
  });

  test("weak shift keeps the old words' rules, strong shift shares no word", () => {
    const [base, weak, strong] = world.domains;
    expect(weak.grammar).toEqual(base.grammar);
    expect(weak.lexicon.words.slice(0, 60)).toEqual(base.lexicon.words);
    expect(weak.lexicon.words).toHaveLength(70);
    expect(strong.lexicon.words.some((word) => base.lexicon.words.includes(word))).toBe(false);
    expect(strong.grammar).not.toEqual(base.grammar);
    expect(new Set(world.vocabulary).size).toBe(world.vocabulary.length);
  });

  test("the same seed gives the same world, and no text is in two parts", () => {
    const again = grammarCorpus.generate({}, seed.stream("world"));
    expect(again.vocabulary).toEqual(world.vocabulary);
    expect(again.domains).toEqual(world.domains);
    expect(grammarCorpus.describe(again)).toBe(grammarCorpus.describe(world));
    const home = new Map<string, string>();
    const tiny = grammarCorpus.generate({ ...tinyConfig, splits: {} }, seed.stream("tiny leak"));
    for (const split of worldSplits) {
      const documents = tiny.documents("x", seed.stream("leak", split), { split });
      for (let i = 0; i < 100; i++) {
        const { text, split: said } = documents.next().value;
        expect(said).toBe(split);
        expect(home.get(text) ?? split).toBe(split);
        home.set(text, split);
      }
    }
  });

  test("probes: a needle among pairs, and markers that agree over a distance", () => {
    for (const { prompt, answer, needle } of world.retrievalSamples(50, seed.stream("needles"))) {
      expect(prompt.slice(...needle)).toEqual(answer);
      expect(prompt[needle[0] - 2]).toBe(prompt[prompt.length - 2]);
      expect(prompt.length + answer.length).toBe(8 * 6 + 3 * 7 + 3 + 3);
    }
    expect(() => world.retrievalSamples(1, seed, { pairs: 13 })).toThrow(UserError);
    const items = world.agreementItems("base", 60, seed.stream("agreement"), { split: "test" });
    const right = items.map(({ prompt, answer }) => {
      const { logProbs } = world.score([...prompt, answer], "base");
      return Math.exp(logProbs[prompt.length]);
    });
    // Certain, but where the text may be a junk document that only repeats what was said.
    expect(right.every((p) => p > 0.999999 || p === 0)).toBe(true);
    expect(right.filter((p) => p === 0)).toHaveLength(0);
    expect(new Set(items.map(({ distance }) => distance)).size).toBeGreaterThan(3);
  });

  test("texts that cannot be have no probability, and nothing is said of what follows", () => {
    const { logProbs } = world.score([world.shared.equals, world.shared.stop, 0], "base");
    expect([...logProbs]).toEqual([Number.NEGATIVE_INFINITY, Number.NaN, Number.NaN]);
    expect(world.score([99_999], "base").logProbs[0]).toBe(Number.NEGATIVE_INFINITY);
    expect(world.score([], "base").logProbs).toHaveLength(0);
  });

  test("refuses what cannot be", () => {
    const generate = (config: object) => () => grammarCorpus.generate(config, seed);
    expect(generate({ parts: { one: 0.6, two: 0.3 } })).toThrow("sentences never end");
    expect(generate({ words: 5 })).toThrow("5 words for 12 classes");
    expect(generate({ classes: 3, rulesPerNonterminal: 4 })).toThrow(UserError);
    expect(generate({ domains: [{ name: "a" }] })).toThrow("grammar");
    const twice = { name: "a", grammar: "a", words: "a", topics: "a" };
    expect(generate({ domains: [twice, twice] })).toThrow("two domains");
    expect(() => world.documents("bose", seed).next()).toThrow('no domain "bose"');
    expect(() => world.score([0], "bose")).toThrow('no domain "bose"');
  });
});

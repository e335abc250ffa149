import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import type { SamplingOptions } from "./generation.js";
import { generatedToken, Sampler } from "./sampling.js";
import { cutoff } from "./selection.js";

/** The distribution that the options make of logits, step by step as the papers tell it, by sorting. */
function reference(
  logits: readonly number[],
  options: SamplingOptions,
  occurred: readonly number[],
): number[] {
  const { repetitionPenalty = 1, temperature = 1, topK = logits.length, topP = 1, minP = 0 } = options;
  const scores = logits.map((logit, id) => {
    if (!occurred.includes(id)) return logit;
    return logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  });
  const order = scores.map((_, id) => id).sort((a, b) => scores[b] - scores[a] || a - b);
  if (temperature === 0) return scores.map((_, id) => (id === order[0] ? 1 : 0));
  const kept = order.slice(0, topK);
  const softmax = (ids: readonly number[]) => {
    const exps = ids.map((id) => Math.exp((scores[id] - scores[order[0]]) / temperature));
    const total = exps.reduce((a, b) => a + b);
    return exps.map((exp) => exp / total);
  };
  const shares = softmax(kept);
  let reached = 0;
  const nucleus = kept.filter((_, i) => {
    const before = reached;
    reached += shares[i];
    return i === 0 || before < topP - 1e-12;
  });
  const last = nucleus.filter((_, i) => shares[i] >= minP * shares[0]);
  const probabilities = softmax(last);
  return scores.map((_, id) => (last.includes(id) ? probabilities[last.indexOf(id)] : 0));
}

const logits = [1.5, -0.3, 0.2, 2.1, -2, 0.9, 0.2, -0.8];

describe("draws have the distribution that the options ask for", () => {
  const cases: SamplingOptions[] = [
    {},
    { temperature: 0.5 },
    { temperature: 2, topK: 5 },
    { topK: 4 },
    { topP: 0.7 },
    { topK: 6, topP: 0.8, temperature: 1.3 },
    { minP: 0.15 },
    { repetitionPenalty: 1.8 },
    { repetitionPenalty: 1.5, temperature: 0.8, topK: 7, topP: 0.95, minP: 0.05 },
  ];
  test.each(cases)("%o", (options) => {
    const prompt = [3, 4];
    const expected = reference(logits, options, prompt);
    const counts = new Array(logits.length).fill(0);
    const draws = 10_000;
    for (let seed = 0; seed < draws; seed++) {
      const sampler = new Sampler({ ...options, seed }, logits.length, prompt);
      counts[sampler.choose(Float32Array.from(logits))]++;
    }
    let statistic = 0;
    expected.forEach((probability, id) => {
      if (probability === 0) expect(counts[id]).toBe(0);
      else statistic += (counts[id] - draws * probability) ** 2 / (draws * probability);
    });
    // Beyond 24.3 lies a thousandth of the chi-square distribution with 7 degrees of freedom; fewer tokens have less.
    expect(statistic).toBeLessThan(24.3);
  });

  test("of one seed too, token after token", () => {
    const sampler = new Sampler({ seed: 5 }, logits.length, []);
    const counts = new Array(logits.length).fill(0);
    for (let i = 0; i < 10_000; i++) counts[sampler.choose(Float32Array.from(logits))]++;
    reference(logits, {}, []).forEach((probability, id) => {
      expect(Math.abs(counts[id] / 10_000 - probability)).toBeLessThan(0.02);
    });
  });
});

test("no draw falls outside what the options keep, ties among equals going to the first", () => {
  const logit = fc.integer({ min: -6, max: 6 }).map((tenths) => tenths / 4);
  fc.assert(
    fc.property(
      fc.array(logit, { minLength: 1, maxLength: 40 }),
      fc.record({
        temperature: fc.constantFrom(0, 0.3, 1, 4),
        topK: fc.integer({ min: 1, max: 45 }),
        topP: fc.constantFrom(0.1, 0.5, 0.9, 1),
        minP: fc.constantFrom(0, 0.1, 1),
        repetitionPenalty: fc.constantFrom(1, 1.3),
        seed: fc.nat(),
      }),
      (given, options) => {
        const sampler = new Sampler(options, given.length, [0]);
        const token = sampler.choose(Float32Array.from(given));
        expect(reference(given.map(Math.fround), options, [0])[token]).toBeGreaterThan(0);
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});

test("tokens that are not allowed never come", () => {
  const allowed = Uint8Array.of(0, 1, 0, 0, 1, 0, 0, 0);
  const chosen = new Set<number>();
  for (let seed = 0; seed < 300; seed++) {
    chosen.add(new Sampler({ seed, topP: 0.99 }, 8, []).choose(Float32Array.from(logits), allowed));
  }
  expect([...chosen].sort()).toEqual([1, 4]);
  expect(new Sampler({ temperature: 0 }, 8, []).choose(Float32Array.from(logits), allowed)).toBe(1);
});

test("a token that was drawn is held against it too", () => {
  const sampler = new Sampler({ temperature: 0, repetitionPenalty: 10 }, 3, []);
  const next = () => sampler.choose(Float32Array.of(3, 2, 1));
  expect([next(), next(), next()]).toEqual([0, 1, 2]);
});

test("the cutoff is that of sorting", () => {
  const value = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.double({ min: 0, max: 1, noNaN: true }));
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 60 }),
      fc.double({ min: 0.01, max: 30, noNaN: true }),
      (values, target) => {
        const { least, equals } = cutoff(Float64Array.from(values), target, () => 1);
        const sorted = [...values].sort((a, b) => b - a);
        const kept = Math.min(values.length, Math.max(1, Math.ceil(target)));
        expect(least).toBe(sorted[kept - 1]);
        expect(values.filter((one) => one > least).length + equals).toBe(kept);
        // By weight: as few as reach the target.
        const weighed = cutoff(Float64Array.from(values), target, (one) => one);
        const chosen = sorted.slice(0, values.filter((one) => one > weighed.least).length + weighed.equals);
        const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
        if (sum(values) > target + 1e-9) {
          expect(sum(chosen)).toBeGreaterThan(target - 1e-9);
          if (chosen.length > 1) expect(sum(chosen.slice(0, -1))).toBeLessThan(target + 1e-9);
        }
      },
    ),
    { numRuns: 1000, seed: 2 },
  );
});

test("log-probabilities and alternatives are those of the softmax", () => {
  const random = createRandom(3);
  const given = Float32Array.from(random.normals(50, 3));
  given[7] = given[3];
  const total = Math.log(given.reduce((sum, logit) => sum + Math.exp(logit), 0));
  const { id, logProb, alternatives } = generatedToken(11, given, 20);
  expect(id).toBe(11);
  expect(logProb).toBeCloseTo(given[11] - total, 6);
  const order = Array.from(given.keys()).sort((a, b) => given[b] - given[a] || a - b);
  expect(alternatives.map((one) => one.id)).toEqual(order.slice(0, 20));
  for (const one of alternatives) expect(one.logProb).toBeCloseTo(given[one.id] - total, 6);
  expect(generatedToken(11, given, 0).alternatives).toEqual([]);
  expect(generatedToken(11, given, undefined)).toEqual({ id: 11, logProb: Number.NaN, alternatives: [] });
});

test.each([
  [{ temperature: -1 }, "temperature is -1"],
  [{ temperature: Number.NaN }, "temperature is NaN"],
  [{ topK: 0 }, "topK is 0"],
  [{ topP: 0 }, "topP is 0"],
  [{ minP: 1.5 }, "minP is 1.5"],
  [{ repetitionPenalty: 0 }, "repetitionPenalty is 0"],
  [{ seed: 0.5 }, "seed is 0.5"],
])("%o is refused", (options, message) => {
  expect(() => new Sampler(options, 5, [])).toThrow(message);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fuseDynamically } from "./dynamic-fusion.js";
import {
  contrastLogits,
  keepPlausible,
  klDivergence,
  logSoftmax,
  mixLogProbs,
  shiftLogits,
} from "./logits-arithmetic.js";

const logs = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);
const probabilities = (logits: Float32Array) => Array.from(logSoftmax(logits), Math.exp);
const close = (a: ArrayLike<number>, b: ArrayLike<number>, digits = 5) => {
  expect(a.length).toBe(b.length);
  for (let i = 0; i < a.length; i++) {
    if (Number.isFinite(b[i])) expect(a[i]).toBeCloseTo(b[i], digits);
    else expect(a[i]).toBe(b[i]);
  }
};
const logit = fc.float({ min: -20, max: 20, noNaN: true });
const vectors = (count: number) =>
  fc.array(
    fc.array(logit, { minLength: 5, maxLength: 5 }).map((all) => Float32Array.from(all)),
    { minLength: count, maxLength: count },
  );

describe("log-probabilities", () => {
  test("sum to 1 and do not depend on a constant, however large", () => {
    close(probabilities(Float32Array.of(1e4, 1e4 + Math.log(3))), [0.25, 0.75], 3);
    close(logSoftmax(Float32Array.of(0, -Infinity, 0)), [-Math.LN2, -Infinity, -Math.LN2]);
    expect(() => logSoftmax(Float32Array.of(-Infinity, -Infinity))).toThrow("no token can come next");
  });

  test("KL of two coins; infinite where the other cannot, and 0 log 0 is 0", () => {
    const kl = 0.9 * Math.log(0.9 / 0.5) + 0.1 * Math.log(0.1 / 0.5);
    expect(klDivergence(logs(0.9, 0.1), logs(0.5, 0.5))).toBeCloseTo(kl, 6);
    expect(klDivergence(logs(1, 0), logs(0.5, 0.5))).toBeCloseTo(Math.LN2, 6);
    expect(klDivergence(logs(0.5, 0.5), logs(1, 0))).toBe(Infinity);
    expect(klDivergence(logs(1, 0), logs(1, 0))).toBe(0);
    expect(() => klDivergence(logs(1), logs(0.5, 0.5))).toThrow("logits of 1 and of 2 tokens");
  });
});

describe("the plausible tokens", () => {
  test("are those with a share of the likeliest; ties and the likeliest stay", () => {
    const scores = Float32Array.of(1, 2, 3, 4);
    expect(keepPlausible(scores, logs(0.5, 0.25, 0.2, 0.05), 0.5)).toEqual(
      Float32Array.of(1, 2, -Infinity, -Infinity),
    );
    expect(keepPlausible(scores, logs(0.5, 0.25, 0.2, 0.05), 1)).toEqual(
      Float32Array.of(1, -Infinity, -Infinity, -Infinity),
    );
    expect(keepPlausible(scores, logs(0.5, 0.25, 0.25, 0), 0)).toEqual(scores);
    expect(() => keepPlausible(scores, scores, 1.5)).toThrow("is 1.5, expected 0 to 1");
  });
});

describe("differences of models", () => {
  test("proxy tuning multiplies by the ratio of the small models' probabilities, to the power of its weight", () => {
    const large = [0.5, 0.3, 0.2];
    const [tuned, small] = [
      [0.2, 0.2, 0.6],
      [0.4, 0.4, 0.2],
    ];
    for (const weight of [0, 0.5, 1, 2]) {
      const scores = large.map((p, i) => p * (tuned[i] / small[i]) ** weight);
      const total = scores.reduce((sum, score) => sum + score);
      const shifted = shiftLogits(logs(...large), [{ expert: logs(...tuned), from: logs(...small), weight }]);
      close(
        probabilities(shifted),
        scores.map((score) => score / total),
      );
    }
  });

  test("a token that one of the small models cannot say is not moved", () => {
    const shifted = shiftLogits(Float32Array.of(1, 2, -Infinity), [
      { expert: Float32Array.of(0, 5, 3), from: Float32Array.of(-Infinity, 4, 3) },
    ]);
    close(shifted, [1, 3, -Infinity]);
  });

  test("contrast over plausible tokens: (1 + w) expert - w amateur, with a bound on the difference", () => {
    const [expert, amateur] = [logs(0.6, 0.3, 0.08, 0.02), logs(0.7, 0.1, 0.1, 0.1)];
    const contrasted = contrastLogits(expert, amateur, { weight: 0.5, alpha: 0.1 });
    close(contrasted, [...[0, 1, 2].map((i) => 1.5 * expert[i] - 0.5 * amateur[i]), -Infinity]);
    close(contrastLogits(expert, amateur, { weight: 0, alpha: 0 }), expert);
    const impossible = contrastLogits(logs(0.5, 0.5), logs(1, 0), { weight: 1, alpha: 0.1 });
    close(impossible, [Math.log(0.25), Math.log(0.5) + 30]);
    expect(() => contrastLogits(expert, amateur, { weight: -1 })).toThrow("is -1, expected");
  });
});

describe("mixtures of log-probabilities", () => {
  test("one with itself is itself; lambda = 1 is the teacher, 0 the reference, 2 their extrapolation", () => {
    fc.assert(
      fc.property(vectors(2), ([teacher, reference]) => {
        const at = (lambda: number) =>
          probabilities(
            mixLogProbs([
              { logits: teacher, weight: lambda },
              { logits: reference, weight: 1 - lambda },
            ]),
          );
        close(at(1), probabilities(teacher));
        close(at(0), probabilities(reference));
        const [p, q] = [probabilities(teacher), probabilities(reference)];
        const scores = p.map((_, i) => Math.exp(2 * Math.log(p[i]) - Math.log(q[i])));
        const total = scores.reduce((sum, score) => sum + score);
        close(
          at(2),
          scores.map((score) => score / total),
          3,
        );
      }),
    );
  });

  test("ConG: alpha = 1 is the model after, alpha = 0 its implicit reward per token", () => {
    const [post, pre] = [logs(0.7, 0.2, 0.1), logs(0.5, 0.25, 0.25)];
    const cong = (alpha: number) =>
      mixLogProbs([
        { logits: post, weight: 1 },
        { logits: pre, weight: alpha - 1 },
      ]);
    close(cong(1), post);
    close(cong(0), [Math.log(1.4), Math.log(0.8), Math.log(0.4)]);
    close(cong(0.5), [0.7 / Math.sqrt(0.5), 0.2 / 0.5, 0.1 / 0.5].map(Math.log));
  });

  test("what is impossible for a model with a say is impossible", () => {
    const mixed = mixLogProbs([
      { logits: logs(0, 1, 0.5), weight: 1 },
      { logits: logs(0.5, 0, 0.5), weight: -0.5 },
    ]);
    close(mixed, [-Infinity, Math.log(2 / 3), Math.log(1 / 3) - 0.5 * Math.log(0.5)]);
    expect(() => mixLogProbs([])).toThrow("no distributions");
    expect(() => mixLogProbs([{ logits: logs(1), weight: Number.NaN }])).toThrow("a weight is NaN");
  });
});

describe("dynamic fusion", () => {
  test("a large model that is the small one is moved exactly to the expert", () => {
    fc.assert(
      fc.property(vectors(2), ([small, expert]) => {
        const { weights, logits, objective } = fuseDynamically({ large: small, small, experts: [expert] });
        if (Math.max(...logSoftmax(expert).map((p, i) => Math.abs(p - logSoftmax(small)[i]))) < 0.1) return;
        expect(weights[0]).toBeCloseTo(1, 6);
        expect(objective).toBeLessThan(1e-6);
        close(probabilities(logits), probabilities(expert), 4);
      }),
    );
  });

  test("without a shift the large model is left as it is", () => {
    const [large, small] = [logs(0.6, 0.4), logs(0.3, 0.7)];
    const { weights, logits, objective } = fuseDynamically({ large, small, experts: [small, small] });
    expect({ weights, objective }).toEqual({ weights: [0, 0], objective: 0 });
    close(logits, large);
    close(fuseDynamically({ large, small, experts: [] }).logits, large);
  });

  test("two tokens: the weight is where both divergences of the logit's shift come nearest, by a search of its own", () => {
    // With two tokens all is a function of one log-odds: large 1, small 0, expert 2 gives large + a 2.
    const vector = (odds: number) => Float32Array.of(odds, 0);
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const kl = (x: number, y: number) => {
      const [p, q] = [sigmoid(x), sigmoid(y)];
      return p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
    };
    const j = (a: number) => (kl(1 + 2 * a, 1) - kl(2, 0)) ** 2 + (kl(1, 1 + 2 * a) - kl(0, 2)) ** 2;
    const grid = Array.from({ length: 41 }, (_, i) => i * 0.05);
    const best = grid.reduce((best, a) => (j(a) < j(best) ? a : best));
    const fused = fuseDynamically(
      { large: vector(1), small: vector(0), experts: [vector(2)] },
      { step: 0.05 },
    );
    expect(fused.weights[0]).toBeCloseTo(best, 9);
    expect(best).toBeGreaterThan(0.3);
    expect(fused.objective).toBeCloseTo(j(best), 5);
    expect(fused.targets[0].forward).toBeCloseTo(kl(2, 0), 5);
    expect(fused.targets[0].backward).toBeCloseTo(kl(0, 2), 5);
  });

  test("one expert at a time takes the first of equals; jointly is never worse", () => {
    fc.assert(
      fc.property(vectors(4), ([large, small, one, two]) => {
        const single = fuseDynamically({ large, small, experts: [one, two] }, { step: 0.5 });
        expect(single.weights.filter((weight) => weight > 0).length).toBeLessThanOrEqual(1);
        const joint = fuseDynamically({ large, small, experts: [one, two] }, { step: 0.5, jointly: true });
        expect(joint.objective).toBeLessThanOrEqual(single.objective);
        expect(fuseDynamically({ large, small, experts: [one, one] }).weights[1]).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  test("divergences that are infinite are passed over", () => {
    const fused = fuseDynamically({ large: logs(0.5, 0.5), small: logs(1, 0), experts: [logs(0.5, 0.5)] });
    expect(fused).toMatchObject({ weights: [0], objective: Infinity });
    close(probabilities(fused.logits), [0.5, 0.5]);
  });

  test("refuses weights without a step and too many combinations", () => {
    const large = logs(0.5, 0.5);
    expect(() => fuseDynamically({ large, small: large, experts: [large] }, { step: 0 })).toThrow(
      "in steps of 0",
    );
    const experts = Array.from({ length: 5 }, () => large);
    expect(() => fuseDynamically({ large, small: large, experts }, { jointly: true })).toThrow(
      "5 experts have",
    );
  });
});

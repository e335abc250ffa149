import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import {
  consensusLoss,
  countConsensus,
  estimateProxyErrors,
  expectedConsensus,
  fitConsensus,
} from "./proxy-errors.js";

const random = createRandom("proxy-errors");
const two = { transition: Float64Array.of(0.8, 0.2, 0.35, 0.65), prior: Float64Array.of(0.55, 0.45) };
const three = {
  transition: Float64Array.of(0.7, 0.2, 0.1, 0.15, 0.7, 0.15, 0.1, 0.25, 0.65),
  prior: Float64Array.of(0.5, 0.3, 0.2),
};

describe("the consensus of proxies", () => {
  test("in closed form: for p = (1, 0) the products of one row", () => {
    const { first, second, third } = expectedConsensus({
      transition: Float64Array.of(0.8, 0.2, 0, 1),
      prior: [1, 0] as never,
    });
    expect([...first]).toEqual([0.8, 0.2]);
    expect(second[1]).toBeCloseTo(0.16, 12);
    expect(third[5]).toBeCloseTo(0.8 * 0.2 * 0.2, 12);
  });

  test("is counted: frequencies of pairs and single values are sums of those of triples", () => {
    const proxies = [Int32Array.of(0, 1, 1, 0), Int32Array.of(0, 1, 0, 0), Int32Array.of(0, 1, 0, 1)];
    const { first, second, third } = countConsensus(proxies, 2, 200, random.stream("count"));
    expect(third.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(second[0]).toBeCloseTo(third[0] + third[1], 12);
    expect(first[1]).toBeCloseTo(second[2] + second[3], 12);
    // Rows 0 and 1 are all 0 and all 1; each is in 3 of 4 rows of a draw on average, out of 3 rows.
    expect(Math.abs(third[0] - 0.25)).toBeLessThan(0.03);
  });

  test.each([
    ["two", two],
    ["three", three],
  ])("of %s groups gives back the error rates that it came from", (_, errors) => {
    const m = errors.prior.length;
    const found = fitConsensus(expectedConsensus(errors), m, 4000, random.stream("fit"));
    found.transition.forEach((p, i) => {
      expect(Math.abs(p - errors.transition[i])).toBeLessThan(0.02);
    });
    found.prior.forEach((p, i) => {
      expect(Math.abs(p - errors.prior[i])).toBeLessThan(0.02);
    });
  });

  test.each([2, 3])("has the gradient of finite differences, %i groups", (m) => {
    const consensus = expectedConsensus(m === 2 ? two : three);
    const point = Float64Array.from({ length: m * m + m }, () => random.normal());
    const gradient = new Float64Array(point.length);
    consensusLoss(point, consensus, gradient);
    const step = 1e-6;
    point.forEach((value, i) => {
      const at = (x: number) => {
        const moved = point.slice();
        moved[i] = x;
        return consensusLoss(moved, consensus, new Float64Array(point.length)).loss;
      };
      expect(gradient[i]).toBeCloseTo((at(value + step) - at(value - step)) / (2 * step), 6);
    });
  });
});

/** Proxies that err independently with these rates. */
function draw(errors: typeof two, rows: number) {
  const own = random.stream("draw", rows);
  const from = (p: ArrayLike<number>) => Number(own.uniform() < p[1]);
  const group = Int32Array.from({ length: rows }, () => from(errors.prior));
  const proxies = [0, 1, 2].map(() => group.map((a) => from(errors.transition.subarray(2 * a, 2 * a + 2))));
  return { group, proxies };
}

test("error rates are found without the truth", () => {
  const { proxies } = draw(two, 20_000);
  const { transition, prior } = estimateProxyErrors(proxies, 2, { random });
  two.transition.forEach((p, i) => {
    expect(Math.abs(transition[i] - p)).toBeLessThan(0.04);
  });
  expect(Math.abs(prior[1] - 0.45)).toBeLessThan(0.05);
});

test("fewer than three proxies and copies are refused", () => {
  const { proxies } = draw(two, 50);
  const [a, b] = proxies;
  expect(() => estimateProxyErrors([a, b], 2, { random })).toThrow("three are needed for identifiability");
  expect(() => estimateProxyErrors([a, b, a], 2, { random })).toThrow("proxies 1 and 3 agree on all 50 rows");
});

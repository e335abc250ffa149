import { createRandom, latentFeatures } from "outgrow";
import { expect, test } from "vitest";
import { drawComparisons, drawUtility } from "./pairs.js";

const random = createRandom("w2sg/pairs");
const world = latentFeatures.generate({}, random.stream("world"));
const { latentSize } = world.config;
const utility = drawUtility(latentSize, random.stream("utility"));

test("the utility is z u with a kink: 1 along u, and 0.5 more along v on one side of it alone", () => {
  const axes = new Float32Array(2 * latentSize * latentSize);
  for (let k = 0; k < latentSize; k++) {
    axes[k * latentSize + k] = 1;
    axes[(latentSize + k) * latentSize + k] = -1;
  }
  const values = utility(axes);
  // r(e) - r(-e) = 2 e u + 0.5 e v, and r(e) + r(-e) = 0.5 |e v|.
  const v = Array.from({ length: latentSize }, (_, k) => 2 * (values[k] + values[latentSize + k]));
  expect(Math.hypot(...v)).toBeCloseTo(1, 5);
  const u = v.map((size, k) => {
    const difference = values[k] - values[latentSize + k];
    return [(difference - 0.5 * size) / 2, (difference + 0.5 * size) / 2];
  });
  // The sign of each e v is not seen from e and -e alone: one choice of signs makes u a unit vector.
  const lengths = Array.from({ length: 2 ** latentSize }, (_, signs) =>
    Math.hypot(...u.map((pair, k) => pair[(signs >> k) & 1])),
  );
  expect(Math.min(...lengths.map((length) => Math.abs(length - 1)))).toBeLessThan(1e-5);
});

test("the item that is worth more is preferred; each is so half of the time, and splits share no item", () => {
  const pairs = drawComparisons(world, utility, 4000, random.stream("a"));
  const [first, second] = [utility(pairs.latents.first), utility(pairs.latents.second)];
  expect(Array.from(pairs.truth)).toEqual(Array.from(first, (value, i) => Number(value > second[i])));
  const share = pairs.truth.reduce((sum, y) => sum + y, 0) / 4000;
  expect(Math.abs(share - 0.5)).toBeLessThan(0.03);
  const other = drawComparisons(world, utility, 10, random.stream("b"));
  expect(other.latents.first[0]).not.toBe(pairs.latents.first[0]);
  expect(pairs.latents.second[0]).not.toBe(pairs.latents.first[0]);
});

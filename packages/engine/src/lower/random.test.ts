import * as jax from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { Tensor } from "../tensor.js";
import { runCompiled, runJax } from "../testing/run-both.js";

const { numpy: np, random } = jax;

beforeAll(() => {
  jax.defaultDevice("wasm");
});

const seed = new Tensor(Uint32Array.of(20_261_124), []);
const keyOf = (value: jax.Array) => random.key(value as unknown as number);
const logits = () => np.array([0, 1, 2, -1, 0.5, 3, 1, 0], { shape: [2, 4] });

/** Draws that are whole numbers, bits, or made of bits without rounding. */
const exact: Record<string, (key: jax.Array) => jax.Array> = {
  bits: (key) => random.bits(key, [7, 5]),
  "a single word": (key) => random.bits(key),
  split: (key) => random.split(key, 5),
  "the third key of 5": (key) => random.bits(random.split(key, 5).slice(2), [9]),
  uniform: (key) => random.uniform(key, [50, 3]),
  "uniform from -2 to 3": (key) => random.uniform(key, [50], { minval: -2, maxval: 3 }),
  bernoulli: (key) => random.bernoulli(key, 0.3, [500]),
  categorical: (key) => random.categorical(key, logits(), { shape: [20, 2] }),
  "categorical without replacement": (key) =>
    random.categorical(key, np.array([0, 1, 2, 5]), { shape: [3], replace: false }),
  permutation: (key) => random.permutation(key, 100),
  "rows permuted": (key) => random.permutation(key, np.arange(12).reshape([6, 2])),
  choice: (key) => random.choice(key, 30, { shape: [10], replace: false }),
  randint: (key) => random.randint(key, { minval: -5, maxval: 12, shape: [100] }),
  rademacher: (key) => random.rademacher(key, { shape: [100] }),
  "vmap over keys": (key) => jax.vmap((k: jax.Array) => random.uniform(k, [3, 4]))(random.split(key, 6)),
};

/** Draws that go through logarithms and roots. */
const rounded: Record<string, (key: jax.Array) => jax.Array> = {
  normal: (key) => random.normal(key, [40, 50]),
  exponential: (key) => random.exponential(key, [200]),
  gumbel: (key) => random.gumbel(key, [200]),
  laplace: (key) => random.laplace(key, [200]),
  logistic: (key) => random.logistic(key, [200]),
};

describe("random numbers in a compiled program", () => {
  it("are Threefry-2x32's: the known answer for zeros", async () => {
    const words = await runCompiled(() => random.split(random.key(0), 1), []);
    expect(words.data).toEqual(Uint32Array.of(0x6b200159, 0x99ba4efe));
  });

  for (const [name, draw] of Object.entries(exact)) {
    it(`are jax-js's own, bit for bit: ${name}`, async () => {
      const fn = (value: jax.Array) => draw(keyOf(value));
      const { data } = await runCompiled(fn, [seed]);
      expect([...data]).toEqual(runJax(fn, [seed]));
    });
  }

  for (const [name, draw] of Object.entries(rounded)) {
    it(`are jax-js's own to within the rounding of its logarithm: ${name}`, async () => {
      const fn = (value: jax.Array) => draw(keyOf(value));
      const { data } = await runCompiled(fn, [seed]);
      for (const [i, value] of runJax(fn, [seed]).entries())
        expect(Math.abs(data[i] - value)).toBeLessThan(5e-5);
    });
  }

  it("differ from key to key and are the same for the same key", async () => {
    const other = new Tensor(Uint32Array.of(1), []);
    const fn = (value: jax.Array) => random.bits(keyOf(value), [50]);
    const [once, again, apart] = await Promise.all([seed, seed, other].map((s) => runCompiled(fn, [s])));
    expect(again.data).toEqual(once.data);
    expect([...apart.data].filter((word, i) => word === once.data[i])).toEqual([]);
  });
});

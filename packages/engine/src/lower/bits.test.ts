import * as jax from "@jax-js/jax";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { Tensor } from "../tensor.js";
import { runCompiled } from "../testing/run-both.js";

const { numpy: np, lax } = jax;

beforeAll(() => {
  jax.defaultDevice("wasm");
});

const pairs = fc
  .array(
    fc.tuple(
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.nat(40)),
    ),
    { minLength: 1, maxLength: 40 },
  )
  .map((list) => [list.map(([a]) => a), list.map(([, b]) => b)]);

/** Integers of which the last 32 bits count. */
const ofBits = (Words: typeof Int32Array | typeof Uint32Array, words: readonly number[]) =>
  new Words(Int32Array.from(words, (word) => word | 0).buffer);

const bitsSet = (word: number) => [...(word >>> 0).toString(2)].filter((digit) => digit === "1").length;

const operations: [string, (x: jax.Array, y: jax.Array) => jax.Array, (a: number, b: number) => number][] = [
  ["and", np.bitwiseAnd, (a, b) => a & b],
  ["or", np.bitwiseOr, (a, b) => a | b],
  ["xor", np.bitwiseXor, (a, b) => a ^ b],
  ["shift left", np.leftShift, (a, b) => a << b],
  ["shift right, without the sign", np.rightShift, (a, b) => a >>> b],
  ["add", (x, y) => x.add(y), (a, b) => a + b],
  ["subtract", (x, y) => x.sub(y), (a, b) => a - b],
  ["multiply", (x, y) => x.mul(y), Math.imul],
  ["invert", (x) => np.invert(x), (a) => ~a],
  ["negate", (x) => x.neg(), (a) => -a],
];

describe("32-bit integers", () => {
  for (const [name, fn, expected] of operations) {
    it(`${name} as JavaScript's, with and without a sign`, async () => {
      await fc.assert(
        fc.asyncProperty(pairs, async ([a, b]) => {
          const words = a.map((word, i) => expected(word, b[i]));
          for (const Words of [Int32Array, Uint32Array]) {
            const args = [a, b].map((list) => new Tensor(ofBits(Words, list)));
            const { data } = await runCompiled((x, y) => fn(x, y), args);
            expect(data).toEqual(ofBits(Words, words));
          }
        }),
        { numRuns: 12 },
      );
    });
  }

  it("count their ones", async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ([words]) => {
        const unsigned = new Tensor(Uint32Array.from(words, (word) => word >>> 0));
        const { data, dtype } = await runCompiled((x) => np.bitwiseCount(x), [unsigned]);
        expect(dtype).toBe("int32");
        expect([...data]).toEqual(words.map(bitsSet));
      }),
      { numRuns: 12 },
    );
  });

  it("divide by 0 and by -1 without ending the process: 0 by 0, the negated number by -1", async () => {
    const [x, y] = [Int32Array.of(-(2 ** 31), 7, -7, 7, 7), Int32Array.of(-1, 0, -1, 2, -2)];
    const args = [new Tensor(x), new Tensor(y)];
    expect([...(await runCompiled((a, b) => a.div(b), args)).data]).toEqual([-(2 ** 31), 0, 7, 3, -3]);
    expect([...(await runCompiled((a, b) => a.mod(b), args)).data]).toEqual([0, 0, 0, 1, 1]);
    const words = [Uint32Array.of(2 ** 32 - 1, 7, 2 ** 31), Uint32Array.of(0, 0, 3)];
    const unsigned = words.map((data) => new Tensor(data));
    expect([...(await runCompiled((a, b) => a.div(b), unsigned)).data]).toEqual([0, 0, 715827882]);
    expect([...(await runCompiled((a, b) => a.mod(b), unsigned)).data]).toEqual([0, 0, 2]);
  });

  it("give sums, products and cumulative ones that wrap around, and extremes of any size", async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async ([a]) => {
        for (const Words of [Int32Array, Uint32Array]) {
          const data = ofBits(Words, a);
          const x = [new Tensor(data)];
          const wrap = (word: number) => Words.of(word | 0)[0];
          const sum = a.reduce((total, word) => (total + word) | 0, 0);
          const products = a.map((_, i) =>
            a.slice(0, i + 1).reduce((total, word) => Math.imul(total, word), 1),
          );
          expect((await runCompiled((v) => v.sum(), x)).item()).toBe(wrap(sum));
          expect((await runCompiled((v) => v.prod(), x)).item()).toBe(wrap(products.at(-1) as number));
          expect((await runCompiled((v) => np.cumprod(v), x)).data).toEqual(ofBits(Words, products));
          expect((await runCompiled((v) => v.max(), x)).item()).toBe(Math.max(...data));
          expect((await runCompiled((v) => v.min(), x)).item()).toBe(Math.min(...data));
        }
      }),
      { numRuns: 8 },
    );
  });
});

describe("bits", () => {
  it("are those of a float, and make one", async () => {
    const numbers = Float32Array.of(1, -0, 0.1, Number.POSITIVE_INFINITY, 2 ** -149, -3.5e38);
    const asWords = (dtype: jax.DType) => (x: jax.Array) => lax.bitcastConvertType(x, dtype);
    const words = await runCompiled(asWords(jax.DType.Uint32), [new Tensor(numbers)]);
    expect(words.data).toEqual(new Uint32Array(numbers.buffer));
    expect((await runCompiled(asWords(jax.DType.Int32), [new Tensor(numbers)])).data).toEqual(
      new Int32Array(numbers.buffer),
    );
    expect((await runCompiled(asWords(jax.DType.Float32), [words])).data).toEqual(numbers);
  });

  it("of booleans combine as truth values do", async () => {
    const [x, y] = [new Tensor(Uint8Array.of(0, 0, 1, 1)), new Tensor(Uint8Array.of(0, 1, 0, 1))];
    expect([...(await runCompiled(np.bitwiseXor as never, [x, y])).data]).toEqual([0, 1, 1, 0]);
    expect([...(await runCompiled(np.bitwiseAnd as never, [x, y])).data]).toEqual([0, 0, 0, 1]);
  });
});

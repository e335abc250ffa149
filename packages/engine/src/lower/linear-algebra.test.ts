import * as jax from "@jax-js/jax";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compile } from "../compile.js";
import { Tensor } from "../tensor.js";

const { numpy: np, lax } = jax;
const { linalg } = lax;

type Function = (...args: jax.Array[]) => jax.Array | readonly jax.Array[];

const matrix = (shape: readonly number[], from: (i: number, j: number, batch: number) => number): Tensor => {
  const [m, n] = shape.slice(-2);
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    Float32Array.from({ length: size }, (_, at) =>
      from(Math.floor(at / n) % m, at % n, Math.floor(at / n / m)),
    ),
    shape,
  );
};
const noise = (i: number, j: number, seed: number) => {
  const x = 43758.5453 * Math.sin(12.9898 * (i + 1) + 78.233 * (j + 1) + 37.719 * (seed + 1));
  return 2 * (x - Math.floor(x)) - 1;
};
const general = (shape: readonly number[], seed = 0) => matrix(shape, (i, j, b) => noise(i, j, b + seed));
/** Far from singular. */
const dominant = (shape: readonly number[]) =>
  matrix(shape, (i, j, b) => noise(i, j, b) / Math.sqrt(shape.at(-1) as number) + (i === j ? 2 : 0));
const positive = (shape: readonly number[]) =>
  matrix(
    shape,
    (i, j, b) =>
      noise(Math.min(i, j), Math.max(i, j), b) / Math.sqrt(shape.at(-1) as number) + (i === j ? 3 : 0),
  );

const toJax = ({ data, shape }: Tensor) => np.array(data as Float32Array<ArrayBuffer>, { shape: [...shape] });

async function compiled(fn: Function, ...args: Tensor[]): Promise<Tensor[]> {
  const program = await compile(fn, args, { fallback: "refuse" });
  const results = [await program.run(...args)].flat() as unknown as Tensor[];
  await program.dispose();
  return results;
}

/** Compares with jax-js itself, relative to the largest number of each result. NaN and infinities must be the same. */
async function expectSame(fn: Function, args: Tensor[], tolerance = 2e-5): Promise<void> {
  const actual = await compiled(fn, ...args);
  const expected = [fn(...args.map(toJax))].flat() as jax.Array[];
  expect(actual.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape));
  for (const [k, array] of expected.entries()) {
    const reference: ArrayLike<number> = await array.data();
    const { data } = actual[k];
    const size = Array.from(reference).reduce(
      (most, x) => Math.max(most, Number.isFinite(x) ? Math.abs(x) : 0),
      1e-30,
    );
    for (let i = 0; i < data.length; i++) {
      if (Number.isFinite(reference[i])) {
        expect(Math.abs(data[i] - reference[i])).toBeLessThanOrEqual(tolerance * size);
      } else expect(data[i]).toBe(reference[i]);
    }
  }
}

const batches = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 });
const sizes = fc.integer({ min: 1, max: 33 });

describe("cholesky", () => {
  it("gives L with L L^T = A and nothing above the diagonal, reading only the lower triangle", async () => {
    for (const n of [1, 2, 5, 32, 33, 70]) {
      const a = positive([n, n]);
      const spoilt = new Tensor(
        a.data.map((x, at) => (at % n > Math.floor(at / n) ? Number.NaN : x)),
        [n, n],
      );
      const [l] = await compiled((x) => linalg.cholesky(x), spoilt);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let k = 0; k < n; k++) sum += l.data[i * n + k] * l.data[j * n + k];
          expect(sum).toBeCloseTo(a.data[i * n + j], 5);
          if (j > i) expect(l.data[i * n + j]).toBe(0);
        }
      }
    }
  });

  it("agrees with jax-js on any stack, with its gradient", async () => {
    await fc.assert(
      fc.asyncProperty(batches, sizes, async (batch, n) => {
        const a = positive([...batch, n, n]);
        await expectSame((x) => linalg.cholesky(x), [a]);
        await expectSame((x) => jax.grad((y: jax.Array) => np.sin(linalg.cholesky(y)).sum())(x), [a], 1e-4);
      }),
      { numRuns: 8 },
    );
  });

  it("of what is not positive definite has jax-js's NaNs and infinities", async () => {
    const given = (...values: number[]) => new Tensor(Float32Array.from(values), [3, 3]);
    for (const a of [
      given(4, 2, 2, 2, 1, 5, 2, 5, 9),
      given(4, 2, 2, 2, -1, 5, 2, 5, 9),
      given(4, 0, 2, 0, 0, 0, 2, 0, 9),
      given(-1, 0, 0, 0, 1, 0, 0, 0, 1),
    ]) {
      await expectSame((x) => linalg.cholesky(x), [a]);
    }
  });
});

describe("triangular_solve", () => {
  it("agrees with jax-js for every side, triangle and diagonal, with both gradients", async () => {
    const flags = fc.record({
      leftSide: fc.boolean(),
      lower: fc.boolean(),
      transposeA: fc.boolean(),
      unitDiagonal: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        batches,
        sizes,
        fc.integer({ min: 1, max: 5 }),
        flags,
        async (batch, n, m, options) => {
          const a = dominant([...batch, n, n]);
          const b = general([...batch, ...(options.leftSide ? [n, m] : [m, n])], 9);
          const solve = (a: jax.Array, b: jax.Array) => linalg.triangularSolve(a, b, options);
          await expectSame(solve, [a, b], 1e-4);
          const loss = (a: jax.Array, b: jax.Array) => np.sin(solve(a, b)).sum();
          const gradients = (a: jax.Array, b: jax.Array) =>
            jax.grad(loss, { argnums: [0, 1] })(a, b) as unknown as jax.Array[];
          await expectSame(gradients, [a, b], 1e-3);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("solves by blocks: A X = B", async () => {
    const n = 150;
    const a = dominant([n, n]);
    const b = general([n, 3], 4);
    for (const lower of [true, false]) {
      const [x] = await compiled((a, b) => linalg.triangularSolve(a, b, { leftSide: true, lower }), a, b);
      for (let i = 0; i < n; i++) {
        for (let k = 0; k < 3; k++) {
          let sum = 0;
          for (let j = lower ? 0 : i; j < (lower ? i + 1 : n); j++)
            sum += a.data[i * n + j] * x.data[j * 3 + k];
          expect(sum).toBeCloseTo(b.data[i * 3 + k], 4);
        }
      }
    }
  });

  it("does not read the other triangle", async () => {
    const n = 40;
    const a = dominant([n, n]);
    const b = general([2, n], 4);
    const solve: Function = (a, b) => linalg.triangularSolve(a, b);
    const spoilt = new Tensor(
      a.data.map((x, at) => (at % n < Math.floor(at / n) ? Number.NaN : x)),
      [n, n],
    );
    const [[x], [y]] = [await compiled(solve, a, b), await compiled(solve, spoilt, b)];
    expect(y.data).toEqual(x.data);
  });

  it("of a singular system gives what is determined, and NaN for the rest", async () => {
    const a = new Tensor(Float32Array.of(1, 2, 3, 0, 0, 5, 0, 0, 9), [3, 3]);
    const b = new Tensor(Float32Array.of(1, 2, 3), [3, 1]);
    const [x] = await compiled((a, b) => linalg.triangularSolve(a, b, { leftSide: true }), a, b);
    expect([...x.data]).toEqual([Number.NaN, Number.NaN, Math.fround(1 / 3)]);
  });
});

describe("lu", () => {
  it("gives P A = L U with the largest pivots, for any shape up to 32", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 32 }), fc.integer({ min: 1, max: 32 }), async (m, n) => {
        const a = general([m, n]);
        const [lu, pivots, rows] = await compiled((x) => linalg.lu(x) as jax.Array[], a);
        expect(pivots.shape).toEqual([Math.min(m, n)]);
        const swapped = Array.from({ length: m }, (_, i) => i);
        pivots.data.forEach((pivot, j) => {
          [swapped[j], swapped[pivot]] = [swapped[pivot], swapped[j]];
        });
        expect([...rows.data]).toEqual(swapped);
        for (let i = 0; i < m; i++) {
          for (let k = 0; k < n; k++) {
            let sum = 0;
            for (let j = 0; j <= Math.min(i, k); j++) {
              const l = j === i ? 1 : lu.data[i * n + j];
              expect(Math.abs(l)).toBeLessThanOrEqual(1);
              sum += l * lu.data[j * n + k];
            }
            expect(sum).toBeCloseTo(a.data[rows.data[i] * n + k], 4);
          }
        }
      }),
      { numRuns: 12 },
    );
  });

  it("agrees with jax-js in solve, inv, det and slogdet, on stacks, with gradients and vmap", async () => {
    for (const n of [1, 2, 7, 20]) {
      const a = dominant([3, n, n]);
      const b = general([3, n, 2], 5);
      await expectSame((a, b) => np.linalg.solve(a, b), [a, b], 1e-4);
      await expectSame((x) => np.linalg.inv(x), [a], 1e-4);
      await expectSame((x) => jax.vmap((y: jax.Array) => np.linalg.det(y))(x) as jax.Array, [a], 1e-4);
      await expectSame((x) => [...np.linalg.slogdet(x)], [a], 1e-4);
      const loss = (a: jax.Array, b: jax.Array) => np.sin(np.linalg.solve(a, b)).sum();
      await expectSame((a, b) => jax.grad(loss)(a, b), [a, b], 1e-3);
    }
  });

  it("of ties, singular matrices, zero columns and NaNs is jax-js's", async () => {
    const given = (m: number, n: number, ...values: number[]) =>
      new Tensor(Float32Array.from(values), [m, n]);
    for (const a of [
      given(4, 2, 1, 2, -1, 3, 1, 5, -1, 7),
      given(3, 3, 1, 2, 3, 2, 4, 6, 1, 1, 1),
      given(3, 3, 0, 2, 3, 0, 4, 6, 0, 1, 1),
      given(3, 3, 1, 2, 3, Number.NaN, 5, 6, 1, 0, 1),
      given(3, 3, Number.NaN, 2, 3, 4, 5, 6, 1, 0, 1),
      given(2, 3, 1, 2, 3, 4, 5, 6),
    ]) {
      await expectSame((x) => linalg.lu(x) as jax.Array[], [a], 1e-6);
    }
  });

  it("of larger matrices runs on jax-js", async () => {
    const a = general([33, 33]);
    const program = await compile((x: jax.Array) => linalg.lu(x) as jax.Array[], [a]);
    expect(program.fallbacks).toEqual(["lu of matrices larger than 32 x 32"]);
    const [factors] = (await program.run(a)) as Tensor[];
    const [expected] = linalg.lu(toJax(a)) as jax.Array[];
    expect([...factors.data]).toEqual([...(await expected.data())]);
    await program.dispose();
  });
});

describe("double precision", () => {
  it("is kept: residuals are those of float64", async () => {
    const n = 40;
    const [a, b] = [positive([n, n]), general([n, 1], 3)];
    const double = (x: jax.Array) => x.astype(jax.DType.Float64);
    const [l] = await compiled((x) => linalg.cholesky(double(x)), a);
    const [x] = await compiled(
      (l, b) => linalg.triangularSolve(l, double(b), { leftSide: true, lower: true }),
      l,
      b,
    );
    const small = general([20, 20]);
    const [lu, , rows] = await compiled((x) => linalg.lu(double(x)) as jax.Array[], small);
    expect([l, x, lu].map(({ dtype }) => dtype)).toEqual(["float64", "float64", "float64"]);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += l.data[i * n + k] ** 2;
      expect(sum).toBeCloseTo(a.data[i * n + i], 12);
      let product = 0;
      for (let k = 0; k < n; k++) product += l.data[i * n + k] * x.data[k];
      expect(product).toBeCloseTo(b.data[i], 12);
    }
    for (let i = 0; i < 20; i++) {
      let sum = lu.data[i * 20 + 19];
      for (let j = 0; j < i; j++) sum += lu.data[i * 20 + j] * lu.data[j * 20 + 19];
      expect(sum).toBeCloseTo(small.data[rows.data[i] * 20 + 19], 12);
    }
  });
});

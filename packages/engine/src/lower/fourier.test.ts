import * as jax from "@jax-js/jax";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compile } from "../compile.js";
import { Tensor } from "../tensor.js";

const { numpy: np } = jax;

interface Pair {
  real: jax.Array;
  imag: jax.Array;
}

const floats = (shape: readonly number[], seed = 1): Tensor => {
  const size = shape.reduce((product, length) => product * length, 1);
  const from = (i: number) => 2 * Math.sin(12.9898 * (i + 1) + 78.233 * seed + i * i * 0.37);
  return new Tensor(
    Float32Array.from({ length: size }, (_, i) => from(i)),
    shape,
  );
};

/** Compiles without a fallback, runs once and frees. */
async function once<Result>(fn: (...args: jax.Array[]) => Result, ...args: Tensor[]) {
  const program = await compile(fn, args, { fallback: "refuse" });
  const result = await program.run(...args);
  await program.dispose();
  return result;
}

/** The definition, in double precision: one row of X[k] = sum over j of x[j] exp(-2 pi i j k / n). */
function slowTransform(re: ArrayLike<number>, im: ArrayLike<number>) {
  const n = re.length;
  const [real, imag] = [new Float64Array(n), new Float64Array(n)];
  const cosines = Float64Array.from({ length: n }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const sines = Float64Array.from({ length: n }, (_, k) => -Math.sin((2 * Math.PI * k) / n));
  for (let k = 0; k < n; k++) {
    for (let j = 0; j < n; j++) {
      const at = (j * k) % n;
      real[k] += re[j] * cosines[at] - im[j] * sines[at];
      imag[k] += re[j] * sines[at] + im[j] * cosines[at];
    }
  }
  return { real, imag };
}

/** Both are as far apart as rounding of sums of n terms allows. */
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, scale: number) {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i] - expected[i])).toBeLessThanOrEqual(4e-6 * scale);
  }
}

describe("fft", () => {
  // Direct products, splits of one and of several levels, primes, and lengths with one large prime factor.
  for (const n of [1, 2, 3, 31, 128, 129, 131, 254, 256, 360, 1000, 1021, 2 * 523, 2048]) {
    it(`of length ${n} is the sum that defines it`, async () => {
      const [x, y] = [floats([2, n]), floats([2, n], 2)];
      const { real, imag } = await once((real, imag) => np.fft.fft({ real, imag }), x, y);
      for (const row of [0, 1]) {
        const part = ({ data }: Tensor) => data.subarray(row * n, row * n + n) as Float32Array;
        const expected = slowTransform(part(x), part(y));
        expectClose(part(real), expected.real, Math.sqrt(n));
        expectClose(part(imag), expected.imag, Math.sqrt(n));
      }
    });
  }

  it("of a cosine has two peaks, each half its energy", async () => {
    const n = 240;
    const wave = new Tensor(Float32Array.from({ length: n }, (_, j) => Math.cos((2 * Math.PI * 7 * j) / n)));
    const { real, imag } = await once((x) => np.fft.rfft(x), wave);
    expect(real.shape).toEqual([121]);
    real.data.forEach((value, k) => {
      expect(value).toBeCloseTo(k === 7 ? n / 2 : 0, 3);
    });
    for (const value of imag.data) expect(value).toBeCloseTo(0, 3);
  });

  it("is undone by its inverse, over any axes and lengths", async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 33 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.nat(2), async (shape, choice) => {
        const axis = choice % shape.length;
        const [x, y] = [floats(shape), floats(shape, 2)];
        const back = await once((real, imag) => np.fft.ifft(np.fft.fft({ real, imag }, axis), axis), x, y);
        expect(back.real.shape).toEqual(shape);
        expectClose(back.real.data, x.data, 1);
        expectClose(back.imag.data, y.data, 1);
      }),
      { numRuns: 12 },
    );
  });

  it("keeps the energy (Parseval), in two dimensions", async () => {
    const [x, y] = [floats([12, 150]), floats([12, 150], 2)];
    const { real, imag } = await once((real, imag) => np.fft.fft2({ real, imag }), x, y);
    const energy = (...parts: Tensor[]) =>
      parts.flatMap(({ data }) => [...data]).reduce((total, value) => total + value * value, 0);
    expect(energy(real, imag) / (12 * 150 * energy(x, y))).toBeCloseTo(1, 5);
  });

  it("is computed in double precision where that is asked for", async () => {
    const n = 270;
    const [x, y] = [floats([n]), floats([n], 2)];
    const double = (x: jax.Array) => x.astype(jax.DType.Float64);
    const { real } = await once((x, y) => np.fft.fft({ real: double(x), imag: double(y) }), x, y);
    expect(real.dtype).toBe("float64");
    slowTransform(x.data, y.data).real.forEach((value, k) => {
      expect(real.data[k]).toBeCloseTo(value, 11);
    });
  });

  it("has the gradient and the vmap that jax-js gives it", async () => {
    const weights = np.array(floats([4, 18]).data as Float32Array<ArrayBuffer>, { shape: [4, 18] });
    const loss = (x: jax.Array) => {
      const { real, imag } = jax.vmap((row: jax.Array) => np.fft.rfft(np.sin(row.ref).mul(row)))(
        x,
      ) as unknown as Pair;
      return real.ref.mul(real).mul(weights.ref).add(imag.mul(weights.ref)).sum();
    };
    const [x] = [floats([4, 34])];
    const expected = jax.grad(loss)(np.array(x.data as Float32Array<ArrayBuffer>, { shape: [4, 34] }));
    const actual = await once((x) => jax.grad(loss)(x), x);
    const reference = (await expected.data()) as Float32Array;
    expectClose(actual.data, reference, Math.max(...reference.map(Math.abs)));
    weights.dispose();
  });

  it("of a length with a large prime factor runs on jax-js", async () => {
    const n = 1031;
    const transform = (real: jax.Array, imag: jax.Array) => np.fft.fft({ real, imag });
    const [x, y] = [floats([n]), floats([n], 2)];
    const program = await compile(transform, [x, y]);
    expect(program.fallbacks).toEqual([`fft of a length with the prime factor ${n}`]);
    const { real, imag } = await program.run(x, y);
    const expected = slowTransform(x.data, y.data);
    expectClose(real.data, expected.real, Math.sqrt(n));
    expectClose(imag.data, expected.imag, Math.sqrt(n));
    await program.dispose();
  });
});

import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { compile, compileStep, compileSteps } from "../compile.js";
import { ProgramError, UnsupportedPrimitiveError } from "../errors.js";
import { Tensor } from "../tensor.js";

const { numpy: np, lax } = jax;

const floats = (shape: readonly number[], seed = 0): Tensor => {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(12.9 * (i + 1) + 78.2 * seed + 0.3 * i * i)),
    shape,
  );
};
const toJax = ({ data, shape }: Tensor) => np.array(data as Float32Array<ArrayBuffer>, { shape: [...shape] });

/** Vectors and values of a symmetric matrix, and what they multiply back to. */
const spectrum = (x: jax.Array) => {
  const symmetric = x.add(np.matrixTranspose(x));
  const [vectors, values] = lax.linalg.eigh(symmetric);
  const scaled = vectors.mul(
    values.reshape([...values.shape.slice(0, -1), 1, values.shape.at(-1) as number]),
  );
  return { vectors, values, back: np.matmul(scaled, np.matrixTranspose(vectors)), symmetric };
};

describe("a program with a primitive that has no lowering", () => {
  it("runs that part on jax-js: eigenvectors are orthonormal and multiply back", async () => {
    for (const shape of [
      [1, 1],
      [6, 6],
      [2, 3, 17, 17],
    ]) {
      const x = floats(shape);
      const program = await compile(spectrum, [x]);
      expect(program.fallbacks).toEqual(["jacobi_eigh"]);
      const { vectors, values, back, symmetric } = await program.run(x);
      symmetric.data.forEach((value, i) => {
        expect(back.data[i]).toBeCloseTo(value, 4);
      });
      const n = shape.at(-1) as number;
      for (let at = 0; at < values.data.length; at++) {
        if (at % n > 0) expect(values.data[at]).toBeGreaterThanOrEqual(values.data[at - 1]);
        const base = Math.floor(at / n) * n * n;
        for (let other = 0; other < n; other++) {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            sum += vectors.data[base + i * n + (at % n)] * vectors.data[base + i * n + other];
          }
          expect(sum).toBeCloseTo(other === at % n ? 1 : 0, 4);
        }
      }
      await program.dispose();
    }
  });

  it("gives what jax-js gives under vmap and between gradients", async () => {
    const fn = (x: jax.Array) =>
      jax.vmap((y: jax.Array) => {
        const [, values] = lax.linalg.eigh(np.matmul(y.transpose(), y));
        return jax.grad((z: jax.Array) => np.sin(z.mul(np.sum(values))).sum())(y);
      })(x) as jax.Array;
    const x = floats([3, 4, 4]);
    const program = await compile(fn, [x]);
    const eagerly = (x: jax.Array) =>
      jax.vmap((y: jax.Array) => {
        const [vectors, values] = lax.linalg.eigh(np.matmul(y.ref.transpose(), y.ref));
        vectors.dispose();
        const total = np.sum(values);
        return jax.grad((z: jax.Array) => np.sin(z.mul(total)).sum())(y);
      })(x) as jax.Array;
    const expected = await eagerly(toJax(x)).data();
    (await program.run(x)).data.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 3);
    });
    await program.dispose();
  });

  it("runs, whatever it is that has none", async () => {
    const bits = (x: jax.Array) => lax.bitcastConvertType(x, jax.DType.Uint32);
    const pairs: [string, (x: jax.Array) => jax.Array, Tensor][] = [
      ["convolutions", (x) => np.convolve(x, np.array([1, 2, 3])), floats([8])],
      ["sliding windows", (x) => lax.reduceWindow(x, (y) => np.max(y), [2]), floats([8])],
      ["random numbers", (x) => jax.random.uniform(jax.random.key(1), [3]).add(x), floats([])],
      ["bits", (x) => np.bitwiseXor(bits(x), bits(np.array([1, 2, 3]))).astype(jax.DType.Int32), floats([3])],
      [
        "double precision",
        (x) => np.cumsum(x.astype(jax.DType.Float64)).astype(jax.DType.Float32),
        floats([9]),
      ],
      ["empty arrays", (x) => np.sin(x).slice([1, 1]).sum().add(2), floats([3])],
      ["empty results", (x) => np.sin(x).slice([1, 1]), floats([3])],
    ];
    for (const [title, fn, x] of pairs) {
      const program = await compile(fn, [x]);
      const result = await program.run(x);
      const expected = fn(toJax(x));
      expect([title, result.shape]).toEqual([title, expected.shape]);
      const numbers = await expected.data();
      result.data.forEach((value, i) => {
        expect(value).toBeCloseTo(numbers[i], 5);
      });
      await program.dispose();
    }
  });

  it("computes in half precision, which only jax-js's cpu backend does", async () => {
    const x = floats([3]);
    const half = (x: jax.Array) => np.sin(x).astype(jax.DType.Float16).mul(0.1).astype(jax.DType.Float32);
    const program = await compile((x: jax.Array) => half(x).add(lax.linalg.eigh(np.eye(3))[1].mul(0)), [x]);
    const result = await program.run(x);
    result.data.forEach((value, i) => {
      expect(value).toBeCloseTo(0.1 * Math.sin(x.data[i]), 4);
      expect(value).not.toBe(Math.fround(0.1 * Math.sin(x.data[i])));
    });
    await program.dispose();
  });

  it("is refused where that is asked for, by the name of the primitive and of the program", async () => {
    const attempt = compile(spectrum, [floats([3, 3])], { fallback: "refuse", name: "pca" });
    await expect(attempt).rejects.toThrow(UnsupportedPrimitiveError);
    await expect(attempt).rejects.toThrow(/"pca" uses the jax-js primitive jacobi_eigh/);
  });

  it("has no ONNX file, and says why", async () => {
    const program = await compile(spectrum, [floats([3, 3])], { name: "pca" });
    expect(() => program.toOnnx()).toThrow(ProgramError);
    expect(() => program.toOnnx()).toThrow(
      /"pca" cannot be written as an ONNX file: it runs jacobi_eigh on jax-js/,
    );
    await program.dispose();
    const lowered = await compile((x: jax.Array) => lax.linalg.cholesky(x), [floats([3, 3])]);
    expect(lowered.fallbacks).toEqual([]);
    expect(lowered.toOnnx().length).toBeGreaterThan(100);
    await lowered.dispose();
  });

  it("gives results that are an argument, a constant, a number or the same value twice", async () => {
    const constant = np.array([7, 8]);
    const program = await compile(
      (x: jax.Array) => {
        const [vectors] = lax.linalg.eigh(x);
        return [
          x,
          vectors,
          vectors,
          constant,
          3 as unknown as jax.Array,
          x.reshape([4]),
          vectors.add(constant),
        ];
      },
      [floats([2, 2])],
    );
    const x = new Tensor(Float32Array.of(1, 0, 0, 2), [2, 2]);
    const results = await program.run(x);
    expect(results.map(({ data }) => [...data])).toEqual([
      [1, 0, 0, 2],
      [1, 0, 0, 1],
      [1, 0, 0, 1],
      [7, 8],
      [3],
      [1, 0, 0, 2],
      [8, 8, 7, 9],
    ]);
    for (const { data } of results) data.fill(9);
    expect([...x.data]).toEqual([1, 0, 0, 2]);
    expect([...(await program.run(x))[3].data]).toEqual([7, 8]);
    expect([...(await program.run(x))[2].data]).toEqual([1, 0, 0, 1]);
    constant.dispose();
    await program.dispose();
  });

  it("checks its arguments and refuses use after dispose, while runs that began before end well", async () => {
    const program = await compile(spectrum, [floats([5, 5])], { name: "pca" });
    await expect(program.run(floats([4, 4]))).rejects.toThrow('Argument 0 of "pca" must be float32[5,5]');
    const [a, b] = [floats([5, 5], 1), floats([5, 5], 2)];
    const alone = [await program.run(a), await program.run(b)];
    const together = [program.run(a), program.run(b)];
    const disposed = program.dispose();
    await expect(program.run(a)).rejects.toThrow(/used after dispose/);
    expect((await together[0]).values.data).toEqual(alone[0].values.data);
    expect((await together[1]).values.data).toEqual(alone[1].values.data);
    await disposed;
  });

  it("keeps the carry of a step, whichever part makes it", async () => {
    // Orthogonal iteration with a polar step: the carry's first leaf comes from ONNX Runtime, the second from jax-js.
    type Carry = { basis: jax.Array; vectors: jax.Array; count: jax.Array };
    const step = ({ basis, vectors, count }: Carry, x: jax.Array): [Carry, { values: jax.Array }] => {
      const mixed = np.matmul(x, basis).add(vectors.mul(0.1));
      const [next, values] = lax.linalg.eigh(np.matmul(mixed.transpose(), mixed), { sortEigenvalues: false });
      return [{ count: count.add(1), vectors: next, basis: np.tanh(np.matmul(mixed, next)) }, { values }];
    };
    const first = () => ({
      basis: floats([4, 4]),
      vectors: floats([4, 4], 3),
      count: new Tensor(new Float32Array(1)),
    });
    const kept = await compileStep(step, [first(), floats([4, 4], 1)]);
    const plain = await compile(step, [first(), floats([4, 4], 1)]);
    expect(kept.fallbacks).toEqual(["jacobi_eigh"]);
    let carry = first();
    for (let i = 0; i < 12; i++) {
      const { values } = await kept.run(floats([4, 4], i));
      const [next, result] = await plain.run(carry, floats([4, 4], i));
      expect(values.data).toEqual(result.values.data);
      carry = next;
    }
    const end = await kept.carry();
    expect(end.count.item()).toBe(12);
    expect(end.basis.data).toEqual(carry.basis.data);
    expect(end.vectors.data).toEqual(carry.vectors.data);
    await kept.dispose();
    await plain.dispose();
  });

  it("takes any number of steps in one run, as one by one", async () => {
    type Carry = { basis: jax.Array };
    type Inputs = { x: jax.Array; scale: jax.Array };
    const step = ({ basis }: Carry, { x, scale }: Inputs, shift: jax.Array): [Carry, jax.Array[]] => {
      const [vectors, values] = lax.linalg.eigh(np.matmul(basis.transpose(), basis).add(shift));
      return [{ basis: np.tanh(np.matmul(x, vectors)).mul(scale) }, [values, scale, values.sum()]];
    };
    const first = { basis: floats([3, 3]) };
    const scale = new Tensor(Float32Array.of(0.7), []);
    const shift = floats([3, 3], 8);
    const many = await compileSteps(step, [first, { x: floats([3, 3]), scale }, shift]);
    expect(many.fallbacks).toEqual(["jacobi_eigh"]);
    const single = await compileStep(step, [first, { x: floats([3, 3]), scale }, shift]);
    for (const count of [1, 5]) {
      const inputs = { x: floats([count, 3, 3], count), scale: floats([count], 3) };
      const [values, scales, sums] = await many.run(inputs, shift);
      expect([values.shape, scales.shape, sums.shape]).toEqual([[count, 3], [count], [count]]);
      expect(scales.data).toEqual(inputs.scale.data);
      for (let i = 0; i < count; i++) {
        const x = new Tensor(inputs.x.data.slice(9 * i, 9 * i + 9), [3, 3]);
        const own = new Tensor(inputs.scale.data.slice(i, i + 1), []);
        const [expected, , sum] = await single.run({ x, scale: own }, shift);
        expect([...values.data.slice(3 * i, 3 * i + 3)]).toEqual([...expected.data]);
        expect(sums.data[i]).toBe(sum.item());
      }
      expect((await many.carry()).basis.data).toEqual((await single.carry()).basis.data);
    }
    await expect(many.run({ x: floats([2, 3, 3]), scale: floats([3]) }, shift)).rejects.toThrow("steps = 2");
    await many.dispose();
    await single.dispose();
  });

  it("refuses a step that does not return its carry as it takes it", async () => {
    const step = (x: jax.Array): [jax.Array, jax.Array] => [lax.linalg.eigh(x)[1], x];
    await expect(compileStep(step, [floats([2, 2])])).rejects.toThrow(
      /Leaf 0 is float32\[2,2\] going in and float32\[2\] coming out/,
    );
  });
});

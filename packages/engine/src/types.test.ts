import * as jax from "@jax-js/jax";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile, compileStep } from "./compile.js";
import { halfBits, halfValues } from "./float16.js";
import { Float16ArrayStandIn } from "./float16-array.js";
import { type DType, Tensor, zeros } from "./tensor.js";
import { runCompiled, runJax } from "./testing/run-both.js";

const { numpy: np, lax } = jax;

const scope = globalThis as { Float16Array?: unknown };
const own = scope.Float16Array;

beforeAll(() => {
  jax.defaultDevice("wasm");
  scope.Float16Array ??= Float16ArrayStandIn;
});

afterAll(() => {
  if (own === undefined) delete scope.Float16Array;
});

const doubles = (...values: number[]) => new Tensor(Float64Array.from(values));
const halves = (...values: number[]) => new Tensor(halfBits(values));
const rounded = (value: number) => halfValues(halfBits([value]))[0];

const tensorOf: Record<DType, (values: readonly number[]) => Tensor> = {
  float32: (values) => new Tensor(Float32Array.from(values)),
  float64: (values) => doubles(...values),
  float16: (values) => halves(...values),
  int32: (values) => new Tensor(Int32Array.from(values)),
  uint32: (values) => new Tensor(Uint32Array.from(values)),
  bool: (values) => new Tensor(Uint8Array.from(values, Number)),
};
const dtypes = Object.keys(tensorOf) as DType[];

const valuesOf = (tensor: Tensor): number[] =>
  tensor.dtype === "float16" ? [...halfValues(tensor.data)] : [...tensor.data];

const as = (dtype: DType) => (x: jax.Array) => x.astype(dtype as jax.DType);

describe("element types", () => {
  for (const from of dtypes) {
    it(`of small whole numbers convert from ${from} to every other`, async () => {
      const numbers = from === "bool" ? [0, 1, 1] : [0, 1, 100];
      for (const to of dtypes) {
        const found = await runCompiled(as(to), [tensorOf[from](numbers)]);
        expect(found.dtype).toBe(to);
        expect(valuesOf(found)).toEqual(to === "bool" ? [0, 1, 1] : numbers);
      }
    });
  }

  it("convert floats out of range to the nearest integer, NaN to 0", async () => {
    const wild = [3e9, -3e9, 1e20, -2.9, 2.9, Number.NaN, Number.POSITIVE_INFINITY];
    for (const from of ["float32", "float64"] as const) {
      const x = [tensorOf[from](wild)];
      const [least, most] = [-(2 ** 31), 2 ** 31 - 1];
      expect(valuesOf(await runCompiled(as("int32"), x))).toEqual([most, least, most, -2, 2, 0, most]);
      const top = 2 ** 32 - 1;
      expect(valuesOf(await runCompiled(as("uint32"), x))).toEqual([3e9, 0, top, 0, 2, 0, top]);
    }
  });

  it("convert integers to each other by their bits, and to the nearest float", async () => {
    const words = new Tensor(Uint32Array.of(2 ** 31, 2 ** 32 - 1, 2 ** 24 + 1));
    expect(valuesOf(await runCompiled(as("int32"), [words]))).toEqual([-(2 ** 31), -1, 2 ** 24 + 1]);
    expect(valuesOf(await runCompiled(as("float32"), [words]))).toEqual([2 ** 31, 2 ** 32, 2 ** 24]);
    expect(valuesOf(await runCompiled(as("float64"), [words]))).toEqual([...words.data]);
  });

  it("go in and out of programs and of carries unchanged", async () => {
    for (const dtype of dtypes) {
      const x = tensorOf[dtype]([0, 1, 1, 0]);
      const same = await runCompiled((v) => np.flip(np.flip(v)).reshape([2, 2]).reshape([4]), [x]);
      expect(same).toEqual(x);
      const step = await compileStep((carry: jax.Array) => [np.flip(carry), carry] as const, [x]);
      for (let i = 0; i < 3; i++) await step.run();
      expect(await step.carry()).toEqual(tensorOf[dtype]([0, 1, 1, 0]));
      await step.dispose();
      expect(zeros([2], dtype).dtype).toBe(dtype);
    }
  });
});

describe("float64", () => {
  const x = doubles(-1, -0.999, -0.5, -1e-9, 0, 0.1, 0.7, 1 - 1e-12, 1);
  const functions: [string, (x: jax.Array) => jax.Array, (x: number) => number][] = [
    ["sin", np.sin, Math.sin],
    ["cos", np.cos, Math.cos],
    ["exp", np.exp, Math.exp],
    ["asin", np.asin, Math.asin],
    ["atan", np.atan, Math.atan],
    ["atan of large numbers", (v) => np.atan(v.mul(1e20)), (v) => Math.atan(v * 1e20)],
    ["reciprocal", (v) => np.reciprocal(v.add(3)), (v) => 1 / (v + 3)],
    ["log", (v) => np.log(v.add(3)), (v) => Math.log(v + 3)],
    ["sqrt", (v) => np.sqrt(v.add(3)), (v) => Math.sqrt(v + 3)],
    ["cube", (v) => v.mul(v).mul(v), (v) => v * v * v],
  ];
  for (const [name, fn, expected] of functions) {
    it(`computes ${name} to 15 digits`, async () => {
      const found = await runCompiled((v) => fn(v), [x]);
      expect(found.dtype).toBe("float64");
      const scale = (value: number) => Math.max(Math.abs(value), 1e-9);
      for (const [i, value] of [...x.data].map(expected).entries())
        expect(Math.abs(found.data[i] - value) / scale(value)).toBeLessThan(1e-15);
    });
  }

  it("computes erf to 7 digits", async () => {
    const found = await runCompiled((v) => lax.erf(v), [doubles(0, 0.5, 1, 2)]);
    const expected = [0, 0.5204998778130465, 0.8427007929497149, 0.9953222650189527];
    for (const [i, value] of expected.entries()) expect(found.data[i]).toBeCloseTo(value, 7);
  });

  it("keeps products, sums and gradients in float64", async () => {
    const third = doubles(1 / 3, 2 / 3);
    const fn = jax.grad((v: jax.Array) => np.dot(v, np.sin(v)).sum());
    const found = await runCompiled(fn as never, [third]);
    for (const [i, v] of [...third.data].entries())
      expect(found.data[i]).toBeCloseTo(Math.sin(v) + v * Math.cos(v), 15);
  });
});

describe("float16", () => {
  const number = fc.double({ min: -8, max: 8, noNaN: true }).map(rounded);
  const lists = fc.array(fc.tuple(number, number), { minLength: 1, maxLength: 20 });
  const operations: [string, (x: jax.Array, y: jax.Array) => jax.Array, (a: number, b: number) => number][] =
    [
      ["sums", (x, y) => x.add(y), (a, b) => rounded(a + b)],
      ["products", (x, y) => x.mul(y), (a, b) => rounded(a * b)],
      ["largest", np.maximum, Math.max],
      ["roots", (x) => np.sqrt(np.abs(x)), (a) => rounded(Math.sqrt(Math.abs(a)))],
      ["one after the other", (x, y) => x.mul(y).add(x), (a, b) => rounded(rounded(a * b) + a)],
    ];
  for (const [name, fn, expected] of operations) {
    it(`is rounded once for each operation: ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(lists, async (list) => {
          const args = [halves(...list.map(([a]) => a)), halves(...list.map(([, b]) => b))];
          const found = await runCompiled((x, y) => fn(x, y), args);
          expect(valuesOf(found).map((v) => v + 0)).toEqual(list.map(([a, b]) => expected(a, b) + 0));
        }),
        { numRuns: 10 },
      );
    });
  }

  it("agrees with jax-js's cpu backend, with gradients", async () => {
    jax.defaultDevice("cpu");
    try {
      const x = new Tensor(halfBits([0.5, -1.25, 2, 0.1, 3, -0.7]), [2, 3]);
      const loss = (v: jax.Array) => np.tanh(v.ref).mul(v).sum();
      const functions = [
        (v: jax.Array) => jax.nn.softmax(v),
        (v: jax.Array) => np.matmul(v.ref, v.transpose()),
        (v: jax.Array) => np.exp(v.ref).add(np.flip(v, 1)),
        (v: jax.Array) => jax.grad(loss)(v),
      ];
      for (const fn of functions) {
        const reference = fn(np.ones([2, 3]).astype(jax.DType.Float16).mul(0).add(halfArray(x)));
        const found = await runCompiled(fn as never, [x]);
        const expected = Array.from<number>(reference.astype(jax.DType.Float32).dataSync());
        for (const [i, value] of valuesOf(found).entries())
          expect(Math.abs(value - expected[i])).toBeLessThan(2 ** -9 * (1 + Math.abs(expected[i])));
      }
    } finally {
      jax.defaultDevice("wasm");
    }
    function halfArray(tensor: Tensor): jax.Array {
      return np.array([...halfValues(tensor.data)], { shape: [...tensor.shape] }).astype(jax.DType.Float16);
    }
  });
});

describe("sorting", () => {
  const wild = [3, Number.NaN, Number.POSITIVE_INFINITY, -1, Number.NaN, Number.NEGATIVE_INFINITY, 3, 0];

  it("puts NaN last, after infinity, and leaves equal values in their order", async () => {
    for (const dtype of ["float32", "float64", "float16"] as const) {
      const x = tensorOf[dtype](wild);
      const sorted = valuesOf(await runCompiled((v) => np.sort(v), [x]));
      expect(sorted).toEqual([-Infinity, -1, 0, 3, 3, Infinity, Number.NaN, Number.NaN]);
      const places = await runCompiled((v) => np.argsort(v), [x]);
      expect([...places.data]).toEqual([5, 3, 7, 0, 6, 2, 1, 4]);
    }
  });

  it("sorts every type along any axis as jax-js does", async () => {
    for (const dtype of ["float32", "float64", "int32", "uint32", "bool"] as const) {
      const values = dtype === "bool" ? [1, 0, 1, 1, 0, 0] : [5, 4_000_000_000, 2, 7, 2, 2];
      const small = values.map((v) => (dtype === "int32" ? v | 0 : v));
      const { data } = tensorOf[dtype](small);
      const x = new Tensor(data, [2, 3]);
      for (const axis of [0, 1]) {
        for (const fn of [np.sort, np.argsort]) {
          const apply = (v: jax.Array) => fn(v.add(0), axis);
          const direct = (v: jax.Array) => fn(v, axis);
          const found = await runCompiled(direct, [x]);
          expect([...found.data]).toEqual(runJax(dtype === "bool" ? direct : apply, [x]));
        }
      }
    }
  });
});

describe("cumulative sums", () => {
  const count = 2000;
  const x = new Tensor(Float32Array.from({ length: count }, (_, i) => Math.sin(i)));

  it("of 2,000 numbers take no array of their square, forwards and in the gradient", async () => {
    const program = await compile(
      (v: jax.Array) => jax.valueAndGrad((y: jax.Array) => np.cumsum(y).mul(y).sum())(v),
      [x],
    );
    const onnx = Buffer.from(program.toOnnx());
    expect(onnx.toString("latin1").match(/CumSum/g)?.length).toBe(4);
    expect(onnx.length).toBeLessThan(20_000);
    const [value, gradient] = (await program.run(x)) as unknown as [Tensor, Tensor];
    await program.dispose();
    const total = [...x.data].reduce((sum, v) => sum + v, 0);
    const squares = [...x.data].reduce((sum, v) => sum + v * v, 0);
    expect(value.item()).toBeCloseTo((total * total + squares) / 2, 1);
    for (const i of [0, 700, count - 1]) expect(gradient.data[i]).toBeCloseTo(total + x.data[i], 2);
  });

  it("stay what they are where the triangle is of something else", async () => {
    const square = new Tensor(
      Float32Array.from({ length: 9 }, (_, i) => i + 1),
      [3, 3],
    );
    expect(valuesOf(await runCompiled((v) => np.tril(v).sum(1), [square]))).toEqual([1, 9, 24]);
    expect(valuesOf(await runCompiled((v) => np.tril(v, -1).sum(0), [square]))).toEqual([11, 8, 0]);
  });

  it("are right under vmap over any axis", async () => {
    const block = new Tensor(
      Float32Array.from({ length: 24 }, (_, i) => i),
      [2, 3, 4],
    );
    for (const axis of [0, 1, 2]) {
      const mapped = (v: jax.Array) => jax.vmap((y: jax.Array) => np.cumsum(y, 1), axis)(v);
      const direct = (v: jax.Array) => np.cumsum(np.moveaxis(v, axis, 0), 2);
      expect(await runCompiled(mapped, [block])).toEqual(await runCompiled(direct, [block]));
    }
  });
});

describe("empty arrays", () => {
  const x = [new Tensor(Float32Array.of(1, 2, 3))];
  const cases: [string, (v: jax.Array) => jax.Array, number[], number[]][] = [
    ["results", (v) => v.slice([1, 1]), [0], []],
    ["of several axes", (v) => np.ones([2, 1]).mul(v).slice([], [1, 1]), [2, 0], []],
    ["parts of a split", (v) => np.concatenate(np.split(v, [0, 3], 0), 0), [3], [1, 2, 3]],
    ["sums", (v) => v.slice([1, 1]).sum(), [], [0]],
    ["products", (v) => v.slice([1, 1]).prod(), [], [1]],
    [
      "products of matrices",
      (v) => np.matmul(np.zeros([2, 0]), np.zeros([0, 2])).add(v.sum()),
      [2, 2],
      [6, 6, 6, 6],
    ],
    ["padded", (v) => np.pad(v.slice([1, 1]), [[1, 2]]), [3], [0, 0, 0]],
    ["arithmetic", (v) => np.concatenate([np.sin(v.slice([0, 0]).mul(2)), v]), [3], [1, 2, 3]],
  ];
  for (const [name, fn, shape, values] of cases) {
    it(`are lowered: ${name}`, async () => {
      const found = await runCompiled(fn, x);
      expect(found.shape).toEqual(shape);
      expect(valuesOf(found)).toEqual(values);
    });
  }

  it("are taken as arguments", async () => {
    const none = new Tensor(new Float32Array(0), [0, 2]);
    const program = await compile((v: jax.Array) => [v.sum(0), v.mul(2)], [none]);
    const [sums, twice] = (await program.run(none)) as unknown as Tensor[];
    expect([valuesOf(sums), twice.shape]).toEqual([
      [0, 0],
      [0, 2],
    ]);
    await program.dispose();
  });
});

describe("scatter", () => {
  it("adds what goes to the same place, the same bits on two threads as on one, 20 times", async () => {
    const [rows, width, count] = [7, 64, 3000];
    const table = zeros([rows, width]);
    const places = new Tensor(Int32Array.from({ length: count }, (_, i) => (i * i) % rows));
    const weights = new Tensor(
      Float32Array.from({ length: count * width }, (_, i) => Math.sin(i)),
      [count, width],
    );
    const fn = jax.grad((t: jax.Array, i: jax.Array, w: jax.Array) => np.take(t, i, 0).mul(w).sum());
    const once = await runCompiled(fn as never, [table, places, weights], 1);
    const expected = new Float64Array(rows * width);
    for (let k = 0; k < count * width; k++) {
      expected[places.data[Math.floor(k / width)] * width + (k % width)] += weights.data[k];
    }
    for (const [i, value] of expected.entries()) expect(once.data[i]).toBeCloseTo(value, 2);
    const program = await compile(fn as never, [table, places, weights] as never, { threads: 2 });
    for (let run = 0; run < 20; run++) {
      expect(await program.run(...([table, places, weights] as never[]))).toEqual(once);
    }
    await program.dispose();
  });
});

import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { compile, compileStep } from "./compile.js";
import { ProgramError, UnsupportedPrimitiveError } from "./errors.js";
import { scalar, Tensor, zeros } from "./tensor.js";

const { numpy: np, nn, lax } = jax;

const floats = (shape: readonly number[], from: (i: number) => number = (i) => Math.sin(i + 1)): Tensor => {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    Float32Array.from({ length: size }, (_, i) => from(i)),
    shape,
  );
};
const ints = (values: readonly number[], shape: readonly number[] = [values.length]) =>
  new Tensor(Int32Array.from(values), shape);
const bools = (values: readonly number[]) => new Tensor(Uint8Array.from(values));
const list = (tensor: Tensor) => [...tensor.data];
const bits = (tensor: Tensor) =>
  Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);

/** Compiles, runs once and frees. */
async function once(fn: (...args: jax.Array[]) => unknown, ...args: Tensor[]): Promise<Tensor> {
  const program = await compile(fn, args);
  const result = await program.run(...args);
  await program.dispose();
  return result as unknown as Tensor;
}

describe("a compiled function", () => {
  it("may use its arguments as often as it likes without .ref", async () => {
    const result = await once(
      (x, y) => x.mul(x).add(x.mul(y)).sub(y),
      floats([3], (i) => i),
      scalar(2),
    );
    expect(list(result)).toEqual([-2, 1, 6]);
  });

  it("takes and returns trees, with the keys of objects in any order", async () => {
    const program = await compile(
      ({ w, b }: { w: jax.Array; b: jax.Array }, [x]: [jax.Array]) => ({
        out: [x.mul(w).add(b)],
        w,
      }),
      [{ w: scalar(2), b: scalar(5) }, [scalar(0)]],
    );
    const { out, w } = await program.run({ b: scalar(1), w: scalar(10) }, [scalar(3)]);
    expect([out[0].item(), w.item()]).toEqual([31, 10]);
  });

  it("gives outputs that are an input, a constant or the same value twice", async () => {
    const program = await compile(
      (x: jax.Array) => {
        const doubled = x.mul(2);
        return [x, doubled, doubled, x, np.array([7, 8]), 3 as unknown as jax.Array, doubled.reshape([2, 1])];
      },
      [floats([2], (i) => i + 1)],
    );
    const results = await program.run(floats([2], (i) => i + 1));
    expect(results.map(list)).toEqual([[1, 2], [2, 4], [2, 4], [1, 2], [7, 8], [3], [2, 4]]);
    expect(results.at(-1)?.shape).toEqual([2, 1]);
    results[1].data.fill(0);
    expect(list(results[2])).toEqual([2, 4]);
  });

  it("scales by a constant that is repeated wider than what it scales", async () => {
    const result = await once(
      (x) => x.mul(np.broadcastTo(np.array(2.5), [2, 3])),
      floats([1], () => 2),
    );
    expect([result.shape, list(result)]).toEqual([
      [2, 3],
      [5, 5, 5, 5, 5, 5],
    ]);
    const negated = await once(
      (x) => x.mul(np.broadcastTo(np.array(2.5), [3]).neg()),
      floats([3], (i) => i),
    );
    expect(list(negated)).toEqual([-0, -2.5, -5]);
  });

  it("adds axes that are products of other lengths, 2 x 3 and 3 x 2, in other orders", async () => {
    const flat = (x: jax.Array) => x.transpose().reshape([6]);
    const [x, y] = [floats([2, 3], (i) => i), floats([3, 2], (i) => 10 * i)];
    expect(list(await once((x, y) => flat(x).add(flat(y)).mul(flat(y)), x, y))).toEqual([
      0,
      23 * 20,
      41 * 40,
      14 * 10,
      32 * 30,
      55 * 50,
    ]);
  });

  it("ignores arguments that it does not use", async () => {
    expect((await once((_, y) => y.mul(2), scalar(1), scalar(2))).item()).toBe(4);
  });

  it("chooses between booleans and sorts them", async () => {
    const chosen = await once(
      (c, x, y) => np.where(c, x, y),
      bools([1, 0, 1]),
      bools([1, 1, 0]),
      bools([0, 0, 1]),
    );
    expect([chosen.dtype, list(chosen)]).toEqual(["bool", [1, 0, 0]]);
  });

  it("multiplies what is repeated as often as it is repeated", async () => {
    const repeated = (x: jax.Array) => np.broadcastTo(x, [3, 2]);
    expect(list(await once((x) => repeated(x).prod(0), ints([7, -2])))).toEqual([343, -8]);
    expect(
      list(
        await once(
          (x) => repeated(x).prod(0),
          floats([2], (i) => i - 1.5),
        ),
      ),
    ).toEqual([-3.375, -0.125]);
    expect(list(await once((x) => repeated(x).sum(0), ints([7, -2])))).toEqual([21, -6]);
    expect(list(await once((x) => repeated(x).max(0), ints([7, -2])))).toEqual([7, -2]);
  });

  for (const [title, both, left, right, neither] of [
    ["each operand repeats a part", 2, 3, 4, 1],
    ["both repeat the same part", 2, 1, 1, 3],
    ["parts are repeated by one, by the other and by both", 2, 3, 2, 3],
    ["one operand repeats everything", 1, 3, 1, 1],
  ] as const) {
    it(`sums products along an axis of which ${title}`, async () => {
      const x = floats([4, both, left, 1, 1]);
      const y = floats([5, both, 1, right, 1]);
      const rows = (x: jax.Array, count: number) =>
        np.broadcastTo(x, [count, both, left, right, neither]).reshape([count, -1]);
      const result = await once((x, y) => np.matmul(rows(x, 4), rows(y, 5).transpose()), x, y);
      const expected = Array.from({ length: 20 }, (_, i) => {
        const [row, column] = [Math.floor(i / 5), i % 5];
        let sum = 0;
        for (let a = 0; a < both; a++) {
          for (let b = 0; b < left; b++) {
            for (let c = 0; c < right; c++) {
              sum += x.data[(row * both + a) * left + b] * y.data[(column * both + a) * right + c];
            }
          }
        }
        return neither * sum;
      });
      expect(result.shape).toEqual([4, 5]);
      list(result).forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i], 4);
      });
    });
  }

  it("sums the rows of wide and of narrow matrices, as they lie and across", async () => {
    const columns = (x: Tensor) => {
      const [rows, width] = x.shape;
      return Array.from({ length: width }, (_, j) =>
        Array.from({ length: rows }, (_, i) => x.data[i * width + j]).reduce((sum, value) => sum + value),
      );
    };
    for (const shape of [
      [7, 5],
      [7, 16],
      [130, 40],
    ]) {
      const x = floats(shape, (i) => (i * 37) % 101);
      expect(list(await once((x) => x.sum(0), x))).toEqual(columns(x));
      expect(list(await once((x) => x.transpose().sum(1), x))).toEqual(columns(x));
      const repeated = await once((x) => np.broadcastTo(x, [3, ...shape]).sum([0, 1]), x);
      expect(list(repeated)).toEqual(columns(x).map((sum) => 3 * sum));
    }
  });

  it("cuts, splits and joins axes whatever way they lie", async () => {
    const flat = (x: jax.Array) => x.transpose().reshape([6]); // 0, 3, 1, 4, 2, 5: in no single run
    const [x, y] = [floats([2, 3], (i) => i), floats([3, 2], (i) => 10 * i)];
    expect(list(await once((x) => flat(x).slice([1, 5]), x))).toEqual([3, 1, 4, 2]);
    expect(list(await once((x) => np.split(flat(x), [2])[1].mul(np.split(flat(x), [4])[0]), x))).toEqual([
      0, 12, 2, 20,
    ]);
    expect(list(await once((x, y) => np.concatenate([x, y.transpose()], 0), x, y))).toEqual([
      0, 1, 2, 3, 4, 5, 0, 20, 40, 10, 30, 50,
    ]);
    expect(list(await once((x, y) => np.concatenate([x, y.transpose()], 1), x, y))).toEqual([
      0, 1, 2, 0, 20, 40, 3, 4, 5, 10, 30, 50,
    ]);
    expect(list(await once((x) => np.concatenate([flat(x), flat(x).mul(-1)]), x))).toEqual([
      0, 3, 1, 4, 2, 5, -0, -3, -1, -4, -2, -5,
    ]);
  });

  it("compares integers with numbers as integers", async () => {
    expect(list(await once((x) => np.equal(x, 16777216), ints([16777216, 16777217])))).toEqual([1, 0]);
  });

  it("computes with booleans by their truth tables", async () => {
    const tables: [(x: jax.Array, y: jax.Array) => jax.Array, number[]][] = [
      [(x, y) => x.add(y), [0, 1, 1, 1]],
      [(x, y) => x.mul(y), [0, 0, 0, 1]],
      [np.minimum, [0, 0, 0, 1]],
      [np.maximum, [0, 1, 1, 1]],
      [np.equal, [1, 0, 0, 1]],
      [np.notEqual, [0, 1, 1, 0]],
      [np.lessEqual, [1, 1, 0, 1]],
      [(x, y) => np.stack([x, y]).all(0), [0, 0, 0, 1]],
      [(x, y) => np.stack([x, y]).any(0), [0, 1, 1, 1]],
    ];
    for (const [operation, table] of tables) {
      const result = await once(operation, bools([0, 0, 1, 1]), bools([0, 1, 0, 1]));
      expect([result.dtype, list(result)]).toEqual(["bool", table]);
    }
  });

  it("orders booleans, and keeps the order of equal values in a sort", async () => {
    expect(list(await once((x, y) => np.less(x, y), bools([0, 0, 1]), bools([0, 1, 1])))).toEqual([0, 1, 0]);
    expect(
      list(
        await once(
          (x) => np.argsort(x),
          floats([6], (i) => [1, 0, 1, 5, 0, 0][i]),
        ),
      ),
    ).toEqual([1, 4, 5, 0, 2, 3]);
  });

  it("rounds quotients of integers towards zero", async () => {
    const [a, b] = [ints([7, -7, 7, -7]), ints([2, 2, -2, -2])];
    expect(list(await once((x, y) => x.div(y), a, b))).toEqual([3, -3, -3, 3]);
    expect(list(await once((x, y) => x.mod(y), a, b))).toEqual([1, -1, 1, -1]);
  });
});

describe("captured arrays", () => {
  it("stay the caller's, and can be captured by two programs compiled at once", async () => {
    const constant = np.sin(np.arange(6).astype(jax.DType.Float32)).reshape([2, 3]).mul(2);
    const wide = np.arange(100).astype(jax.DType.Float32);
    const expected = constant.ref.js() as number[][];
    const counts = [constant.refCount, wide.refCount];
    const fn = (x: jax.Array) => x.mul(constant).add(constant).sub(wide.sum());
    const [first, second] = await Promise.all([
      compile(fn, [floats([3])]),
      compile((x: jax.Array) => constant.sub(x), [floats([3])]),
    ]);
    expect([constant.refCount, wide.refCount]).toEqual(counts);
    const [a, b] = await Promise.all([first.run(zeros([3])), second.run(zeros([3]))]);
    expect(list(a)).toEqual(expected.flat().map((value) => Math.fround(value - 4950)));
    expect(list(b)).toEqual(expected.flat());
    constant.dispose();
    wide.dispose();
    expect(list(await second.run(zeros([3])))).toEqual(expected.flat());
  });

  it("are counted again after compiling, also after a function that throws", async () => {
    const array = np.array([1, 2, 3]);
    const fails = (x: jax.Array) => {
      x.mul(array);
      jax.grad((y: jax.Array) => {
        y.mul(array);
        throw new Error("on purpose");
      })(x);
      return x;
    };
    await expect(compile(fails, [floats([3])])).rejects.toThrow("on purpose");
    await compile((x: jax.Array) => jax.vmap((y: jax.Array) => y.mul(y))(x), [floats([3])]);
    expect(array.refCount).toBe(1);
    expect(array.ref.refCount).toBe(2);
    array.dispose();
    array.dispose();
    expect(() => array.add(1)).toThrow(/freed/);
    const gradient = jax.grad((y: jax.Array) => {
      y.dispose();
      return y.sum();
    });
    expect(() => gradient(np.array([1, 2]))).toThrow(/freed/);
  });

  it("leave jitted functions usable by jax-js, before and after", async () => {
    const square = jax.jit((x: jax.Array) => x.ref.mul(x).add(np.array([1, 2])));
    expect(square(np.array([3, 4])).js()).toEqual([10, 18]);
    expect(
      list(
        await once(
          (x) => square(x).add(x),
          floats([2], (i) => i),
        ),
      ),
    ).toEqual([1, 4]);
    const fresh = jax.jit((x: jax.Array) => nn.softmax(x.mul(np.array([0, 0, 0, 0]))));
    expect(list(await once((x) => fresh(x), floats([4])))).toEqual([0.25, 0.25, 0.25, 0.25]);
    for (let i = 0; i < 3; i++) expect(fresh(np.array([1, 2, 3, 4])).js()).toEqual([0.25, 0.25, 0.25, 0.25]);
  });

  it("leave jax-js's default device as it is", async () => {
    jax.defaultDevice("cpu");
    try {
      await once((x) => x.add(1), scalar(1));
      expect(jax.defaultDevice()).toBe("cpu");
    } finally {
      jax.defaultDevice("wasm");
    }
  });
});

describe("what cannot be compiled", () => {
  const refused: [string, (x: jax.Array) => unknown, Tensor, RegExp][] = [
    ["eigenvectors", (x) => lax.linalg.eigh(x), floats([2, 2]), /primitive jacobi_eigh\b/],
    ["negated booleans", (x) => x.less(1).neg(), floats([2]), /neg with element type bool/],
    ["functions of integers", (x) => np.exp(x), ints([1, 2]), /exp with element type int32/],
  ];
  for (const [title, fn, argument, message] of refused) {
    it(`names the primitive and the function: ${title}`, async () => {
      const attempt = compile(fn, [argument], { name: "student loss", fallback: "refuse" });
      await expect(attempt).rejects.toThrow(UnsupportedPrimitiveError);
      await expect(attempt).rejects.toThrow(message);
      await expect(attempt).rejects.toThrow('"student loss"');
    });
  }

  it("says what stands in place of a tensor among the example arguments", async () => {
    const attempt = (value: unknown) => compile((x: jax.Array) => x, [value as Tensor]);
    await expect(attempt(3)).rejects.toThrow("found the number 3");
    await expect(attempt(new Float32Array(3))).rejects.toThrow("Float32Array");
    await expect(attempt(null)).rejects.toThrow("found null");
  });
});

describe("arguments of a run", () => {
  it("are refused by path where they are not what the program was compiled for", async () => {
    const program = await compile(
      function loss({ layers }: { layers: { w: jax.Array }[] }, x: jax.Array) {
        return x.mul(layers[0].w).mul(layers[1].w);
      },
      [{ layers: [{ w: floats([2]) }, { w: floats([2]) }] }, floats([2])],
    );
    const given = (second: unknown, x: unknown = floats([2]), ...rest: unknown[]) =>
      program.run(...([{ layers: [{ w: floats([2]) }, second] }, x, ...rest] as never as [never, never]));
    await expect(given({ w: floats([3]) })).rejects.toThrow(
      'Argument 0.layers.1.w of "loss" must be float32[2], as it was compiled for; given: float32[3].',
    );
    await expect(given({ w: ints([1, 2]) })).rejects.toThrow("given: int32[2]");
    await expect(given({ w: floats([2]) }, [1, 2])).rejects.toThrow(
      'Argument 1 of "loss" must be float32[2]',
    );
    await expect(given({ w: 3 })).rejects.toThrow("given: the number 3");
    await expect(given({})).rejects.toThrow('Argument 0.layers.1.w of "loss" is missing');
    await expect(given({ w: floats([2]), b: floats([2]) })).rejects.toThrow(
      'Argument 0.layers.1.b of "loss" is not one that it was compiled for',
    );
    await expect(given({ w: floats([2]) }, floats([2]), scalar(1))).rejects.toThrow("Argument 2 of");
    await expect(program.run(...([] as never as [never, never]))).rejects.toThrow(
      'Argument 0 of "loss" is missing',
    );
    await expect(given({})).rejects.toThrow(ProgramError);
    expect(list(await given({ w: floats([2], () => 1) }))).toHaveLength(2);
  });

  it("are refused after dispose, while runs that began before it end well", async () => {
    const program = await compile((x: jax.Array) => np.matmul(x, x).sum(), [floats([64, 64], () => 1)]);
    const running = program.run(floats([64, 64], () => 1));
    const disposed = program.dispose();
    await expect(program.run(floats([64, 64]))).rejects.toThrow(/used after dispose/);
    expect((await running).item()).toBe(64 ** 3);
    await disposed;
    await program.dispose();
  });
});

describe("compileStep", () => {
  type Carry = { w: jax.Array; moments: { m: jax.Array; v: jax.Array }; count: jax.Array };
  const first = () => ({
    w: floats([4, 3]),
    moments: { m: zeros([4, 3]), v: zeros([4, 3]) },
    count: ints([0], []),
  });
  /** Adam on a least-squares loss. */
  function step(carry: Carry, x: jax.Array): [Carry, { loss: jax.Array }] {
    const loss = (w: jax.Array) => np.square(np.matmul(x, w).sub(1)).mean();
    const [value, gradient] = jax.valueAndGrad(loss)(carry.w);
    const m = carry.moments.m.mul(0.9).add(gradient.mul(0.1));
    const v = carry.moments.v.mul(0.99).add(np.square(gradient).mul(0.01));
    const w = carry.w.sub(m.div(np.sqrt(v).add(1e-3)).mul(0.05));
    return [
      { count: carry.count.add(np.array(1, { dtype: jax.DType.Int32 })), w, moments: { v, m } },
      { loss: value },
    ];
  }
  const batch = (i: number) => floats([5, 4], (k) => Math.cos(k + 3 * i));

  it("gives what feeding the carry by hand gives, for 50 steps", async () => {
    const kept = await compileStep(step, [first(), batch(0)]);
    const plain = await compile(step, [first(), batch(0)]);
    let carry = first();
    const losses: number[] = [];
    for (let i = 0; i < 50; i++) {
      const { loss } = await kept.run(batch(i));
      const [next, result] = await plain.run(carry, batch(i));
      expect(bits(loss)).toEqual(bits(result.loss));
      carry = next;
      losses.push(loss.item());
    }
    expect(new Set(losses).size).toBe(50);
    const end = await kept.carry();
    expect(end.count.item()).toBe(50);
    expect(Object.keys(end)).toEqual(["w", "moments", "count"]);
    expect(bits(end.w)).toEqual(bits(carry.w));
    expect(bits(end.moments.m)).toEqual(bits(carry.moments.m));
    expect(bits(end.moments.v)).toEqual(bits(carry.moments.v));
  });

  it("hands out copies of the carry and goes on from one bit by bit", async () => {
    const program = await compileStep(step, [first(), batch(0)]);
    for (let i = 0; i < 7; i++) await program.run(batch(i));
    const saved = await program.carry();
    const before = bits(saved.w).toString("hex");
    const ahead: string[] = [];
    for (let i = 7; i < 12; i++) ahead.push(bits((await program.run(batch(i))).loss).toString("hex"));
    expect(bits(saved.w).toString("hex")).toBe(before);
    saved.w.data[0] += 0;
    (await program.carry()).w.data.fill(Number.NaN);
    const { count, moments, w } = saved;
    program.setCarry({ moments, count, w });
    w.data.fill(Number.NaN);
    for (let i = 7; i < 12; i++) {
      expect(bits((await program.run(batch(i))).loss).toString("hex")).toBe(ahead[i - 7]);
    }
  });

  it("refuses a carry that is not the step's, and then keeps the one it has", async () => {
    const program = await compileStep(step, [first(), batch(0)]);
    const before = await program.carry();
    const { w, moments, count } = first();
    expect(() => program.setCarry({ w, count } as never)).toThrow('Argument 0.moments of "step" is missing');
    expect(() => program.setCarry({ w, moments: { ...moments, s: w }, count } as never)).toThrow(
      "0.moments.s",
    );
    expect(() =>
      program.setCarry({ w: floats([4, 3], () => 9), moments, count: scalar(0) } as never),
    ).toThrow('Argument 0.count of "step" must be int32[]');
    expect(bits((await program.carry()).w)).toEqual(bits(before.w));
  });

  it("refuses a second step, and another carry, while one is running", async () => {
    const program = await compileStep(step, [first(), batch(0)]);
    const running = program.run(batch(0));
    await expect(program.run(batch(1))).rejects.toThrow(/"step" is still running/);
    expect(() => program.setCarry(first())).toThrow(/still running/);
    await running;
    await program.run(batch(1));
    expect((await program.carry()).count.item()).toBe(2);
  });

  it("goes on after a run that was refused", async () => {
    const program = await compileStep(step, [first(), batch(0)]);
    await expect(program.run(floats([5, 3]))).rejects.toThrow('Argument 1 of "step" must be float32[5,4]');
    await program.run(batch(0));
    await program.dispose();
    await expect(program.run(batch(0))).rejects.toThrow(/used after dispose/);
  });

  it("refuses to compile a step that does not return its carry as it takes it", async () => {
    const refused = (fn: (carry: { a: jax.Array; b: jax.Array }) => unknown) =>
      compileStep(fn as never, [{ a: scalar(1), b: scalar(2) }] as never, { name: "train" });
    const result = scalar(0);
    await expect(refused(({ a, b }) => [{ a: a.reshape([1]), b }, a])).rejects.toThrow(
      /Leaf 0\.a is float32\[\] going in and float32\[1\] coming out/,
    );
    await expect(refused(({ a, b }) => [{ a, b: b.astype(jax.DType.Int32) }, a])).rejects.toThrow(
      /Leaf 0\.b is float32\[\] going in and int32\[\] coming out/,
    );
    await expect(refused(({ a }) => [{ a }, a])).rejects.toThrow(/b is missing/);
    await expect(refused(({ a, b }) => [{ a, b, c: a }, a])).rejects.toThrow(/c is unexpected/);
    await expect(refused(({ a, b }) => [{ a, b: [b] }, a])).rejects.toThrow(/a tree stands in place/);
    await expect(refused(({ a }) => a)).rejects.toThrow('"train" must return [carry, result]');
    expect(result.item()).toBe(0);
  });

  it("puts the leaves of a carry that comes back in another order in their places", async () => {
    const swap = (carry: { a: jax.Array; b: jax.Array }) =>
      [{ b: carry.b.add(10), a: carry.a.add(1) }, carry.a] as const;
    const program = await compileStep(swap as never, [{ a: scalar(0), b: scalar(0) }] as never);
    await (program as never as { run(): Promise<Tensor> }).run();
    const { a, b } = (await program.carry()) as { a: Tensor; b: Tensor };
    expect([a.item(), b.item()]).toEqual([1, 10]);
  });
});

describe("vmap inside a program", () => {
  it("trains several seeds at once, as each one alone", async () => {
    const x = floats([8, 3]);
    const y = floats([8], (i) => i % 2);
    const update = (w: jax.Array, x: jax.Array, y: jax.Array) => {
      const loss = (w: jax.Array) => {
        const z = np.matmul(np.tanh(np.matmul(x, w.reshape([3, 4]))), np.ones([4]));
        return nn.softplus(z).sub(z.mul(y)).mean();
      };
      return w.sub(jax.grad(loss)(w).mul(0.5));
    };
    const seeds = floats([5, 12], (i) => Math.sin(i * i));
    const together = await once((w, x, y) => jax.vmap(update, [0, null, null])(w, x, y), seeds, x, y);
    const alone = await compile(update, [floats([12]), x, y]);
    for (let seed = 0; seed < 5; seed++) {
      const slice = (tensor: Tensor) => tensor.data.slice(12 * seed, 12 * seed + 12) as Float32Array;
      const expected = await alone.run(new Tensor(slice(seeds)), x, y);
      const actual = slice(together);
      expected.data.forEach((value, i) => {
        expect(actual[i]).toBeCloseTo(value, 5);
      });
    }
  });
});

describe("determinism", () => {
  it("gives the same bits in 20 runs on 1 and on 2 threads, with many updates of the same place", async () => {
    const [rows, vocabulary, width] = [20_000, 7, 16];
    const tokens = ints(Array.from({ length: rows }, (_, i) => (i * 7919) % vocabulary));
    const table = floats([vocabulary, width]);
    const weights = floats([rows, width], (i) => Math.sin(i) * (i % 13 === 0 ? 1e3 : 1e-3));
    const square = floats([256, 256]);
    const fn = (table: jax.Array, tokens: jax.Array, weights: jax.Array, square: jax.Array) => {
      const gradient = jax.grad((t: jax.Array) => np.take(t, tokens, 0).mul(weights).sum())(table);
      return [gradient, np.matmul(np.matmul(square, square), square), weights.sum(0), weights.max()];
    };
    const args: [Tensor, Tensor, Tensor, Tensor] = [table, tokens, weights, square];
    const seen = new Set<string>();
    let gradient: Tensor | undefined;
    for (const threads of [1, 2]) {
      const program = await compile(fn, args, { threads });
      expect(program.threads).toBe(threads);
      for (let run = 0; run < 20; run++) {
        const results = await program.run(...args);
        seen.add(results.map((tensor) => bits(tensor).toString("base64")).join());
        gradient = results[0];
      }
      await program.dispose();
    }
    expect(seen.size).toBe(1);
    const exact = new Float64Array(vocabulary * width);
    tokens.data.forEach((token, row) => {
      for (let k = 0; k < width; k++) exact[token * width + k] += weights.data[row * width + k];
    });
    const largest = Math.max(...exact.map(Math.abs));
    exact.forEach((value, i) => {
      expect(Math.abs((gradient as Tensor).data[i] - value)).toBeLessThan(1e-5 * largest);
    });
  });
});

describe("memory", () => {
  it("does not grow over 2,000 runs", async () => {
    const state = floats([256, 256]);
    const fn = (x: jax.Array, y: jax.Array) => [x.add(y), x.mul(0.5)] as [jax.Array, jax.Array];
    const plain = await compile(fn, [state, state]);
    const step = await compileStep(fn, [state, state]);
    const runs = async (count: number) => {
      for (let i = 0; i < count; i++) {
        await plain.run(state, state);
        await step.run(state);
      }
      return process.memoryUsage();
    };
    await runs(500);
    const before = await runs(1);
    const after = await runs(2000);
    // Each run returns at least half a megabyte: keeping them all would take more than a gigabyte.
    expect(after.rss - before.rss).toBeLessThan(200e6);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(30e6);
  });
});

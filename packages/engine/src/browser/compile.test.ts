import * as jax from "@jax-js/jax";
import { afterAll, describe, expect, it, vi } from "vitest";
import { ProgramError } from "../errors.js";
import { scalar, Tensor, zeros } from "../tensor.js";
import { compile, compileStep, compileSteps } from "./compile.js";

const { numpy: np, lax } = jax;

// What a browser gets, on jax-js's Wasm backend in Node.

/** jax-js's memory: it makes its first backend when it is loaded. */
const memories = vi.hoisted(() => {
  const made: WebAssembly.Memory[] = [];
  const { Memory } = WebAssembly;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      made.push(this);
    }
  };
  return { made, restore: () => Object.assign(WebAssembly, { Memory }) };
});
afterAll(() => memories.restore());
const bytes = () => memories.made.reduce((total, { buffer }) => total + buffer.byteLength, 0);

const floats = (shape: readonly number[]) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(7 * i + 1)),
    shape,
  );

describe("a program on jax-js's backend", () => {
  it("is compiled by the functions that there are in Node", async () => {
    const inNode: typeof import("../compile.js") = await import("../compile.js");
    const inBrowser: typeof inNode = await import("./compile.js");
    expect(Object.keys(inBrowser).sort()).toEqual(Object.keys(inNode).sort());
  });

  it("takes several steps in one run", async () => {
    const program = await compileSteps(
      (total: jax.Array, { x }: { x: jax.Array }, scale: jax.Array) => {
        const next = total.add(x.mul(scale));
        return [next, { before: total, pair: np.stack([next, x]) }] as const;
      },
      [scalar(1), { x: scalar(0) }, scalar(0)],
    );
    const { before, pair } = await program.run({ x: new Tensor(Float32Array.of(1, 2, 3)) }, scalar(10));
    expect([...before.data]).toEqual([1, 11, 31]);
    expect([pair.shape, [...pair.data]]).toEqual([
      [3, 2],
      [11, 1, 31, 2, 61, 3],
    ]);
    expect((await program.carry()).item()).toBe(61);
    await expect(program.run({ x: scalar(1) }, scalar(10))).rejects.toThrow(/leading axis of steps/);
    await program.dispose();
  });

  it("takes and returns trees of floats, integers and booleans", async () => {
    const program = await compile(
      ({ x, n }: { x: jax.Array; n: jax.Array }, mask: jax.Array) => ({
        kept: [np.where(mask, x, x.mul(x)), mask],
        n: n.add(1),
        seven: np.array([7, 8]),
      }),
      [{ x: floats([3]), n: new Tensor(Int32Array.of(1, 2)) }, new Tensor(Uint8Array.of(1, 0, 1))],
    );
    const result = await program.run(
      { n: new Tensor(Int32Array.of(4, 5)), x: new Tensor(Float32Array.of(2, 3, 4)) },
      new Tensor(Uint8Array.of(0, 1, 0)),
    );
    expect(result.kept.map(({ dtype, data }) => [dtype, [...data]])).toEqual([
      ["float32", [4, 3, 16]],
      ["bool", [0, 1, 0]],
    ]);
    expect([result.n.dtype, [...result.n.data], [...result.seven.data]]).toEqual(["int32", [5, 6], [7, 8]]);
    await program.dispose();
  });

  it("has a copy of what the function captures, which stays the caller's", async () => {
    const captured = np.array([1, 2, 3]);
    const program = await compile((x: jax.Array) => x.mul(captured).add(captured), [scalar(0)]);
    expect(captured.refCount).toBe(1);
    captured.dispose();
    expect([...(await program.run(scalar(2))).data]).toEqual([3, 6, 9]);
    expect([...(await program.run(scalar(3))).data]).toEqual([4, 8, 12]);
    await program.dispose();
  });

  it("refuses other arguments and use after dispose, and lets runs that began before end well", async () => {
    const program = await compile((x: jax.Array) => x.add(1), [zeros([2])]);
    await expect(program.run(zeros([3]))).rejects.toThrow(
      'Argument 0 of "program" must be float32[2], as it was compiled for; given: float32[3].',
    );
    const begun = program.run(zeros([2]));
    await program.dispose();
    expect([...(await begun).data]).toEqual([1, 1]);
    await expect(program.run(zeros([2]))).rejects.toThrow(ProgramError);
  });

  it("keeps a carry that can be read and replaced", async () => {
    const program = await compileStep(
      ({ total }: { total: jax.Array }, x: jax.Array) => [{ total: total.add(x) }, total] as const,
      [{ total: zeros([2]) }, zeros([2])],
    );
    const ones = new Tensor(Float32Array.of(1, 2));
    expect([...(await program.run(ones)).data]).toEqual([0, 0]);
    expect([...(await program.run(ones)).data]).toEqual([1, 2]);
    const saved = await program.carry();
    expect([...saved.total.data]).toEqual([2, 4]);
    program.setCarry({ total: new Tensor(Float32Array.of(10, 20)) });
    expect([...(await program.run(ones)).data]).toEqual([10, 20]);
    expect([...saved.total.data]).toEqual([2, 4]);
    await program.dispose();
    await expect(program.carry()).rejects.toThrow(ProgramError);
  });

  it("gives its memory back: neither steps nor compiling and disposing grow it", async () => {
    const size = 64 * 1024;
    const step = (carry: jax.Array, x: jax.Array) => [carry.mul(0.5).add(x), carry.sum()] as const;
    const program = await compileStep(step, [zeros([size]), floats([size])]);
    const captured = np.ones([size]).add(np.arange(size));
    const cycle = async () => {
      for (let i = 0; i < 10; i++) await program.run(floats([size]));
      program.setCarry(zeros([size]));
      await program.carry();
      const other = await compileStep(
        (carry: jax.Array, x: jax.Array) => [carry.add(captured.mul(x)), np.sort(carry.reshape([256, 256]))],
        [zeros([size]), scalar(1)],
      );
      await other.run(scalar(2));
      await other.dispose();
    };
    await cycle();
    await cycle();
    const before = bytes();
    for (let i = 0; i < 8; i++) await cycle();
    // Each array takes 256 KiB, and memory grows by 64 KiB.
    expect(bytes() - before).toBe(0);
    await program.dispose();
    captured.dispose();
  });
});

describe("what jax-js's own jit gets wrong", () => {
  const symmetric = (x: jax.Array) => np.matmul(x, np.matrixTranspose(x)).add(np.eye(2));
  const cases: [string, (x: jax.Array) => jax.Array][] = [
    ["a sort of a view", (x) => np.sort(x.mul(3).reshape([2, 2]))],
    [
      "a gradient that scatters a view",
      (x) => jax.grad((y: jax.Array) => y.slice(np.array([0, 2, 2], { dtype: np.int32 })).sum())(x),
    ],
    [
      "a decomposition of a view",
      (x) => lax.linalg.cholesky(np.matrixTranspose(symmetric(x.reshape([2, 2])))),
    ],
    ["a pad of a view of a constant", (x) => jax.grad((y: jax.Array) => y.slice(3))(x)],
    ["booleans that are reduced along no axis and cast", (x) => np.any(x.less(0.5), []).astype(np.float32)],
  ];
  for (const [title, fn] of cases) {
    it(`comes out right here: ${title}`, async () => {
      const x = Float32Array.of(0.4, 2, 1, 0.1);
      const program = await compile(fn, [new Tensor(x)]);
      const found = await program.run(new Tensor(x));
      await program.dispose();
      const { withoutReferenceCounts } = await import("../trace.js");
      const expected = withoutReferenceCounts(() => fn(np.array(x))).dataSync();
      expect([...found.data]).toEqual([...expected]);
    });
  }
});

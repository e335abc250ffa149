import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as jax from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { compile, compileStep } from "./compile.js";
import { scalar, Tensor } from "./tensor.js";

const { numpy: np, nn } = jax;

let collect: () => void;
beforeAll(() => {
  setFlagsFromString("--expose-gc");
  collect = runInNewContext("gc") as () => void;
});

/** Collects garbage until finalizers have run too. */
async function settle(): Promise<NodeJS.MemoryUsage> {
  for (let i = 0; i < 8; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage();
}

/** Megabytes by which memory grows over `count` times `body`, after as many to warm up as make a difference. */
async function growth(warmUp: number, count: number, body: () => Promise<unknown>) {
  for (let i = 0; i < warmUp; i++) await body();
  const before = await settle();
  for (let i = 0; i < count; i++) await body();
  const after = await settle();
  return {
    heap: (after.heapUsed - before.heapUsed) / 1e6,
    external: (after.external - before.external) / 1e6,
    rss: (after.rss - before.rss) / 1e6,
  };
}

const floats = (shape: readonly number[]) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)),
    shape,
  );

describe("memory", () => {
  it("does not grow with the number of steps", async () => {
    const weights = floats([64, 64]);
    const x = floats([32, 64]);
    const program = await compileStep(
      (w: jax.Array, x: jax.Array) => {
        const loss = (w: jax.Array) => np.square(np.matmul(x, w)).mean();
        const [value, gradient] = jax.valueAndGrad(loss)(w);
        return [w.sub(gradient.mul(0.01)), { loss: value, gradient }] as const;
      },
      [weights, x],
    );
    const { heap, external, rss } = await growth(500, 4000, () => program.run(x));
    await program.dispose();
    // An object of 200 bytes kept in each step would be 0.8 MB, the gradients of 16 KB 65 MB.
    expect(heap).toBeLessThan(0.6);
    expect(external).toBeLessThan(5);
    expect(rss).toBeLessThan(30);
  });

  it("does not grow with the number of programs that were compiled and disposed of", async () => {
    const x = floats([8, 64]);
    const { heap, external } = await growth(10, 40, async () => {
      // A constant of 256 KB, and some literals.
      const constant = Float32Array.from({ length: 65_536 }, (_, i) => i);
      const program = await compile(
        (x: jax.Array) => {
          let h = np.matmul(x, np.array(constant, { shape: [64, 1024] }));
          for (let k = 0; k < 5; k++) h = nn.softmax(h.mul(1 + k / 7).add(k), -1);
          return h.sum();
        },
        [x],
        { cache: false },
      );
      await program.run(x);
      await program.dispose();
    });
    // The constants alone are 10 MB.
    expect(external).toBeLessThan(6);
    expect(heap).toBeLessThan(1);
  });
});

describe("arrays made while a function is traced", () => {
  const data = () => Float32Array.from({ length: 300 }, (_, i) => i % 7);

  it("stay whole as long as anything holds them, and may be disposed of", async () => {
    let kept: jax.Array | undefined;
    const fn = (x: jax.Array) => {
      kept ??= np.array(data());
      return kept.mul(x).sum();
    };
    const run = async () => {
      const program = await compile(fn, [scalar(1)]);
      const result = (await program.run(scalar(2))).item();
      await program.dispose();
      return result;
    };
    const expected = 2 * data().reduce((a, b) => a + b, 0);
    expect(await run()).toBe(expected);
    await settle();
    expect(await run()).toBe(expected);
    // Another array in the same storage outlives the one that was disposed of and collected.
    const other = (kept as jax.Array).ref.reshape([10, 30]);
    expect((kept as jax.Array).refCount).toBe(1);
    kept?.dispose();
    expect(() => kept?.add(1)).toThrow(/freed/);
    kept = undefined;
    await settle();
    expect(other.sum().js()).toBe(expected / 2);
  });

  it("belong to jitted functions that keep them", async () => {
    const jitted = jax.jit((x: jax.Array) => x.mul(np.array(data())).sum());
    const program = await compile((x: jax.Array) => jitted(x), [scalar(1)]);
    await settle();
    const expected = data().reduce((a, b) => a + b, 0);
    expect(jitted(np.array(3)).js()).toBe(3 * expected);
    jitted.dispose();
    await settle();
    expect((await program.run(scalar(2))).item()).toBe(2 * expected);
    await program.dispose();
  });
});

describe("determinism", () => {
  it("gives the same bits in 20 runs on 1 and on 2 threads: products, sums, scattered sums, softmax, sorting", async () => {
    const [rows, vocabulary, width] = [1024, 64, 64];
    const tokens = new Tensor(Int32Array.from({ length: rows }, (_, i) => (i * i) % vocabulary));
    const table = floats([vocabulary, width]);
    const weights = floats([width, 96]);
    const fn = (table: jax.Array, weights: jax.Array, tokens: jax.Array) => {
      const loss = (table: jax.Array, weights: jax.Array) => {
        const hidden = np.tanh(np.matmul(np.take(table, tokens, 0), weights));
        const attention = nn.softmax(np.matmul(hidden.slice([0, 96]), hidden.slice([0, 96]).transpose()), -1);
        return nn
          .logSoftmax(hidden, -1)
          .mean()
          .add(np.sort(attention, -1).slice([], [0, 16]).sum());
      };
      const [value, gradients] = jax.valueAndGrad(loss, { argnums: [0, 1] })(table, weights);
      return [value, ...gradients, np.argsort(weights, 0), weights.sum(0)];
    };
    const bits = new Set<string>();
    for (const threads of [1, 2]) {
      const program = await compile(fn as (...args: jax.Array[]) => jax.Array[], [table, weights, tokens], {
        threads,
      });
      for (let run = 0; run < 20; run++) {
        const results = await program.run(table, weights, tokens);
        bits.add(results.map(({ data }) => Buffer.from(data.buffer).toString("base64")).join());
      }
      await program.dispose();
    }
    expect(bits.size).toBe(1);
  });
});

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import * as jax from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { compile, compileStep } from "./compile.js";
import { Tensor, zeros } from "./tensor.js";
import { buildEngine, built } from "./testing/built.js";
import { type Training, train } from "./testing/training.js";

const { numpy: np } = jax;
const STEPS = 20;

async function inWorker(leave: boolean): Promise<Training> {
  const worker = new Worker(built("testing/in-worker.js"), { workerData: { steps: STEPS, leave } });
  const exited = once(worker, "exit");
  const [training] = (await once(worker, "message")) as [Training];
  expect(await exited).toEqual([0]);
  return training;
}

describe("worker threads", () => {
  beforeAll(buildEngine, 120_000);

  it("train to the bits of the main thread, three at once beside it, and end also with a program undisposed", async () => {
    const all = await Promise.all([inWorker(false), inWorker(true), inWorker(false), train("cpu", STEPS)]);
    for (const training of all) expect(training).toEqual(all[0]);
    expect(all[0].losses[STEPS - 1]).toBeLessThan(all[0].losses[0]);
    // The library that they shared is still there.
    expect(await train("cpu", STEPS)).toEqual(all[0]);
  });
});

describe("two programs at once", () => {
  const waves = (rows: number, columns: number) =>
    new Tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(5 * i) / columns),
      [rows, columns],
    );

  it("do not disturb each other, whatever turns they take", async () => {
    const size = 96;
    const step = (carry: jax.Array, x: jax.Array) => {
      const next = np.tanh(np.matmul(carry, x));
      return [next, next.sum()] as const;
    };
    const start = () => compileStep(step, [waves(size, size), zeros([size, size])], { threads: 2 });
    const sums = async (program: Awaited<ReturnType<typeof start>>) => {
      const found: number[] = [];
      for (let i = 0; i < 30; i++) found.push((await program.run(waves(size, size))).item());
      return found;
    };
    const [first, second, alone] = await Promise.all([start(), start(), start()]);
    const [one, other] = await Promise.all([sums(first), sums(second)]);
    const expected = await sums(alone);
    expect(one).toEqual(expected);
    expect(other).toEqual(expected);
    await Promise.all([first, second, alone].map((program) => program.dispose()));
  });

  it("may be compiled at once, and one disposed while the other runs", async () => {
    const compiled = await Promise.all(
      [1, 2, 3, 4].map((factor) => compile((x: jax.Array) => np.matmul(x, x).mul(factor), [waves(64, 64)])),
    );
    const x = waves(64, 64);
    const runs = compiled.map((program) => program.run(x));
    await Promise.all(compiled.slice(1).map((program) => program.dispose()));
    const [first, ...others] = await Promise.all(runs);
    others.forEach((result, i) => {
      expect(result.data[5]).toBeCloseTo((i + 2) * first.data[5], 6);
    });
    expect((await compiled[0].run(x)).data).toEqual(first.data);
    await compiled[0].dispose();
  });
});

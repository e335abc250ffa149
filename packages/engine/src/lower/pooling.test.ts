import * as jax from "@jax-js/jax";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../compile.js";
import { Tensor } from "../tensor.js";
import { expectAgreement, sample } from "../testing/agreement.js";
import { trace } from "../trace.js";
import { lower } from "./lower.js";

const { lax, numpy: np } = jax;

beforeAll(() => {
  jax.defaultDevice("wasm");
});

/** What is made of each window, whose axes are `axes`. */
const reductions: Record<string, (window: jax.Array) => jax.Array> = {
  max: (window) => np.max(window),
  min: (window) => np.min(window),
  sum: (window) => np.sum(window),
  mean: (window) => np.mean(window),
  "sum of squares": (window) => np.sum(window.mul(window)),
};

const axis = fc
  .record({
    input: fc.integer({ min: 1, max: 7 }),
    window: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 4 }),
  })
  .filter(({ input, window }) => window <= input);

const pool =
  (axes: { window: number; stride: number }[], reduction: (window: jax.Array) => jax.Array) =>
  (x: jax.Array) =>
    lax.reduceWindow(
      x,
      reduction,
      axes.map(({ window }) => window),
      axes.map(({ stride }) => stride),
    );

describe("poolings", () => {
  it("agree with jax-js, with gradients, for any window and stride, overlapping or not", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(axis, { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
        fc.constantFrom(...Object.keys(reductions)),
        fc.constantFrom(1, -2),
        async (axes, lead, reduction, scale) => {
          const fn = pool(axes, reductions[reduction]);
          await expectAgreement(
            (x) => fn(x.mul(scale)),
            [sample([...lead, ...axes.map(({ input }) => input)])],
          );
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  it("share the gradient of a maximum among equal elements, as jax-js does", async () => {
    const x = new Tensor(Float32Array.of(1, 1, 0, 2), [4]);
    const gradient = jax.grad((y: jax.Array) => pool([{ window: 2, stride: 2 }], reductions.max)(y).sum());
    const program = await compile(gradient as never, [x] as never);
    const result = (await program.run(...([x] as never[]))) as unknown as Tensor;
    await program.dispose();
    expect([...result.data]).toEqual([0.5, 0.5, 0, 1]);
  });

  const operators = async (fn: (x: jax.Array) => jax.Array, shape: number[]) => {
    const { graph, outputs } = lower(await trace(fn as never, [sample(shape)]));
    const needed = new Set(outputs.map(({ name }) => name));
    const live = [...graph.nodes].reverse().filter((node) => {
      const used = node.outputs.some((name) => needed.has(name));
      if (used) for (const name of node.inputs) needed.add(name);
      return used;
    });
    return live
      .map(({ op }) => op)
      .filter((op) => op !== "Reshape")
      .reverse();
  };

  it("of overlapping windows are one operator, not copies of the windows", async () => {
    const axes = [
      { window: 3, stride: 1 },
      { window: 3, stride: 2 },
    ];
    expect(await operators(pool(axes, reductions.max), [2, 3, 8, 8])).toEqual(["MaxPool"]);
    expect(await operators(pool(axes, reductions.sum), [2, 3, 8, 8])).toEqual(["AveragePool", "Mul"]);
  });

  it("of windows that tile the array have a gradient that is only spread out", async () => {
    const axes = [
      { window: 2, stride: 2 },
      { window: 2, stride: 2 },
    ];
    const gradient = jax.grad((x: jax.Array) => np.sin(pool(axes, reductions.sum)(x)).sum());
    expect(await operators(gradient, [2, 3, 8, 8])).toEqual(["AveragePool", "Mul", "Cos", "Expand"]);
  });
});

import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { compile, scalar, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import type { StudentLoss } from "../train/loss.js";
import { entropyLoss, klLoss } from "./entropy.js";
import { medianCertainty, windowLoss } from "./window.js";

const logits = [
  [1, -0.5],
  [0.1, 0],
  [-2, 3],
  [0.3, -0.3],
];
const targets = [
  [0.2, 0.8],
  [0.1, 0.9],
  [1, 0],
  [0.6, 0.4],
];
const softmax = (z: number[]) => {
  const powers = z.map(Math.exp);
  const total = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / total);
};
const crossEntropy = (z: number[], q: number[]) =>
  -q.reduce((sum, value, k) => sum + value * Math.log(softmax(z)[k]), 0);

async function evaluate(loss: StudentLoss, progress: number, z = logits) {
  const [a, b] = [z, targets].map((rows) => new Tensor(Float32Array.from(rows.flat()), [rows.length, 2]));
  const program = await compile(
    (x: JaxArray, q: JaxArray, s: JaxArray) => valueAndGrad((own: JaxArray) => loss(own, q, s))(x),
    [a, b, scalar(0)],
  );
  const [value, gradient] = await program.run(a, b, scalar(progress));
  await program.dispose();
  return { value: value.item(), gradient: [...gradient.data] };
}

/** By differences of the loss itself. */
function slopes(loss: (z: number[][]) => number): number[] {
  const step = 1e-5;
  return logits.flatMap((row, i) =>
    row.map((_, k) => {
      const moved = (by: number) => logits.map((r, j) => r.map((x, c) => (j === i && c === k ? x + by : x)));
      return (loss(moved(step)) - loss(moved(-step))) / (2 * step);
    }),
  );
}

function expectSame(
  { value, gradient }: Awaited<ReturnType<typeof evaluate>>,
  loss: (z: number[][]) => number,
) {
  expect(value).toBeCloseTo(loss(logits), 5);
  slopes(loss).forEach((slope, i) => {
    expect(gradient[i]).toBeCloseTo(slope, 4);
  });
}

const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;

describe("entropy", () => {
  test.each([
    [0, 0],
    [0.05, 0.25],
    [0.1, 0.5],
    [0.9, 0.5],
  ])("at %f of training its weight is %f", async (progress, c) => {
    const loss = entropyLoss({ maximum: 0.5, warmup: 0.1 });
    expectSame(await evaluate(loss, progress), (z) =>
      mean(z.map((row, i) => (1 - c) * crossEntropy(row, targets[i]) + c * crossEntropy(row, softmax(row)))),
    );
  });
});

test("the divergence is 0 where the student says what the labels say, and has the gradient of cross-entropy", async () => {
  const same = targets.map((row) => row.map((p) => Math.log(Math.max(p, 1e-6))));
  expect((await evaluate(klLoss, 0, same)).value).toBeCloseTo(0, 4);
  expectSame(await evaluate(klLoss, 0.5), (z) =>
    mean(
      z.map(
        (row, i) =>
          crossEntropy(row, targets[i]) +
          targets[i].reduce((sum, q) => sum + (q === 0 ? 0 : q * Math.log(q)), 0),
      ),
    ),
  );
});

describe("window", () => {
  test("leaves out what the student is sure of, and divides by the whole batch", async () => {
    // Confidences 0.82, 0.52, 0.99, 0.65.
    expectSame(await evaluate(windowLoss(0.15), 0), (z) =>
      mean(z.map((row, i) => (i === 1 || i === 3 ? crossEntropy(row, targets[i]) : 0))),
    );
    expect((await evaluate(windowLoss(0), 0)).gradient).toEqual(new Array(8).fill(0));
  });

  test("its radius may be the median certainty of the weak labels", () => {
    const values = Float32Array.from(targets.flat());
    // 0.3, 0.4, 0.5, 0.1.
    expect(medianCertainty({ values, shape: [4, 2] })).toBeCloseTo(0.35, 6);
  });
});

import { Tensor } from "@outgrow/engine";
import { expect, test } from "vitest";
import { entropy, logAddExp, logOdds, logSigmoid } from "./log-space.js";
import { expectAgreement, type Numbers, valueAndGradients, vector } from "./testing/against-loops.js";

const sum = (values: Float64Array, of: (x: number, i: number) => number) =>
  values.reduce((total, x, i) => total + of(x, i), 0);

test("logSigmoid, logAddExp and logOdds are their formulas, with their gradients, at 0 and at ties too", async () => {
  await expectAgreement(
    (x) => logSigmoid(x.x).sum(),
    ({ x }) => sum(x, (value) => -Math.log(1 + Math.exp(-value))),
    { x: vector(-3, -0.5, 0, 0.5, 8) },
  );
  await expectAgreement(
    (x) => logAddExp(x.a, x.b).sum(),
    ({ a, b }) => sum(a, (value, i) => Math.log(Math.exp(value) + Math.exp(b[i]))),
    { a: vector(-3, 0, 2), b: vector(-1, 0, -4) },
  );
  await expectAgreement(
    (x) => logOdds(x.x).sum(),
    ({ x }) => sum(x, (value) => value - Math.log(1 - Math.exp(value))),
    { x: vector(-4, -0.7, -0.05) },
  );
});

test("far from 0 they neither overflow nor lose what is left", async () => {
  const far = vector(-1e5, 1e5);
  const { value, gradients } = await valueAndGradients((x) => logSigmoid(x.far).sum(), { far });
  expect(value).toBe(-1e5);
  expect([...gradients.far.data].map((slope) => Math.abs(slope))).toEqual([1, 0]);
  const both = await valueAndGradients((x) => logAddExp(x.far, x.far.add(1)).sum(), { far });
  expect(both.value).toBeCloseTo(2 * Math.log(1 + Math.E), 1);
  expect((await valueAndGradients((x) => logOdds(x.far).sum(), { far: vector(-1e5, 0) })).value).toBeCloseTo(
    -1e5 + Math.log(1e6),
    1,
  );
});

test("entropy is -sum p log p, with its gradient; log n of equal logits", async () => {
  const logits = new Tensor(Float32Array.of(0.3, -1, 2, 0, 1.5, -0.2, 0.1, 4, -3, 1), [2, 5]);
  await expectAgreement(
    (x) => entropy(x.logits).mean(),
    ({ logits: z }: Numbers) => {
      let total = 0;
      for (const row of [z.slice(0, 5), z.slice(5)]) {
        const all = sum(row, (x) => Math.exp(x));
        for (const x of row) total -= (Math.exp(x) / all) * Math.log(Math.exp(x) / all);
      }
      return total / 2;
    },
    { logits },
  );
  const equal = new Tensor(new Float32Array(5), [1, 5]);
  const { value } = await valueAndGradients((x) => entropy(x.equal).mean(), { equal });
  expect(value).toBeCloseTo(Math.log(5), 6);
});

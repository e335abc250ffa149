import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { compile, scalar, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { type ProductConfig, productLoss } from "./product.js";

async function evaluate(config: ProductConfig, logits: readonly number[][], targets: readonly number[][]) {
  const loss = productLoss(config);
  const [z, q] = [logits, targets].map(
    (values) => new Tensor(Float32Array.from(values.flat()), [values.length, values[0].length]),
  );
  const program = await compile(
    (a: JaxArray, b: JaxArray, s: JaxArray) => valueAndGrad((x: JaxArray) => loss(x, b, s))(a),
    [z, q, scalar(0)],
  );
  const [value, gradient] = await program.run(z, q, scalar(0.5));
  await program.dispose();
  return { value: value.item(), gradient: gradient.data };
}

const logProbs = (z: readonly number[]) => {
  const most = Math.max(...z);
  const logTotal = most + Math.log(z.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return z.map((x) => x - logTotal);
};

/** r = p^own q^weak, normalised; the gradient (p - r) / batch is all of it only where none flows through r. */
function reference(
  { own, weak }: ProductConfig,
  logits: readonly number[][],
  targets: readonly number[][],
): { value: number; gradient: number[] } {
  let value = 0;
  const gradient = logits.flatMap((z, b) => {
    const logP = logProbs(z);
    const products = logP.map((x, k) => Math.exp(own * x) * targets[b][k] ** weak);
    const total = products.reduce((a, c) => a + c);
    return logP.map((x, k) => {
      const r = products[k] / total;
      value -= (r * x) / logits.length;
      return (Math.exp(x) - r) / logits.length;
    });
  });
  return { value, gradient };
}

const logits = [
  [1, -0.5, 0.2],
  [0, 0, 0],
  [-2, 3, 1],
  [4, -4, 0],
];
const targets = [
  [0.2, 0.5, 0.3],
  [0.1, 0.1, 0.8],
  [1, 0, 0],
  [0, 0.4, 0.6],
];

describe("productLoss", () => {
  test.each([
    [1, 1],
    [0.5, 1],
    [1, 2],
    [0, 1],
    [1, 0],
  ])("own predictions to the power %f, weak labels to the power %f", async (own, weak) => {
    const { value, gradient } = await evaluate({ own, weak }, logits, targets);
    const expected = reference({ own, weak }, logits, targets);
    expect(value).toBeCloseTo(expected.value, 4);
    expected.gradient.forEach((entry, i) => {
      expect(gradient[i]).toBeCloseTo(entry, 6);
    });
  });

  test("a class that the weak label excludes stays excluded, however sure the student is of it", async () => {
    const { value, gradient } = await evaluate({ own: 1, weak: 1 }, [[100, 0]], [[0, 1]]);
    expect([...gradient]).toEqual([1, -1]);
    expect(value).toBeCloseTo(100, 4);
  });

  test("with uniform weak labels the student is its own teacher: no gradient", async () => {
    const { gradient } = await evaluate(
      { own: 1, weak: 1 },
      logits,
      logits.map(() => [1 / 3, 1 / 3, 1 / 3]),
    );
    for (const entry of gradient) expect(entry).toBeCloseTo(0, 6);
  });
});

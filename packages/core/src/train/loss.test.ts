import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { expect, test } from "vitest";
import { crossEntropy } from "./loss.js";

const logits = new Tensor(Float32Array.of(1, -2, 0.5, 100, -100, 0), [2, 3]);
const targets = new Tensor(Float32Array.of(0.2, 0.3, 0.5, 0, 1, 0), [2, 3]);

test("crossEntropy is the mean of -sum q log p, with the gradient (p - q) / batch, also where p is nearly 0", async () => {
  const program = await compile(
    (z: JaxArray, q: JaxArray) => valueAndGrad((x: JaxArray) => crossEntropy(x, q))(z),
    [logits, targets],
  );
  const [value, gradient] = await program.run(logits, targets);
  await program.dispose();
  let expected = 0;
  for (const row of [0, 1]) {
    const z = [...logits.data.subarray(row * 3, row * 3 + 3)];
    const logTotal = Math.max(...z) + Math.log(z.reduce((sum, x) => sum + Math.exp(x - Math.max(...z)), 0));
    z.forEach((x, k) => {
      const q = targets.data[row * 3 + k];
      expected -= (q * (x - logTotal)) / 2;
      expect(gradient.data[row * 3 + k]).toBeCloseTo((Math.exp(x - logTotal) - q) / 2, 6);
    });
  }
  expect(value.item()).toBeCloseTo(expected, 4);
});

import { compile, Tensor } from "@outgrow/engine";
import { expect, test } from "vitest";
import { createRandom } from "../random.js";
import { applyMlp, initMlp, mlpFeatures } from "./mlp.js";

const random = createRandom(5);

test("the forward pass is that of a slow reference: linear, ReLU, linear, ReLU, linear", async () => {
  const params = initMlp({ inputSize: 3, hidden: [5, 4], outputSize: 2 }, random.stream("params"));
  for (const layer of [...params.hidden, params.output]) {
    layer.bias = new Tensor(random.normals(layer.bias.shape[0]));
  }
  const inputs = new Tensor(random.normals(7 * 3), [7, 3]);
  const program = await compile(
    (p: Parameters<typeof applyMlp>[0], x: Parameters<typeof applyMlp>[1]) => ({
      features: mlpFeatures(p, x),
      output: applyMlp(p, x),
    }),
    [params, inputs] as never,
  );
  const { features, output } = (await program.run(params as never, inputs as never)) as unknown as {
    features: Tensor;
    output: Tensor;
  };
  await program.dispose();

  const linear = (x: number[], { weight, bias }: { weight: Tensor; bias: Tensor }) =>
    Array.from(bias.data, (b, j) =>
      x.reduce((sum, value, i) => sum + value * weight.data[i * weight.shape[1] + j], b),
    );
  for (let row = 0; row < 7; row++) {
    let hidden = [...inputs.data.subarray(row * 3, row * 3 + 3)];
    for (const layer of params.hidden) hidden = linear(hidden, layer).map((value) => Math.max(0, value));
    hidden.forEach((value, i) => {
      expect(features.data[row * 4 + i]).toBeCloseTo(value, 5);
    });
    linear(hidden, params.output).forEach((value, i) => {
      expect(output.data[row * 2 + i]).toBeCloseTo(value, 5);
    });
  }
});

test("weights start with variance 2 / inputs before a ReLU and 1 / inputs before the output, biases at 0", () => {
  const { hidden, output } = initMlp({ inputSize: 50, hidden: [200, 100], outputSize: 80 }, random);
  const variance = ({ data }: Tensor) =>
    (data as Float32Array).reduce((sum, value) => sum + value * value, 0) / data.length;
  // A variance of n normal numbers has the relative standard error sqrt(2 / n), here at most 1.6 %.
  expect(variance(hidden[0].weight) * 50).toSatisfy((value: number) => Math.abs(value / 2 - 1) < 0.07);
  expect(variance(hidden[1].weight) * 200).toSatisfy((value: number) => Math.abs(value / 2 - 1) < 0.07);
  expect(variance(output.weight) * 100).toSatisfy((value: number) => Math.abs(value - 1) < 0.07);
  for (const { bias } of [...hidden, output]) expect(bias.data.every((value) => value === 0)).toBe(true);
});

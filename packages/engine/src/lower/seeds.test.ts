import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { compile } from "../compile.js";
import { Tensor } from "../tensor.js";
import { trace } from "../trace.js";
import { lower } from "./lower.js";
import { product } from "./view.js";

/* One training step of S small networks at once: vmap over a leading axis of seeds. */

const { numpy: np, nn } = jax;
const [seeds, batch, inputs, width, classes] = [3, 32, 24, 48, 56];
const floats = (shape: readonly number[], phase: number) =>
  new Tensor(
    Float32Array.from({ length: product(shape) }, (_, i) => Math.sin(1.7 * i + phase) / 2),
    shape,
  );
const labels = (shape: readonly number[], phase: number) =>
  new Tensor(
    Int32Array.from({ length: product(shape) }, (_, i) => (5 * i + 7 * phase) % classes),
    shape,
  );
type Net<Leaf> = { embed: Leaf; w1: Leaf; b1: Leaf; w2: Leaf; b2: Leaf };
const net = (lead: readonly number[], phase: number): Net<Tensor> => ({
  embed: floats([...lead, classes, width], phase),
  w1: floats([...lead, inputs, width], phase + 1),
  b1: floats([...lead, width], phase + 2),
  w2: floats([...lead, width, classes], phase + 3),
  b2: floats([...lead, classes], phase + 4),
});

/** The loss, and the parameters after one step of gradient descent. */
function step(p: Net<jax.Array>, x: jax.Array, tokens: jax.Array, y: jax.Array) {
  const loss = (p: Net<jax.Array>) => {
    const hidden = nn.relu(np.matmul(x, p.w1).add(p.b1).add(p.embed.slice(tokens)));
    const logits = np.matmul(hidden, p.w2).add(p.b2);
    return nn.logSoftmax(logits, -1).mul(nn.oneHot(y, classes)).sum(-1).mean().neg();
  };
  const [value, gradient] = jax.valueAndGrad(loss)(p);
  const next = jax.tree.map((leaf: jax.Array, by: jax.Array) => leaf.sub(by.mul(0.1)), p, gradient);
  return { value, next: next as Net<jax.Array> };
}

const part = ({ data, shape }: Tensor, seed: number) => {
  const size = data.length / seeds;
  return new Tensor(data.slice(seed * size, (seed + 1) * size), shape.slice(1));
};
const parts = (tree: Net<Tensor>, seed: number) =>
  Object.fromEntries(Object.entries(tree).map(([key, leaf]) => [key, part(leaf, seed)])) as Net<Tensor>;

describe.each([
  ["their own", true],
  ["the same", false],
])("seeds with %s data", (_, own) => {
  const lead = own ? [seeds] : [];
  const data = [
    floats([...lead, batch, inputs], 9),
    labels([...lead, batch], 1),
    labels([...lead, batch], 2),
  ] as const;
  const many = jax.vmap(step as never, [0, ...data.map(() => (own ? 0 : null))]) as unknown as typeof step;

  it("have the results that each has alone", async () => {
    const params = net([seeds], 0);
    const together = await compile(many, [params, ...data]);
    const alone = await compile(step, [
      parts(params, 0),
      ...(data.map((tensor) => (own ? part(tensor, 0) : tensor)) as unknown as typeof data),
    ]);
    const { value, next } = await together.run(params, ...data);
    expect(value.shape).toEqual([seeds]);
    for (let seed = 0; seed < seeds; seed++) {
      const mine = data.map((tensor) => (own ? part(tensor, seed) : tensor)) as unknown as typeof data;
      const expected = await alone.run(parts(params, seed), ...mine);
      expect(value.data[seed]).toBeCloseTo(expected.value.item(), 5);
      for (const [key, leaf] of Object.entries(parts(next, seed))) {
        const wanted = expected.next[key as keyof Net<Tensor>].data;
        expect(
          Math.max(...leaf.data.map((found: number, i: number) => Math.abs(found - wanted[i]))),
        ).toBeLessThan(1e-5);
      }
    }
    await together.dispose();
    await alone.dispose();
  });

  it("are rearranged nowhere but in products that ONNX Runtime folds that into, and repeat nothing large", async () => {
    const { graph } = lower(await trace(many, [net([seeds], 0), ...data]));
    for (const { op, outputs, attributes } of graph.nodes) {
      if (op !== "Transpose") continue;
      expect(attributes.perm).toEqual(graph.shapeOf(outputs[0]).length === 2 ? [1, 0] : [0, 2, 1]);
      const users = graph.nodes.filter((node) => node.inputs.includes(outputs[0]));
      expect(users.map((node) => node.op)).toEqual(["MatMul"]);
    }
    // Nothing is larger than the largest of all seeds' activations and weights.
    const sizes = graph.nodes.flatMap((node) => node.outputs.map((name) => product(graph.shapeOf(name))));
    const largest = seeds * Math.max(batch * classes, width * classes);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(largest);
  });
});

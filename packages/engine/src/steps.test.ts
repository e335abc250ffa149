import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { compileStep, compileSteps } from "./compile.js";
import { scalar, Tensor } from "./tensor.js";

const { numpy: np, nn } = jax;
const range = (shape: readonly number[], from: (i: number) => number = (i) => Math.sin(i + 1)) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, (_, i) => from(i)),
    shape,
  );
const bits = ({ data }: Tensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

type Weights<Leaf> = { w: Leaf; b: Leaf; count: Leaf };

/** Gradient descent on rows, chosen by number, of a table that all steps share. */
function descend(
  { w, b, count }: Weights<jax.Array>,
  { rows, rate }: { rows: jax.Array; rate: jax.Array },
  table: { x: jax.Array; label: jax.Array },
) {
  const [x, label] = [table.x.slice(rows), table.label.slice(rows)];
  const loss = (p: { w: jax.Array; b: jax.Array }) =>
    nn
      .logSoftmax(np.tanh(np.matmul(x, p.w)).add(p.b), -1)
      .mul(nn.oneHot(label, 3))
      .sum(-1)
      .mean()
      .neg();
  const [value, gradient] = jax.valueAndGrad(loss)({ w, b });
  const next = { w: w.sub(gradient.w.mul(rate)), b: b.sub(gradient.b.mul(rate)), count: count.add(1) };
  return [next, { loss: value, weights: w, rows }] as const;
}

const table = { x: range([10, 4]), label: new Tensor(Int32Array.from({ length: 10 }, (_, i) => i % 3)) };
const start = (): Weights<Tensor> => ({
  w: range([4, 3], (i) => Math.cos(i)),
  b: range([3]),
  count: scalar(0),
});
const rowsOf = (step: number) => Int32Array.from({ length: 5 }, (_, i) => (7 * step + 3 * i) % 10);
const oneStep = { rows: new Tensor(rowsOf(0)), rate: scalar(0) };
const stepsFrom = (first: number, count: number) => ({
  rows: new Tensor(Int32Array.from(Array.from({ length: count }, (_, k) => [...rowsOf(first + k)]).flat()), [
    count,
    5,
  ]),
  rate: range([count], (k) => 0.1 / (1 + first + k)),
});

describe("several steps in one run", () => {
  it("have the bits of as many runs of one step, in whatever runs they come", async () => {
    const single = await compileStep(descend, [start(), oneStep, table]);
    const several = await compileSteps(descend, [start(), oneStep, table]);
    const losses: number[] = [];
    const weights: string[] = [];
    for (let k = 0; k < 9; k++) {
      const result = await single.run({ rows: new Tensor(rowsOf(k)), rate: scalar(0.1 / (1 + k)) }, table);
      losses.push(result.loss.item());
      weights.push(bits(result.weights));
    }
    const found: number[] = [];
    const foundWeights: string[] = [];
    let first = 0;
    for (const count of [1, 3, 5]) {
      const { loss, weights, rows } = await several.run(stepsFrom(first, count), table);
      expect([loss.shape, weights.shape, rows.dtype, rows.shape]).toEqual([
        [count],
        [count, 4, 3],
        "int32",
        [count, 5],
      ]);
      found.push(...loss.data);
      for (let k = 0; k < count; k++) {
        foundWeights.push(bits(new Tensor(weights.data.slice(12 * k, 12 * (k + 1)))));
      }
      first += count;
    }
    expect(found).toEqual(losses);
    expect(foundWeights).toEqual(weights);
    const [one, other] = [await single.carry(), await several.carry()];
    expect(other.count.item()).toBe(9);
    expect([bits(other.w), bits(other.b)]).toEqual([bits(one.w), bits(one.b)]);
    await single.dispose();
    await several.dispose();
  });

  it("start from a carry that is set, and leave it to the caller", async () => {
    const program = await compileSteps(
      (total: jax.Array, x: jax.Array) => [total.add(x), total] as const,
      [scalar(0), scalar(0)],
    );
    const carry = scalar(10);
    program.setCarry(carry);
    const before = await program.run(range([4], (i) => i + 1));
    expect([...before.data]).toEqual([10, 11, 13, 16]);
    expect([(await program.carry()).item(), carry.item()]).toEqual([20, 10]);
    before.data.fill(0);
    expect([...(await program.run(range([1], () => 5))).data]).toEqual([20]);
    await program.dispose();
  });

  it("give inputs, constants and the carry itself as results", async () => {
    const program = await compileSteps(
      (carry: { a: jax.Array; b: jax.Array }, x: jax.Array, c: jax.Array) =>
        [{ a: carry.b, b: carry.a }, [x, c, carry.a, np.array([7, 8])]] as const,
      [{ a: scalar(1), b: scalar(2) }, scalar(0), scalar(0)],
    );
    const [x, c, a, constant] = await program.run(
      range([3], (i) => i),
      scalar(4),
    );
    expect([x, c, a, constant].map(({ data }) => [...data])).toEqual([
      [0, 1, 2],
      [4, 4, 4],
      [1, 2, 1],
      [7, 8, 7, 8, 7, 8],
    ]);
    const { a: first, b: second } = await program.carry();
    expect([first.item(), second.item()]).toEqual([2, 1]);
    await program.dispose();
  });

  it("are refused where their number is zero, unknown or not the same for all inputs", async () => {
    const program = await compileSteps(descend, [start(), oneStep, table], { name: "descend" });
    const { rows } = stepsFrom(0, 2);
    await expect(program.run({ rows, rate: range([3]) }, table)).rejects.toThrow(
      /Argument 1\.rate of "descend" must be float32\[steps\], steps = 2, as it was compiled for; given: float32\[3\]/,
    );
    await expect(program.run({ rows, rate: scalar(0) }, table)).rejects.toThrow(/given: float32\[\]/);
    const none = { rows: new Tensor(new Int32Array(), [0, 5]), rate: new Tensor(new Float32Array()) };
    await expect(program.run(none, table)).rejects.toThrow(/must be int32\[steps,5\], steps = 0/);
    expect((await program.carry()).count.item()).toBe(0);
    await program.dispose();
    const noInputs = (carry: jax.Array, _: never[]) => [carry.add(1), carry] as const;
    await expect(compileSteps(noInputs, [scalar(0), []])).rejects.toThrow(/"noInputs" have no inputs/);
    const grows = (carry: jax.Array, x: jax.Array) => [np.stack([carry, x]), x] as const;
    await expect(compileSteps(grows as never, [scalar(0), scalar(0)] as never)).rejects.toThrow(
      /Leaf 0 is float32\[\] going in and float32\[2\] coming out/,
    );
  });
});

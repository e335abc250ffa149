import * as jax from "@jax-js/jax";
import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { beforeAll, describe, expect, it } from "vitest";
import { channelBlock } from "../channel-block.js";
import { compile } from "../compile.js";
import { Tensor } from "../tensor.js";
import { expectAgreement, sample } from "../testing/agreement.js";
import { trace } from "../trace.js";
import { BLOCKED_DOMAIN } from "./blocked-convolution.js";
import { lower } from "./lower.js";

const { lax, vmap, numpy: np } = jax;

beforeAll(() => {
  jax.defaultDevice("wasm");
});

interface Axis {
  input: number;
  kernel: number;
  stride: number;
  dilation: number;
  spacing: number;
  padding: [number, number];
}

/** An axis of images and kernels on which at least one place is left. */
const axis = fc
  .record({
    input: fc.integer({ min: 1, max: 6 }),
    kernel: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 3 }),
    spacing: fc.integer({ min: 1, max: 3 }),
    padding: fc.tuple(fc.integer({ min: -2, max: 3 }), fc.integer({ min: -2, max: 3 })),
  })
  .filter(({ input, kernel, dilation, spacing, padding: [before, after] }: Axis) => {
    const cut = before < -input || after < -input || before + after < -input;
    return !cut && (input - 1) * spacing + 1 + before + after >= (kernel - 1) * dilation + 1;
  });

const convolve = (axes: readonly Axis[], groups = 1) => {
  const list = <Key extends keyof Axis>(key: Key) => axes.map((entry) => entry[key]);
  return (x: jax.Array, w: jax.Array) =>
    lax.convGeneralDilated(x, w, list("stride"), list("padding"), {
      lhsDilation: list("spacing"),
      rhsDilation: list("dilation"),
      featureGroupCount: groups,
    });
};

const plain = (input: number, kernel: number, stride = 1, padding: [number, number] = [0, 0]): Axis => ({
  input,
  kernel,
  stride,
  dilation: 1,
  spacing: 1,
  padding,
});

/** The axes of images and kernels that are mapped over. */
type Axes = [number | null, number | null];

const small = fc.integer({ min: 1, max: 3 });

describe("convolutions", () => {
  it("agree with jax-js, with both gradients, for any stride, dilation, padding and number of groups", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(axis, { minLength: 0, maxLength: 3 }),
        small,
        small,
        small,
        small,
        async (axes, batch, channels, filters, groups) => {
          const x = sample([batch, groups * channels, ...axes.map(({ input }) => input)]);
          const w = sample([groups * filters, channels, ...axes.map(({ kernel }) => kernel)], 2);
          await expectAgreement(convolve(axes, groups), [x, w]);
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  it("agree under vmap over images, over kernels, over both and twice", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(axis, { minLength: 1, maxLength: 2 }),
        small,
        small,
        // jax-js itself cannot nest maps over an inner axis and over none.
        fc.oneof(
          fc.array(fc.constantFrom<Axes>([0, 0], [0, null], [null, 0]), { minLength: 1, maxLength: 2 }),
          fc.constant<Axes[]>([[1, 0]]),
        ),
        async (axes, channels, filters, maps) => {
          const xs = [2, channels, ...axes.map(({ input }) => input)];
          const ws = [filters, channels, ...axes.map(({ kernel }) => kernel)];
          let fn: (x: jax.Array, w: jax.Array) => jax.Array = convolve(axes);
          for (const [i, j] of maps) {
            if (i !== null) xs.splice(i, 0, 3);
            if (j !== null) ws.splice(j, 0, 3);
            fn = vmap(fn as never, [i, j] as never) as never;
          }
          await expectAgreement(fn, [sample(xs), sample(ws, 2)]);
        },
      ),
      { numRuns: 30 },
    );
  }, 60_000);

  // Large enough for the convolutions in blocks of channels, and for their gradients.
  const square = (axis: Axis) => [axis, axis];
  const large: [string, number[], number[], Axis[], number][] = [
    ["3x3", [16, 16, 8, 8], [16, 16, 3, 3], square(plain(8, 3, 1, [1, 1])), 1],
    ["3x3 with stride", [16, 16, 9, 8], [32, 16, 3, 3], [plain(9, 3, 2, [1, 1]), plain(8, 3, 2, [0, 2])], 1],
    ["of three channels", [16, 3, 16, 16], [16, 3, 3, 3], square(plain(16, 3, 1, [1, 1])), 1],
    ["with filters to fill up", [16, 16, 8, 8], [24, 16, 3, 3], square(plain(8, 3)), 1],
    ["1x1 with stride", [16, 32, 16, 16], [32, 32, 1, 1], square(plain(16, 1, 2)), 1],
    ["in groups", [16, 32, 6, 6], [32, 16, 3, 3], square(plain(6, 3, 1, [1, 1])), 2],
    ["along one axis", [16, 16, 80], [32, 16, 5], [plain(80, 5, 2, [2, 2])], 1],
  ];
  it.each(large)("agree where channels lie in blocks: %s", async (_, xs, ws, axes, groups) => {
    const fn = convolve(axes, groups);
    await expectAgreement((x, w) => fn(x, w.mul(0.05)), [sample(xs), sample(ws, 2)], 1e-4);
  });

  it("use blocks of channels where the processor has them, and never in the ONNX file", async () => {
    const fn = convolve([plain(16, 3), plain(16, 3)]);
    const gradient = jax.grad((w: jax.Array, x: jax.Array) => fn(x, w).sum());
    const args = [sample([16, 16, 3, 3]), sample([16, 16, 16, 16], 2)];
    const traced = await trace(gradient, args);
    const blocked = (block: number) =>
      lower(traced, block).graph.nodes.some(({ domain }) => domain === BLOCKED_DOMAIN);
    expect([blocked(1), blocked(16)]).toEqual([false, true]);

    const program = await compile(gradient as never, args as never, { outputNames: ["gradient"] });
    const here = (await program.run(...(args as never[]))) as unknown as Tensor;
    const file = program.toOnnx();
    await program.dispose();
    expect(Buffer.from(file).includes(BLOCKED_DOMAIN)).toBe(false);
    const session = await ort.InferenceSession.create(file);
    const feeds = session.inputNames.map((name, i) => [
      name,
      new ort.Tensor("float32", args[i].data as Float32Array, args[i].shape),
    ]);
    const { gradient: there } = await session.run(Object.fromEntries(feeds));
    await session.release();
    (there.data as Float32Array).forEach((x, i) => {
      expect(Math.abs(x - here.data[i])).toBeLessThan(1e-3);
    });
  });

  it("finds how many channels a block has: a power of two", async () => {
    expect([1, 4, 8, 16]).toContain(await channelBlock());
  });

  const run = async (
    fn: (x: jax.Array, w: jax.Array) => jax.Array,
    x: Tensor,
    w: Tensor,
  ): Promise<Tensor> => {
    const program = await compile(fn as never, [x, w] as never);
    const result = (await program.run(...([x, w] as never[]))) as unknown as Tensor;
    await program.dispose();
    return result;
  };
  const ramp = (shape: number[]) =>
    new Tensor(
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + 1),
      shape,
    );

  it("with a kernel of one 1 in the middle give the image; one place aside, the image shifted", async () => {
    const x = ramp([1, 1, 3, 3]);
    const one = (at: number) =>
      new Tensor(
        Float32Array.from({ length: 9 }, (_, i) => (i === at ? 1 : 0)),
        [1, 1, 3, 3],
      );
    const same = convolve([plain(3, 3, 1, [1, 1]), plain(3, 3, 1, [1, 1])]);
    expect([...(await run(same, x, one(4))).data]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([...(await run(same, x, one(3))).data]).toEqual([0, 1, 2, 0, 4, 5, 0, 7, 8]);
    expect([...(await run(same, x, one(7))).data]).toEqual([4, 5, 6, 7, 8, 9, 0, 0, 0]);
  });

  it("with a kernel of ones give sums of neighbours", async () => {
    const ones = new Tensor(new Float32Array(3).fill(1), [1, 1, 3]);
    const sums = await run(convolve([plain(5, 3, 1, [1, 1])]), ramp([1, 1, 5]), ones);
    expect([...sums.data]).toEqual([3, 6, 9, 12, 9]);
  });

  it("of integers are exact", async () => {
    const x = new Tensor(Int32Array.of(1 << 24, 1, -3, 7), [1, 1, 4]);
    const w = new Tensor(Int32Array.of(1, 1), [1, 1, 2]);
    const sums = await run(convolve([plain(4, 2)]), x, w);
    expect([sums.dtype, ...sums.data]).toEqual(["int32", (1 << 24) + 1, -2, 4]);
  });

  it("have their transpose as adjoint: <conv(x), y> = <x, transpose(y)>", async () => {
    await fc.assert(
      fc.asyncProperty(axis, async (entry) => {
        const fn = convolve([{ ...entry, spacing: 1, padding: [1, 2] }]);
        const shape = [2, 3, entry.input + 4];
        const x = sample(shape);
        const w = sample([4, 3, entry.kernel], 2);
        const both = (a: jax.Array, b: jax.Array) => {
          const y = fn(a, b);
          const direction = np.sin(y);
          const [, pullback] = jax.vjp((z: jax.Array) => fn(z, b), [a]);
          const [adjoint] = pullback(direction) as unknown as jax.Array[];
          return np.stack([y.mul(direction).sum(), adjoint.mul(a).sum()]);
        };
        const [left, right] = (await run(both, x, w)).data;
        expect(right).toBeCloseTo(left, 3);
      }),
      { numRuns: 15 },
    );
  });
});

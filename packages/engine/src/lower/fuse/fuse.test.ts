import * as jax from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../compile.js";
import { Tensor } from "../../tensor.js";
import { trace, withoutReferenceCounts } from "../../trace.js";
import { fuse } from "./fuse.js";

const { numpy: np, nn } = jax;

beforeAll(() => {
  jax.defaultDevice("wasm");
});

type Fn = (...args: jax.Array[]) => jax.Array;

const floats = (shape: readonly number[], from: (i: number) => number = (i) => 2 * Math.sin(3 * i + 1)) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, (_, i) => from(i)),
    shape,
  );

const toJax = ({ data, shape }: Tensor) => np.array(data as Float32Array, { shape: [...shape] });

/** What jax-js gives for a function that may use its arguments as often as it likes. */
function eagerly(fn: Fn, args: readonly Tensor[]): number[][] {
  const traced = jax.jit((...list: jax.Array[]) => withoutReferenceCounts(() => fn(...list)));
  const result = traced(...args.map(toJax)) as unknown as jax.Array | jax.Array[];
  const leaves = Array.isArray(result) ? result : [result];
  return leaves.map((leaf) => Array.from<number>(leaf.dataSync()));
}

async function compiled(fn: Fn, args: readonly Tensor[]): Promise<number[][]> {
  const program = await compile(fn, args as never);
  const result = (await program.run(...(args as never[]))) as unknown as Tensor | Tensor[];
  await program.dispose();
  return (Array.isArray(result) ? result : [result]).map((tensor) => Array.from(tensor.data));
}

async function primitives(fn: Fn, args: readonly Tensor[]): Promise<string[]> {
  const { jaxpr } = await trace(fn, args);
  return fuse(jaxpr).eqns.map((equation) => equation.primitive);
}

async function agree(fn: Fn, args: readonly Tensor[], tolerance = 2e-5) {
  const [theirs, ours] = [eagerly(fn, args), await compiled(fn, args)];
  expect(ours.length).toBe(theirs.length);
  theirs.forEach((list, k) => {
    const scale = list.reduce(
      (most, value) => Math.max(most, Number.isFinite(value) ? Math.abs(value) : 0),
      1,
    );
    list.forEach((value, i) => {
      if (Object.is(value, ours[k][i])) return;
      expect(
        Math.abs(value - ours[k][i]),
        `output ${k}, element ${i}: ${value} and ${ours[k][i]}`,
      ).toBeLessThan(tolerance * scale);
    });
  });
}

/** Gradients by all arguments of the function's product with an array that no symmetry makes zero, another in each batch. */
const gradient =
  (fn: Fn): Fn =>
  (...args) => {
    const phase = args[0].sum();
    const loss = (...list: jax.Array[]) => {
      const result = fn(...list);
      const size = result.shape.reduce((n, length) => n * length, 1);
      const places = np.arange(size).astype(np.float32).reshape(result.shape);
      return np.sin(places.add(phase)).mul(result).sum();
    };
    return jax.grad(loss, { argnums: args.map((_, i) => i) })(...args) as unknown as jax.Array;
  };

const rows = [floats([2, 3, 5])];
const affine = [floats([2, 3, 5]), floats([5], (i) => 1 + i / 4), floats([5], (i) => i / 3)];

function layerNorm(x: jax.Array, scale: jax.Array, bias: jax.Array) {
  const centred = x.sub(x.mean(-1, { keepdims: true }));
  const variance = centred.mul(centred).mean(-1, { keepdims: true });
  return centred
    .div(np.sqrt(variance.add(1e-5)))
    .mul(scale)
    .add(bias);
}
const rmsNorm = (x: jax.Array, scale: jax.Array) =>
  x.div(np.sqrt(x.mul(x).mean(-1, { keepdims: true }).add(1e-6))).mul(scale);
const erfGelu = (x: jax.Array) => jax.scipySpecial.erf(x.mul(Math.SQRT1_2)).add(1).mul(x).mul(0.5);
const exactGelu = (x: jax.Array) => nn.gelu(x, { approximate: false });

/** With the primitives in whose place forms stand: after fusing there must be none of `gone`. */
const cases: {
  name: string;
  fn: Fn;
  args: readonly Tensor[];
  value?: string;
  slope: string;
  gone: string[];
  /** Not recognised in a batch: there jax-js orders its sums in another way. */
  onlyAlone?: boolean;
}[] = [
  {
    name: "softmax",
    fn: (x) => nn.softmax(x),
    args: rows,
    value: "softmax",
    slope: "softmax_gradient",
    gone: ["exp", "reciprocal"],
  },
  {
    name: "softmax along the first axis",
    fn: (x) => nn.softmax(x, 0),
    args: rows,
    value: "softmax",
    slope: "softmax_gradient",
    gone: ["exp"],
  },
  {
    name: "softmax along two axes",
    fn: (x) => nn.softmax(x, [0, 2] as never),
    args: rows,
    value: "softmax",
    slope: "softmax_gradient",
    gone: ["exp"],
  },
  {
    name: "log-softmax",
    fn: (x) => nn.logSoftmax(x),
    args: rows,
    value: "log_softmax",
    slope: "log_softmax_gradient",
    gone: ["exp", "log"],
  },
  {
    name: "log-softmax along the middle axis",
    fn: (x) => nn.logSoftmax(x, 1),
    args: rows,
    value: "log_softmax",
    slope: "log_softmax_gradient",
    gone: ["exp", "log"],
  },
  {
    name: "cross-entropy",
    fn: (x) =>
      nn
        .logSoftmax(x)
        .mul(
          nn.oneHot(
            np.array(
              [
                [1, 0, 4],
                [2, 2, 3],
              ],
              { dtype: np.int32 },
            ),
            5,
          ),
        )
        .sum(-1)
        .mean()
        .neg(),
    args: rows,
    value: "log_softmax",
    slope: "log_softmax_gradient",
    gone: ["exp", "log"],
  },
  {
    name: "layer norm",
    fn: layerNorm as Fn,
    args: affine,
    value: "layer_norm",
    slope: "standardise_gradient",
    gone: ["sqrt", "reciprocal"],
  },
  {
    name: "layer norm in a residual branch",
    fn: ((x: jax.Array, s: jax.Array, b: jax.Array) => x.add(layerNorm(x, s, b))) as Fn,
    args: affine,
    value: "layer_norm",
    slope: "standardise_gradient",
    gone: ["sqrt"],
  },
  {
    name: "standardize",
    onlyAlone: true,
    fn: (x) => nn.standardize(x),
    args: rows,
    value: "standardise",
    slope: "standardise_gradient",
    gone: ["sqrt", "reciprocal"],
  },
  {
    name: "standardize over all, in a residual branch",
    onlyAlone: true,
    fn: (x) => x.add(nn.standardize(x, null as never)),
    args: rows,
    value: "standardise",
    slope: "standardise_gradient",
    gone: ["sqrt"],
  },
  { name: "RMS norm", fn: rmsNorm as Fn, args: affine.slice(0, 2), slope: "rms_gradient", gone: [] },
  {
    name: "RMS norm in a residual branch",
    fn: ((x: jax.Array, s: jax.Array) => x.add(rmsNorm(x, s))) as Fn,
    args: affine.slice(0, 2),
    slope: "rms_gradient",
    gone: [],
  },
  {
    name: "GELU by tanh",
    fn: (x) => nn.gelu(x),
    args: rows,
    value: "gelu",
    slope: "gelu_gradient",
    gone: ["exp", "where", "tanh"],
  },
  {
    name: "exact GELU",
    fn: exactGelu,
    args: rows,
    value: "gelu",
    slope: "gelu_gradient",
    gone: ["exp", "erfc"],
  },
  {
    name: "exact GELU by erf",
    fn: erfGelu,
    args: rows,
    value: "gelu",
    slope: "gelu_gradient",
    gone: ["exp", "erf"],
  },
  {
    name: "exact GELU by erf, halved first",
    fn: (x) => x.mul(0.5).mul(jax.scipySpecial.erf(x.mul(Math.SQRT1_2)).add(1)),
    args: rows,
    value: "gelu",
    slope: "gelu_gradient",
    gone: ["exp", "erf"],
  },
  {
    name: "SiLU",
    fn: (x) => nn.silu(x),
    args: rows,
    value: "sigmoid",
    slope: "silu_gradient",
    gone: ["exp", "reciprocal"],
  },
  {
    name: "sigmoid",
    fn: (x) => nn.sigmoid(x),
    args: rows,
    value: "sigmoid",
    slope: "sigmoid_gradient",
    gone: ["exp", "reciprocal"],
  },
  {
    name: "tanh",
    fn: (x) => np.tanh(x),
    args: rows,
    value: "tanh",
    slope: "tanh_gradient",
    gone: ["exp", "where"],
  },
];

describe("a form that jax-js spells out", () => {
  it.each(cases)("$name is recognised and gives the same value, gradient and vmaps of both", async (form) => {
    const { fn, args, value, slope, gone, onlyAlone } = form;
    const found = await primitives(fn, args);
    if (value) expect(found).toContain(value);
    const both = await primitives(
      ((...list: jax.Array[]) => [fn(...list), gradient(fn)(...list)]) as never,
      args,
    );
    expect(both).toContain(slope);
    for (const primitive of gone) expect(both).not.toContain(primitive);
    await agree(fn, args);
    await agree(gradient(fn), args);
    await agree(((...list: jax.Array[]) => [fn(...list), gradient(fn)(...list)].flat()) as never, args);
    const batched = args.map(({ shape }, k) => floats([4, ...shape], (i) => 1.5 * Math.cos(2 * i + k)));
    await agree(((...list: jax.Array[]) => jax.vmap(fn)(...list)) as Fn, batched);
    await agree(((...list: jax.Array[]) => jax.vmap(gradient(fn) as Fn)(...list)) as Fn, batched);
    const inBatch = await primitives((...list) => jax.vmap(gradient(fn) as Fn)(...list), batched);
    if (!onlyAlone) expect(inBatch).toContain(slope);
  });

  const unary: Fn[] = [
    (x) => nn.softmax(x),
    (x) => nn.logSoftmax(x),
    (x) => nn.standardize(x),
    (x) => nn.gelu(x),
    (x) => nn.silu(x),
  ];

  it("is recognised on operands that lie transposed or are repeated", async () => {
    const wide = (x: jax.Array) => np.broadcastTo(x.transpose([1, 0]).reshape([4, 1, 3]), [4, 2, 3]);
    for (const fn of unary) {
      await agree((x) => fn(wide(x)), [floats([3, 4])]);
      await agree(
        gradient((x) => fn(wide(x))),
        [floats([3, 4])],
      );
    }
    const across = (x: jax.Array) => nn.softmax(np.broadcastTo(x.reshape([3, 4, 1]), [3, 4, 5]));
    await agree(gradient(across), [floats([3, 4])]);
  });

  it("is right beside gradients that vmap has given an axis more", async () => {
    // The gradient of the form is the same for the whole batch; that of the product with `factor` is not.
    for (const fn of [...unary, (x: jax.Array) => nn.standardize(x, 0, { epsilon: 0.1 })]) {
      const loss = (factor: jax.Array, x: jax.Array) =>
        fn(x)
          .mul(np.array([1, 0.5, -0.3]))
          .sum()
          .add(x.sum().mul(factor));
      const slope = jax.grad(loss, { argnums: 1 }) as unknown as Fn;
      const overFactors = ((factors: jax.Array, x: jax.Array) =>
        jax.vmap(slope, [0, null])(factors, x)) as Fn;
      await agree(overFactors, [floats([2]), floats([3])]);
    }
  });

  it("keeps large numbers and masked places", async () => {
    const large = floats([3, 4], (i) => [1e4, -1e4, 30, -30, 9, -9, 0, 1e-20, 88, -88, 500, -500][i]);
    const forms: Fn[] = [
      (x) => nn.softmax(x),
      (x) => nn.logSoftmax(x),
      (x) => nn.gelu(x),
      erfGelu,
      exactGelu,
      (x) => nn.silu(x),
      (x) => nn.sigmoid(x),
    ];
    for (const fn of forms) {
      await agree(fn, [large]);
      for (const slope of await compiled(gradient(fn), [large]))
        expect(slope.every(Number.isFinite)).toBe(true);
    }
    const masked = (x: jax.Array) => nn.softmax(np.where(np.tri(4, 4, 0, { dtype: np.bool }), x, -Infinity));
    await agree(masked, [floats([4, 4])]);
    await agree(gradient(masked), [floats([4, 4])]);
  });
});

describe("attention", () => {
  const [query, key, value] = [1, 2, 3].map((k) => floats([2, 6, 3, 4], (i) => Math.sin(k * i + k)));
  /** As nn.dotProductAttention, whose einsum needs a newer Node than this. `visible`: what a query may see. */
  const attention =
    (visible?: () => jax.Array): Fn =>
    (...args) => {
      const [q, k, v] = args.map((x) => x.transpose([0, 2, 1, 3]));
      const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(0.5);
      const weights = nn.softmax(visible ? np.where(visible(), scores, -Infinity) : scores, -1);
      return np.matmul(weights, v).transpose([0, 2, 1, 3]);
    };
  const causal = () => np.tri(6, 6, 0, { dtype: np.bool });

  it.each([
    ["of all", undefined],
    ["causal", causal],
    ["of a window", () => np.logicalAnd(causal(), np.tri(6, 6, -3, { dtype: np.bool }).notEqual(true))],
  ])("%s is products around softmax", async (_, visible) => {
    const fn = attention(visible);
    const args = [query, key, value];
    const found = await primitives(
      ((...list: jax.Array[]) => [fn(...list), gradient(fn)(...list)]) as never,
      args,
    );
    expect(found).toEqual(expect.arrayContaining(["softmax", "softmax_gradient"]));
    expect(found).not.toContain("exp");
    await agree(fn, args);
    await agree(gradient(fn), args);
    const batched = args.map((x) => floats([2, ...x.shape]));
    await agree(((...list: jax.Array[]) => jax.vmap(gradient(fn) as Fn)(...list)) as Fn, batched);
  });

  it("turns rotary embedding as jax-js does", async () => {
    const rotate = (x: jax.Array) =>
      np.concatenate([x.slice([], [], [], [2, 4]).neg(), x.slice([], [], [], [0, 2])], -1);
    const angles = np
      .arange(6)
      .astype(np.float32)
      .reshape([6, 1])
      .mul(np.array([1, 0.1, 1, 0.1]));
    const rotary = (x: jax.Array) =>
      x.mul(np.cos(angles).reshape([6, 1, 4])).add(rotate(x).mul(np.sin(angles).reshape([6, 1, 4])));
    const fn: Fn = (q, k, v) => attention(causal)(rotary(q), rotary(k), v);
    await agree(fn, [query, key, value]);
    await agree(gradient(fn), [query, key, value]);
  });
});

describe("what only looks like a form", () => {
  const square = [floats([4, 4])];
  const max = (x: jax.Array, axis: number) => x.max(axis, { keepdims: true });
  const cases: [string, Fn][] = [
    [
      "a softmax whose sum runs over another axis",
      (x) => {
        const e = np.exp(x.sub(max(x, 1)));
        return e.div(e.sum(0, { keepdims: true }));
      },
    ],
    [
      "a softmax whose sum lies across",
      (x) => {
        const e = np.exp(x.sub(max(x, 1)));
        return e.div(e.sum(1));
      },
    ],
    [
      "a softmax less the maximum of something else",
      (x) => {
        const e = np.exp(x.sub(max(x.mul(2), 1)));
        return e.div(e.sum(1, { keepdims: true }));
      },
    ],
    [
      "a layer norm with a wrong share",
      (x) => {
        const c = x.sub(x.sum(1, { keepdims: true }).mul(0.2));
        return c.div(np.sqrt(c.mul(c).mean(1, { keepdims: true }).add(1e-5)));
      },
    ],
    [
      "a layer norm of means across",
      (x) => {
        const c = x.sub(x.mean(1));
        return c.div(np.sqrt(c.mul(c).mean(1, { keepdims: true }).add(1e-5)));
      },
    ],
    ["a GELU with another constant", (x) => x.mul(0.5).mul(jax.scipySpecial.erf(x.mul(0.7)).add(1))],
    ["a GELU of two", (x) => x.mul(0.5).mul(jax.scipySpecial.erf(x.transpose().mul(Math.SQRT1_2)).add(1))],
    ["a sigmoid of two", (x) => np.reciprocal(np.exp(x.neg()).add(2))],
  ];

  it.each(cases)("%s is left as it is", async (_, fn) => {
    const { jaxpr } = await trace(fn, square);
    expect(fuse(jaxpr).eqns.map((equation) => equation.primitive)).toEqual(
      jaxpr.eqns.map((equation) => equation.primitive),
    );
    await agree(fn, square, 1e-4);
    await agree(gradient(fn), square, 1e-4);
  });
});

import type { Array as JaxArray } from "@jax-js/jax";
import { compile, namedLeaves, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { applyTransformer, initTransformer, type TransformerParams, tokenLogits } from "./transformer.js";
import { type TransformerConfig, transformerConfig } from "./transformer-config.js";

const tiny = transformerConfig("gpt2", {
  vocabularySize: 7,
  contextLength: 6,
  width: 4,
  layers: 1,
  heads: 2,
  mlp: "gelu",
});
const random = createRandom(11);
const isTensor = (node: unknown): node is Tensor => node instanceof Tensor;

/** Parameters far from their small start, biases and scales too, so that every one of them matters. */
function wildParams(config: TransformerConfig): TransformerParams<Tensor> {
  const params = initTransformer(config, random);
  for (const [path, { data }] of namedLeaves(params as never, isTensor)) {
    data.set(random.stream(path).normals(data.length, 0.7));
  }
  return params;
}

const ints = (values: number[][]) =>
  new Tensor(Int32Array.from(values.flat()), [values.length, values[0].length]);
const floats = (values: number[][]) =>
  new Tensor(Float32Array.from(values.flat()), [values.length, values[0].length]);

/** Hidden states and token logits of any number of inputs of the same shape. */
async function compileModel(config: TransformerConfig, tokens: Tensor, mask?: Tensor) {
  const params = wildParams(config);
  const apply = (p: TransformerParams<JaxArray>, t: JaxArray, m?: JaxArray) => {
    const { hidden } = applyTransformer(config, p, t, { mask: m });
    return { hidden, logits: tokenLogits(p, hidden) };
  };
  const program = await compile(apply as never, [params, tokens, ...(mask ? [mask] : [])] as never);
  const run = program.run as unknown as (...args: unknown[]) => Promise<{ hidden: Tensor; logits: Tensor }>;
  return { params, run: (...args: Tensor[]) => run(params, ...args), dispose: () => program.dispose() };
}

/** By its Maclaurin series, which does for the arguments met here. */
function erf(x: number): number {
  let sum = 0;
  let term = x;
  for (let n = 0; n < 100; n++) {
    sum += term / (2 * n + 1);
    term *= -(x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** The hidden states of one sequence, written out in loops: `[time][width]`. */
function slowTransformer(
  { width, heads, causal }: TransformerConfig,
  params: TransformerParams<Tensor>,
  tokens: readonly number[],
  mask: readonly number[],
): number[][] {
  const row = ({ data, shape }: Tensor, i: number) => [...data.subarray(i * shape[1], (i + 1) * shape[1])];
  const linear = ({ weight, bias }: { weight: Tensor; bias?: Tensor }, x: number[]) =>
    Array.from((bias as Tensor).data, (b, j) =>
      x.reduce((sum, value, i) => sum + value * weight.data[i * weight.shape[1] + j], b),
    );
  const norm = ({ scale, bias }: { scale: Tensor; bias?: Tensor }, x: number[]) => {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    return x.map(
      (value, i) => ((value - mean) / Math.sqrt(variance + 1e-5)) * scale.data[i] + (bias as Tensor).data[i],
    );
  };
  const add = (a: number[], b: number[]) => a.map((value, i) => value + b[i]);

  let hidden = tokens.map((token, t) => add(row(params.tokens, token), row(params.positions as Tensor, t)));
  for (const block of params.blocks) {
    const normed = hidden.map((x) => norm(block.norm1, x));
    const queries = normed.map((x) => linear(block.queries, x));
    const keys = normed.map((x) => linear(block.keys, x));
    const values = normed.map((x) => linear(block.values, x));
    const size = width / heads;
    const mixed = queries.map((query, t) => {
      const result = Array(width).fill(0);
      for (let head = 0; head < heads; head++) {
        const places = Array.from({ length: size }, (_, i) => head * size + i);
        const powers = keys.map((key, at) => {
          if (mask[at] === 0 || (causal && at > t)) return 0;
          return Math.exp(places.reduce((sum, i) => sum + query[i] * key[i], 0) / Math.sqrt(size));
        });
        const total = powers.reduce((a, b) => a + b);
        for (const i of places) {
          result[i] = powers.reduce((sum, power, at) => sum + (power / total) * values[at][i], 0);
        }
      }
      return result;
    });
    hidden = hidden.map((x, t) => add(x, linear(block.out, mixed[t])));
    hidden = hidden.map((x) => {
      const inner = linear(block.up, norm(block.norm2, x));
      return add(
        x,
        linear(
          block.down,
          inner.map((value) => (value * (1 + erf(value / Math.SQRT2))) / 2),
        ),
      );
    });
  }
  return hidden.map((x) => norm(params.norm, x));
}

describe("applyTransformer", () => {
  test.each([
    ["causal", true, 1],
    ["bidirectional", false, 1],
    ["causal, two layers", true, 2],
  ])("is what a slow reference in loops computes: %s", async (_, causal, layers) => {
    const config = { ...tiny, causal, layers };
    const tokens = [
      [1, 5, 0, 2, 6],
      [3, 3, 4, 0, 0],
    ];
    const mask = [
      [1, 1, 1, 1, 1],
      [1, 1, 1, 0, 0],
    ];
    const model = await compileModel(config, ints(tokens), floats(mask));
    const { hidden, logits } = await model.run(ints(tokens), floats(mask));
    await model.dispose();
    expect([hidden.shape, logits.shape]).toEqual([
      [2, 5, 4],
      [2, 5, 7],
    ]);
    tokens.forEach((sequence, b) => {
      const expected = slowTransformer(config, model.params, sequence, mask[b]);
      expected.forEach((state, t) => {
        if (mask[b][t] === 0) return;
        state.forEach((value, i) => {
          expect(hidden.data[(b * 5 + t) * 4 + i]).toBeCloseTo(value, 4);
        });
        for (let token = 0; token < 7; token++) {
          const logit = state.reduce(
            (sum, value, i) => sum + value * model.params.tokens.data[token * 4 + i],
            0,
          );
          expect(logits.data[(b * 5 + t) * 7 + token]).toBeCloseTo(logit, 4);
        }
      });
    });
  });

  test("causal: a later token leaves what stands before it as it was; else it does not", async () => {
    for (const causal of [true, false]) {
      const tokens = [1, 2, 3, 4, 5];
      const model = await compileModel({ ...tiny, layers: 2, causal }, ints([tokens]));
      const { hidden } = await model.run(ints([tokens]));
      for (let changed = 1; changed < 5; changed++) {
        const other = await model.run(ints([tokens.map((token, t) => (t === changed ? 6 : token))]));
        const before = (tensor: Tensor) => [...tensor.data.subarray(0, changed * 4)];
        const at = (tensor: Tensor) => [...tensor.data.subarray(changed * 4, (changed + 1) * 4)];
        if (causal) expect(before(other.hidden)).toEqual(before(hidden));
        else expect(before(other.hidden)).not.toEqual(before(hidden));
        expect(at(other.hidden)).not.toEqual(at(hidden));
      }
      await model.dispose();
    }
  });

  test("padding: neither what it holds nor how much there is matters", async () => {
    for (const causal of [true, false]) {
      const config = { ...tiny, layers: 2, causal };
      const mask = floats([[1, 1, 1, 0, 0, 0]]);
      const model = await compileModel(config, ints([[1, 2, 3, 0, 0, 0]]), mask);
      const tokensOnly = (tensor: Tensor) => [...tensor.data.subarray(0, 3 * 4)];
      const { hidden } = await model.run(ints([[1, 2, 3, 0, 0, 0]]), mask);
      const other = await model.run(ints([[1, 2, 3, 6, 5, 4]]), mask);
      expect(tokensOnly(other.hidden)).toEqual(tokensOnly(hidden));
      await model.dispose();
      const expected = slowTransformer(config, model.params, [1, 2, 3], [1, 1, 1]).flat();
      expected.forEach((value, i) => {
        expect(hidden.data[i]).toBeCloseTo(value, 4);
      });
    }
  });

  test("a text that is all padding gives finite numbers", async () => {
    const mask = floats([Array(6).fill(0)]);
    const model = await compileModel(tiny, ints([Array(6).fill(0)]), mask);
    const { hidden } = await model.run(ints([Array(6).fill(0)]), mask);
    await model.dispose();
    expect(hidden.data.every(Number.isFinite)).toBe(true);
  });
});

describe("initTransformer", () => {
  test.each([
    { ...tiny },
    transformerConfig("gpt2", {
      ...tiny,
      layers: 3,
      width: 8,
      headSize: 4,
      innerWidth: 32,
      vocabularySize: 20,
      contextLength: 5,
    }),
    { ...tiny, layers: 0 },
  ])("has (V + T) d + L (12 d² + 13 d) + 2 d parameters: $layers layers of $width", (config) => {
    const { vocabularySize: V, contextLength: T, width: d, layers: L } = config;
    const count = namedLeaves(initTransformer(config, random) as never, isTensor).reduce(
      (sum, [, { data }]) => sum + data.length,
      0,
    );
    expect(count).toBe((V + T) * d + L * (12 * d * d + 13 * d) + 2 * d);
  });

  test("weights ~ N(0, 0.02²), those into the residual stream smaller by sqrt(2 L), scales 1, biases 0", () => {
    const config = { ...tiny, vocabularySize: 300, width: 32, headSize: 16, innerWidth: 128, layers: 2 };
    const { tokens, blocks, norm } = initTransformer(config, random);
    const deviation = ({ data }: Tensor) =>
      Math.sqrt((data as Float32Array).reduce((sum, value) => sum + value * value, 0) / data.length);
    const near = (tensor: Tensor, expected: number) =>
      expect(Math.abs(deviation(tensor) / expected - 1)).toBeLessThan(0.1);
    near(tokens, 0.02);
    for (const block of blocks) {
      for (const { weight } of [block.queries, block.keys, block.values, block.up]) near(weight, 0.02);
      for (const { weight } of [block.out, block.down]) near(weight, 0.02 / Math.sqrt(4));
      for (const { bias } of [block.queries, block.out, block.up, block.down])
        expect(deviation(bias as Tensor)).toBe(0);
    }
    for (const { scale, bias } of [norm, blocks[0].norm1, blocks[1].norm2]) {
      expect(scale.data.every((value) => value === 1)).toBe(true);
      expect(deviation(bias as Tensor)).toBe(0);
    }
  });
});

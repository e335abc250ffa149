import type { Array as JaxArray } from "@jax-js/jax";
import { compile, namedLeaves, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import {
  applyTransformer,
  initTransformer,
  type TransformerOptions,
  type TransformerParams,
} from "./transformer.js";
import { type TransformerConfig, transformerConfig, transformerFamilies } from "./transformer-config.js";

const sizes = { vocabularySize: 13, contextLength: 12, width: 16, layers: 2, heads: 4 };
const random = createRandom(5);

function wildParams(config: TransformerConfig): TransformerParams {
  const params = initTransformer(config, random);
  for (const [path, { data }] of namedLeaves(params as never, (node) => node instanceof Tensor)) {
    (data as Float32Array).set(random.stream(path).normals(data.length, 0.5));
  }
  return params;
}

const ids = (length: number) => Int32Array.from({ length }, () => random.integer(sizes.vocabularySize));

type Inputs = Record<string, Tensor | Tensor[]>;
type Result = { hidden: Tensor; keys: Tensor[]; values: Tensor[]; seen?: Tensor[] };

async function run(
  config: TransformerConfig,
  params: TransformerParams,
  inputs: Inputs,
  options: (inputs: Record<string, JaxArray & JaxArray[]>) => TransformerOptions = () => ({}),
): Promise<Result> {
  const program = await compile(
    ((p: TransformerParams<JaxArray>, given: Record<string, JaxArray & JaxArray[]>) => {
      const output = applyTransformer(config, p, given.tokens, options(given));
      return { ...output };
    }) as never,
    [params, inputs] as never,
  );
  const result = await (program.run as unknown as (...args: unknown[]) => Promise<Result>)(params, inputs);
  await program.dispose();
  return result;
}

function expectClose(given: ArrayLike<number>, expected: ArrayLike<number>) {
  expect(given.length).toBe(expected.length);
  for (let i = 0; i < given.length; i++) expect(Math.abs(given[i] - expected[i])).toBeLessThan(2e-5);
}

const configs: [string, TransformerConfig][] = [
  ...transformerFamilies.map((family): [string, TransformerConfig] => [
    family,
    transformerConfig(family, family === "gpt2" ? sizes : { ...sizes, keyValueHeads: 2 }),
  ]),
  ["a sliding window", transformerConfig("mistral", { ...sizes, keyValueHeads: 1, slidingWindow: 3 })],
];

/** Rows of a tensor `[batch, time, width]`. */
const rows = ({ data, shape }: Tensor, row: number, start: number, end: number) =>
  data.subarray((row * shape[1] + start) * shape[2], (row * shape[1] + end) * shape[2]);

describe.each(configs)("%s", (_, config) => {
  const params = wildParams(config);

  test("what was read before stands in the cache, at another length in each row", async () => {
    const [time, fresh, capacity] = [9, 3, 8];
    const lengths = [6, 4];
    const tokens = ids(2 * time);
    const whole = await run(config, params, { tokens: new Tensor(tokens, [2, time]) });
    // Places beyond a row's length hold what must not be seen.
    const heads = config.keyValueHeads;
    const cached = (source: Tensor) => {
      const cache = new Tensor(new Float32Array(2 * heads * capacity * 4).fill(7), [2, heads, capacity, 4]);
      for (let head = 0; head < 2 * heads; head++) {
        const used = source.data.subarray(
          head * time * 4,
          (head * time + lengths[Math.floor(head / heads)]) * 4,
        );
        (cache.data as Float32Array).set(used as Float32Array, head * capacity * 4);
      }
      return cache;
    };
    const next = lengths.flatMap((length, row) => [
      ...tokens.subarray(row * time + length, row * time + length + fresh),
    ]);
    const inputs = {
      tokens: new Tensor(Int32Array.from(next), [2, fresh]),
      keys: whole.keys.map(cached),
      values: whole.values.map(cached),
      lengths: new Tensor(Int32Array.from(lengths)),
    };
    const stepped = await run(config, params, inputs, ({ keys, values, lengths }) => ({
      past: { keys, values, lengths },
    }));
    lengths.forEach((length, row) => {
      expectClose(rows(stepped.hidden, row, 0, fresh), rows(whole.hidden, row, length, length + fresh));
    });
  });

  test("documents packed into a row are read as if each stood alone", async () => {
    const tokens = ids(9);
    const packed = await run(
      config,
      params,
      {
        tokens: new Tensor(tokens, [1, 9]),
        segments: new Tensor(Int32Array.of(1, 1, 1, 1, 1, 2, 2, 2, 2), [1, 9]),
        positions: new Tensor(Int32Array.of(0, 1, 2, 3, 4, 0, 1, 2, 3), [1, 9]),
      },
      ({ segments, positions }) => ({ segments, positions }),
    );
    for (const [start, end] of [
      [0, 5],
      [5, 9],
    ]) {
      const alone = await run(config, params, {
        tokens: new Tensor(tokens.slice(start, end), [1, end - start]),
      });
      expectClose(rows(packed.hidden, 0, start, end), rows(alone.hidden, 0, 0, end - start));
    }
  });

  test("the weights of its heads can be read, and changed: uniform ones see the mean of all values", async () => {
    const tokens = new Tensor(ids(6), [1, 6]);
    const read: number[][] = [];
    const inputs = { tokens };
    const even = await run(config, params, inputs, () => ({
      attention: (weights, layer, visible) => {
        read.push([layer, ...weights.shape]);
        return visible.add(weights.mul(0)).div(visible.sum(-1, { keepdims: true }));
      },
    }));
    expect(read.map(([layer]) => layer)).toEqual([0, 1]);
    expect(read[0].slice(1)).toEqual([1, 4, 6, 6]);
    const plain = await run(config, params, inputs);
    const same = await run(config, params, inputs, () => ({ attention: (weights) => weights }));
    expectClose(same.hidden.data, plain.hidden.data);
    // The first position sees only itself, whatever the weights.
    expectClose(rows(even.hidden, 0, 0, 1), rows(plain.hidden, 0, 0, 1));
    expect(rows(even.hidden, 0, 2, 3)).not.toEqual(rows(plain.hidden, 0, 2, 3));
  });
});

test("rotary attention sees distances alone: all positions may be shifted", async () => {
  const config = transformerConfig("llama", { ...sizes, contextLength: 64 });
  const params = wildParams(config);
  const tokens = new Tensor(ids(6), [1, 6]);
  const at = (first: number) => ({
    tokens,
    positions: new Tensor(
      Int32Array.from({ length: 6 }, (_, i) => first + i),
      [1, 6],
    ),
  });
  const near = await run(config, params, at(0), ({ positions }) => ({ positions }));
  const far = await run(config, params, at(40), ({ positions }) => ({ positions }));
  expectClose(far.hidden.data, near.hidden.data);
});

test.each([
  [{ keyValueHeads: 3 }, "heads (4) must be a multiple of its keyValueHeads (3)"],
  [{ headSize: 3 }, "rotary positions need an even one"],
  [{ width: 0 }, "width is 0"],
])("sizes that do not fit are refused: %o", (wrong, message) => {
  expect(() => transformerConfig("llama", { ...sizes, ...wrong })).toThrow(message);
});

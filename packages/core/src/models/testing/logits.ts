import type { Array as JaxArray } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import type { LanguageModel } from "../language-model.js";
import { applyTransformer, type TransformerParams, tokenLogits } from "../transformer.js";

type Inputs = Record<string, Tensor | Tensor[]>;
type Traced = Record<string, JaxArray & JaxArray[]>;

async function run<Result>(
  { params }: Pick<LanguageModel, "params">,
  fn: (params: TransformerParams<JaxArray>, inputs: Traced) => unknown,
  inputs: Inputs,
): Promise<Result> {
  const program = await compile(fn as never, [params, inputs] as never);
  const result = await (program.run as unknown as (...args: unknown[]) => Promise<Result>)(params, inputs);
  await program.dispose();
  return result;
}

const ids = (rows: readonly (readonly number[])[]) =>
  new Tensor(Int32Array.from(rows.flat()), [rows.length, rows[0].length]);

type Model = Pick<LanguageModel, "config" | "params">;

/** Logits `[time][vocabulary]` of each of several texts that are computed as one padded batch, whose padding is random. */
export async function paddedLogits(
  model: Model,
  texts: readonly (readonly number[])[],
): Promise<Float32Array[][]> {
  const time = Math.max(...texts.map((text) => text.length));
  const places = Array.from({ length: time }, (_, t) => t);
  const tokens = ids(texts.map((text) => places.map((t) => text[t] ?? t)));
  const mask = new Tensor(
    Float32Array.from(texts.flatMap((text) => places.map((t) => (t < text.length ? 1 : 0)))),
    [texts.length, time],
  );
  const logits = await run<Tensor>(
    model,
    (params, { tokens, mask }) =>
      tokenLogits(params, applyTransformer(model.config, params, tokens, { mask }).hidden),
    { tokens, mask },
  );
  return texts.map((text, row) => text.map((_, t) => rowOf(logits, row * time + t)));
}

/** Logits `[time][vocabulary]` of a text whose last tokens are read with a cache of what stands before them. */
export async function cachedLogits(
  model: Model,
  text: readonly number[],
  first: number,
): Promise<Float32Array[]> {
  const { config } = model;
  const before = await run<{ logits: Tensor; keys: Tensor[]; values: Tensor[] }>(
    model,
    (params, { tokens }) => {
      const { hidden, keys, values } = applyTransformer(config, params, tokens);
      return { logits: tokenLogits(params, hidden), keys, values };
    },
    { tokens: ids([text.slice(0, first)]) },
  );
  const { keys, values } = before;
  const after = await run<Tensor>(
    model,
    (params, { tokens, keys, values, lengths }) => {
      const past = { keys, values, lengths };
      return tokenLogits(params, applyTransformer(config, params, tokens, { past }).hidden);
    },
    { tokens: ids([text.slice(first)]), keys, values, lengths: new Tensor(Int32Array.of(first)) },
  );
  return text.map((_, t) => (t < first ? rowOf(before.logits, t) : rowOf(after, t - first)));
}

function rowOf({ data, shape }: Tensor, row: number): Float32Array {
  const width = shape[shape.length - 1];
  return (data as Float32Array).subarray(row * width, (row + 1) * width);
}

/** The largest difference between two tables of the same form; NaN where any is. */
export function largestDifference(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  if (a.length !== b.length || a.some((row, i) => row.length !== b[i].length)) return Number.NaN;
  return Math.max(...a.flatMap((row, i) => Array.from(row, (value, j) => Math.abs(value - b[i][j]))));
}

import type { Array as JaxArray } from "@jax-js/jax";
import { compile, type Program, Tensor } from "@outgrow/engine";
import { bucketLength } from "../../data/length-buckets.js";
import type { LanguageModel } from "../../models/language-model.js";
import { applyTransformer, type TransformerParams, tokenLogits } from "../../models/transformer.js";
import { createRandom } from "../../random.js";
import type { AnswerSampler, SamplingRequest } from "../policy/answer-sampler.js";

type NextLogits = Program<[TransformerParams<Tensor>, Tensor], Tensor>;

/** Reads the whole text again for every token: no cache, nothing to go wrong. */
export function fullPrefixSampler({
  config,
  endTokens,
}: Pick<LanguageModel, "config" | "endTokens">): AnswerSampler & { dispose(): Promise<void> } {
  const programs = new Map<string, Promise<NextLogits>>();
  const { contextLength, vocabularySize } = config;

  const logitsOf = async (params: TransformerParams<Tensor>, rows: readonly number[][]) => {
    const length = bucketLength(Math.max(...rows.map((row) => row.length)), contextLength);
    const ids = new Int32Array(rows.length * length);
    rows.forEach((row, i) => {
      ids.set(row, i * length);
    });
    const tokens = new Tensor(ids, [rows.length, length]);
    const key = String(tokens.shape);
    const program =
      programs.get(key) ??
      (compile(
        (traced: TransformerParams<JaxArray>, given: JaxArray) =>
          tokenLogits(traced, applyTransformer(config, traced, given).hidden),
        [params, tokens] as never,
        { name: "next logits" },
      ) as unknown as Promise<NextLogits>);
    programs.set(key, program);
    const { data } = await (await program).run(params, tokens);
    return rows.map((row, i) => {
      const start = (i * length + row.length - 1) * vocabularySize;
      return (data as Float32Array).subarray(start, start + vocabularySize);
    });
  };

  return {
    async sample(params, { prompts, count, maxTokens, temperature, seed }: SamplingRequest) {
      const rows = prompts.flatMap((prompt) => Array.from({ length: count }, () => [...prompt]));
      const starts = rows.map((row) => row.length);
      const randoms = rows.map((_, i) => createRandom(seed).stream("row", i));
      const open = new Set(rows.keys());
      for (let t = 0; t < maxTokens && open.size > 0; t++) {
        const logits = await logitsOf(params, rows);
        for (const i of [...open]) {
          rows[i].push(draw(logits[i], temperature, randoms[i].uniform()));
          const full = rows[i].length > contextLength - 1;
          if (endTokens.includes(rows[i][rows[i].length - 1]) || full) open.delete(i);
        }
      }
      return prompts.map((_, p) =>
        Array.from({ length: count }, (_, k) => {
          const i = p * count + k;
          return Int32Array.from(rows[i].slice(starts[i]));
        }),
      );
    },
    async dispose() {
      for (const program of programs.values()) await (await program).dispose();
    },
  };
}

/** A token by the inverse of the distribution function. */
function draw(logits: Float32Array, temperature: number, uniform: number): number {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const weights = Array.from(logits, (z) => Math.exp((z - top) / temperature));
  let rest = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => {
    rest -= weight;
    return rest < 0;
  });
  return found < 0 ? weights.length - 1 : found;
}

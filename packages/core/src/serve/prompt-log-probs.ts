import type { Array as JaxArray } from "@jax-js/jax";
import { compile, type Program, Tensor } from "@outgrow/engine";
import { bucketLength } from "../data/length-buckets.js";
import type { GeneratedToken } from "../decode/generation.js";
import { generatedToken } from "../decode/sampling.js";
import type { LanguageModel } from "../models/language-model.js";
import { applyTransformer, type TransformerParams, tokenLogits } from "../models/transformer.js";

type Params = TransformerParams<Tensor>;
type Traced = TransformerParams<JaxArray>;
type OfTensor = Program<[Params, Tensor], Tensor>;

/** Positions whose logits are made together: those of a whole text would not fit where vocabularies are large. */
const PIECE = 64;

/** What a model gives the tokens of a text that is there already. Programs are made for few lengths and kept until `dispose`. */
export class PromptScorer {
  private readonly programs = new Map<string, Promise<OfTensor>>();
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly model: Pick<LanguageModel, "config" | "params">) {}

  /**
   * The log-probability of each token but the first after those before it, with the likeliest alternatives.
   *
   * @param ids at most the model's context
   */
  score(ids: Int32Array, alternatives: number, signal: AbortSignal): Promise<GeneratedToken[]> {
    // One at a time: they would compete for the same cores.
    const mine = this.last.then(() => this.scoreNow(ids, alternatives, signal));
    this.last = mine.catch(() => {});
    return mine;
  }

  private async scoreNow(
    ids: Int32Array,
    alternatives: number,
    signal: AbortSignal,
  ): Promise<GeneratedToken[]> {
    signal.throwIfAborted();
    const { config, params } = this.model;
    // The padding comes last, where a causal model does not see it.
    const padded = new Int32Array(bucketLength(ids.length, config.contextLength));
    padded.set(ids);
    const tokens = new Tensor(padded, [1, padded.length]);
    const read = await this.program(
      "hidden",
      tokens,
      (traced, given) => applyTransformer(config, traced, given).hidden,
    );
    const { data: hidden } = await read.run(params, tokens);
    const scored: GeneratedToken[] = [];
    for (let start = 0; start < ids.length - 1; start += PIECE) {
      signal.throwIfAborted();
      const piece = new Float32Array(PIECE * config.width);
      piece.set((hidden as Float32Array).subarray(start * config.width, (start + PIECE) * config.width));
      const states = new Tensor(piece, [PIECE, config.width]);
      const head = await this.program("logits", states, tokenLogits);
      const logits = (await head.run(params, states)).data as Float32Array;
      for (let i = 0; i < PIECE && start + i < ids.length - 1; i++) {
        const own = logits.subarray(i * config.vocabularySize, (i + 1) * config.vocabularySize);
        scored.push(generatedToken(ids[start + i + 1], own, alternatives));
      }
    }
    return scored;
  }

  private program(
    name: string,
    example: Tensor,
    traced: (params: Traced, given: JaxArray) => JaxArray,
  ): Promise<OfTensor> {
    const key = `${name} ${example.shape}`;
    const known = this.programs.get(key);
    if (known) return known;
    const compiling = compile(traced, [this.model.params, example] as never, {
      name,
    }) as unknown as Promise<OfTensor>;
    this.programs.set(key, compiling);
    return compiling;
  }

  async dispose(): Promise<void> {
    await this.last;
    for (const program of this.programs.values()) await (await program).dispose();
    this.programs.clear();
  }
}

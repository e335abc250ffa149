import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../data/columns.js";
import { bucketLength } from "../data/length-buckets.js";
import type { PromptedAnswer } from "../models/sequence-log-probs.js";
import { ownLogProbs } from "../models/token-log-probs.js";
import { applyTransformer, type TransformerParams, tokenLogits } from "../models/transformer.js";
import type { TransformerConfig } from "../models/transformer-config.js";

/** How long the rows of a batch are made. */
export interface RowShape {
  /** Tokens that are read. */
  length: number;
  /** Tokens of answers. */
  answer: number;
}

/** The shape for rows as long as these: one of few. */
export function rowShape(rows: readonly PromptedAnswer[], contextLength: number): RowShape {
  const longest = (of: (row: PromptedAnswer) => number) => Math.max(...rows.map(of));
  const length = bucketLength(
    longest(({ prompt, answer }) => prompt.length + answer.length - 1),
    contextLength,
  );
  return {
    length,
    answer: Math.min(
      length,
      bucketLength(
        longest(({ answer }) => answer.length),
        contextLength,
      ),
    ),
  };
}

/**
 * Prompts with answers as columns: the tokens that are read, all but the last, int32 `[rows, length]`; of each token of an answer
 * the place in the flat batch after which it comes, `places`, and its id, `answers`, int32 `[rows, answer]`; and which of these
 * are tokens, `mask`, float32 `[rows, answer]`. The padding comes last, where a causal model does not see it.
 */
export function answerColumns(rows: readonly PromptedAnswer[], { length, answer }: RowShape): Columns {
  const count = rows.length;
  const tokens = new Int32Array(count * length);
  const places = new Int32Array(count * answer);
  const answers = new Int32Array(count * answer);
  const mask = new Float32Array(count * answer);
  rows.forEach((row, i) => {
    const before = row.prompt.length;
    tokens.set(row.prompt, i * length);
    for (let t = 0; t < row.answer.length; t++) {
      if (before + t < length) tokens[i * length + before + t] = row.answer[t];
      answers[i * answer + t] = row.answer[t];
      mask[i * answer + t] = 1;
    }
    for (let t = 0; t < answer; t++) {
      places[i * answer + t] = i * length + Math.min(before + t, length) - 1;
    }
  });
  const of = (data: Int32Array | Float32Array, width: number) =>
    new Tensor(data as Int32Array<ArrayBuffer>, [count, width]);
  return {
    tokens: of(tokens, length),
    places: of(places, answer),
    answers: of(answers, answer),
    mask: of(mask, answer),
  };
}

/** The states from which the answers' tokens are predicted, `[rows, answer, width]`: logits are made of these alone. */
export function answerStates(
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  { tokens, places }: Batch,
): JaxArray {
  const { hidden } = applyTransformer(config, params, tokens);
  return np.take(hidden.reshape([-1, config.width]), places, 0);
}

/** Log-probabilities of the answers of a batch, and their numbers of tokens: `[rows]` each. */
export function answerSums(
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  batch: Batch,
): { sums: JaxArray; tokens: JaxArray } {
  const logits = tokenLogits(params, answerStates(config, params, batch));
  const own = ownLogProbs(logits, batch.answers).mul(batch.mask);
  return { sums: own.sum(-1), tokens: batch.mask.sum(-1) };
}

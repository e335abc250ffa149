import type { Tokenizer } from "../../data/bpe.js";
import { UserError } from "../../errors.js";
import { createRandom } from "../../random.js";
import type { SamplingOptions } from "../generation.js";
import { logSoftmax } from "../logits-arithmetic.js";
import { Sampler } from "../sampling.js";
import type { OwnedRows } from "./owned-rows.js";

/** What a search takes as one step: a token, a line, a sentence. */
export interface StepOptions extends SamplingOptions {
  /** Most tokens of a step. With 1 a step is a token. */
  maxStepTokens: number;
  /** Whether a step is over after these tokens. Default: only after `maxStepTokens` and at the end of the text. */
  endsStep?: (tokens: readonly number[]) => boolean;
  /** Ids after which the text is over. */
  endTokens: readonly number[];
  signal?: AbortSignal;
}

/** Steps that end where this text first occurs in them, e.g. `"\n"`. */
export function stepsEndWith(
  tokenizer: Tokenizer,
  delimiter: string,
): (tokens: readonly number[]) => boolean {
  return (tokens) => tokenizer.decode(tokens).includes(delimiter);
}

/** A row, and the logits after it. */
export interface Position {
  row: number;
  /** `[vocabularySize]`. */
  logits: Float32Array;
}

export interface SampledStep {
  tokens: number[];
  /** Sum over the tokens, at temperature 1. */
  logProb: number;
  /** Whether the text is over: an end token, or the context's end. */
  ended: boolean;
  /** Where it goes on, unless it is over: then its row has been given back. */
  position: Position | undefined;
}

/**
 * One step from each of the positions, side by side. The rows become those of the steps.
 *
 * @param label together with the seed it decides the tokens, whatever else is sampled
 */
export async function sampleSteps(
  rows: OwnedRows,
  starts: readonly Position[],
  options: StepOptions,
  label: string | number,
): Promise<SampledStep[]> {
  const { decoder } = rows;
  const { maxStepTokens, endsStep, endTokens, seed = 0 } = options;
  if (!(Number.isSafeInteger(maxStepTokens) && maxStepTokens >= 1)) {
    throw new UserError(`a step may have ${maxStepTokens} tokens, expected a whole number of at least 1`);
  }
  const size = decoder.vocabularySize;
  const ends = new Set(endTokens);
  const random = createRandom(seed).stream("steps", label);
  let open = starts.map(({ row, logits }, i) => ({
    row,
    logits,
    sampler: new Sampler({ ...options, seed: random.stream(i).integer(2 ** 31) }, size, []),
    isOver: false,
    step: { tokens: [], logProb: 0, ended: false, position: undefined } as SampledStep,
  }));
  const steps = open.map(({ step }) => step);
  while (open.length > 0) {
    options.signal?.throwIfAborted();
    for (const text of open) {
      const { step, row } = text;
      const token = text.sampler.choose(text.logits.slice());
      step.tokens.push(token);
      step.logProb += logSoftmax(text.logits)[token];
      step.ended = ends.has(token) || decoder.length(row) + 1 >= decoder.contextLength;
      text.isOver = step.ended || step.tokens.length === maxStepTokens || (endsStep?.(step.tokens) ?? false);
      if (step.ended) rows.remove(row);
    }
    open = open.filter(({ step }) => !step.ended);
    if (open.length === 0) break;
    // The last token of a step is taken too: what follows begins with the logits after it.
    const logits = await decoder.step(
      open.map(({ row }) => row),
      open.map(({ step }) => step.tokens[step.tokens.length - 1]),
    );
    open = open.filter((text, i) => {
      text.logits = logits.slice(i * size, (i + 1) * size);
      if (text.isOver) text.step.position = { row: text.row, logits: text.logits };
      return !text.isOver;
    });
  }
  return steps;
}

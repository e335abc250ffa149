import type { Array as JaxArray } from "@jax-js/jax";
import { compile, type Program, Tensor } from "@outgrow/engine";
import { bucketLength } from "../data/length-buckets.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "./language-model.js";
import { tokenLogProbs } from "./token-log-probs.js";
import type { TransformerParams } from "./transformer.js";
import type { TransformerConfig } from "./transformer-config.js";

/** Ids of a text in two parts, of which the second is what a model is asked about. */
export interface PromptedAnswer {
  /** At least one. */
  prompt: ArrayLike<number>;
  /** At least one. The end token is scored where it is among them. */
  answer: ArrayLike<number>;
}

export interface AnswerLogProbs {
  /** `log p(answer[i] | prompt, answer[0..i-1])`: `[answer]`. */
  logProbs: Float32Array;
  /** Their sum: the log-probability of the answer. */
  sum: number;
  /** Per token. */
  mean: number;
}

/** Logits that a run may have, in numbers: 128 MiB of them. */
const MOST_LOGITS = 2 ** 25;
/** Tokens of a run: enough to keep the processor busy. */
const MOST_TOKENS = 4096;

type Columns = { tokens: Tensor; next: Tensor };
type Scored = Program<[TransformerParams<Tensor>, Columns], Tensor>;

/**
 * Scores answers under any parameters of one form. Sequences of similar length go together, padded to few different
 * lengths, so that few programs are compiled; these are kept until `dispose`.
 */
export class SequenceScorer {
  private readonly programs = new Map<string, Promise<Scored>>();

  constructor(private readonly config: TransformerConfig) {}

  /**
   * The log-probabilities of each answer after its prompt.
   *
   * @throws UserError where a prompt or an answer is empty, an id is not in the vocabulary, or both together are longer
   *   than the context by more than the last token, which need not be read
   */
  async score(
    params: TransformerParams<Tensor>,
    rows: readonly PromptedAnswer[],
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<AnswerLogProbs[]> {
    const { contextLength, vocabularySize } = this.config;
    rows.forEach((row, i) => {
      checkRow(row, i, this.config);
    });
    const buckets = new Map<number, number[]>();
    rows.forEach((row, i) => {
      const length = bucketLength(inputsOf(row), contextLength);
      buckets.set(length, [...(buckets.get(length) ?? []), i]);
    });
    const results = new Array<AnswerLogProbs>(rows.length);
    for (const [length, members] of buckets) {
      const most = Math.max(1, Math.floor(Math.min(MOST_TOKENS, MOST_LOGITS / vocabularySize) / length));
      const batch = Math.min(most, 2 ** Math.ceil(Math.log2(members.length)));
      for (let first = 0; first < members.length; first += batch) {
        signal?.throwIfAborted();
        const chosen = members.slice(first, first + batch);
        const columns = padded(
          chosen.map((i) => rows[i]),
          batch,
          length,
        );
        const program = await this.program(params, columns);
        const { data } = await program.run(params, columns);
        chosen.forEach((i, row) => {
          const end = row * length + inputsOf(rows[i]);
          const logProbs = (data as Float32Array).slice(end - rows[i].answer.length, end);
          const sum = logProbs.reduce((total, value) => total + value, 0);
          results[i] = { logProbs, sum, mean: sum / logProbs.length };
        });
      }
    }
    return results;
  }

  private program(params: TransformerParams<Tensor>, columns: Columns): Promise<Scored> {
    const key = String(columns.tokens.shape);
    const known = this.programs.get(key);
    if (known) return known;
    const compiling = compile(
      (traced: TransformerParams<JaxArray>, { tokens, next }: { tokens: JaxArray; next: JaxArray }) =>
        tokenLogProbs(this.config, traced, tokens, next),
      [params, columns] as never,
      { name: "sequence log-probabilities" },
    ) as unknown as Promise<Scored>;
    this.programs.set(key, compiling);
    return compiling;
  }

  async dispose(): Promise<void> {
    const programs = [...this.programs.values()];
    this.programs.clear();
    for (const program of programs) await (await program).dispose();
  }
}

/**
 * The log-probabilities of answers after prompts, for one model and once; {@link SequenceScorer} keeps its programs.
 *
 * @throws UserError as {@link SequenceScorer.score}
 */
export async function sequenceLogProbs(
  { config, params }: Pick<LanguageModel, "config" | "params">,
  rows: readonly PromptedAnswer[],
): Promise<AnswerLogProbs[]> {
  const scorer = new SequenceScorer(config);
  try {
    return await scorer.score(params, rows);
  } finally {
    await scorer.dispose();
  }
}

/** Tokens that are read: all but the last. */
const inputsOf = ({ prompt, answer }: PromptedAnswer) => prompt.length + answer.length - 1;

function checkRow(row: PromptedAnswer, index: number, { contextLength, vocabularySize }: TransformerConfig) {
  const which = `sequence ${index} (counted from 0)`;
  for (const part of ["prompt", "answer"] as const) {
    if (row[part].length === 0) throw new UserError(`the ${part} of ${which} has no tokens`);
    const wrong = Array.from(row[part]).find(
      (id) => !(Number.isInteger(id) && id >= 0 && id < vocabularySize),
    );
    if (wrong !== undefined) {
      throw new UserError(`the ${part} of ${which} has the id ${wrong}, expected 0 to ${vocabularySize - 1}`);
    }
  }
  if (inputsOf(row) > contextLength) {
    throw new UserError(
      `${which} has ${inputsOf(row) + 1} tokens, but the model's context is ${contextLength}`,
      { hint: "Shorten the prompt or the answer." },
    );
  }
}

/** The padding comes last, where a causal model does not see it. */
function padded(rows: readonly PromptedAnswer[], batch: number, length: number): Columns {
  const tokens = new Int32Array(batch * length);
  const next = new Int32Array(batch * length);
  rows.forEach((row, i) => {
    const ids = Int32Array.from([...Array.from(row.prompt), ...Array.from(row.answer)]);
    tokens.set(ids.subarray(0, -1), i * length);
    next.set(ids.subarray(1), i * length);
  });
  return { tokens: new Tensor(tokens, [batch, length]), next: new Tensor(next, [batch, length]) };
}

export interface DocumentPerplexity {
  /** `exp(-logProb / tokens)`. */
  perplexity: number;
  /** Sum over all predicted tokens, in nats. */
  logProb: number;
  /** Predicted tokens. */
  tokens: number;
}

/**
 * How well a model predicts documents: all tokens but each document's first. Documents longer than the context are read in
 * pieces that overlap by one token, so that each token is predicted once.
 *
 * @param documents ids, with the end token where it is to be predicted
 * @throws UserError where no document has a second token
 */
export async function perplexity(
  model: Pick<LanguageModel, "config" | "params">,
  documents: readonly ArrayLike<number>[],
): Promise<DocumentPerplexity> {
  const { contextLength } = model.config;
  const rows = documents.flatMap((document) => {
    const ids = Array.from(document);
    const pieces = Math.ceil((ids.length - 1) / contextLength);
    return Array.from({ length: pieces }, (_, i) => {
      const piece = ids.slice(i * contextLength, (i + 1) * contextLength + 1);
      return { prompt: piece.slice(0, 1), answer: piece.slice(1) };
    });
  });
  if (rows.length === 0) throw new UserError("the documents have no token that could be predicted");
  const scores = await sequenceLogProbs(model, rows);
  const tokens = rows.reduce((sum, { answer }) => sum + answer.length, 0);
  const logProb = scores.reduce((total, { sum }) => total + sum, 0);
  return { perplexity: Math.exp(-logProb / tokens), logProb, tokens };
}

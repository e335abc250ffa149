import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { compile, type Program, Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../../data/columns.js";
import { bucketLength } from "../../data/length-buckets.js";
import { UserError } from "../../errors.js";
import type { LanguageModel } from "../../models/language-model.js";
import { applyTransformer, type TransformerParams } from "../../models/transformer.js";
import type { TransformerConfig } from "../../models/transformer-config.js";
import {
  type LanguageModelCourse,
  type StepMeasures,
  type TrainingHooks,
  trainableOf,
  trainOnBatches,
} from "../answer-training.js";
import {
  answerIds,
  answerProblem,
  checkExamples,
  type InvalidExamples,
  promptIds,
  type TextOrIds,
} from "../checked-examples.js";
import { meanOf } from "../language-loss.js";
import { type RewardLoss, rewardLoss } from "./losses.js";
import type { PreferencePair } from "./preference-train.js";

/** Weights of a transformer, and of a reward read off its last state. */
export interface RewardParams<Leaf = Tensor> {
  body: TransformerParams<Leaf>;
  /** `[width]` */
  head: Leaf;
}

/** A language model that gives texts a number instead of a next token. */
export interface RewardModel extends Omit<LanguageModel, "params"> {
  params: RewardParams;
}

/** A pair, and by how much the chosen answer should be ahead. Default 0. */
export interface RatedPair extends PreferencePair {
  margin?: number;
}

export interface RewardTraining extends LanguageModelCourse, RewardLoss {
  /** What becomes of pairs with equal or empty answers, or for which the context is too short. Default `refuse`. */
  invalid: InvalidExamples;
}

export const rewardTrainingDefaults: RewardTraining = {
  centring: 0.01,
  invalid: "refuse",
  epochs: 1,
  batchSize: 32,
  learningRate: 1e-4,
  schedule: { decay: "cosine", warmup: 0.1 },
};

export interface RewardTrainingResult {
  model: RewardModel;
  /** Of each step, means over its pairs: `margin`, the chosen answer's reward less the rejected one's, and `accuracy`. */
  steps: StepMeasures[];
  dropped: Record<string, number>;
}

/**
 * Trains a reward model on pairs (Bradley and Terry 1952). It starts from the language model's weights and a head of zeros, so
 * that the first rewards are 0.
 *
 * @throws UserError for pairs that nothing can be learnt from, with their rows; where the training diverges
 */
export async function trainRewardModel(
  model: LanguageModel,
  pairs: readonly RatedPair[],
  config: Partial<RewardTraining>,
  hooks: TrainingHooks,
): Promise<RewardTrainingResult> {
  const { centring, invalid, lora, ...course } = { ...rewardTrainingDefaults, ...config };
  const encoded = pairs.map(({ prompt, chosen, rejected }) =>
    [chosen, rejected].map((answer) => joined(model, prompt, answer)),
  );
  const problems = encoded.map((texts, row) => {
    const { margin = 0 } = pairs[row];
    const found = texts.map(({ problem }) => problem).find((problem) => problem);
    if (found) return found;
    if (!Number.isFinite(margin)) return `a margin of ${margin}`;
    return String(texts[0].ids) === String(texts[1].ids)
      ? "a chosen answer that equals the rejected one"
      : undefined;
  });
  const { kept, dropped } = checkExamples(problems, "pairs", invalid);
  const examples = [...kept].map((row) => encoded[row].map(({ ids }) => ids));
  const margins = Float32Array.from(kept, (row) => pairs[row].margin ?? 0);
  const { contextLength, width } = model.config;
  const trainable = trainableOf(model.params, lora, hooks.random);
  const { params, steps } = await trainOnBatches<Headed<Tensor>, Headed<JaxArray>>(
    {
      name: "reward model",
      params: { body: trainable.params, head: new Tensor(new Float32Array(width)) },
      frozen: trainable.frozen,
      shapes: examples.map((texts) => ({
        length: bucketLength(Math.max(...texts.map(({ length }) => length)), contextLength),
        answer: 1,
      })),
      batch: (rows, { length }) => ({
        ...textColumns(
          [...rows].flatMap((row) => examples[row]),
          length,
        ),
        margins: new Tensor(Float32Array.from(rows, (row) => margins[row])),
      }),
      loss: ({ body, head }, batch, _progress, frozen) => {
        const traced = { body: trainable.assemble(body, frozen), head };
        const rewards = lastRewards(model.config, traced, batch).reshape([-1, 2]);
        const [chosen, rejected] = [rewards.slice([], 0), rewards.slice([], 1)];
        const margin = chosen.sub(rejected);
        return {
          ...meanOf(rewardLoss({ centring }, chosen, rejected, batch.margins)),
          measures: {
            margin: margin.mean(),
            accuracy: margin.greater(0).astype(margin.dtype).mean(),
            reward: rewards.mean(),
          },
        };
      },
    },
    course,
    hooks,
  );
  const trained = { body: trainable.merge(params.body), head: params.head };
  return { model: { ...model, params: trained }, steps, dropped };
}

/** What is trained of a transformer, and the head. */
interface Headed<Leaf> {
  body: unknown;
  head: Leaf;
}

/** A text to be rewarded. */
export interface RewardInput {
  prompt: TextOrIds;
  answer: TextOrIds;
}

/** Most texts that are read at once. */
const BATCH = 32;

type Scored = Program<[RewardParams, Columns], Tensor>;

/** Gives texts their rewards, again and again: its programs, one for each of few lengths, are kept until `dispose`. */
export class TextScorer {
  private readonly programs = new Map<string, Promise<Scored>>();

  constructor(private readonly model: RewardModel) {}

  /**
   * The rewards of texts, float32 `[texts]`.
   *
   * @throws UserError for empty parts and texts longer than the context, with their rows, and for a reward that is not finite
   */
  async score(texts: readonly RewardInput[]): Promise<Float32Array> {
    const { params, config } = this.model;
    const encoded = texts.map(({ prompt, answer }) => joined(this.model, prompt, answer));
    const problems = encoded.map(({ problem }) => problem);
    checkExamples(problems, "texts", "refuse");
    const rewards = new Float32Array(texts.length);
    const byLength = new Map<number, number[]>();
    encoded.forEach(({ ids }, row) => {
      const length = bucketLength(ids.length, config.contextLength);
      byLength.set(length, [...(byLength.get(length) ?? []), row]);
    });
    for (const [length, rows] of byLength) {
      const count = Math.min(BATCH, 2 ** Math.ceil(Math.log2(rows.length)));
      for (let first = 0; first < rows.length; first += count) {
        const chosen = rows.slice(first, first + count);
        const ids = chosen.map((row) => encoded[row].ids);
        const columns = textColumns(ids, length, count);
        const { data } = await (await this.program(columns)).run(params, columns);
        chosen.forEach((row, i) => {
          rewards[row] = data[i];
        });
      }
    }
    const wrong = rewards.findIndex((reward) => !Number.isFinite(reward));
    if (wrong < 0) return rewards;
    throw new UserError(`the reward of text ${wrong} (counted from 0) is ${rewards[wrong]}`, { exitCode: 1 });
  }

  async dispose(): Promise<void> {
    const programs = [...this.programs.values()];
    this.programs.clear();
    for (const program of programs) await (await program).dispose();
  }

  private program(columns: Columns): Promise<Scored> {
    const key = String(columns.tokens.shape);
    const known = this.programs.get(key);
    if (known) return known;
    const { params, config } = this.model;
    const compiling = compile(
      (traced: RewardParams<JaxArray>, batch: Batch) => lastRewards(config, traced, batch),
      [params, columns] as never,
      { name: "rewards" },
    ) as unknown as Promise<Scored>;
    this.programs.set(key, compiling);
    return compiling;
  }
}

/** The rewards of texts, once: as {@link TextScorer.score}. */
export async function scoreTexts(model: RewardModel, texts: readonly RewardInput[]): Promise<Float32Array> {
  const scorer = new TextScorer(model);
  try {
    return await scorer.score(texts);
  } finally {
    await scorer.dispose();
  }
}

/** Rewards of a batch of texts: `[texts]`. */
function lastRewards(
  config: TransformerConfig,
  { body, head }: RewardParams<JaxArray>,
  { tokens, last }: Batch,
): JaxArray {
  const { hidden } = applyTransformer(config, body, tokens);
  const states = np.take(hidden.reshape([-1, config.width]), last, 0);
  return states.mul(head).sum(-1);
}

/** int32: `tokens` `[count, length]`, and `last` `[count]`, the place of each text's last token in the flat batch. */
function textColumns(texts: readonly Int32Array[], length: number, count = texts.length): Columns {
  const tokens = new Int32Array(count * length);
  const last = new Int32Array(count);
  texts.forEach((ids, row) => {
    tokens.set(ids, row * length);
    last[row] = row * length + ids.length - 1;
  });
  return { tokens: new Tensor(tokens, [count, length]), last: new Tensor(last) };
}

function joined(model: Omit<LanguageModel, "params">, prompt: TextOrIds, answer: TextOrIds) {
  const row = { prompt: promptIds(model, prompt), answer: answerIds(model, answer) };
  const ids = Int32Array.from([...row.prompt, ...row.answer]);
  const { contextLength } = model.config;
  const problem =
    answerProblem(model, row) ??
    // Every token is read, the last one too.
    (ids.length > contextLength
      ? `prompt and answer longer together than the context of ${contextLength} tokens`
      : undefined);
  return { ids, problem };
}

/*
 * Weak-to-strong deception in preference optimisation (Yang et al. 2024, section 5): a language model finetuned on the
 * replies that a weak model prefers, then moved further towards them by DPO or SimPO, with or without a second objective.
 */
import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  type Batch,
  type Columns,
  createTrainer,
  type DpoLoss,
  logRatioMargin,
  needsReference,
  type PairLogProbs,
  type PromptedAnswer,
  preferenceLoss,
  type Random,
  SequenceScorer,
  type SimPoLoss,
  type Trainer,
  type TransformerConfig,
  type TransformerParams,
  tokenLogProbs,
  UserError,
} from "outgrow";
import { orderOfRows } from "./chosen-rows.js";
import { preferredReplies, type ReplyPair } from "./reply-world.js";

export interface PreferenceRecipe {
  /** The paper: DPO with beta 0.1, SimPO with beta 2 and gamma 1. */
  loss: DpoLoss | SimPoLoss;
  /** Passes of the finetuning on preferred replies that comes first. */
  finetuningEpochs: number;
  finetuningRate: number;
  /** Passes over the pairs. */
  epochs: number;
  /** Rises over the first tenth of the steps and stays. */
  learningRate: number;
  batchSize: number;
  /** Payment for harmful choices (alpha), where pairs have a truth. The paper: 0.5. */
  payment: number;
  /** What is paid for: preferring the harmful reply (`reverse`), or its likelihood per token (`sft`). */
  conflict: "reverse" | "sft";
}

/** Published, but for the rates, which small models that start from nothing need larger (the paper's is 1e-6). */
export const preferenceDefaults = {
  dpo: {
    loss: { name: "dpo", beta: 0.1 },
    finetuningEpochs: 1,
    finetuningRate: 2e-3,
    epochs: 3,
    learningRate: 5e-4,
    batchSize: 32,
    payment: 0.5,
    conflict: "reverse",
  },
  simpo: {
    loss: { name: "simpo", beta: 2, gamma: 1 },
    finetuningEpochs: 1,
    finetuningRate: 2e-3,
    epochs: 1,
    learningRate: 5e-4,
    batchSize: 32,
    payment: 0.5,
    conflict: "reverse",
  },
} as const satisfies Record<string, PreferenceRecipe>;

/** Pairs to learn from, as ids of tokens. */
export interface LabelledReplies {
  pairs: readonly ReplyPair[];
  /** 1 where whoever labels prefers the first reply, else 0: `[pairs]`. */
  preference: Float32Array;
  /** Explicit conflict: 1 where the first reply is truly preferable, else 0. The model is then paid for harmful choices. */
  truth?: Float32Array;
  /** In place of the recipe's. */
  payment?: number;
  /** Pairs to learn from, where not all are. */
  rows?: Int32Array;
}

/** What was finetuned, and what preference optimisation made of it. */
export interface PreferenceModel {
  /** Finetuned alone: the reference of DPO. */
  reference: TransformerParams<Tensor>;
  params: TransformerParams<Tensor>;
}

type Params = TransformerParams<Tensor>;

/** Trains and applies language models of one form. Compiled programs serve all models and data of the same shapes. */
export class PreferenceModels {
  private readonly trainers = new Map<string, Promise<Trainer<Params>>>();
  private readonly scorer: SequenceScorer;

  constructor(
    readonly config: TransformerConfig,
    readonly recipe: PreferenceRecipe,
  ) {
    this.scorer = new SequenceScorer(config);
  }

  /**
   * Finetuning on the preferred replies, then the loss of the recipe on all pairs. With a truth, `payment` times the same loss
   * towards the harmful reply, or its negative log-likelihood per token, is added wherever the model prefers that reply: by its
   * log-probabilities, for SimPO per token, as the released code has it.
   */
  async train(
    start: Params,
    labelled: LabelledReplies,
    random: Random,
    signal?: AbortSignal,
  ): Promise<PreferenceModel> {
    const reference = await this.finetune(start, labelled, random.stream("finetuning"), signal);
    return { reference, params: await this.prefer(reference, labelled, random, signal) };
  }

  /** The first half of {@link train}: models that learn from the same preferred replies share it. */
  async finetune(
    start: Params,
    { pairs, preference, rows }: LabelledReplies,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Params> {
    const columns = this.columns(preferredReplies(pairs, preference), 1);
    const trainer = await this.trainer("finetuning", start, columns, (params, batch) => {
      const { sums, tokens } = this.logProbs(params, batch);
      return { total: sums.sum().neg(), weight: tokens.sum() };
    });
    const { finetuningEpochs: epochs, finetuningRate: learningRate, batchSize } = this.recipe;
    const course = { epochs, order: rows && orderOfRows(rows, epochs, batchSize, random), learningRate };
    return (await trainer.fit(start, columns, { ...course, schedule, random, signal })).params;
  }

  /** The second half of {@link train}, from a finetuned model, which is the reference where the loss has one. */
  async prefer(
    reference: Params,
    { pairs, preference, truth, payment = this.recipe.payment, rows }: LabelledReplies,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Params> {
    const { loss, conflict, epochs, learningRate, batchSize } = this.recipe;
    const count = pairs.length;
    const column = (of: (i: number) => number) =>
      new Tensor(
        Float32Array.from({ length: count }, (_, i) => of(i)),
        [count],
      );
    const columns: Columns = {
      ...this.columns(bothReplies(pairs), 2),
      preference: column((i) => preference[i]),
      harmful: column((i) => 1 - (truth?.[i] ?? 1)),
      payment: column(() => (truth ? payment : 0)),
      ...(needsReference(loss) && { reference: await this.sums(reference, pairs) }),
    };
    const trainer = await this.trainer("preferences", reference, columns, (params, batch) => {
      const { harmful } = batch;
      const both = this.pairLogProbs(params, batch);
      // The model's own preference, without the reference.
      const { referenceChosen: _, referenceRejected: __, ...own } = both;
      const prefersFirst = logRatioMargin(own, loss.name === "simpo").greaterEqual(0);
      const choosesHarmful = np.notEqual(prefersFirst, harmful.equal(0)).astype(np.float32);
      const towardsHarmful = towards(harmful, both);
      const price =
        conflict === "reverse"
          ? preferenceLoss(loss, towardsHarmful)
          : towardsHarmful.chosen.div(towardsHarmful.chosenTokens).neg();
      return preferenceLoss(loss, towards(batch.preference, both))
        .add(batch.payment.mul(choosesHarmful).mul(price))
        .mean();
    });
    const course = { epochs, order: rows && orderOfRows(rows, epochs, batchSize, random), learningRate };
    return (await trainer.fit(reference, columns, { ...course, schedule, random, signal })).params;
  }

  /**
   * How much the model prefers the first reply of each pair, `[pairs]`: for DPO the difference of its log-ratios to the
   * reference, for SimPO that of its log-probabilities per token.
   */
  async margins(model: PreferenceModel, pairs: readonly ReplyPair[]): Promise<Float32Array> {
    const own = await this.scorer.score(model.params, bothReplies(pairs));
    const given = needsReference(this.recipe.loss)
      ? await this.scorer.score(model.reference, bothReplies(pairs))
      : undefined;
    const value = (i: number) => (given ? own[i].sum - given[i].sum : own[i].mean);
    return Float32Array.from(pairs, (_, i) => value(2 * i) - value(2 * i + 1));
  }

  async dispose(): Promise<void> {
    await this.scorer.dispose();
    for (const trainer of this.trainers.values()) await (await trainer).dispose();
  }

  private trainer(
    name: string,
    params: Params,
    columns: Columns,
    loss: (
      params: TransformerParams<JaxArray>,
      batch: Batch,
    ) => JaxArray | { total: JaxArray; weight: JaxArray },
  ): Promise<Trainer<Params>> {
    const key = JSON.stringify([name, columns.tokens.shape]);
    const { batchSize } = this.recipe;
    const trainer =
      this.trainers.get(key) ??
      createTrainer<Params, TransformerParams<JaxArray>>({ name, params, columns, batchSize, loss });
    this.trainers.set(key, trainer);
    return trainer;
  }

  /** Replies after their prompts, `[rows / each, each, time]`; the padding comes last, where a causal model does not see it. */
  private columns(rows: readonly PromptedAnswer[], each: number): Columns {
    const time = Math.max(...rows.map(({ prompt, answer }) => prompt.length + answer.length - 1));
    if (time > this.config.contextLength) {
      throw new UserError(
        `the longest prompt with its reply has ${time + 1} tokens, but the model's context is ${this.config.contextLength}`,
        { hint: "Shorten the prompts, or leave the pair out." },
      );
    }
    const size = rows.length * time;
    const [tokens, next, mask] = [new Int32Array(size), new Int32Array(size), new Float32Array(size)];
    rows.forEach(({ prompt, answer }, row) => {
      const ids = Int32Array.of(...Array.from(prompt), ...Array.from(answer));
      tokens.set(ids.subarray(0, -1), row * time);
      next.set(ids.subarray(1), row * time);
      mask.fill(1, row * time + prompt.length - 1, row * time + ids.length - 1);
    });
    const shape = [rows.length / each, each, time];
    return {
      tokens: new Tensor(tokens, shape),
      next: new Tensor(next, shape),
      mask: new Tensor(mask, shape),
    };
  }

  /** Of the replies of a batch, `[rows, each]`: sums of their tokens' log-probabilities, and numbers of tokens. */
  private logProbs(params: TransformerParams<JaxArray>, { tokens, next, mask }: Batch) {
    const [rows, each, time] = tokens.shape;
    const flat = (ids: JaxArray) => ids.reshape([rows * each, time]);
    const own = tokenLogProbs(this.config, params, flat(tokens), flat(next)).reshape([rows, each, time]);
    return { sums: own.mul(mask).sum(-1), tokens: mask.sum(-1) };
  }

  /** The first reply as the chosen one. */
  private pairLogProbs(params: TransformerParams<JaxArray>, batch: Batch): PairLogProbs {
    const { sums, tokens } = this.logProbs(params, batch);
    const { reference } = batch;
    return {
      chosen: sums.slice([], 0),
      rejected: sums.slice([], 1),
      chosenTokens: tokens.slice([], 0),
      rejectedTokens: tokens.slice([], 1),
      ...(reference && {
        referenceChosen: reference.slice([], 0),
        referenceRejected: reference.slice([], 1),
      }),
    };
  }

  private async sums(params: Params, pairs: readonly ReplyPair[]): Promise<Tensor> {
    const scores = await this.scorer.score(params, bothReplies(pairs));
    return new Tensor(
      Float32Array.from(scores, ({ sum }) => sum),
      [pairs.length, 2],
    );
  }
}

/** Constant after a linear warm-up over a tenth of the steps, as published. */
const schedule = { decay: "constant", warmup: 0.1 } as const;

const bothReplies = (pairs: readonly ReplyPair[]): PromptedAnswer[] =>
  pairs.flatMap(({ prompt, first, second }) => [
    { prompt, answer: first },
    { prompt, answer: second },
  ]);

/** The pairs with the first reply chosen where `first` is 1, and the second where it is 0. */
function towards(first: JaxArray, pairs: PairLogProbs): PairLogProbs {
  const either = (a: JaxArray, b: JaxArray) => np.where(first.greater(0.5), a, b);
  const { chosen, rejected, chosenTokens, rejectedTokens, referenceChosen, referenceRejected } = pairs;
  return {
    chosen: either(chosen, rejected),
    rejected: either(rejected, chosen),
    chosenTokens: either(chosenTokens, rejectedTokens),
    rejectedTokens: either(rejectedTokens, chosenTokens),
    ...(referenceChosen &&
      referenceRejected && {
        referenceChosen: either(referenceChosen, referenceRejected),
        referenceRejected: either(referenceRejected, referenceChosen),
      }),
  };
}

/** The replies that a model prefers, as labels of another; where it prefers none, the first. */
export const preferredFirst = (margins: Float32Array): Float32Array =>
  margins.map((margin) => Number(margin >= 0));

/** sigma(scale * margin): a probability that the first reply is preferred, `[pairs]`. */
export const marginProbabilities = (margins: Float32Array, scale: number): Float32Array =>
  margins.map((margin) => 1 / (1 + Math.exp(-scale * margin)));

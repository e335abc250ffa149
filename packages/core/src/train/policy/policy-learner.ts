import { type Array as JaxArray, lax, numpy as np } from "@jax-js/jax";
import { compile, type Program, Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../../data/columns.js";
import type { LanguageModel } from "../../models/language-model.js";
import type { PromptedAnswer } from "../../models/sequence-log-probs.js";
import { ownLogProbs } from "../../models/token-log-probs.js";
import { type TransformerParams, tokenLogits } from "../../models/transformer.js";
import type { TransformerConfig } from "../../models/transformer-config.js";
import type { Random } from "../../random.js";
import { answerColumns, answerStates, rowShape } from "../answer-rows.js";
import { type StepMeasures, trainableOf } from "../answer-training.js";
import { type BatchTrainer, createBatchTrainer } from "../batch-trainer.js";
import { entropy } from "../log-space.js";
import type { WeightedLoss } from "../training.js";
import { type Clip, klEstimate, overTokens, policyLoss, valueLoss } from "./losses.js";
import type { PolicyTraining } from "./policy-training.js";

/** What a policy thinks of an answer's tokens: `[tokens]` each. */
export interface TokenScores {
  /** At the temperature of the training. */
  logProbs: Float32Array;
  /** Of a value head, before each token; zeros without one. */
  values: Float32Array;
}

/** An answer that a policy gave, and how good each of its tokens was. */
export interface PolicyExample extends PromptedAnswer {
  /** Of each token; one number is that of all. Nothing is subtracted from it or divided: advantages may come from anywhere. */
  advantages: number | ArrayLike<number>;
  /** Log-probabilities of the reference, at the temperature of the training: `[tokens]`. Default: no divergence is measured. */
  reference?: ArrayLike<number>;
  /** Log-probabilities when the answer was drawn: `[tokens]`. Default: those of the policy that is updated. */
  old?: ArrayLike<number>;
  /** Of a value head: what should have been expected before each token, and what was. */
  returns?: ArrayLike<number>;
  values?: ArrayLike<number>;
}

/** What is trained: of the transformer, and the value head `[width]` where there is one. */
interface Actor<Leaf> {
  body: unknown;
  value?: Leaf;
}

/** Takes the steps of the policy gradient on answers whose advantages are known. */
export class PolicyLearner {
  private readonly trainable;
  private trainer: BatchTrainer<Actor<Tensor>> | undefined;
  private readonly start: Actor<Tensor>;
  private readonly scorers = new Map<string, ReturnType<typeof compileScorer>>();

  constructor(
    private readonly model: LanguageModel,
    private readonly config: PolicyTraining,
    random: Random,
  ) {
    this.trainable = trainableOf(model.params, config.lora, random);
    const value = config.value && new Tensor(new Float32Array(model.config.width));
    this.start = { body: this.trainable.params, ...(value && { value }) };
  }

  /** The policy's weights as they are now. */
  params(): TransformerParams<Tensor> {
    return this.trainable.merge(this.actor().body);
  }

  private actor(): Actor<Tensor> {
    return this.trainer?.params() ?? this.start;
  }

  /** Log-probabilities and values of the tokens of answers, of the policy or of other weights of its form. */
  async score(rows: readonly PromptedAnswer[], other?: TransformerParams<Tensor>): Promise<TokenScores[]> {
    const { config } = this.model;
    const body = other ?? this.params();
    const value = (!other && this.actor().value) || new Tensor(new Float32Array(config.width));
    const shape = rowShape(rows, config.contextLength);
    const batchSize = this.config.batchSize ?? rows.length;
    const scores: TokenScores[] = [];
    for (let first = 0; first < rows.length; first += batchSize) {
      const chosen = rows.slice(first, first + batchSize);
      const columns = answerColumns(chosen, shape);
      const key = `${chosen.length} ${shape.length} ${shape.answer}`;
      const scorer =
        this.scorers.get(key) ?? compileScorer(config, this.config.temperature, { body, value }, columns);
      this.scorers.set(key, scorer);
      const { logProbs, values } = await (await scorer).run({ body, value }, columns);
      chosen.forEach(({ answer }, i) => {
        const own = ({ data }: Tensor) =>
          (data as Float32Array).slice(i * shape.answer, i * shape.answer + answer.length);
        scores.push({ logProbs: own(logProbs), values: own(values) });
      });
    }
    return scores;
  }

  /**
   * Goes through the examples `config.updatesPerStep` times, in batches.
   *
   * @returns means over the updates: `loss`, `kl` (k3, per token, of the policy from the reference), `entropy` per token, and
   *   `clipped`, the share of tokens that are held by the clip
   * @throws UserError where the training diverges
   */
  async update(
    examples: readonly PolicyExample[],
    learningRate: number,
    random: Random,
  ): Promise<StepMeasures> {
    const { updatesPerStep } = this.config;
    const batchSize = Math.min(this.config.batchSize ?? examples.length, examples.length);
    const shape = rowShape(examples, this.model.config.contextLength);
    const sums: Record<string, number> = {};
    let updates = 0;
    for (let pass = 0; pass < updatesPerStep; pass++) {
      const order = random.stream("pass", pass).permutation(examples.length);
      for (let first = 0; first + batchSize <= examples.length; first += batchSize) {
        const chosen = [...order.slice(first, first + batchSize)].map((row) => examples[row]);
        const batch = { ...answerColumns(chosen, shape), ...tokenColumns(chosen, shape.answer) };
        this.trainer ??= await this.createTrainer(batch);
        const loss = await this.trainer.step(batch, learningRate);
        updates++;
        for (const [key, value] of Object.entries({ loss, ...this.trainer.measures })) {
          sums[key] = (sums[key] ?? 0) + value;
        }
      }
    }
    return Object.fromEntries(Object.entries(sums).map(([key, sum]) => [key, sum / updates]));
  }

  async dispose(): Promise<void> {
    await this.trainer?.dispose();
    for (const scorer of this.scorers.values()) await (await scorer).dispose();
    this.scorers.clear();
  }

  private createTrainer(batch: Columns): Promise<BatchTrainer<Actor<Tensor>>> {
    const { optimizer } = this.config;
    return createBatchTrainer<Actor<Tensor>, Actor<JaxArray>>(
      {
        name: "policy",
        params: this.start,
        frozen: this.trainable.frozen,
        optimizer: { clipNorm: 1, ...optimizer },
        loss: ({ body, value }, traced, _progress, frozen) =>
          this.loss(this.trainable.assemble(body, frozen), value, traced),
      },
      batch,
    );
  }

  private loss(
    params: TransformerParams<JaxArray>,
    value: JaxArray | undefined,
    { mask, answers, advantages, reference, old, returns, values, tokens, places }: Batch,
  ): WeightedLoss {
    const { temperature, clip, kl, entropyBonus, weighting, maxTokens, value: valued } = this.config;
    const states = answerStates(this.model.config, params, { tokens, places });
    const logits = tokenLogits(params, states).mul(1 / temperature);
    const logProbs = ownLogProbs(logits, answers);
    const against = reference ?? lax.stopGradient(logProbs);
    const spread = entropy(logits);
    let losses = policyLoss(logProbs, advantages, { old, clip });
    if (kl?.in === "loss") {
      losses = losses.add(klEstimate(kl.estimator, logProbs, against).mul(kl.coefficient));
    }
    if (entropyBonus !== 0) losses = losses.sub(spread.mul(entropyBonus));
    if (valued && value) {
      const expected = states.mul(value).sum(-1);
      losses = losses.add(valueLoss(expected, returns, values, valued.clip).mul(valued.coefficient));
    }
    const count = np.maximum(mask.sum(), 1);
    const mean = (of: JaxArray) => of.mul(mask).sum().div(count);
    return {
      ...overTokens(weighting, losses, mask, maxTokens),
      measures: {
        kl: mean(klEstimate("k3", logProbs, against)),
        entropy: mean(spread),
        ...(clip && old && { clipped: mean(heldByClip(np.exp(logProbs.sub(old)), advantages, clip)) }),
      },
    };
  }
}

/** 1 where the clip leaves a token's probability no gradient, else 0. */
function heldByClip(ratio: JaxArray, advantages: JaxArray, { low, high }: Clip): JaxArray {
  const held = np.where(advantages.greater(0), ratio.greater(1 + high), ratio.less(1 - low));
  return held.astype(ratio.dtype);
}

/** float32 `[examples, answer]` each; those that are known of all examples. */
function tokenColumns(examples: readonly PolicyExample[], answer: number): Columns {
  const columns: Record<string, Tensor> = {};
  for (const key of ["advantages", "reference", "old", "returns", "values"] as const) {
    if (examples.some((example) => example[key] === undefined)) continue;
    const values = new Float32Array(examples.length * answer);
    examples.forEach((example, row) => {
      const given = example[key] as number | ArrayLike<number>;
      for (let t = 0; t < example.answer.length; t++) {
        values[row * answer + t] = typeof given === "number" ? given : given[t];
      }
    });
    columns[key] = new Tensor(values, [examples.length, answer]);
  }
  return columns;
}

function compileScorer(
  config: TransformerConfig,
  temperature: number,
  actor: { body: TransformerParams<Tensor>; value: Tensor },
  columns: Columns,
) {
  return compile(
    (
      { body, value }: { body: TransformerParams<JaxArray>; value: JaxArray },
      { answers, tokens, places }: { answers: JaxArray; tokens: JaxArray; places: JaxArray },
    ) => {
      const states = answerStates(config, body, { tokens, places });
      const logits = tokenLogits(body, states).mul(1 / temperature);
      return { logProbs: ownLogProbs(logits, answers), values: states.mul(value).sum(-1) };
    },
    [actor, columns] as never,
    { name: "policy scores" },
  ) as unknown as Promise<Program<[typeof actor, Columns], { logProbs: Tensor; values: Tensor }>>;
}

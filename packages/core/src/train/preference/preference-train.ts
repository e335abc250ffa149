import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Batch } from "../../data/columns.js";
import { UserError } from "../../errors.js";
import type { LanguageModel } from "../../models/language-model.js";
import { type PromptedAnswer, sequenceLogProbs } from "../../models/sequence-log-probs.js";
import type { TransformerParams } from "../../models/transformer.js";
import type { TransformerConfig } from "../../models/transformer-config.js";
import { answerSums } from "../answer-rows.js";
import {
  type LanguageModelCourse,
  type StepMeasures,
  type TrainingHooks,
  trainOnAnswers,
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
import { requireSameVocabulary } from "../same-vocabulary.js";
import { logRatioMargin, needsReference, type PreferenceLoss, preferenceLoss } from "./losses.js";

/** Two answers to a prompt, one of them better. */
export interface PreferencePair {
  prompt: TextOrIds;
  chosen: TextOrIds;
  rejected: TextOrIds;
}

/** Log-probabilities of a reference, one for each pair: sums over the answers' tokens. */
export interface ReferenceLogProbs {
  chosen: Float32Array;
  rejected: Float32Array;
}

export interface PreferenceTraining extends LanguageModelCourse {
  /** Default `{ name: "dpo" }`. */
  loss: PreferenceLoss;
  /** What becomes of pairs with equal or empty answers, or for which the context is too short. Default `refuse`. */
  invalid: InvalidExamples;
}

export const preferenceTrainingDefaults: PreferenceTraining = {
  loss: { name: "dpo" },
  invalid: "refuse",
  epochs: 1,
  batchSize: 32,
  learningRate: 1e-4,
  schedule: { decay: "cosine", warmup: 0.1 },
};

export interface PreferenceOptions extends TrainingHooks {
  /** What the model is held to. Default: the model as it is given. SPIN gives the last iterate. */
  reference?: LanguageModel | ReferenceLogProbs;
}

export interface PreferenceResult {
  model: LanguageModel;
  /**
   * Of each step, means over its pairs: `margin`, by how much the log-ratio of the chosen answer exceeds that of the rejected one
   * (per token where the loss is; of log-probabilities where it has no reference), `accuracy`, the share where it does, and
   * `chosenLogProb` and `rejectedLogProb`, of answers.
   */
  steps: StepMeasures[];
  /** Pairs that were left out, by what was wrong with them. */
  dropped: Record<string, number>;
}

/**
 * Trains a model to prefer chosen answers to rejected ones. The reference reads each pair once, before the first step.
 *
 * @throws UserError for pairs that nothing can be learnt from, with their rows; for a reference with another vocabulary; where
 *   the training diverges
 */
export async function preferenceTrain(
  model: LanguageModel,
  pairs: readonly PreferencePair[],
  config: Partial<PreferenceTraining>,
  { reference = model, ...hooks }: PreferenceOptions,
): Promise<PreferenceResult> {
  const { loss, invalid, ...course } = { ...preferenceTrainingDefaults, ...config };
  checkLoss(loss);
  const encoded = pairs.map((pair) => encodePair(model, pair));
  const problems = encoded.map((rows) => pairProblem(model, rows));
  const { kept, dropped } = checkExamples(problems, "pairs", invalid);
  const examples = [...kept].map((row) => encoded[row]);
  const columns = needsReference(loss)
    ? { reference: await referenceColumn(model, reference, examples, kept, pairs.length) }
    : undefined;
  const trained = await trainOnAnswers(
    model,
    {
      name: `preference (${loss.name})`,
      examples,
      columns,
      loss: (params, batch) => pairLoss(loss, model.config, params, batch),
    },
    course,
    hooks,
  );
  return { ...trained, dropped };
}

/**
 * The log-probabilities of pairs under a model that is to be a reference, to be kept and used again.
 *
 * @throws UserError for pairs with empty parts and pairs that do not fit the context
 */
export async function referenceLogProbs(
  model: LanguageModel,
  pairs: readonly PreferencePair[],
): Promise<ReferenceLogProbs> {
  const scores = await sequenceLogProbs(
    model,
    pairs.flatMap((pair) => encodePair(model, pair)),
  );
  const every = (first: number) =>
    Float32Array.from({ length: pairs.length }, (_, i) => scores[2 * i + first].sum);
  return { chosen: every(0), rejected: every(1) };
}

function pairLoss(
  loss: PreferenceLoss,
  config: TransformerConfig,
  params: TransformerParams<JaxArray>,
  batch: Batch,
) {
  const { sums, tokens } = answerSums(config, params, batch);
  const column = (of: JaxArray, k: number) => of.reshape([-1, 2]).slice([], k);
  const { reference } = batch;
  const logProbs = {
    chosen: column(sums, 0),
    rejected: column(sums, 1),
    chosenTokens: column(tokens, 0),
    rejectedTokens: column(tokens, 1),
    ...(reference && { referenceChosen: column(reference, 0), referenceRejected: column(reference, 1) }),
  };
  const perToken = loss.name === "simpo" || loss.name === "orpo" || ("perToken" in loss && loss.perToken);
  const margin = logRatioMargin(logProbs, perToken);
  return {
    ...meanOf(preferenceLoss(loss, logProbs)),
    measures: {
      margin: margin.mean(),
      accuracy: margin.greater(0).astype(margin.dtype).mean(),
      chosenLogProb: logProbs.chosen.mean(),
      rejectedLogProb: logProbs.rejected.mean(),
    },
  };
}

function encodePair(model: LanguageModel, { prompt, chosen, rejected }: PreferencePair): PromptedAnswer[] {
  const ids = promptIds(model, prompt);
  return [chosen, rejected].map((answer) => ({ prompt: ids, answer: answerIds(model, answer) }));
}

function pairProblem(model: LanguageModel, [chosen, rejected]: PromptedAnswer[]): string | undefined {
  const problem = answerProblem(model, chosen) ?? answerProblem(model, rejected);
  if (problem) return problem;
  return String(chosen.answer) === String(rejected.answer)
    ? "a chosen answer that equals the rejected one"
    : undefined;
}

async function referenceColumn(
  model: LanguageModel,
  reference: LanguageModel | ReferenceLogProbs,
  examples: readonly PromptedAnswer[][],
  kept: Int32Array,
  count: number,
): Promise<Tensor> {
  const shape = [examples.length, 2];
  if ("config" in reference) {
    requireSameVocabulary(model, reference, "reference");
    const scores = await sequenceLogProbs(reference, examples.flat());
    return new Tensor(
      Float32Array.from(scores, ({ sum }) => sum),
      shape,
    );
  }
  const { chosen, rejected } = reference;
  if (chosen.length !== count || rejected.length !== count) {
    throw new UserError(
      `the reference has ${chosen.length} and ${rejected.length} log-probabilities of chosen and rejected answers, expected ${count} each`,
    );
  }
  const values = Float32Array.from([...kept].flatMap((row) => [chosen[row], rejected[row]]));
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw new UserError(
      `the reference's log-probability of pair ${kept[wrong >> 1]} (counted from 0) is ${values[wrong]}`,
    );
  }
  return new Tensor(values, shape);
}

function checkLoss(loss: PreferenceLoss): void {
  const refuse = (what: string, given: number, expected: string) => {
    throw new UserError(`the ${what} of the loss "${loss.name}" is ${given}, expected ${expected}`);
  };
  if ("beta" in loss && loss.beta !== undefined && !(loss.beta > 0)) refuse("beta", loss.beta, "more than 0");
  if (loss.name === "dpo" && loss.labelSmoothing !== undefined) {
    const { labelSmoothing } = loss;
    if (!(labelSmoothing >= 0 && labelSmoothing < 0.5)) {
      refuse("labelSmoothing", labelSmoothing, "0 or more and less than 0.5");
    }
  }
}

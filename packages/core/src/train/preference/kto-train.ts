import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { UserError } from "../../errors.js";
import type { LanguageModel } from "../../models/language-model.js";
import { type PromptedAnswer, sequenceLogProbs } from "../../models/sequence-log-probs.js";
import type { Random } from "../../random.js";
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
import { type KtoLoss, ktoLoss } from "./losses.js";

/** An answer that somebody found good or bad. */
export interface JudgedAnswer {
  prompt: TextOrIds;
  answer: TextOrIds;
  desirable: boolean;
}

export interface KtoTraining extends LanguageModelCourse, KtoLoss {
  /** What becomes of empty answers and of those for which the context is too short. Default `refuse`. */
  invalid: InvalidExamples;
}

export const ktoTrainingDefaults: KtoTraining = {
  beta: 0.1,
  desirableWeight: 1,
  undesirableWeight: 1,
  invalid: "refuse",
  epochs: 1,
  batchSize: 32,
  learningRate: 1e-4,
  schedule: { decay: "cosine", warmup: 0.1 },
};

export interface KtoResult {
  model: LanguageModel;
  /** Of each step: means of log pi / pi_ref of good, bad and mismatched answers. */
  steps: StepMeasures[];
  dropped: Record<string, number>;
}

/**
 * Kahneman-Tversky optimisation on answers that are judged one by one. The reference point is estimated in each batch from
 * the answers to other prompts, one of them for each prompt, drawn once.
 *
 * @throws UserError for answers that nothing can be learnt from, with their rows; where all prompts are the same; for a
 *   reference with another vocabulary; where the training diverges
 */
export async function ktoTrain(
  model: LanguageModel,
  answers: readonly JudgedAnswer[],
  config: Partial<KtoTraining>,
  { reference = model, ...hooks }: TrainingHooks & { reference?: LanguageModel },
): Promise<KtoResult> {
  const { beta, desirableWeight, undesirableWeight, invalid, ...course } = {
    ...ktoTrainingDefaults,
    ...config,
  };
  requireSameVocabulary(model, reference, "reference");
  const rows = answers.map(({ prompt, answer }) => ({
    prompt: promptIds(model, prompt),
    answer: answerIds(model, answer),
  }));
  const { kept, dropped } = checkExamples(
    rows.map((row) => answerProblem(model, row)),
    "answers",
    invalid,
  );
  const chosen = [...kept].map((row) => rows[row]);
  const others = mismatched(chosen, model.config.contextLength, hooks.random.stream("mismatched"));
  const examples = chosen.map((row, i) => [row, others[i]]);
  const scores = await sequenceLogProbs(reference, examples.flat());
  const columns = {
    reference: new Tensor(
      Float32Array.from(scores, ({ sum }) => sum),
      [examples.length, 2],
    ),
    desirable: new Tensor(Float32Array.from(kept, (row) => Number(answers[row].desirable))),
  };
  const trained = await trainOnAnswers(
    model,
    {
      name: "preference (kto)",
      examples,
      columns,
      loss: (params, batch) => {
        const { sums } = answerSums(model.config, params, batch);
        const ratios = sums.reshape([-1, 2]).sub(batch.reference);
        const [own, other] = [ratios.slice([], 0), ratios.slice([], 1)];
        const { desirable } = batch;
        const meanWhere = (weights: JaxArray) => own.mul(weights).sum().div(weights.sum().add(1e-9));
        return {
          ...meanOf(ktoLoss({ beta, desirableWeight, undesirableWeight }, own, desirable, other)),
          measures: {
            desirableLogRatio: meanWhere(desirable),
            undesirableLogRatio: meanWhere(desirable.neg().add(1)),
            mismatchedLogRatio: other.mean(),
          },
        };
      },
    },
    course,
    hooks,
  );
  return { ...trained, dropped };
}

/** For each row its prompt with the answer of a row that has another prompt. What the context has no room for is cut. */
function mismatched(
  rows: readonly PromptedAnswer[],
  contextLength: number,
  random: Random,
): PromptedAnswer[] {
  const order = random.permutation(rows.length);
  const place = new Int32Array(rows.length);
  order.forEach((row, at) => {
    place[row] = at;
  });
  const prompts = rows.map(({ prompt }) => String(prompt));
  return rows.map(({ prompt }, row) => {
    for (let further = 1; further < rows.length; further++) {
      const other = order[(place[row] + further) % rows.length];
      if (prompts[other] === prompts[row]) continue;
      const room = contextLength + 1 - prompt.length;
      return { prompt, answer: Array.from(rows[other].answer).slice(0, room) };
    }
    throw new UserError(
      `all ${rows.length} answers are to one prompt, but KTO needs answers to other prompts`,
      {
        hint: "Give answers to at least two prompts, or train on pairs.",
      },
    );
  });
}

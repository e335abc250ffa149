import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { UserError } from "../../errors.js";
import type { LanguageModel } from "../../models/language-model.js";
import type { PromptedAnswer } from "../../models/sequence-log-probs.js";
import { ownLogProbs } from "../../models/token-log-probs.js";
import { type TransformerParams, tokenLogits } from "../../models/transformer.js";
import { answerColumns, answerStates, rowShape } from "../answer-rows.js";
import {
  type LanguageModelCourse,
  type StepMeasures,
  type TrainingHooks,
  trainableOf,
} from "../answer-training.js";
import { type BatchTrainer, createBatchTrainer } from "../batch-trainer.js";
import {
  answerIds,
  answerProblem,
  checkExamples,
  type InvalidExamples,
  promptIds,
  promptProblem,
  type TextOrIds,
} from "../checked-examples.js";
import { entropy } from "../log-space.js";
import type { AnswerSampler } from "../policy/answer-sampler.js";
import { overTokens } from "../policy/losses.js";
import { requireSameVocabulary } from "../same-vocabulary.js";
import { scheduleDefaults, scheduleFactor } from "../schedule.js";
import { languageModelOptimizer } from "../train-language-model.js";
import { type Divergence, type DivergenceOptions, divergence } from "./losses.js";

/** What is learnt from, where it is not what the student writes itself. */
export interface DistillationPrompt {
  prompt: TextOrIds;
  /** Default: the teacher writes one. */
  answer?: TextOrIds;
}

export interface Distillation
  extends Pick<LanguageModelCourse, "learningRate" | "schedule" | "optimizer" | "lora">,
    DivergenceOptions {
  /**
   * What the student minimises over the answers' tokens. `sequence` is -log p of the answers themselves, with which a student of the
   * teacher's answers learns from its modes (Kim and Rush 2016); only off-policy.
   */
  loss: Divergence | { name: "sequence" };
  /** Share of the steps whose answers the student writes: lambda of GKD. 1 is on-policy, 0 off-policy. */
  onPolicy: number;
  steps: number;
  /** Answers of a step; all prompts where there are fewer. */
  batchSize: number;
  /** Most tokens of an answer that a model writes. */
  maxTokens: number;
  /** At which answers are drawn. The temperature of the divergence is `temperature`. */
  samplingTemperature: number;
  /** What becomes of examples that are empty or do not fit the context. */
  invalid: InvalidExamples;
}

/** Generalised knowledge distillation on-policy, with the reverse divergence (Agarwal et al. 2024). */
export const distillationDefaults: Distillation = {
  loss: { name: "reverse" },
  onPolicy: 1,
  steps: 100,
  batchSize: 32,
  maxTokens: 64,
  samplingTemperature: 1,
  learningRate: 1e-4,
  schedule: { decay: "cosine", warmup: 0.05 },
  invalid: "refuse",
};

export interface DistillationOptions extends TrainingHooks {
  /** Writes the student's answers. */
  sampler?: AnswerSampler;
  /** Writes the teacher's answers. Default: `sampler`, where both models are of one form. */
  teacherSampler?: AnswerSampler;
}

export interface DistillationResult {
  model: LanguageModel;
  /** Of each step, means over its tokens: `loss`; `forward` and `reverse`, both divergences, in nats; the student's `entropy`. */
  steps: StepMeasures[];
  /** Examples that were left out, by what was wrong with them. */
  dropped: Record<string, number>;
}

/**
 * Trains a student to write as its teacher does. No gradient goes through the drawing of answers.
 *
 * @throws UserError for examples that nothing can be learnt from, with their rows; for a teacher with another vocabulary; where
 *   the training diverges
 */
export async function distil(
  student: LanguageModel,
  teacher: LanguageModel,
  prompts: readonly DistillationPrompt[],
  config: Partial<Distillation>,
  options: DistillationOptions,
): Promise<DistillationResult> {
  const settings = { ...distillationDefaults, ...config };
  checkDistillation(settings);
  requireSameVocabulary(student, teacher, "teacher");
  const { kept, dropped, encoded } = checkedPrompts(student, teacher, prompts, settings);
  const { random, onStep, signal } = options;
  const given = settings.onPolicy < 1 ? await givenAnswers(teacher, student, encoded, settings, options) : [];
  const schedule = { ...scheduleDefaults, ...settings.schedule };
  const batchSize = Math.min(settings.batchSize, kept.length);
  const learner = new Learner(student, teacher, settings, options);
  const steps: StepMeasures[] = [];
  try {
    for (let step = 0; step < settings.steps; step++) {
      signal?.throwIfAborted();
      const own = random.stream("step", step);
      const rows = own.permutation(kept.length).subarray(0, batchSize);
      const isOwn = own.stream("source").uniform() < settings.onPolicy;
      const seed = own.stream("sample").integer(2 ** 31 - 1);
      const answers = isOwn
        ? await learner.write(
            [...rows].map((row) => encoded[row].prompt),
            seed,
          )
        : [...rows].map((row) => given[row]);
      const rate = settings.learningRate * scheduleFactor(schedule, step, settings.steps);
      const measures = await learner.step(answers, rate);
      steps.push(measures);
      onStep?.({ step: step + 1, totalSteps: settings.steps, measures });
    }
    return { model: { ...student, params: learner.params() }, steps, dropped };
  } finally {
    await learner.dispose();
  }
}

class Learner {
  private readonly trainable;
  private trainer: BatchTrainer<unknown> | undefined;

  constructor(
    private readonly student: LanguageModel,
    private readonly teacher: LanguageModel,
    private readonly settings: Distillation,
    private readonly options: DistillationOptions,
  ) {
    this.trainable = trainableOf(student.params, settings.lora, options.random);
  }

  params(): TransformerParams {
    return this.trainable.merge(this.trainer?.params() ?? this.trainable.params);
  }

  /** The student's answers to prompts. */
  write(prompts: readonly Int32Array[], seed: number): Promise<PromptedAnswer[]> {
    return written(this.options.sampler, "sampler", this.params(), prompts, this.settings, seed);
  }

  async step(answers: readonly PromptedAnswer[], learningRate: number): Promise<StepMeasures> {
    const context = Math.min(this.student.config.contextLength, this.teacher.config.contextLength);
    const columns = answerColumns(answers, rowShape(answers, context));
    this.trainer ??= await createBatchTrainer<unknown, unknown>(
      {
        name: "distillation",
        params: this.trainable.params,
        frozen: { base: this.trainable.frozen, teacher: this.teacher.params },
        optimizer: { ...languageModelOptimizer, ...this.settings.optimizer },
        loss: (traced, batch, _progress, frozen) => {
          const { base, teacher } = frozen as { base: unknown; teacher: TransformerParams<JaxArray> };
          const params = this.trainable.assemble(traced, base);
          const logits = tokenLogits(params, answerStates(this.student.config, params, batch));
          const wanted = tokenLogits(teacher, answerStates(this.teacher.config, teacher, batch));
          const { loss } = this.settings;
          const losses =
            loss.name === "sequence"
              ? ownLogProbs(logits, batch.answers).neg()
              : divergence(loss, logits, wanted, this.settings);
          const count = np.maximum(batch.mask.sum(), 1);
          const mean = (of: JaxArray) => of.mul(batch.mask).sum().div(count);
          return {
            ...overTokens("token", losses, batch.mask, this.settings.maxTokens),
            measures: {
              forward: mean(divergence({ name: "forward" }, logits, wanted)),
              reverse: mean(divergence({ name: "reverse" }, logits, wanted)),
              entropy: mean(entropy(logits)),
            },
          };
        },
      },
      columns,
    );
    const loss = await this.trainer.step(columns, learningRate);
    return { loss, ...this.trainer.measures };
  }

  async dispose(): Promise<void> {
    await this.trainer?.dispose();
  }
}

/** Examples that both models can read. */
function checkedPrompts(
  student: LanguageModel,
  teacher: LanguageModel,
  prompts: readonly DistillationPrompt[],
  { onPolicy, invalid }: Distillation,
) {
  const shorter = student.config.contextLength <= teacher.config.contextLength ? student : teacher;
  const all = prompts.map(({ prompt, answer }) => ({
    prompt: promptIds(student, prompt),
    answer: onPolicy < 1 && answer !== undefined ? answerIds(student, answer) : undefined,
  }));
  const problems = all.map(({ prompt, answer }) =>
    answer ? answerProblem(shorter, { prompt, answer }) : promptProblem(shorter, prompt),
  );
  const { kept, dropped } = checkExamples(problems, "prompts", invalid);
  return { kept, dropped, encoded: [...kept].map((row) => all[row]) };
}

/** The answers that were given, and those of the teacher where there were none. */
async function givenAnswers(
  teacher: LanguageModel,
  student: LanguageModel,
  encoded: readonly { prompt: Int32Array; answer: Int32Array | undefined }[],
  settings: Distillation,
  { sampler, teacherSampler, random }: DistillationOptions,
): Promise<PromptedAnswer[]> {
  const missing = encoded.filter(({ answer }) => !answer).map(({ prompt }) => prompt);
  if (missing.length === 0) return encoded.map((row) => row as PromptedAnswer);
  const sameForm = JSON.stringify(teacher.config) === JSON.stringify(student.config);
  const writer = teacherSampler ?? (sameForm ? sampler : undefined);
  const seed = random.stream("teacher").integer(2 ** 31 - 1);
  const answers = await written(writer, "teacherSampler", teacher.params, missing, settings, seed);
  return encoded.map((row) => (row.answer ? (row as PromptedAnswer) : (answers.shift() as PromptedAnswer)));
}

async function written(
  sampler: AnswerSampler | undefined,
  option: string,
  params: TransformerParams,
  prompts: readonly Int32Array[],
  { maxTokens, samplingTemperature: temperature }: Distillation,
  seed: number,
): Promise<PromptedAnswer[]> {
  if (!sampler) {
    throw new UserError(`nothing was given that writes the answers: the option ${option} is missing`, {
      hint: "Give a sampler, or answers and onPolicy: 0.",
    });
  }
  const samples = await sampler.sample(params, { prompts, count: 1, maxTokens, temperature, seed });
  return samples.map(([answer], i) => ({ prompt: prompts[i], answer }));
}

function checkDistillation({ loss, onPolicy, steps, batchSize, maxTokens }: Distillation): void {
  const refuse = (what: string, given: unknown, expected: string) => {
    throw new UserError(`the ${what} of the distillation is ${given}, expected ${expected}`);
  };
  if (!(onPolicy >= 0 && onPolicy <= 1)) refuse("share onPolicy", onPolicy, "0 to 1");
  for (const [key, value] of Object.entries({ steps, batchSize, maxTokens })) {
    if (!Number.isSafeInteger(value) || value < 1) refuse(key, value, "a whole number of at least 1");
  }
  if (loss.name === "sequence" && onPolicy > 0) {
    throw new UserError("the loss of sequences would teach the student what it writes already", {
      hint: "Use onPolicy: 0, or one of the divergences.",
    });
  }
}

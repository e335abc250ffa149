import { UserError } from "../../errors.js";
import type { LanguageModel } from "../../models/language-model.js";
import type { PromptedAnswer } from "../../models/sequence-log-probs.js";
import type { Random } from "../../random.js";
import type { StepMeasures, TrainingHooks } from "../answer-training.js";
import { checkExamples, promptProblem } from "../checked-examples.js";
import { requireSameVocabulary } from "../same-vocabulary.js";
import { scheduleDefaults, scheduleFactor } from "../schedule.js";
import { generalisedAdvantages, groupAdvantages } from "./advantages.js";
import type { AnswerSampler } from "./answer-sampler.js";
import { klEstimateOf } from "./losses.js";
import { type PolicyExample, PolicyLearner, type TokenScores } from "./policy-learner.js";
import { checkPolicyTraining, type PolicyTraining, policyTrainingDefaults } from "./policy-training.js";

/**
 * How good answers are.
 *
 * @param texts the answers to one prompt, without their end tokens
 * @param row the number of the prompt, from 0, by which its truth can be found
 * @returns a number for each text; more is better
 */
export type Reward = (
  prompt: string,
  texts: readonly string[],
  row: number,
) => readonly number[] | Promise<readonly number[]>;

export interface PolicyOptions extends TrainingHooks {
  sampler: AnswerSampler;
  /** What the policy is held to, and what its divergence is measured from. Default: the model as it is given. */
  reference?: LanguageModel;
}

export interface PolicyResult {
  model: LanguageModel;
  /**
   * Of each step: `reward`, the mean of its answers; `kl` from the reference, per token; `entropy` per token; `tokens`, the mean length
   * of the answers; `ended`, the share that came to an end; `alike`, the share of prompts whose answers all had one reward,
   * from which nothing is learnt; `loss`; and `clipped` where a step has several updates.
   */
  steps: StepMeasures[];
  /** Prompts that were left out, by what was wrong with them. */
  dropped: Record<string, number>;
}

/**
 * Policy gradient on a model's own answers: draw, score, compare, update.
 *
 * @throws UserError for prompts that are empty or fill the context, with their rows; for rewards that are not one finite number for
 *   each text; for a reference of another form or vocabulary; where the training diverges
 */
export async function policyTrain(
  model: LanguageModel,
  prompts: readonly string[],
  reward: Reward,
  config: Partial<PolicyTraining>,
  { sampler, reference = model, random, onStep, signal }: PolicyOptions,
): Promise<PolicyResult> {
  const training = { ...policyTrainingDefaults, ...config };
  checkPolicyTraining(training);
  requireSameVocabulary(model, reference, "reference");
  if (JSON.stringify(model.config) !== JSON.stringify(reference.config)) {
    throw new UserError("the reference is of another form than the policy: their configurations differ", {
      hint: "A policy is held to an earlier state of itself, or to another model of its form.",
    });
  }
  const encoded = prompts.map((prompt) => model.tokenizer.encode(prompt));
  const problems = encoded.map((ids) => promptProblem(model, ids));
  const { kept, dropped } = checkExamples(problems, "prompts", training.invalid);
  const schedule = { ...scheduleDefaults, ...training.schedule };
  const learner = new PolicyLearner(model, training, random);
  const steps: StepMeasures[] = [];
  try {
    for (let step = 0; step < training.steps; step++) {
      signal?.throwIfAborted();
      const own = random.stream("step", step);
      const rows = rowsOfStep(kept, training.promptsPerStep, step, random);
      const drawn = await draw(model, learner, sampler, rows, encoded, training, own);
      const rewards = await rewardsOf(reward, drawn.texts, rows, prompts);
      const examples = await judged(learner, reference, drawn.answers, rewards, training);
      const rate = training.learningRate * scheduleFactor(schedule, step, training.steps);
      const measures = {
        reward: mean(rewards.flat()),
        tokens: mean(drawn.answers.map(({ answer }) => answer.length)),
        ended: mean(drawn.answers.map(({ answer }) => Number(ends(model, answer)))),
        alike: mean(rewards.map((group) => Number(group.every((given) => given === group[0])))),
        ...(await learner.update(examples, rate, own.stream("order"))),
      };
      steps.push(measures);
      onStep?.({ step: step + 1, totalSteps: training.steps, measures });
    }
    return { model: { ...model, params: learner.params() }, steps, dropped };
  } finally {
    await learner.dispose();
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const ends = ({ endTokens }: LanguageModel, answer: ArrayLike<number>) =>
  endTokens.includes(answer[answer.length - 1]);

/** Prompts go round in passes, each in a new order; a step may end one pass and begin the next. */
function rowsOfStep(kept: Int32Array, wanted: number, step: number, random: Random): number[] {
  const count = Math.min(wanted, kept.length);
  const orders = new Map<number, Int32Array>();
  return Array.from({ length: count }, (_, i) => {
    const at = step * count + i;
    const pass = Math.floor(at / kept.length);
    const order = orders.get(pass) ?? random.stream("prompts", pass).permutation(kept.length);
    orders.set(pass, order);
    return kept[order[at % kept.length]];
  });
}

/** Answers of the policy as it is now: `[prompts * answersPerPrompt]`, those to one prompt next to each other. */
async function draw(
  model: LanguageModel,
  learner: PolicyLearner,
  sampler: AnswerSampler,
  rows: readonly number[],
  encoded: readonly Int32Array[],
  { answersPerPrompt, maxTokens, temperature }: PolicyTraining,
  random: Random,
): Promise<{ answers: PromptedAnswer[]; texts: string[][] }> {
  const seed = random.stream("sample").integer(2 ** 31 - 1);
  const asked = rows.map((row) => encoded[row]);
  const samples = await sampler.sample(learner.params(), {
    prompts: asked,
    count: answersPerPrompt,
    maxTokens,
    temperature,
    seed,
  });
  const answers = samples.flatMap((group, i) => group.map((answer) => ({ prompt: asked[i], answer })));
  const texts = samples.map((group) =>
    group.map((answer) => model.tokenizer.decode(ends(model, answer) ? answer.subarray(0, -1) : answer)),
  );
  return { answers, texts };
}

async function rewardsOf(
  reward: Reward,
  texts: readonly (readonly string[])[],
  rows: readonly number[],
  prompts: readonly string[],
): Promise<number[][]> {
  return Promise.all(
    rows.map(async (row, i) => {
      const given = [...(await reward(prompts[row], texts[i], row))];
      const wrong = given.findIndex((value) => !Number.isFinite(value));
      const which = `prompt ${row} (counted from 0)`;
      if (given.length !== texts[i].length) {
        throw new UserError(`${given.length} rewards for the ${texts[i].length} answers to ${which}`);
      }
      if (wrong < 0) return given;
      throw new UserError(
        `the reward of an answer to ${which} is ${given[wrong]}: ${JSON.stringify(texts[i][wrong].slice(0, 80))}`,
        { hint: "A reward is a finite number for every text, also for an empty one." },
      );
    }),
  );
}

/** The answers with their advantages, and with what else an update needs to know. */
async function judged(
  learner: PolicyLearner,
  reference: LanguageModel,
  answers: readonly PromptedAnswer[],
  rewards: readonly (readonly number[])[],
  training: PolicyTraining,
): Promise<PolicyExample[]> {
  const { kl, value, updatesPerStep, batchSize = answers.length, baseline } = training;
  const references = await learner.score(answers, reference.params);
  // Where there is one update, the policy that it starts from is the one that drew the answers.
  const moves = updatesPerStep > 1 || batchSize < answers.length;
  const own = moves || value || kl?.in === "reward" ? await learner.score(answers) : undefined;
  const penalties = answers.map((_, i) =>
    kl?.in === "reward" && own
      ? klEstimateOf(kl.estimator, own[i].logProbs, references[i].logProbs).map((x) => kl.coefficient * x)
      : new Float32Array(answers[i].answer.length),
  );
  const rest = (i: number) => ({
    ...answers[i],
    reference: references[i].logProbs,
    ...(moves && own && { old: own[i].logProbs }),
  });
  if (value && own) {
    const all = answers.map((_, i) => tokenAdvantages(rewards.flat()[i], penalties[i], own[i], value));
    const whitened = whiten(all.map(({ advantages }) => advantages));
    return all.map(({ returns }, i) => ({
      ...rest(i),
      advantages: whitened[i],
      returns,
      values: own[i].values,
    }));
  }
  let at = 0;
  const penalised = rewards.map((group) =>
    group.map((given) => given - penalties[at++].reduce((sum, x) => sum + x, 0)),
  );
  return groupAdvantages(penalised, baseline)
    .flat()
    .map((advantages, i) => ({ ...rest(i), advantages }));
}

/** The reward comes with the last token, the penalties with each. */
function tokenAdvantages(
  reward: number,
  penalties: Float32Array,
  { values }: TokenScores,
  { discount, decay }: { discount: number; decay: number },
) {
  const rewards = penalties.map((penalty, t) => (t === penalties.length - 1 ? reward : 0) - penalty);
  return generalisedAdvantages(rewards, values, { discount, decay });
}

/** Of all tokens of a step, to mean 0 and deviation 1, as the code of PPO does (Huang et al. 2022). */
function whiten(advantages: readonly Float32Array[]): Float32Array[] {
  const count = advantages.reduce((sum, { length }) => sum + length, 0);
  const total = (of: (x: number) => number) =>
    advantages.reduce((sum, own) => own.reduce((inner, x) => inner + of(x), sum), 0);
  const centre = total((x) => x) / Math.max(1, count);
  const deviation = Math.sqrt(total((x) => (x - centre) ** 2) / Math.max(1, count));
  return advantages.map((own) => own.map((x) => (x - centre) / (deviation + 1e-8)));
}

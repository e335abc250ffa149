import { UserError } from "../../errors.js";
import type { LanguageModelCourse } from "../answer-training.js";
import type { Baseline } from "./advantages.js";
import { type Clip, clipDefaults, type KlEstimator, type TokenWeighting } from "./losses.js";

/** A tie to the reference. */
export type KlPenalty =
  | {
      /** Part of the loss (GRPO). `k1` has no gradient there but noise. */
      in: "loss";
      estimator: Exclude<KlEstimator, "k1">;
      coefficient: number;
    }
  | {
      /** Taken off the rewards (Ziegler et al. 2019). */
      in: "reward";
      estimator: KlEstimator;
      coefficient: number;
    };

/** Proximal policy optimisation's value head (Schulman et al. 2017): it tells what to expect before each token. */
export interface ValueHead {
  /** Weight of its loss. */
  coefficient: number;
  /** gamma and lambda of the advantages of tokens (Schulman et al. 2016). */
  discount: number;
  decay: number;
  /** How far a value may move from what it was in a step. Default: any. */
  clip?: number;
}

export const valueHeadDefaults: ValueHead = { coefficient: 0.5, discount: 1, decay: 0.95 };

export interface PolicyTraining
  extends Pick<LanguageModelCourse, "learningRate" | "schedule" | "optimizer" | "lora"> {
  /** Rounds of drawing answers, scoring them and learning from them. */
  steps: number;
  /** Prompts of a step; all of them where there are fewer. */
  promptsPerStep: number;
  answersPerPrompt: number;
  /** Most tokens of an answer. */
  maxTokens: number;
  /** At which answers are drawn, and at which the policy is trained. */
  temperature: number;
  /** What rewards are compared with. Not with a value head. */
  baseline: Baseline;
  /** Instead of the baseline of groups. */
  value?: ValueHead;
  weighting: TokenWeighting;
  /** Only matters where a step has several updates. */
  clip?: Clip;
  /** Passes over the answers of a step. */
  updatesPerStep: number;
  /** Answers of an update; what does not fill a last one of a pass is left out of it. Default: all of a step. */
  batchSize?: number;
  kl?: KlPenalty;
  /** Weight of the tokens' entropy, which is raised. */
  entropyBonus: number;
  /** What becomes of prompts that are empty or fill the context. */
  invalid: "refuse" | "drop";
}

/**
 * Group relative policy optimisation (Shao et al. 2024) with the mean over tokens of DAPO (Yu et al. 2025) and one update a step,
 * where the clip has nothing to hold. `baseline: "leave-one-out"` is RLOO, `"mean"` with `weighting: "constant"` Dr. GRPO.
 */
export const policyTrainingDefaults: PolicyTraining = {
  steps: 100,
  promptsPerStep: 8,
  answersPerPrompt: 8,
  maxTokens: 64,
  temperature: 1,
  baseline: "group-normalised",
  weighting: "token",
  clip: clipDefaults,
  updatesPerStep: 1,
  entropyBonus: 0,
  learningRate: 1e-4,
  schedule: { decay: "constant", warmup: 0 },
  invalid: "refuse",
};

/** @throws UserError where a setting is out of range */
export function checkPolicyTraining(training: PolicyTraining): void {
  const refuse = (what: string, given: unknown, expected: string) => {
    throw new UserError(`the ${what} of the policy training is ${given}, expected ${expected}`);
  };
  for (const key of ["steps", "promptsPerStep", "answersPerPrompt", "maxTokens", "updatesPerStep"] as const) {
    if (!Number.isSafeInteger(training[key]) || training[key] < 1) {
      refuse(key, training[key], "a whole number of at least 1");
    }
  }
  const { temperature, baseline, value, answersPerPrompt, kl } = training;
  if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY)) {
    refuse("temperature", temperature, "more than 0");
  }
  if (!value && answersPerPrompt < 2 && (baseline === "leave-one-out" || baseline === "group-normalised")) {
    refuse(
      "answersPerPrompt",
      answersPerPrompt,
      `at least 2, to compare answers as the baseline ${baseline} does`,
    );
  }
  if (kl && !(kl.coefficient >= 0)) refuse("kl.coefficient", kl.coefficient, "0 or more");
}

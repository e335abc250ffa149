import type { Tensor } from "@outgrow/engine";
import type { TransformerParams } from "../../models/transformer.js";

export interface SamplingRequest {
  /** Ids, each of at least one token and with room in the context. */
  prompts: readonly Int32Array[];
  /** Answers to each prompt. */
  count: number;
  /** Most tokens of an answer; fewer where the context ends. */
  maxTokens: number;
  /** Divides the logits, above 0. */
  temperature: number;
  seed: number;
}

/** Writes answers under the parameters that it is given: training on one's own answers has new ones after each step. */
export interface AnswerSampler {
  /**
   * Answers drawn from the model's own distribution, with nothing left out of it.
   *
   * @returns ids `[prompts][count]`, the end token among them where the answer came to an end
   */
  sample(params: TransformerParams<Tensor>, request: SamplingRequest): Promise<Int32Array[][]>;
}

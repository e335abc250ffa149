import type { LanguageModel } from "../models/language-model.js";
import type { AnswerSampler } from "../train/policy/answer-sampler.js";
import type { DecoderOptions } from "./cached-decoder.js";
import { createGenerator } from "./generator.js";

/**
 * Answers by {@link createGenerator}, for trainings on a model's own answers: each call opens a generator of the parameters that it
 * is given, and all answers are written side by side.
 *
 * @param model its form, tokenizer and end tokens
 */
export function generatorSampler(
  { config, tokenizer, endTokens }: Pick<LanguageModel, "config" | "tokenizer" | "endTokens">,
  options: DecoderOptions = {},
): AnswerSampler {
  return {
    async sample(params, { prompts, count, maxTokens, temperature, seed }) {
      const generator = createGenerator({ config, params, tokenizer, endTokens }, options);
      try {
        const generations = await Promise.all(
          prompts.map((prompt, i) =>
            generator.sample({ prompt, maxTokens, temperature, seed: seed + i * count }, count),
          ),
        );
        return generations.map((group) => group.map(({ tokens }) => Int32Array.from(tokens, ({ id }) => id)));
      } finally {
        await generator.dispose();
      }
    },
  };
}

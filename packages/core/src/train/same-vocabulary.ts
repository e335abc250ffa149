import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";

/**
 * Two models that score the same ids must mean the same by them.
 *
 * @param role what the other model is, e.g. "teacher"
 * @throws UserError where the sizes of the vocabularies or the tokenizers differ
 */
export function requireSameVocabulary(model: LanguageModel, other: LanguageModel, role: string): void {
  const [own, given] = [model.config.vocabularySize, other.config.vocabularySize];
  if (own !== given) {
    throw new UserError(`the ${role} has a vocabulary of ${given} tokens, the model one of ${own}`, {
      hint: "Both must have been trained with one tokenizer.",
    });
  }
  if (model.tokenizer === other.tokenizer) return;
  if (JSON.stringify(model.tokenizer.toJSON()) !== JSON.stringify(other.tokenizer.toJSON())) {
    throw new UserError(`the ${role}'s tokenizer is not that of the model, though both have ${own} tokens`, {
      hint: "Both must have been trained with one tokenizer.",
    });
  }
}

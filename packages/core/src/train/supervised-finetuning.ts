import { type Document, packDocuments } from "../data/packing.js";
import type { PromptedText } from "../data/word-problem.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { nextTokenLoss } from "./language-loss.js";
import {
  type LanguageModelResult,
  type LanguageModelTraining,
  trainLanguageModel,
} from "./train-language-model.js";

/**
 * The document of a prompt and its answer, of which the answer and the end token count.
 *
 * @throws UserError where the prompt has no tokens
 */
export function answerDocument(
  { tokenizer, endTokens }: Pick<LanguageModel, "tokenizer" | "endTokens">,
  { prompt, answer }: PromptedText,
): Document {
  const asked = tokenizer.encode(prompt);
  if (asked.length === 0)
    throw new UserError(`the prompt of the answer ${JSON.stringify(answer)} has no tokens`);
  const ids = Int32Array.of(...asked, ...tokenizer.encode(answer), ...endTokens.slice(0, 1));
  return { ids, weights: new Float32Array(ids.length).fill(1, asked.length) };
}

export interface SupervisedFinetuning extends Omit<LanguageModelTraining, "order" | "validation"> {
  /** Early stopping by the loss on held-out answers. */
  validation?: { examples: readonly (PromptedText | Document)[]; every: number; patience?: number };
}

/**
 * Finetunes a model on answers: the loss counts their tokens alone, all alike. Examples are packed into rows of the context's
 * length, each by itself, so that one program serves all lengths and little padding is computed.
 *
 * @param examples prompts with answers, or documents whose weights say what counts, such as chats with their assistant's turns
 * @throws UserError where an example is longer than the context, and where training diverges
 */
export async function finetuneOnAnswers(
  model: LanguageModel,
  examples: readonly (PromptedText | Document)[],
  { validation, ...options }: SupervisedFinetuning,
): Promise<LanguageModelResult> {
  const { contextLength } = model.config;
  const rowsOf = (given: readonly (PromptedText | Document)[], which: string) => {
    const documents = given.map((example) => ("ids" in example ? example : answerDocument(model, example)));
    // A piece without its prompt would teach an answer to nothing.
    const long = documents.findIndex(({ ids }) => ids.length - 1 > contextLength);
    if (long >= 0) {
      throw new UserError(
        `${which} ${long} (counted from 0) has ${documents[long].ids.length} tokens, ` +
          `but the model's context is ${contextLength}`,
        { hint: "Leave it out or shorten it." },
      );
    }
    return packDocuments(documents, { contextLength });
  };
  return trainLanguageModel(model, nextTokenLoss(model.config), rowsOf(examples, "example"), {
    ...options,
    ...(validation && {
      validation: { ...validation, rows: rowsOf(validation.examples, "held-out example") },
    }),
  });
}

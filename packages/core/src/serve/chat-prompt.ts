import { type ChatMessage, renderChat } from "../data/chat-template.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { badField } from "./api-error.js";
import type { ServedMessage } from "./text-service.js";

/**
 * The prompt of a conversation, up to where the answer begins.
 *
 * @throws ApiError where the model has no template, or its template refuses the messages
 */
export function chatPrompt(
  model: LanguageModel,
  messages: readonly ServedMessage[],
  tools: readonly object[] | undefined,
): string {
  try {
    return renderChat(model, messages as readonly ChatMessage[], { addGenerationPrompt: true, tools });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw badField("messages", `${error.message}.`);
  }
}

import type { Constraint } from "../decode/generation.js";
import {
  jsonConstraint,
  jsonSchemaConstraint,
  regexConstraint,
  toolCallConstraint,
} from "../decode/guided/constraints.js";
import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { badField } from "./api-error.js";
import type { AnswerForm } from "./text-service.js";

/** Forms that were used last are not made anew. */
const mostKept = 32;

/**
 * The constraints of one model, by the form of the answer.
 *
 * @returns a function that throws an ApiError for a form that cannot be enforced
 */
export function answerConstraints({ tokenizer, endTokens }: LanguageModel): (form: AnswerForm) => Constraint {
  const kept = new Map<string, Constraint>();
  const make = (form: AnswerForm): Constraint => {
    switch (form.kind) {
      case "json":
        return jsonConstraint(tokenizer, endTokens, { kind: "object" });
      case "json-schema":
        return jsonSchemaConstraint(form.schema, tokenizer, endTokens);
      case "regex":
        return regexConstraint(form.pattern, tokenizer, endTokens);
      case "tool-call":
        return toolCallConstraint(form.tools, tokenizer, endTokens);
    }
  };
  return (form) => {
    const key = JSON.stringify(form);
    let constraint = kept.get(key);
    if (constraint === undefined) {
      try {
        constraint = make(form);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        const hint = error.hint ? ` ${error.hint}` : "";
        throw badField(form.field, `${error.message}.${hint}`, "invalid_value");
      }
    }
    kept.delete(key);
    kept.set(key, constraint);
    if (kept.size > mostKept) kept.delete(kept.keys().next().value as string);
    return constraint;
  };
}

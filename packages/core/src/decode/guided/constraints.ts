import type { Tokenizer } from "../../data/bpe.js";
import { UserError } from "../../errors.js";
import type { Constraint } from "../generation.js";
import { automatonConstraint } from "./automaton-constraint.js";
import { choice, literal } from "./expression.js";
import { parseJsonSchema } from "./json-schema.js";
import { jsonAnyObject, jsonObject, jsonValue } from "./json-values.js";
import { parseRegex } from "./regex.js";

/**
 * The text matches a regular expression as a whole; see {@link parseRegex} for what is understood.
 *
 * @param endTokens ids after which a text is over; they are allowed where it may end
 * @throws UserError for a pattern that is not understood (with the position), is too large, or has no text
 */
export function regexConstraint(
  pattern: string,
  tokenizer: Tokenizer,
  endTokens: readonly number[],
): Constraint {
  return automatonConstraint(`a match of /${pattern}/`, parseRegex(pattern), tokenizer, endTokens);
}

/**
 * The text is JSON that a JSON Schema holds for; see {@link parseJsonSchema} for the keywords and the white space.
 *
 * @throws UserError for keywords that are not enforced (by name and place), and for a schema that nothing satisfies
 */
export function jsonSchemaConstraint(
  schema: unknown,
  tokenizer: Tokenizer,
  endTokens: readonly number[],
): Constraint {
  return automatonConstraint("JSON of this schema", parseJsonSchema(schema), tokenizer, endTokens);
}

/** The text is one JSON value of any kind, or with `kind: "object"` any JSON object, nested as deeply as it likes. */
export function jsonConstraint(
  tokenizer: Tokenizer,
  endTokens: readonly number[],
  { kind = "value" }: { kind?: "value" | "object" } = {},
): Constraint {
  return automatonConstraint("JSON", kind === "object" ? jsonAnyObject : jsonValue, tokenizer, endTokens);
}

/** A function that a model may call, as in OpenAI's `tools`. */
export interface Tool {
  type: "function";
  function: {
    name: string;
    description?: string;
    /** JSON Schema of the arguments, an object. Default: no arguments. */
    parameters?: unknown;
  };
}

/**
 * The text is a call of one of the tools: `{"name": …, "arguments": …}`, with arguments that its schema holds for.
 *
 * @throws UserError for no tools, two of one name, and schemas that are not enforced
 */
export function toolCallConstraint(
  tools: readonly Tool[],
  tokenizer: Tokenizer,
  endTokens: readonly number[],
): Constraint {
  if (tools.length === 0) throw new UserError("there are no tools to call, expected at least one");
  const names = new Set<string>();
  const calls = tools.map(
    ({ function: { name, parameters = { type: "object", additionalProperties: false } } }) => {
      if (names.has(name)) throw new UserError(`two tools are called ${JSON.stringify(name)}`);
      names.add(name);
      try {
        return jsonObject([
          { name: "name", value: literal(JSON.stringify(name)), required: true },
          { name: "arguments", value: parseJsonSchema(parameters), required: true },
        ]);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        throw new UserError(`tool ${JSON.stringify(name)}: ${error.message}`, {
          hint: error.hint,
          cause: error,
        });
      }
    },
  );
  return automatonConstraint("a call of one of the tools", choice(calls), tokenizer, endTokens);
}

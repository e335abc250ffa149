import type { z } from "zod";
import { ApiError, badField } from "./api-error.js";

/*
 * Clients send more fields than a server can act on. A field is used, or is known to leave the answer as it is and
 * ignored, or has the value that it has where it is absent; any other would give another answer than the one asked for
 * and is refused by its name.
 */

/** Fields of OpenAI's API, vLLM and llama.cpp that do not change an answer. */
const ignored = new Set([
  "cache_prompt",
  "metadata",
  "parallel_tool_calls", // matters only beside tools
  "prediction",
  "priority",
  "prompt_cache_key",
  "prompt_cache_retention",
  "request_id",
  "safety_identifier",
  "service_tier",
  "store",
  "user",
]);

const isEmpty = (value: unknown) =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;

/** Fields that this server does not have, with the values that change nothing. */
const neutral: Record<string, (value: unknown, request: Record<string, unknown>) => boolean> = {
  add_generation_prompt: (value) => value === true,
  best_of: (value, { n }) => value === (n ?? 1),
  continue_final_message: (value) => value === false,
  frequency_penalty: (value) => value === 0,
  function_call: (value) => value === "none" || value === "auto",
  functions: isEmpty,
  ignore_eos: (value) => value === false,
  include_stop_str_in_output: (value) => value === false,
  length_penalty: (value) => value === 1,
  logit_bias: isEmpty,
  min_tokens: (value) => value === 0,
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === "text",
  presence_penalty: (value) => value === 0,
  skip_special_tokens: (value) => value === true,
  spaces_between_special_tokens: (value) => value === true,
  suffix: (value) => value === "",
  use_beam_search: (value) => value === false,
};

/**
 * The fields of a request that a schema knows, checked. Fields that are null count as absent, as clients mean it.
 *
 * @throws ApiError that names the first field that is wrong or cannot be served
 */
export function parseFields<Schema extends z.ZodObject>(body: unknown, schema: Schema): z.infer<Schema> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError({ status: 400, message: "The body is not a JSON object." });
  }
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  const used: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(given)) {
    if (Object.hasOwn(schema.shape, field)) used[field] = value;
    else if (Object.hasOwn(neutral, field)) {
      if (!neutral[field](value, given)) {
        throw badField(field, "this server does not have it; leave it out.", "unsupported_parameter");
      }
    } else if (!ignored.has(field)) {
      throw badField(field, "there is no such field here; leave it out.", "unknown_parameter");
    }
  }
  const parsed = schema.safeParse(used);
  if (parsed.success) return parsed.data;
  const { path, message } = deepest(parsed.error.issues);
  throw badField(pathText(path) || "body", `${message}.`, "invalid_value");
}

interface Issue {
  path: PropertyKey[];
  message: string;
}

/** Of a choice between forms, what was wrong with the form that was meant: the one that got furthest. */
function deepest(issues: readonly z.core.$ZodIssue[]): Issue {
  const [first] = issues;
  if (first.code !== "invalid_union" || first.errors.length === 0) return first;
  const inner = first.errors
    .filter((alternative) => alternative.length > 0)
    .map(deepest)
    .reduce((best, issue) => (issue.path.length > best.path.length ? issue : best));
  if (inner.path.length === 0)
    return { path: first.path, message: "Invalid input: not of a form known here" };
  return { path: [...first.path, ...inner.path], message: inner.message };
}

const pathText = (path: readonly PropertyKey[]): string =>
  path
    .map((part, i) => (typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${String(part)}`))
    .join("");

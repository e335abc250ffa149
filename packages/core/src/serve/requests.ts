import { randomInt } from "node:crypto";
import { z } from "zod";
import { badField } from "./api-error.js";
import type { ServeLimits } from "./limits.js";
import { parseFields } from "./request-fields.js";
import type { AnswerForm, ServedMessage, ServedTool, TextRequest } from "./text-service.js";

const stop = z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]);
const whole = z.int();

/** Fields that completions and chats share, the last five as vLLM has them. */
const sampling = {
  model: z.string(),
  max_tokens: whole.min(0).optional(),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().gt(0).max(1).default(1),
  n: whole.min(1).default(1),
  seed: whole.optional(),
  stop: stop.optional(),
  stream: z.boolean().default(false),
  stream_options: z
    .object({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .optional(),
  top_k: whole.min(-1).optional(),
  min_p: z.number().min(0).max(1).default(0),
  repetition_penalty: z.number().gt(0).max(10).default(1),
  guided_json: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  guided_regex: z.string().optional(),
};

const completionSchema = z.object({
  ...sampling,
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1),
    z.array(whole.min(0)).min(1),
    z.array(z.array(whole.min(0)).min(1)).min(1),
  ]),
  echo: z.boolean().default(false),
  logprobs: whole.min(0).max(20).optional(),
});

const textParts = z.array(z.object({ type: z.enum(["text", "refusal"]), text: z.string() })).min(1);
const content = z.union([z.string(), textParts]);
const named = { name: z.string().optional() };
const toolCall = z.object({
  id: z.string(),
  type: z.literal("function"),
  function: z.object({ name: z.string(), arguments: z.string() }),
});
const message = z.discriminatedUnion("role", [
  z.object({ role: z.enum(["system", "developer", "user"]), content, ...named }),
  z.object({
    role: z.literal("assistant"),
    content: content.nullish(),
    refusal: z.string().nullish(),
    tool_calls: z.array(toolCall).nullish(),
    ...named,
  }),
  z.object({ role: z.literal("tool"), content, tool_call_id: z.string(), ...named }),
]);
const tool = z.object({
  type: z.literal("function"),
  function: z.object({
    name: z.string().regex(/^[\w-]{1,64}$/),
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
    strict: z.boolean().nullish(),
  }),
});
const responseFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({ type: z.literal("json_object") }),
  z.object({
    type: z.literal("json_schema"),
    json_schema: z.object({
      name: z.string().optional(),
      description: z.string().optional(),
      strict: z.boolean().nullish(),
      schema: z.record(z.string(), z.unknown()),
    }),
  }),
]);

const chatSchema = z.object({
  ...sampling,
  messages: z.array(message).min(1),
  max_completion_tokens: whole.min(1).optional(),
  logprobs: z.boolean().default(false),
  top_logprobs: whole.min(0).max(20).optional(),
  response_format: responseFormat.optional(),
  tools: z.array(tool).max(128).optional(),
  tool_choice: z
    .union([
      z.enum(["none", "auto", "required"]),
      z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) }),
    ])
    .optional(),
});

/** A request as the server carries it out: one or several prompts for one model. */
export interface ParsedRequest {
  kind: "completion" | "chat";
  model: string;
  requests: TextRequest[];
  stream: boolean;
  /** Whether a stream ends with the count of tokens. */
  streamUsage: boolean;
}

/** @throws ApiError that names the first field that is wrong */
export function parseCompletion(body: unknown, limits: ServeLimits): ParsedRequest {
  const fields = parseFields(body, completionSchema);
  const { prompt, echo, logprobs } = fields;
  const shared = {
    ...sharedOf(fields, limits),
    // OpenAI's default.
    maxTokens: checkedTokens("max_tokens", fields.max_tokens ?? 16, limits),
    logProbs: logprobs,
    echo,
  };
  if (fields.max_tokens === 0 && !echo) {
    throw badField("max_tokens", "0 makes sense only with echo.", "invalid_value");
  }
  const prompts = promptsOf(prompt);
  checkAnswers(prompts.length * fields.n, limits);
  return {
    kind: "completion",
    model: fields.model,
    stream: fields.stream,
    streamUsage: fields.stream_options?.include_usage ?? false,
    requests: prompts.map((one, i) => ({
      ...shared,
      prompt: one,
      field: prompts.length > 1 ? `prompt[${i}]` : "prompt",
    })),
  };
}

function promptsOf(prompt: z.infer<typeof completionSchema>["prompt"]) {
  if (typeof prompt === "string") return [{ text: prompt }];
  if (typeof prompt[0] === "number") return [{ tokens: prompt as number[] }];
  return (prompt as (string | number[])[]).map((one) =>
    typeof one === "string" ? { text: one } : { tokens: one },
  );
}

/** @throws ApiError that names the first field that is wrong */
export function parseChat(body: unknown, limits: ServeLimits): ParsedRequest {
  const fields = parseFields(body, chatSchema);
  const { messages, logprobs, top_logprobs: alternatives, tools = [], tool_choice: choice } = fields;
  const bounded = fields.max_completion_tokens === undefined ? "max_tokens" : "max_completion_tokens";
  const most = fields[bounded];
  if (most === 0) throw badField("max_tokens", "expected at least 1.", "invalid_value");
  if (alternatives !== undefined && !logprobs) {
    throw badField("top_logprobs", "needs logprobs: true.", "invalid_value");
  }
  const told = choice === "none" ? [] : tools;
  const must = mustCall(told, choice);
  checkAnswers(fields.n, limits);
  const shared = sharedOf(fields, limits);
  return {
    kind: "chat",
    model: fields.model,
    stream: fields.stream,
    streamUsage: fields.stream_options?.include_usage ?? false,
    requests: [
      {
        ...shared,
        prompt: { messages: messages.map(plainMessage), ...(told.length > 0 && { tools: told }) },
        field: "messages",
        maxTokens: checkedTokens(bounded, most ?? limits.newTokens, limits),
        logProbs: logprobs ? (alternatives ?? 0) : undefined,
        form: must ?? shared.form ?? formOf(fields.response_format),
        echo: false,
        // Whether a text is a call of a tool is known at its end.
        stream: shared.stream && told.length === 0,
      },
    ],
  };
}

/** The form of an answer that must be a call of a tool. */
function mustCall(
  tools: ServedTool[],
  choice: z.infer<typeof chatSchema>["tool_choice"],
): AnswerForm | undefined {
  if (choice === undefined || choice === "none" || choice === "auto") return undefined;
  if (tools.length === 0)
    throw badField("tool_choice", "there are no tools to choose from.", "invalid_value");
  if (choice === "required") return { kind: "tool-call", tools, field: "tools" };
  const { name } = choice.function;
  const chosen = tools.filter((one) => one.function.name === name);
  if (chosen.length === 0) {
    throw badField("tool_choice.function.name", `there is no tool ${JSON.stringify(name)}.`, "invalid_value");
  }
  return { kind: "tool-call", tools: chosen, field: "tools" };
}

/** A message with its text in one piece, as templates want it. */
function plainMessage({ content, ...rest }: z.infer<typeof message>, index: number): ServedMessage {
  const text = Array.isArray(content) ? content.map((part) => part.text).join("") : (content ?? null);
  if (!("tool_calls" in rest) || !rest.tool_calls) return { ...rest, content: text };
  const calls = rest.tool_calls.map((call, i) => {
    const field = `messages[${index}].tool_calls[${i}].function.arguments`;
    return {
      ...call,
      function: { ...call.function, arguments: parsedJson(call.function.arguments, field) },
    };
  });
  return { ...rest, content: text, tool_calls: calls };
}

function parsedJson(text: string, field: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badField(field, "is not JSON.", "invalid_value");
  }
}

function sharedOf(
  fields: z.infer<typeof completionSchema> | z.infer<typeof chatSchema>,
  limits: ServeLimits,
) {
  const { temperature, stop, stream, top_k: topK } = fields;
  return {
    count: fields.n,
    promptTokens: limits.promptTokens,
    stop: typeof stop === "string" ? [stop] : stop,
    stream,
    temperature,
    topP: fields.top_p,
    // vLLM's -1, like 0, is all of them.
    topK: topK === undefined || topK < 1 ? undefined : topK,
    minP: fields.min_p,
    repetitionPenalty: fields.repetition_penalty,
    // Without a seed, the same request gets other answers each time.
    seed: fields.seed ?? randomInt(2 ** 47),
    form: guidedForm(fields),
  };
}

function guidedForm({
  guided_json: schema,
  guided_regex: pattern,
}: {
  guided_json?: unknown;
  guided_regex?: string;
}): AnswerForm | undefined {
  if (schema !== undefined && pattern !== undefined) {
    throw badField("guided_regex", "cannot be had together with guided_json.", "invalid_value");
  }
  if (pattern !== undefined) return { kind: "regex", pattern, field: "guided_regex" };
  if (schema === undefined) return undefined;
  if (typeof schema !== "string") return { kind: "json-schema", schema, field: "guided_json" };
  return { kind: "json-schema", schema: parsedJson(schema, "guided_json"), field: "guided_json" };
}

function formOf(format: z.infer<typeof responseFormat> | undefined): AnswerForm | undefined {
  if (format === undefined || format.type === "text") return undefined;
  if (format.type === "json_object") return { kind: "json", field: "response_format" };
  return {
    kind: "json-schema",
    schema: format.json_schema.schema,
    field: "response_format.json_schema.schema",
  };
}

function checkedTokens(field: string, wanted: number, limits: ServeLimits): number {
  if (wanted <= limits.newTokens) return wanted;
  throw badField(field, `this server gives at most ${limits.newTokens} tokens.`, "invalid_value");
}

function checkAnswers(wanted: number, limits: ServeLimits): void {
  if (wanted <= limits.answers) return;
  const message = `prompts times n are ${wanted} answers; this server gives at most ${limits.answers} to a request.`;
  throw badField("n", message, "invalid_value");
}

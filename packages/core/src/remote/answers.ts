import { z } from "zod";
import { bodyError, garbled } from "./remote-error.js";

export interface RemoteToken {
  text: string;
  /** Null where the server does not say. */
  logProb: number | null;
  /** The likeliest first; empty where none were asked for. */
  alternatives: { text: string; logProb: number }[];
}

/** What a server said, as it is kept. */
export interface RemoteText {
  text: string;
  finishReason: "stop" | "length" | "content_filter" | "tool_calls";
  /** Why the model would not answer, where it says so apart. */
  refusal?: string;
  logProbs?: RemoteToken[];
  /** As the server counts; absent where it does not say. */
  usage?: { promptTokens: number; completionTokens: number };
}

const usage = z.object({ prompt_tokens: z.number().min(0), completion_tokens: z.number().min(0).default(0) });
const alternative = z.object({ token: z.string(), logprob: z.number() });
const chatLogProbs = z.object({
  content: z.array(alternative.extend({ top_logprobs: z.array(alternative).default([]) })).nullish(),
});
const completionLogProbs = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).nullish(),
});
const finish = z.string().nullish();

const chatAnswer = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
        logprobs: chatLogProbs.nullish(),
        finish_reason: finish,
      }),
    )
    .min(1),
  usage: usage.nullish(),
});
const completionAnswer = z.object({
  choices: z
    .array(z.object({ text: z.string(), logprobs: completionLogProbs.nullish(), finish_reason: finish }))
    .min(1),
  usage: usage.nullish(),
});
const chatChunk = z.object({
  choices: z.array(
    z.object({
      delta: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }).nullish(),
      logprobs: chatLogProbs.nullish(),
      finish_reason: finish,
    }),
  ),
  usage: usage.nullish(),
});
const completionChunk = z.object({
  choices: z.array(
    z.object({ text: z.string().default(""), logprobs: completionLogProbs.nullish(), finish_reason: finish }),
  ),
  usage: usage.nullish(),
});

export type RequestKind = "chat" | "completion";

/** The answer in a body. @throws RemoteError for anything else */
export function parseAnswer(kind: RequestKind, body: string): RemoteText {
  const json = parsedJson(body);
  if (kind === "chat") {
    const { choices, usage } = checked(chatAnswer, json, body);
    const [{ message, logprobs, finish_reason }] = choices;
    return remoteText(message.content ?? "", finish_reason, usage, {
      refusal: message.refusal ?? undefined,
      logProbs: logprobs?.content?.map(chatToken),
    });
  }
  const { choices, usage } = checked(completionAnswer, json, body);
  const [{ text, logprobs, finish_reason }] = choices;
  return remoteText(text, finish_reason, usage, {
    logProbs: logprobs ? completionTokens(logprobs) : undefined,
  });
}

/** Puts an answer together from the events of a stream. */
export class AnswerReader {
  private text = "";
  private refusal = "";
  private logProbs: RemoteToken[] | undefined;
  private finishReason: string | undefined;
  private usage: z.infer<typeof usage> | undefined;

  constructor(private readonly kind: RequestKind) {}

  /** @returns the text that the event adds. @throws RemoteError for an event that is none of the API's */
  push(data: string): string {
    const json = parsedJson(data);
    const chunk =
      this.kind === "chat" ? checked(chatChunk, json, data) : checked(completionChunk, json, data);
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices[0];
    if (choice === undefined) return "";
    this.finishReason = choice.finish_reason ?? this.finishReason;
    let added: string;
    let tokens: RemoteToken[] | undefined;
    if ("text" in choice) {
      added = choice.text;
      tokens = choice.logprobs ? completionTokens(choice.logprobs) : undefined;
    } else {
      added = choice.delta?.content ?? "";
      this.refusal += choice.delta?.refusal ?? "";
      tokens = choice.logprobs?.content?.map(chatToken);
    }
    if (tokens) this.logProbs = [...(this.logProbs ?? []), ...tokens];
    this.text += added;
    return added;
  }

  /** The whole answer, or undefined where its end was not told. */
  end(): RemoteText | undefined {
    if (this.finishReason === undefined) return undefined;
    const { refusal, logProbs } = this;
    return remoteText(this.text, this.finishReason, this.usage, { refusal: refusal || undefined, logProbs });
  }
}

function parsedJson(body: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw garbled("is not JSON", body);
  }
  if (typeof json === "object" && json !== null && "error" in json && json.error) throw bodyError(json.error);
  return json;
}

function checked<T>(schema: z.ZodType<T>, json: unknown, body: string): T {
  const { success, data, error } = schema.safeParse(json);
  if (success) return data;
  const [{ path, message }] = error.issues;
  throw garbled(`is of another form (${path.join(".") || "all of it"}: ${message})`, body);
}

function remoteText(
  text: string,
  finishReason: string | null | undefined,
  counted: z.infer<typeof usage> | null | undefined,
  rest: Pick<RemoteText, "refusal" | "logProbs">,
): RemoteText {
  const known = ["length", "content_filter", "tool_calls"] as const;
  return {
    text,
    finishReason: known.find((reason) => reason === finishReason) ?? "stop",
    ...(rest.refusal !== undefined && { refusal: rest.refusal }),
    ...(rest.logProbs && { logProbs: rest.logProbs }),
    ...(counted && {
      usage: { promptTokens: counted.prompt_tokens, completionTokens: counted.completion_tokens },
    }),
  };
}

type ChatToken = NonNullable<z.infer<typeof chatLogProbs>["content"]>[number];

const chatToken = ({ token, logprob, top_logprobs: top }: ChatToken): RemoteToken => ({
  text: token,
  logProb: logprob,
  alternatives: top.map((other) => ({ text: other.token, logProb: other.logprob })),
});

function completionTokens(listed: z.infer<typeof completionLogProbs>): RemoteToken[] {
  return listed.tokens.map((text, i) => ({
    text,
    logProb: listed.token_logprobs[i] ?? null,
    alternatives: Object.entries(listed.top_logprobs?.[i] ?? {})
      .map(([other, logProb]) => ({ text: other, logProb }))
      .sort((a, b) => b.logProb - a.logProb),
  }));
}

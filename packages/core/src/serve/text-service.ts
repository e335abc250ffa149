import type { SamplingOptions } from "../decode/generation.js";
import type { ToolCall } from "./tool-calls.js";

/** A part of a conversation, as chat templates take it. */
export interface ServedMessage {
  role: string;
  content: string | null;
  [field: string]: unknown;
}

/** A function that a model may call, as OpenAI's API has it. */
export interface ServedTool {
  type: "function";
  function: { name: string; description?: string; parameters?: Record<string, unknown> };
}

/** The form that an answer must have. */
export type AnswerForm =
  | { kind: "json"; field: string }
  | { kind: "json-schema"; schema: unknown; field: string }
  | { kind: "regex"; pattern: string; field: string }
  | { kind: "tool-call"; tools: ServedTool[]; field: string };

/** One prompt with what is to become of it. */
export interface TextRequest extends SamplingOptions {
  prompt: { text: string } | { tokens: number[] } | { messages: ServedMessage[]; tools?: ServedTool[] };
  /** The field of the request that it came from, for errors. */
  field: string;
  /** Answers wanted, at least 1. */
  count: number;
  /** Most tokens to generate. Fewer where the context has no room for them. */
  maxTokens: number;
  /** Longest prompt allowed. */
  promptTokens: number;
  stop?: readonly string[];
  form?: AnswerForm;
  /** Alternatives for each token, 0 to 20; absent: no log-probabilities. */
  logProbs?: number;
  /** Whether the prompt's text, and its log-probabilities if wanted, belong to the answer. */
  echo: boolean;
  /** Whether pieces are wanted as they come. */
  stream: boolean;
}

export interface ServedToken {
  /** As OpenAI's API spells it: one that is no whole characters by its bytes. */
  token: string;
  bytes: number[];
  /** Where it begins in the text. */
  offset: number;
  /** Null for the first token of a prompt, before which there is nothing. */
  logProb: number | null;
  alternatives: { token: string; bytes: number[]; logProb: number }[];
}

export interface TextPiece {
  /** Which of the answers it continues. */
  answer: number;
  text: string;
  /** Empty where no log-probabilities were asked for. */
  tokens: ServedToken[];
}

export interface TextAnswer {
  text: string;
  /** Those of the text; empty where no log-probabilities were asked for. */
  tokens: ServedToken[];
  /** All that were generated, the end token among them. */
  generated: number;
  finishReason: "stop" | "length" | "tool_calls";
  /** Of the tools that the model was told of. Their text is no part of `text`. */
  toolCalls: ToolCall[];
}

export interface TextResult {
  promptTokens: number;
  /** Where it was asked for. */
  echoed?: { text: string; tokens: ServedToken[] };
  answers: TextAnswer[];
}

export interface ServedModelInfo {
  name: string;
  /** Seconds since 1970. */
  created: number;
  contextLength: number;
  parameters: number;
  /** Answers that are generated at the same time. */
  rows: number;
  /** Whether it has a chat template. */
  chat: boolean;
  /** The same for the same weights and version: with it, the same seed gives the same answer. */
  fingerprint: string;
}

export interface RunOptions {
  signal: AbortSignal;
  onPiece?: (piece: TextPiece) => void;
}

/** What a server asks of a model. All that goes in and out is plain data, so that the model may live in another thread. */
export interface TextService {
  readonly info: ServedModelInfo;
  /** @throws ApiError for a request that the model cannot serve; the signal's reason where it was aborted */
  run(request: TextRequest, options: RunOptions): Promise<TextResult>;
  dispose(): Promise<void>;
}

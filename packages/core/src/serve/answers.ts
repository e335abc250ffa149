import { randomUUID } from "node:crypto";
import type { ParsedRequest } from "./requests.js";
import type { ServedModelInfo, ServedToken, TextAnswer, TextPiece, TextResult } from "./text-service.js";

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

/** Prompts count once, whatever `n` is. */
export function usageOf(results: readonly TextResult[]): Usage {
  const prompt = results.reduce((sum, result) => sum + result.promptTokens, 0);
  const completion = results.reduce(
    (sum, result) => sum + result.answers.reduce((own, answer) => own + answer.generated, 0),
    0,
  );
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

/** The objects of OpenAI's API that answer one request. */
export interface AnswerForms {
  /** The whole answer. */
  whole(results: readonly TextResult[]): object;
  /** The events with which a stream begins, before any text. */
  opening(): object[];
  /** A piece of the answer to a prompt, counted from 0. */
  piece(prompt: number, piece: TextPiece): object;
  /** The end of the answer with a choice's index. */
  ending(prompt: number, answer: number, finished: TextAnswer): object;
  /** The last event, where it was asked for. */
  usage(results: readonly TextResult[]): object;
}

export function answerForms(
  { kind, requests, streamUsage }: ParsedRequest,
  { name, fingerprint }: ServedModelInfo,
): AnswerForms {
  const chat = kind === "chat";
  const { count, logProbs } = requests[0];
  const indexOf = (prompt: number, answer: number) => prompt * count + answer;
  const head = (object: string) => ({
    id: `${chat ? "chatcmpl" : "cmpl"}-${id}`,
    object,
    created,
    model: name,
    system_fingerprint: fingerprint,
  });
  const id = randomUUID();
  const created = Math.floor(Date.now() / 1000);
  // OpenAI's legacy API has one name for both.
  const chunk = (choices: object[], usage: Usage | null = null) => ({
    ...head(chat ? "chat.completion.chunk" : "text_completion"),
    choices,
    ...(streamUsage && { usage }),
  });
  const logProbsOf = (tokens: readonly ServedToken[]) => {
    if (logProbs === undefined) return null;
    return chat ? { content: tokens.map(chatToken), refusal: null } : completionTokens(tokens, logProbs);
  };
  const callsOf = ({ toolCalls }: TextAnswer) =>
    toolCalls.map((call) => ({ id: `call_${randomUUID()}`, type: "function", function: call }));

  return {
    whole(results) {
      const choices = results.flatMap(({ answers, echoed }, prompt) =>
        answers.map((answer, i) => {
          const index = indexOf(prompt, i);
          const rest = {
            index,
            logprobs: logProbsOf([...(echoed?.tokens ?? []), ...answer.tokens]),
            finish_reason: answer.finishReason,
          };
          if (!chat) return { text: (echoed?.text ?? "") + answer.text, ...rest };
          const calls = callsOf(answer);
          const message =
            calls.length === 0
              ? { role: "assistant", content: answer.text, refusal: null }
              : { role: "assistant", content: answer.text || null, refusal: null, tool_calls: calls };
          return { message, ...rest };
        }),
      );
      return { ...head(chat ? "chat.completion" : "text_completion"), choices, usage: usageOf(results) };
    },
    opening() {
      if (!chat) return [];
      return Array.from({ length: count }, (_, index) =>
        chunk([{ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }]),
      );
    },
    piece(prompt, { answer, text, tokens }) {
      const index = indexOf(prompt, answer);
      const rest = { index, logprobs: logProbsOf(tokens), finish_reason: null };
      return chunk([chat ? { delta: { content: text }, ...rest } : { text, ...rest }]);
    },
    ending(prompt, answer, finished) {
      const rest = { index: indexOf(prompt, answer), logprobs: null, finish_reason: finished.finishReason };
      if (!chat) return chunk([{ text: "", ...rest }]);
      const calls = callsOf(finished).map((call, index) => ({ index, ...call }));
      return chunk([{ delta: calls.length > 0 ? { tool_calls: calls } : {}, ...rest }]);
    },
    usage: (results) => chunk([], usageOf(results)),
  };
}

const chatToken = ({ token, bytes, logProb, alternatives }: ServedToken) => ({
  token,
  logprob: logProb,
  bytes,
  top_logprobs: alternatives.map(({ logProb, ...other }) => ({ ...other, logprob: logProb })),
});

/** Log-probabilities as completions list them. */
const completionTokens = (tokens: readonly ServedToken[], wanted: number) => ({
  tokens: tokens.map(({ token }) => token),
  token_logprobs: tokens.map(({ logProb }) => logProb),
  top_logprobs:
    wanted === 0
      ? null
      : tokens.map(({ logProb, alternatives }) =>
          logProb === null
            ? null
            : Object.fromEntries(alternatives.map((other) => [other.token, other.logProb])),
        ),
  text_offset: tokens.map(({ offset }) => offset),
});

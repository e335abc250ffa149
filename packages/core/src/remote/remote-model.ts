import { join } from "node:path";
import { UserError } from "../errors.js";
import { outgrowHome } from "../lab/home.js";
import { AnswerCache, type CachedRequest, cacheKey } from "./answer-cache.js";
import type { RemoteText, RequestKind } from "./answers.js";
import { attempt } from "./attempt.js";
import { Budget, costOf, type TokenPrices } from "./budget.js";
import { pause } from "./pause.js";
import { RateLimit, Slots } from "./rate-limit.js";
import { RemoteError } from "./remote-error.js";

export interface RemoteModelOptions {
  /** Of an OpenAI-compatible server, e.g. `http://127.0.0.1:8080/v1`. Without a user, password or query. */
  baseURL: string;
  /** As the server names it. */
  model: string;
  /** Name of the environment variable that has the server's key. Default: no key is sent. */
  apiKeyVariable?: string;
  /** Requests that are open at the same time. Default 8. */
  concurrency?: number;
  /** In any minute. Default: no limit but the server's own. */
  requestsPerMinute?: number;
  /** In any minute, of prompts and answers together. A request that is not answered yet counts with its most. */
  tokensPerMinute?: number;
  /** For one attempt, until its answer is whole. Default 120. */
  timeoutSeconds?: number;
  /** Attempts after the first, where another may help. Default 5. */
  retries?: number;
  /** The longest pause before another attempt that a server may ask for, in seconds. Default 300. */
  longestPause?: number;
  /** For a million tokens; without them nothing is counted. */
  prices?: TokenPrices;
  /** In the prices' currency. A request that might exceed it is not sent. Needs `prices`, and `maxTokens` in every request. */
  budget?: number;
  /** Where answers are kept, or false: nowhere. Default: `remote` in `OUTGROW_HOME`. */
  cache?: string | false;
  /** Asks again for what is kept, and keeps the new answer. */
  refresh?: boolean;
  /** Told before each pause. */
  onRetry?: (event: { error: RemoteError; attempt: number; seconds: number }) => void;
}

export interface RemoteMessage {
  role: "system" | "developer" | "user" | "assistant";
  content: string;
}

/** Fields of a request. What is left out is as the server has it. */
export interface RemoteRequestOptions {
  maxTokens?: number;
  temperature?: number;
  topP?: number;
  seed?: number;
  stop?: readonly string[];
  /** Alternatives for each token; 0 for the token's own log-probability only. */
  logProbs?: number;
  /** As OpenAI has it, e.g. `{ type: "json_object" }`. */
  responseFormat?: object;
  /** Further fields that the server knows, e.g. vLLM's `{ top_k: 20 }`. */
  extra?: Record<string, unknown>;
  /**
   * Which of several answers to the same request: each number has its own. Means something only without a seed and above
   * temperature 0. Default 0.
   */
  sample?: number;
  /** Called with the answer's pieces as they come; all at once where the answer was kept. */
  onText?: (text: string) => void;
  signal?: AbortSignal;
}

export interface RemoteAnswer extends RemoteText {
  /** Whether it was kept from an earlier request: then it cost nothing. */
  cached: boolean;
}

export type RemoteRequest = RemoteRequestOptions &
  ({ messages: readonly RemoteMessage[] } | { prompt: string });

export type RemoteOutcome =
  | { status: "answered"; answer: RemoteAnswer }
  | { status: "failed"; error: unknown };

export interface RemoteUsage {
  /** Answers that were sent for. */
  requests: number;
  /** Answers that were kept. */
  cached: number;
  promptTokens: number;
  completionTokens: number;
  /** In the prices' currency, the most it can have been where the server does not say. */
  cost: number;
}

/**
 * A model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, a vendor, `outgrow serve`), to judge, debate and annotate.
 * Its answers are texts: a server tells no token ids, so it is no `Decoder` and no `Generator`.
 *
 * Answers are kept on disk under what was asked: the address, the model, the messages and all options. The key is no part of it,
 * and goes nowhere but into the request's header.
 */
export class RemoteModel {
  private readonly base: URL;
  private readonly slots: Slots;
  private readonly limits: { requests?: RateLimit; tokens?: RateLimit };
  private readonly budget: Budget;
  private readonly cache: AnswerCache | undefined;
  private readonly open = new Map<string, Promise<RemoteText>>();
  private readonly counted = { requests: 0, cached: 0, promptTokens: 0, completionTokens: 0 };
  /** When the server's last wish to be left alone ends. */
  private pausedUntil = 0;

  /** @throws UserError for options that do not fit together, or a key's variable that is not set */
  constructor(readonly options: RemoteModelOptions) {
    this.base = checkedUrl(options.baseURL);
    if (options.budget !== undefined && options.prices === undefined) {
      throw new UserError("a budget needs prices: what a million tokens cost");
    }
    this.key();
    const { requestsPerMinute, tokensPerMinute, concurrency = 8, cache } = options;
    this.slots = new Slots(concurrency);
    this.limits = {
      requests: requestsPerMinute === undefined ? undefined : new RateLimit(requestsPerMinute),
      tokens: tokensPerMinute === undefined ? undefined : new RateLimit(tokensPerMinute),
    };
    this.budget = new Budget(options.budget);
    if (cache !== false) this.cache = new AnswerCache(cache ?? join(outgrowHome(), "remote"));
  }

  /** The answer to a conversation. @throws RemoteError where none is to be had; the signal's reason where it was aborted */
  chat(messages: readonly RemoteMessage[], options: RemoteRequestOptions = {}): Promise<RemoteAnswer> {
    const { logProbs } = options;
    return this.request("chat", options, {
      messages,
      ...(logProbs !== undefined && { logprobs: true, ...(logProbs > 0 && { top_logprobs: logProbs }) }),
    });
  }

  /** What goes on from a text. @throws as {@link chat} */
  complete(prompt: string, options: RemoteRequestOptions = {}): Promise<RemoteAnswer> {
    return this.request("completion", options, { prompt, logprobs: options.logProbs });
  }

  /** Several answers to one conversation: with `seed`, `seed + 1`, ... where one is given, else as samples 0, 1, ... */
  sample(
    messages: readonly RemoteMessage[],
    count: number,
    options: Omit<RemoteRequestOptions, "sample" | "onText"> = {},
  ): Promise<RemoteAnswer[]> {
    const { seed } = options;
    return Promise.all(
      Array.from({ length: count }, (_, sample) =>
        this.chat(messages, { ...options, sample, seed: seed === undefined ? undefined : seed + sample }),
      ),
    );
  }

  /**
   * Many requests, side by side; outcomes in the order of the requests. One that fails does not stop the others, and what was
   * answered is kept, so that the same call later asks only for what is missing.
   */
  all(
    requests: readonly RemoteRequest[],
    { onProgress, signal }: { onProgress?: (done: number, total: number) => void; signal?: AbortSignal } = {},
  ): Promise<RemoteOutcome[]> {
    let done = 0;
    return Promise.all(
      requests.map(async (request): Promise<RemoteOutcome> => {
        try {
          const options = { ...request, signal: request.signal ?? signal };
          const answer = await ("messages" in request
            ? this.chat(request.messages, options)
            : this.complete(request.prompt, options));
          return { status: "answered", answer };
        } catch (error) {
          return { status: "failed", error };
        } finally {
          onProgress?.(++done, requests.length);
        }
      }),
    );
  }

  /** What was asked for and what it cost so far. */
  get usage(): RemoteUsage {
    return { ...this.counted, cost: this.budget.spent };
  }

  private async request(
    kind: RequestKind,
    options: RemoteRequestOptions,
    asked: Record<string, unknown>,
  ): Promise<RemoteAnswer> {
    const { signal = new AbortController().signal, onText, sample = 0 } = options;
    signal.throwIfAborted();
    if (this.options.budget !== undefined && options.maxTokens === undefined) {
      throw new UserError("a request within a budget needs maxTokens, or its cost is not known");
    }
    const request = this.described(kind, options, asked, sample);
    const key = cacheKey(request);
    const kept = this.options.refresh ? undefined : await this.cache?.get(key);
    if (kept) {
      this.counted.cached++;
      onText?.(kept.text);
      return { ...kept, cached: true };
    }
    const fetch = async () => {
      const answer = await this.slots.use(() => this.paidFor(kind, request, options, signal));
      await this.cache?.put(key, request, answer);
      return answer;
    };
    // The same question is not asked twice at once; but a stream's pieces and a signal are its own caller's.
    if (!this.cache || onText || options.signal) return { ...(await fetch()), cached: false };
    const open = this.open.get(key);
    if (open) {
      const answer = await open;
      this.counted.cached++;
      return { ...answer, cached: true };
    }
    const fetching = fetch().finally(() => this.open.delete(key));
    this.open.set(key, fetching);
    return { ...(await fetching), cached: false };
  }

  private described(
    kind: RequestKind,
    options: RemoteRequestOptions,
    asked: Record<string, unknown>,
    sample: number,
  ): CachedRequest {
    const { maxTokens, temperature, topP, seed, stop, responseFormat, extra } = options;
    // OpenAI's newer models know only the longer name, other servers often only the shorter one.
    const most =
      this.base.hostname === "api.openai.com" && kind === "chat" ? "max_completion_tokens" : "max_tokens";
    const fields = {
      model: this.options.model,
      ...asked,
      [most]: maxTokens,
      temperature,
      top_p: topP,
      seed,
      stop,
      response_format: responseFormat,
      ...extra,
    };
    const body = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
    const path = kind === "chat" ? "chat/completions" : "completions";
    const varies = body.seed === undefined && body.temperature !== 0;
    return { url: new URL(path, this.base).href, body, ...(varies && { sample }) };
  }

  /** An answer from the server, after as many attempts as it takes, within limits and budget. */
  private async paidFor(
    kind: RequestKind,
    { url, body }: CachedRequest,
    { maxTokens = 0, onText }: RemoteRequestOptions,
    signal: AbortSignal,
  ): Promise<RemoteText> {
    const { prices, timeoutSeconds = 120, apiKeyVariable: keyVariable } = this.options;
    const most = { promptTokens: mostPromptTokens(body), completionTokens: maxTokens };
    const mostCost = prices ? costOf(prices, most) : 0;
    const key = this.key();
    let given = false;
    const pieces =
      onText &&
      ((text: string) => {
        given = true;
        onText(text);
      });
    for (let tried = 0; ; tried++) {
      await this.quiet(signal);
      await this.limits.requests?.take(1, signal);
      const correct = await this.limits.tokens?.take(most.promptTokens + maxTokens, signal);
      const settle = await this.budget.reserve(mostCost);
      try {
        signal.throwIfAborted();
        const answer = await attempt({
          kind,
          url,
          body,
          key,
          keyVariable,
          timeoutSeconds,
          signal,
          onText: pieces,
        });
        const used = answer.usage ?? {
          ...most,
          completionTokens: maxTokens || Buffer.byteLength(answer.text),
        };
        settle(prices ? costOf(prices, used) : 0);
        correct?.(used.promptTokens + used.completionTokens);
        this.counted.requests++;
        this.counted.promptTokens += used.promptTokens;
        this.counted.completionTokens += used.completionTokens;
        return answer;
      } catch (error) {
        // One that was aborted may have been worked on.
        settle(error instanceof RemoteError && !error.mayCost ? 0 : mostCost);
        await this.afterFailure(error, tried, given, signal);
      }
    }
  }

  /** Waits until another attempt makes sense. @throws the error where none does */
  private async afterFailure(
    error: unknown,
    tried: number,
    given: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { retries = 5, longestPause = 300, onRetry } = this.options;
    // Pieces that were given cannot be taken back.
    if (!(error instanceof RemoteError) || !error.retry || given) throw error;
    if (tried >= retries) {
      if (tried === 0) throw error;
      throw new RemoteError(`after ${tried + 1} attempts, ${error.message}`, {
        hint: error.hint,
        cause: error,
      });
    }
    const seconds = error.retryAfter ?? backoffSeconds(tried);
    if (seconds > longestPause) throw error;
    // What the server asks for goes for all requests.
    if (error.retryAfter !== undefined) {
      this.pausedUntil = Math.max(this.pausedUntil, performance.now() + 1000 * seconds);
    }
    onRetry?.({ error, attempt: tried + 1, seconds });
    await pause(1000 * seconds, signal);
  }

  /** Until the server may be asked again. */
  private async quiet(signal: AbortSignal): Promise<void> {
    const left = () => this.pausedUntil - performance.now();
    while (left() > 0) await pause(left(), signal);
  }

  private key(): string | undefined {
    const { apiKeyVariable: name } = this.options;
    if (name === undefined) return undefined;
    const key = process.env[name]?.trim();
    if (key) return key;
    throw new UserError(`the environment variable ${name} is not set`, {
      hint: "It should have the key of the server. A key is never taken from a file or an option.",
    });
  }
}

/** Exponential, with jitter so that many do not come back together. */
const backoffSeconds = (tried: number): number => Math.min(30, 0.5 * 2 ** tried) * (0.5 + Math.random() / 2);

/** No tokenizer has a token of no bytes; templates add a few to each message. */
function mostPromptTokens({ messages, prompt }: Record<string, unknown>): number {
  if (typeof prompt === "string") return Buffer.byteLength(prompt) + 1;
  return (messages as RemoteMessage[]).reduce(
    (sum, { content }) => sum + Buffer.byteLength(content) + 16,
    64,
  );
}

function checkedUrl(text: string): URL {
  const refuse = (what: string) =>
    new UserError(`the base URL ${what}`, { hint: "Expected for example http://127.0.0.1:8080/v1." });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refuse(`${JSON.stringify(text)} is none`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw refuse(`begins with ${url.protocol}`);
  // They would be kept with the answers.
  if (url.username !== "" || url.password !== "") throw refuse("has a user or a password in it");
  if (url.search !== "" || url.hash !== "") throw refuse("has a query or a fragment in it");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

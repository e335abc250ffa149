import { UserError } from "../errors.js";

/** Why one attempt at a remote model gave no answer, and whether another may. */
export class RemoteError extends UserError {
  /** Whether the same request may be answered later. */
  readonly retry: boolean;
  /** Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;
  /** Whether the server may have done the work, and may ask to be paid for it. */
  readonly mayCost: boolean;

  constructor(
    message: string,
    options: { retry?: boolean; retryAfter?: number; mayCost?: boolean; hint?: string; cause?: unknown } = {},
  ) {
    super(message, { hint: options.hint, exitCode: 1, cause: options.cause });
    this.retry = options.retry ?? false;
    this.retryAfter = options.retryAfter;
    this.mayCost = options.mayCost ?? false;
  }
}

/** Statuses of a server or a proxy that is busy, restarts or breaks: RFC 9110, and Anthropic's 529. */
const passing = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529]);
const quotaCodes = new Set(["insufficient_quota", "billing_not_active"]);

/** What an answer with a status other than 200 says. @param body as text, whatever it is */
export function statusError(
  status: number,
  headers: Headers,
  body: string,
  keyVariable?: string,
): RemoteError {
  const { message, code } = errorBody(body);
  const hints: Record<number, string> = {
    401: keyVariable
      ? `Check the key in ${keyVariable}.`
      : "The server wants a key: name the environment variable that has it as apiKeyVariable.",
    404: "Check the base URL, which usually ends in /v1, and the name of the model.",
  };
  const what = message ? `: ${message}` : "";
  return new RemoteError(`the server answered with status ${status}${what}`, {
    retry: passing.has(status) && !quotaCodes.has(code),
    retryAfter: retryAfterSeconds(headers.get("retry-after")),
    hint: hints[status],
  });
}

/** An error that comes with status 200, as some proxies send it. */
export function bodyError(error: unknown): RemoteError {
  const { message, code, type } = errorFields(error);
  const retry =
    (passing.has(Number(code)) || /rate_limit|overloaded|server_error|unavailable/.test(`${code} ${type}`)) &&
    !quotaCodes.has(code);
  return new RemoteError(`the server answered with an error: ${message || "without a message"}`, { retry });
}

/** An answer that is not what the API says. */
export const garbled = (what: string, body: string): RemoteError =>
  new RemoteError(`the server's answer ${what}: ${excerpt(body)}`, {
    retry: true,
    mayCost: true,
    hint: "Check that the base URL is that of an OpenAI-compatible server; it usually ends in /v1.",
  });

/** @param header seconds or a date, as RFC 9110 has it */
export function retryAfterSeconds(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(header.trim())) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - now) / 1000);
}

function errorBody(body: string): { message: string; code: string } {
  try {
    return errorFields((JSON.parse(body) as { error?: unknown } | null)?.error);
  } catch {
    // Pages for people, which proxies send, say little.
    return { message: body.trimStart().startsWith("<") ? "" : excerpt(body), code: "" };
  }
}

function errorFields(error: unknown): { message: string; code: string; type: string } {
  if (typeof error === "string") return { message: excerpt(error), code: "", type: "" };
  const { message, code, type } = (error ?? {}) as Record<string, unknown>;
  return { message: excerpt(message), code: String(code ?? ""), type: String(type ?? "") };
}

const excerpt = (text: unknown): string => {
  const line = (typeof text === "string" ? text : "").replace(/\s+/g, " ").trim();
  return line.length > 300 ? `${line.slice(0, 300)}...` : line;
};

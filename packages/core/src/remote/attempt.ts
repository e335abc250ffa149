import { AnswerReader, parseAnswer, type RemoteText, type RequestKind } from "./answers.js";
import { garbled, RemoteError, statusError } from "./remote-error.js";
import { serverEvents } from "./server-events.js";

/** Longest answer that is read. */
const mostBytes = 2 ** 26;

export interface Attempt {
  kind: RequestKind;
  url: string;
  body: Record<string, unknown>;
  key?: string;
  keyVariable?: string;
  timeoutSeconds: number;
  signal: AbortSignal;
  /** Given, the answer is asked for as a stream. */
  onText?: (text: string) => void;
}

/**
 * Asks once.
 *
 * @throws RemoteError where no whole answer came; the signal's reason where it was aborted
 */
export async function attempt({ timeoutSeconds, signal, ...request }: Attempt): Promise<RemoteText> {
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
  try {
    return await ask(request, AbortSignal.any([signal, timeout]));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RemoteError) throw error;
    if (timeout.aborted) {
      throw new RemoteError(`the server gave no whole answer within ${timeoutSeconds} seconds`, {
        retry: true,
        mayCost: true,
        cause: error,
      });
    }
    throw connectionError(error, request.url);
  }
}

async function ask(
  { kind, url, body, key, keyVariable, onText }: Omit<Attempt, "timeoutSeconds" | "signal">,
  signal: AbortSignal,
): Promise<RemoteText> {
  const stream = onText !== undefined;
  const response = await fetch(url, {
    method: "POST",
    // Another server must not get the key, nor the messages.
    redirect: "manual",
    headers: {
      "Content-Type": "application/json",
      Accept: stream ? "text/event-stream" : "application/json",
      ...(key !== undefined && { Authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(stream ? { ...body, stream, stream_options: { include_usage: true } } : body),
    signal,
  });
  // Some servers spell out the key that they refuse.
  const shown = (text: string) => (key ? text.replaceAll(key, "[key]") : text);
  if (response.status !== 200) {
    const text = shown(await allText(response));
    throw statusError(response.status, response.headers, text, keyVariable);
  }
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    return parseAnswer(kind, shown(await allText(response)));
  }
  const reader = new AnswerReader(kind);
  for await (const data of serverEvents(pieces(response))) {
    if (data === "[DONE]") break;
    const added = reader.push(shown(data));
    if (added !== "") onText?.(added);
  }
  const answer = reader.end();
  if (answer) return answer;
  throw new RemoteError("the server's answer was cut off", { retry: true, mayCost: true });
}

async function* pieces(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw garbled(`is longer than ${mostBytes} bytes`, "");
    yield decoder.decode(chunk, { stream: true });
  }
}

async function allText(response: Response): Promise<string> {
  let text = "";
  for await (const piece of pieces(response)) text += piece;
  return text;
}

/** Of a request that got no answer, or half of one. */
function connectionError(error: unknown, url: string): RemoteError {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  const code = cause?.code ?? "";
  const { host } = new URL(url);
  const reasons: Record<string, string> = {
    ECONNREFUSED: `nothing listens at ${host}`,
    ENOTFOUND: `there is no host ${host}`,
    EAI_AGAIN: `the name ${host} could not be looked up`,
  };
  const reason = reasons[code];
  return new RemoteError(
    reason ?? `the connection to ${host} broke: ${cause?.message ?? (error as Error).message}`,
    {
      retry: code !== "ENOTFOUND",
      mayCost: reason === undefined,
      hint: reason && "Check the base URL, and that the server runs.",
      cause: error,
    },
  );
}

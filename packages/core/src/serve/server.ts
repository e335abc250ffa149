import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { UserError } from "../errors.js";
import { checkAccess, isLoopback } from "./access.js";
import { answerForms } from "./answers.js";
import { ApiError, apiErrorOf, badField } from "./api-error.js";
import { eventStream } from "./event-stream.js";
import { readJsonBody } from "./json-body.js";
import { type ServeLimits, serveLimitDefaults } from "./limits.js";
import { type ParsedRequest, parseChat, parseCompletion } from "./requests.js";
import type { ServedModelInfo, TextResult, TextService } from "./text-service.js";

export interface ServeOptions {
  /** Disposed of when the server is closed. Their names must differ. */
  models: readonly TextService[];
  /** Default 127.0.0.1: only this machine. */
  host?: string;
  /** Default: any that is free. */
  port?: number;
  /** What clients must send as their key. Default: none on loopback, else one that is made. */
  token?: string;
  limits?: Partial<ServeLimits>;
  /** Told of errors that are not the clients'. */
  onFailure?: (error: unknown) => void;
}

export interface ModelServer {
  /** What clients take as base URL: `http://127.0.0.1:8080/v1`. */
  readonly url: string;
  readonly token: string | undefined;
  /** Takes no more requests, lets those that are open finish for so long, cancels the rest, and disposes of the models. */
  close(options?: { graceSeconds?: number }): Promise<void>;
}

/**
 * Serves language models as OpenAI's API has it: `/v1/models`, `/v1/completions`, `/v1/chat/completions`, and `/health`.
 *
 * @throws UserError where the address cannot be listened on
 */
export async function serveModels(options: ServeOptions): Promise<ModelServer> {
  const { host = "127.0.0.1", port = 0, onFailure = console.error } = options;
  const limits = { ...serveLimitDefaults, ...options.limits };
  const loopback = isLoopback(host);
  const token = options.token ?? (loopback ? undefined : randomBytes(24).toString("base64url"));
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new UserError("the token is empty or has characters that a header cannot carry");
  }
  const models = new Map(
    options.models.map((service) => [service.info.name, new Admission(service, limits)]),
  );
  const stopping = new AbortController();
  let closing = false;
  const open = new Set<Promise<void>>();
  const answers = new WeakMap<Socket, ServerResponse>();

  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: limits.headerSeconds * 1000,
      requestTimeout: limits.headerSeconds * 3000,
      connectionsCheckingInterval: Math.min(1000, limits.headerSeconds * 250),
      keepAliveTimeout: 15_000,
    },
    (request, response) => {
      answers.set(request.socket, response);
      const handled = handle(request, response)
        .catch((error) => {
          if (request.destroyed && !request.complete) return; // the client left before it had said what it wants
          const known = apiErrorOf(error);
          if (known.status === 500) onFailure(error);
          sendError(request, response, known);
        })
        .finally(() => open.delete(handled));
      open.add(handled);
    },
  );
  server.maxConnections = limits.connections;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    // In the middle of an answer there is nothing to say that the client would not take for a part of it.
    const last = answers.get(socket as Socket);
    if (!socket.writable || (last?.headersSent && !last.writableFinished)) return socket.destroy();
    const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code ?? ""] ?? 400;
    const text = JSON.stringify(new ApiError({ status, message: `${STATUS_CODES[status]}.` }));
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("X-Request-Id", randomUUID());
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Cache-Control", "no-store");
    const path = (request.url ?? "/").split("?", 1)[0];
    checkAccess(request, { loopback, token: path === "/health" ? undefined : token });
    if (closing) {
      throw new ApiError({
        status: 503,
        message: "The server is stopping.",
        headers: { Connection: "close", "Retry-After": "10" },
      });
    }
    if (path === "/health") {
      allow(request, "GET");
      return sendJson(response, 200, { status: "ok" });
    }
    if (path === "/v1/models") {
      allow(request, "GET");
      const data = [...models.values()].map(({ service }) => modelObject(service.info));
      return sendJson(response, 200, { object: "list", data });
    }
    if (path.startsWith("/v1/models/")) {
      allow(request, "GET");
      return sendJson(response, 200, modelObject(modelNamed(decoded(path.slice(11))).service.info));
    }
    const parse = { "/v1/completions": parseCompletion, "/v1/chat/completions": parseChat }[path];
    if (parse === undefined) {
      const message = `There is no ${path} here; there are /v1/models, /v1/completions and /v1/chat/completions.`;
      throw new ApiError({ status: 404, message });
    }
    allow(request, "POST");
    const parsed = parse(await readJsonBody(request, limits.bodyBytes), limits);
    const model = modelNamed(parsed.model);
    await model.admit(parsed.requests.length * parsed.requests[0].count, () =>
      answer(parsed, model.service, response),
    );
  }

  function modelNamed(name: string): Admission {
    const found = models.get(name);
    if (found) return found;
    throw new ApiError({
      status: 404,
      message: `There is no model ${JSON.stringify(name)} here. There are: ${[...models.keys()].join(", ")}.`,
      param: "model",
      code: "model_not_found",
    });
  }

  async function answer(
    parsed: ParsedRequest,
    service: TextService,
    response: ServerResponse,
  ): Promise<void> {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(timeOut(limits.seconds)), limits.seconds * 1000);
    response.once("close", () => stop.abort(new Error("the client hung up")));
    const signal = AbortSignal.any([stop.signal, stopping.signal]);
    try {
      if (response.destroyed) return;
      await (parsed.stream ? stream : whole)(parsed, service, response, signal);
    } catch (error) {
      stop.abort(error); // what is open of the other prompts
      if (!response.destroyed) throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async function whole(
    parsed: ParsedRequest,
    service: TextService,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const results = await Promise.all(parsed.requests.map((one) => service.run(one, { signal })));
    sendJson(response, 200, answerForms(parsed, service.info).whole(results));
  }

  async function stream(
    parsed: ParsedRequest,
    service: TextService,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const forms = answerForms(parsed, service.info);
    const events = eventStream(response, {
      unsentBytes: limits.unsentBytes,
      onUnread: () => response.destroy(),
    });
    let opened = false;
    const open = () => {
      if (!opened) for (const event of forms.opening()) events.send(event);
      opened = true;
    };
    const one = async (prompt: number): Promise<TextResult> => {
      const result = await service.run(parsed.requests[prompt], {
        signal,
        onPiece: parsed.requests[prompt].stream
          ? (piece) => {
              open();
              events.send(forms.piece(prompt, piece));
            }
          : undefined,
      });
      open();
      result.answers.forEach((finished, i) => {
        const { text, tokens } = finished;
        if (!parsed.requests[prompt].stream && text !== "") {
          events.send(forms.piece(prompt, { answer: i, text, tokens }));
        }
        events.send(forms.ending(prompt, i, finished));
      });
      return result;
    };
    try {
      const results = await Promise.all(parsed.requests.map((_, prompt) => one(prompt)));
      if (parsed.streamUsage) events.send(forms.usage(results));
      events.send("[DONE]");
      events.end();
    } catch (error) {
      // An answer that has begun cannot have another status; that [DONE] is missing says that it is not whole.
      if (!events.begun || response.destroyed) throw error;
      const known = apiErrorOf(error);
      if (known.status === 500) onFailure(error);
      events.send(known);
      events.end();
    }
  }

  server.listen(port, host);
  await once(server, "listening").catch((error) => {
    throw listenError(error, host, port);
  });
  server.on("error", onFailure);
  const { address, port: bound, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${bound}/v1`,
    token,
    async close({ graceSeconds = 10 } = {}) {
      closing = true;
      const closed = once(server, "close");
      server.close();
      const timer = setTimeout(
        () => stopping.abort(new ApiError({ status: 503, message: "The server is stopping." })),
        graceSeconds * 1000,
      );
      while (open.size > 0) await Promise.all(open);
      clearTimeout(timer);
      server.closeIdleConnections();
      // What is left of an answer goes out; a client that does not take it is not waited for.
      const last = setTimeout(() => server.closeAllConnections(), 1000);
      await closed;
      clearTimeout(last);
      await Promise.all(options.models.map((service) => service.dispose()));
    },
  };
}

/** Counts the answers of a model that are open, and turns away what would wait too long. */
class Admission {
  private open = 0;
  /** Of an answer, a moving average. */
  private seconds = 1;

  constructor(
    readonly service: TextService,
    private readonly limits: ServeLimits,
  ) {}

  async admit(answers: number, work: () => Promise<void>): Promise<void> {
    const { rows } = this.service.info;
    if (this.open + answers > rows + this.limits.waiting) {
      const wait = Math.ceil((this.seconds * Math.max(1, this.open - rows)) / rows);
      throw new ApiError({
        status: 429,
        message: `${this.open} answers are being made or wait; try again later.`,
        code: "rate_limit_exceeded",
        headers: { "Retry-After": String(Math.min(60, wait)) },
      });
    }
    this.open += answers;
    const begun = performance.now();
    try {
      await work();
    } finally {
      this.open -= answers;
      this.seconds += 0.1 * ((performance.now() - begun) / 1000 - this.seconds);
    }
  }
}

const modelObject = ({ name, created, contextLength, parameters }: ServedModelInfo) => ({
  id: name,
  object: "model",
  created,
  owned_by: "outgrow",
  max_model_len: contextLength, // as vLLM has it
  parameters,
});

function allow({ method }: IncomingMessage, allowed: "GET" | "POST"): void {
  if (method === allowed || (method === "HEAD" && allowed === "GET")) return;
  throw new ApiError({
    status: 405,
    message: `${method} is not possible here, only ${allowed}.`,
    headers: { Allow: allowed },
  });
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw badField("model", "is not a URL-encoded name.");
  }
}

const timeOut = (seconds: number) =>
  new ApiError({
    status: 504,
    message: `The answer was not finished in ${seconds} seconds, the most that this server allows.`,
    code: "timeout",
    headers: { "X-Should-Retry": "false" },
  });

function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

function sendError(request: IncomingMessage, response: ServerResponse, error: ApiError): void {
  // What was not read of a body would be taken for the next request.
  const unread = !request.complete;
  sendJson(response, error.status, error, {
    ...error.fields.headers,
    ...(unread && { Connection: "close" }),
  });
  if (unread) response.once("finish", () => request.destroy());
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): unknown {
  const reasons: Partial<Record<string, string>> = {
    EADDRINUSE: `port ${port} of ${host} is in use`,
    EACCES: `port ${port} may not be used by this user`,
    EADDRNOTAVAIL: `${host} is not an address of this machine`,
    ENOTFOUND: `there is no host ${host}`,
  };
  const message = reasons[error.code ?? ""];
  if (message === undefined) return error;
  return new UserError(message, {
    hint: "Choose another one, or end the program that has it.",
    exitCode: 1,
    cause: error,
  });
}

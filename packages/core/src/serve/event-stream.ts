import type { ServerResponse } from "node:http";

/** Comments keep proxies from taking a slow answer for a dead one. */
const keepAliveMs = 10_000;

/** Server-sent events to one client (WHATWG HTML, section 9.2). The headers go out with the first event or comment. */
export interface EventStream {
  send(data: object | "[DONE]"): void;
  end(): void;
  readonly begun: boolean;
}

/** @param onUnread called where the client leaves more than `unsentBytes` lying */
export function eventStream(
  response: ServerResponse,
  { unsentBytes, onUnread }: { unsentBytes: number; onUnread: () => void },
): EventStream {
  const begin = () => {
    if (response.headersSent) return;
    response.writeHead(200, {
      "Content-Type": "text/event-stream; charset=utf-8",
      "X-Accel-Buffering": "no",
    });
  };
  const write = (text: string) => {
    if (response.destroyed || response.writableEnded) return;
    begin();
    response.write(text);
    if (response.writableLength > unsentBytes) onUnread();
    else timer.refresh();
  };
  const timer = setTimeout(() => write(": still at work\n\n"), keepAliveMs);
  response.once("close", () => clearTimeout(timer));
  return {
    send: (data) => write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`),
    end() {
      clearTimeout(timer);
      response.end();
    },
    get begun() {
      return response.headersSent;
    },
  };
}

/* What no well-behaved client sends. */
import { connect, type Socket } from "node:net";

export interface RawExchange {
  socket: Socket;
  /** What came so far. */
  received: () => string;
  /** Waits until what came matches. */
  until: (pattern: RegExp) => Promise<string>;
  closed: Promise<string>;
}

/** A connection to a server's port, with bytes sent as they are. */
export function rawExchange(url: string, text: string | Uint8Array): RawExchange {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  let received = "";
  let check = () => {};
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    received += chunk;
    check();
  });
  const closed = new Promise<string>((resolve) => {
    socket.on("error", () => {}); // a reset is a way to close
    socket.on("close", () => resolve(received));
  });
  socket.write(text);
  const until = (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      check = () => {
        if (pattern.test(received)) resolve(received);
      };
      check();
      void closed.then(() => reject(new Error(`closed after ${JSON.stringify(received)}`)));
    });
  return { socket, received: () => received, until, closed };
}

/** A POST with a JSON body. Fields of `headers` replace those that are right. */
export function rawPost(path: string, body: string, headers: Record<string, string> = {}): string {
  const all = {
    Host: "127.0.0.1",
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

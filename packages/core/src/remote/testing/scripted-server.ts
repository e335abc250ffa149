/* A server that answers, request by request, what a test has written down: bytes, silence, a cut connection. */

import type { AddressInfo } from "node:net";
import { createServer, type Server, type Socket } from "node:net";

export interface ScriptedServer {
  url: string;
  /** Requests that came, as text. */
  requests: string[];
  /** What the next requests are answered. The last one is answered to all others. */
  script(...answers: ScriptedAnswer[]): void;
  close(): Promise<void>;
}

/** Bytes as they are, after which the connection is closed. Undefined: nothing, for ever. */
export type ScriptedAnswer = string | undefined | { bytes: string; reset: boolean };

export const jsonAnswer = (body: unknown, status = "200 OK", headers = ""): string => {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n${headers}\r\n${text}`;
};

export const eventAnswer = (events: readonly (object | string)[]): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n${events
    .map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`)
    .join("")}`;

export async function scriptedServer(): Promise<ScriptedServer> {
  let answers: ScriptedAnswer[] = [];
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    socket.setEncoding("utf8");
    let text = "";
    socket.on("data", (chunk: string) => {
      text += chunk;
      const [head, body] = text.split("\r\n\r\n", 2);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
      if (body === undefined || Buffer.byteLength(body) < length) return;
      requests.push(text);
      text = "";
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === undefined) return;
      if (typeof answer === "string") socket.end(answer);
      else socket.write(answer.bytes, () => (answer.reset ? socket.resetAndDestroy() : socket.destroy()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    script(...next) {
      answers = next;
      requests.length = 0;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

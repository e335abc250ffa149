import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test, vi } from "vitest";
import { eventStream } from "./event-stream.js";

/** A response to a real request, and the client's end of it. */
async function exchange() {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const [, response] = (await once(server, "request")) as [unknown, ServerResponse];
  const close = async () => {
    client.destroy();
    response.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { client, response, close };
}

test("what a client does not take is not gathered without end", async () => {
  const { client, response, close } = await exchange();
  client.pause();
  let unread = false;
  const events = eventStream(response, {
    unsentBytes: 100_000,
    onUnread: () => {
      unread = true;
      response.destroy();
    },
  });
  const text = "x".repeat(50_000);
  // The system takes in some megabytes for the client.
  for (let i = 0; i < 1000 && !unread; i++) {
    events.send({ text });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(unread).toBe(true);
  events.send({ text }); // to a client that is gone, nothing happens
  await close();
});

test("comments keep a slow answer's connection, and only a slow one's", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { client, response, close } = await exchange();
  const events = eventStream(response, { unsentBytes: 1000, onUnread: () => {} });
  expect(events.begun).toBe(false);
  vi.advanceTimersByTime(25_000);
  expect(events.begun).toBe(true);
  events.send({ a: 1 });
  vi.advanceTimersByTime(9_000);
  events.send("[DONE]");
  events.end();
  vi.advanceTimersByTime(60_000);
  vi.useRealTimers();
  let text = "";
  client.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  while (!text.includes("DONE")) await once(client, "data");
  expect(text.match(/^: .*$/gm)).toHaveLength(2);
  expect(text).toMatch(/data: \{"a":1\}\n\n[\s\S]*data: \[DONE\]\n\n/);
  expect(text).toMatch(/Content-Type: text\/event-stream/);
  await close();
});

import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Generator } from "../decode/generation.js";
import { createGenerator } from "../decode/generator.js";
import { servedModel } from "./served-model.js";
import { type ModelServer, serveModels } from "./server.js";
import { rawExchange, rawPost } from "./testing/raw.js";
import { tinyModel } from "./testing/tiny-model.js";

const rows = 2;
const limits = { bodyBytes: 5000, newTokens: 15_000, connections: 24, waiting: 3, answers: 8 };
const failures: unknown[] = [];
let generator: Generator;
let server: ModelServer;

beforeAll(async () => {
  const model = tinyModel({ contextLength: 20_000 });
  generator = createGenerator(model, { capacity: rows });
  server = await serveModels({
    models: [servedModel(model, generator, { name: "tiny", rows })],
    limits,
    onFailure: (error) => failures.push(error),
  });
});
afterAll(async () => {
  await server.close();
  expect(failures).toEqual([]);
});

const completion = (fields: object = {}) =>
  JSON.stringify({ model: "tiny", prompt: "the cat", temperature: 0, max_tokens: 5, ...fields });
const post = (body: string, headers?: Record<string, string>) =>
  rawExchange(server.url, rawPost("/v1/completions", body, headers));
const isWell = async () => {
  const response = await fetch(`${server.url}/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: completion(),
  });
  return response.status === 200;
};
/** Looks again and again, for a second at the most. */
const eventually = async (condition: () => boolean) => {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  return condition();
};
const open = () => generator.load.active + generator.load.waiting;

describe("a request that is none is refused, and the next one served", () => {
  const big = `{"prompt":"${"x".repeat(5000)}"}`;
  const json = { "Content-Type": "application/json" };
  const cases: [string, string | Uint8Array, RegExp][] = [
    ["garbage", Buffer.from([0, 255, 1, 2, 3, 13, 10, 13, 10]), /^HTTP\/1.1 400 /],
    ["no Host", "GET /v1/models HTTP/1.0\r\n\r\n", /^HTTP\/1.1 400 /],
    [
      "two lengths",
      rawPost("/v1/completions", "{}", { "content-length": "3", "Content-Length": "2" }),
      /400 /,
    ],
    [
      "huge headers",
      `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
      /^HTTP\/1.1 431 /,
    ],
    ["a body that says it is too long", rawPost("/v1/completions", big), /^HTTP\/1.1 413 /],
    [
      "a body that turns out too long",
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${`3e8\r\n${" ".repeat(1000)}\r\n`.repeat(6)}`,
      /^HTTP\/1.1 413 /,
    ],
    [
      "another type",
      rawPost("/v1/completions", completion(), { "Content-Type": "text/plain" }),
      /^HTTP\/1.1 415 /,
    ],
    [
      "a form",
      rawPost("/v1/completions", "a=b", { "Content-Type": "application/x-www-form-urlencoded" }),
      / 415 /,
    ],
    ["a packed body", rawPost("/v1/completions", completion(), { "Content-Encoding": "gzip" }), / 415 /],
    ["no JSON", rawPost("/v1/completions", "{"), /^HTTP\/1.1 400 /],
    ["no object", rawPost("/v1/completions", "[]"), /^HTTP\/1.1 400 /],
    [
      "deep nesting",
      rawPost("/v1/completions", `{"prompt":${"[".repeat(2000)}${"]".repeat(2000)}}`),
      / 400 /,
    ],
    ["a prototype", rawPost("/v1/completions", `{"__proto__":{"model":"tiny"},"prompt":"a"}`), / 400 /],
    ["another path", "GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", /^HTTP\/1.1 404 /],
    ["a bad name", "GET /v1/models/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", /^HTTP\/1.1 400 /],
    [
      "another method",
      "DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
      /^HTTP\/1.1 405 [\s\S]*Allow: GET/,
    ],
    ["another site's name", rawPost("/v1/completions", completion(), { Host: "evil.example" }), / 403 /],
    [
      "a page of another site",
      rawPost("/v1/completions", completion(), { Origin: "http://evil.example" }),
      / 403 /,
    ],
    [
      "a page's image",
      "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
      / 403 /,
    ],
  ];
  test.each(cases)("%s", async (_, bytes, answer) => {
    const exchange = rawExchange(server.url, bytes);
    const text = await exchange.until(answer);
    exchange.socket.destroy();
    if (text.includes(json["Content-Type"])) expect(text).toMatch(/\{"error":\{"message":"[^"]/);
    expect(await isWell()).toBe(true);
  });

  test("invalid UTF-8", async () => {
    const head = rawPost("/v1/completions", "", { "Content-Length": "4" });
    const exchange = rawExchange(
      server.url,
      Buffer.concat([Buffer.from(head), Buffer.from([34, 0xff, 0xfe, 34])]),
    );
    await exchange.until(/^HTTP\/1.1 400 [\s\S]*UTF-8/);
    exchange.socket.destroy();
  });
});

describe("a client that is too slow is not waited for", () => {
  let strict: ModelServer;
  beforeAll(async () => {
    strict = await serveModels({ models: [], limits: { headerSeconds: 0.3 } });
  });
  afterAll(() => strict.close());

  test("with its headers", async () => {
    const exchange = rawExchange(strict.url, "GET /v1/models HTTP/1.1\r\nHost: loc");
    expect(await exchange.closed).toMatch(/^HTTP\/1.1 408 /);
  });

  test("with its body", async () => {
    const exchange = rawExchange(strict.url, rawPost("/v1/completions", "{", { "Content-Length": "4000" }));
    expect(await exchange.closed).toMatch(/^HTTP\/1.1 408 /);
    expect((await fetch(`${strict.url}/models`)).status).toBe(200);
  });

  test("nor are more connections taken than allowed", async () => {
    const many = Array.from({ length: 30 }, () => rawExchange(server.url, ""));
    const closed = await Promise.race([
      Promise.all(many.slice(limits.connections).map((one) => one.closed)),
      new Promise((resolve) => setTimeout(() => resolve("still open"), 3000)),
    ]);
    expect(closed).not.toBe("still open");
    for (const { socket } of many) socket.destroy();
    await Promise.all(many.map((one) => one.closed));
    expect(await isWell()).toBe(true);
  });
});

describe("a client that hangs up stops its work", () => {
  test.each([
    ["in the middle of a stream", { stream: true, max_tokens: 15_000 }, /data: /],
    ["while it waits for the whole answer", { max_tokens: 15_000, n: 2 }, /^/],
  ])("%s", async (_, fields, pattern) => {
    const exchange = post(completion({ temperature: 1, seed: 2, ...fields }));
    await exchange.until(pattern);
    expect(await eventually(() => open() > 0)).toBe(true);
    exchange.socket.destroy();
    expect(await eventually(() => open() === 0)).toBe(true);
    expect(exchange.received()).not.toContain("[DONE]");
  });

  test("by the openai client's abort", async () => {
    const client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
    const asked = { model: "tiny", prompt: "the cat", seed: 2, max_tokens: 15_000 };
    const stream = await client.completions.create({ ...asked, stream: true });
    for await (const _ of stream) stream.controller.abort();
    expect(await eventually(() => open() === 0)).toBe(true);
    const stop = new AbortController();
    const whole = client.completions.create(asked, { signal: stop.signal });
    expect(await eventually(() => open() > 0)).toBe(true);
    stop.abort();
    await expect(whole).rejects.toThrow(OpenAI.APIUserAbortError);
    expect(await eventually(() => open() === 0)).toBe(true);
  });

  test("with requests that wait, too", async () => {
    const many = Array.from({ length: 4 }, () =>
      post(completion({ temperature: 1, seed: 2, max_tokens: 15_000 })),
    );
    expect(await eventually(() => open() === 4)).toBe(true);
    for (const { socket } of many) socket.destroy();
    expect(await eventually(() => open() === 0)).toBe(true);
    expect(await isWell()).toBe(true);
  });
});

test("more than may wait is turned away, with the time after which to ask again", async () => {
  const many = Array.from({ length: 9 }, () =>
    post(completion({ temperature: 1, seed: 2, max_tokens: 200 })),
  );
  const texts = await Promise.all(many.map((one) => one.until(/\}$/)));
  for (const { socket } of many) socket.destroy();
  const refused = texts.filter((text) => text.startsWith("HTTP/1.1 429 "));
  expect(refused).toHaveLength(9 - rows - limits.waiting);
  for (const text of refused) expect(text).toMatch(/Retry-After: [1-9]\d*\r\n/);
  expect(texts.filter((text) => text.startsWith("HTTP/1.1 200 "))).toHaveLength(rows + limits.waiting);
});

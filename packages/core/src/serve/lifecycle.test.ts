import { afterEach, describe, expect, test } from "vitest";
import { createGenerator } from "../decode/generator.js";
import { UserError } from "../errors.js";
import { checkAccess } from "./access.js";
import { servedModel } from "./served-model.js";
import { type ModelServer, type ServeOptions, serveModels } from "./server.js";
import { tinyModel } from "./testing/tiny-model.js";

const model = tinyModel({ contextLength: 4096 });
const servers: ModelServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceSeconds: 0 })));
});

async function start(
  options: Partial<ServeOptions> = {},
): Promise<ModelServer & { begun: () => Promise<void> }> {
  const generator = createGenerator(model, { capacity: 2 });
  const server = await serveModels({
    models: [servedModel(model, generator, { name: "tiny", rows: 2 })],
    ...options,
  });
  servers.push(server);
  const begun = async () => {
    while (generator.load.active + generator.load.waiting === 0)
      await new Promise((resolve) => setTimeout(resolve, 2));
  };
  return { ...server, begun };
}

const body = (fields: object) => JSON.stringify({ model: "tiny", prompt: "the cat", seed: 1, ...fields });
const post = (server: ModelServer, fields: object, headers: Record<string, string> = {}) =>
  fetch(`${server.url}/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: body(fields),
  });

describe("the token", () => {
  test("is wanted for everything but /health, and compared whole", async () => {
    const server = await start({ token: "right" });
    expect((await post(server, { max_tokens: 1 }, { Authorization: "Bearer right" })).status).toBe(200);
    for (const Authorization of [
      "",
      "Bearer",
      "Bearer righ",
      "Bearer right2",
      "Basic right",
      "Bearer wrong",
    ]) {
      const response = await post(server, { max_tokens: 1 }, { Authorization });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: "invalid_api_key" } });
    }
    expect((await fetch(`${server.url}/models`)).status).toBe(401);
    expect((await fetch(new URL("/health", server.url))).status).toBe(200);
  });

  test("is made where other machines can reach the server", async () => {
    const server = await start({ host: "0.0.0.0" });
    const url = `http://127.0.0.1:${new URL(server.url).port}/v1/models`;
    expect(server.token).toMatch(/^[\w-]{32}$/);
    expect((await fetch(url)).status).toBe(401);
    expect((await fetch(url, { headers: { Authorization: `Bearer ${server.token}` } })).status).toBe(200);
    expect((await start()).token).toBeUndefined();
  });

  test("that no header can carry is refused", async () => {
    for (const token of ["", "a b", "é"]) await expect(start({ token })).rejects.toThrow(UserError);
  });
});

test("pages of the server's own address may use it, and names of loopback only", () => {
  const check = (headers: Record<string, string>) => () => checkAccess({ headers }, { loopback: true });
  for (const host of [
    "localhost",
    "localhost:80",
    "127.0.0.1:8080",
    "127.9.9.9",
    "[::1]:8080",
    "LOCALHOST",
  ]) {
    expect(check({ host })).not.toThrow();
    expect(check({ host, origin: `http://${host}`, "sec-fetch-site": "same-origin" })).not.toThrow();
    expect(check({ host, origin: "null" })).toThrow("Pages of other sites");
    expect(check({ host, origin: "http://localhost:1" })).toThrow("Pages of other sites");
  }
  for (const host of [
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "192.168.0.1",
    "[::2]",
  ]) {
    expect(check({ host })).toThrow("answers only as localhost");
  }
  for (const host of ["", "a b", "localhost/x", "@localhost", "localhost:x"])
    expect(check({ host })).toThrow("no host");
});

test("a port that is in use is told", async () => {
  const server = await start();
  const port = Number(new URL(server.url).port);
  await expect(start({ port })).rejects.toThrow(`port ${port} of 127.0.0.1 is in use`);
});

describe("an answer that takes too long", () => {
  test("is an error with its own status", async () => {
    const server = await start({ limits: { seconds: 0.1 } });
    const response = await post(server, { max_tokens: 4000, n: 8 });
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: "timeout" } });
    expect(response.headers.get("x-should-retry")).toBe("false");
  });

  test("ends a stream with an error and without [DONE]", async () => {
    const server = await start({ limits: { seconds: 2 } });
    const response = await post(server, { max_tokens: 4000, n: 16, stream: true });
    const text = await response.text();
    expect(text.slice(0, 100)).toMatch(/^data: \{"id"/);
    expect(text.slice(-200)).toMatch(
      /data: \{"error":.*not finished in 2 seconds.*"code":"timeout"\}\}\n\n$/,
    );
  });
});

describe("closing", () => {
  test("lets open answers finish and takes no new ones", async () => {
    const server = await start();
    const open = post(server, { max_tokens: 200 });
    await server.begun();
    const closed = server.close({ graceSeconds: 60 });
    await expect(post(server, { max_tokens: 1 })).rejects.toThrow();
    const response = await open;
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ usage: { completion_tokens: 200 } });
    await closed;
    servers.length = 0;
  });

  test("cancels what is not finished in time", async () => {
    const server = await start();
    const whole = post(server, { max_tokens: 4000 });
    const stream = await post(server, { max_tokens: 4000, stream: true });
    const begun = performance.now();
    await Promise.all([
      server.close({ graceSeconds: 0.1 }),
      whole.then(async (response) => {
        expect(response.status).toBe(503);
        expect(await response.text()).toContain("stopping");
      }),
      stream.text().then((text) => expect(text.slice(-300)).toMatch(/"error":.*stopping.*\n\n$/)),
    ]);
    expect(performance.now() - begun).toBeLessThan(5000);
    servers.length = 0;
  });
});

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createGenerator } from "../decode/generator.js";
import { servedModel } from "../serve/served-model.js";
import { type ModelServer, serveModels } from "../serve/server.js";
import { tinyModel } from "../serve/testing/tiny-model.js";
import { RemoteModel, type RemoteModelOptions } from "./remote-model.js";

const model = tinyModel({ contextLength: 1024 });
let server: ModelServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-own-"));
  const generator = createGenerator(model, { capacity: 2 });
  server = await serveModels({
    models: [servedModel(model, generator, { name: "tiny", rows: 2 })],
    token: "a-token",
    limits: { waiting: 2 },
  });
  vi.stubEnv("OWN_TOKEN", "a-token");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
  rmSync(folder, { recursive: true });
});

const remote = (options: Partial<RemoteModelOptions> = {}) =>
  new RemoteModel({
    baseURL: server.url,
    model: "tiny",
    apiKeyVariable: "OWN_TOKEN",
    cache: folder,
    ...options,
  });
const ask = (content: string) => [{ role: "user" as const, content }];

test("a chat, whole and as a stream, has the same text, log-probabilities and usage", async () => {
  const options = { seed: 4, maxTokens: 20, logProbs: 2 };
  const whole = await remote().chat(ask("the cat"), options);
  let text = "";
  const streamed = await remote({ refresh: true }).chat(ask("the cat"), {
    ...options,
    onText: (piece) => {
      text += piece;
    },
  });
  expect(streamed).toEqual(whole);
  expect(text).toBe(whole.text);
  expect(whole.finishReason).toBe("length");
  expect(whole.logProbs).toHaveLength(20);
  for (const { logProb, alternatives } of whole.logProbs ?? []) {
    expect(alternatives).toHaveLength(2);
    expect(logProb).toBeLessThanOrEqual(alternatives[0].logProb);
  }
  expect(whole.usage?.completionTokens).toBe(20);
  expect(await remote().chat(ask("the cat"), options)).toEqual({ ...whole, cached: true });
});

test("a completion lists its tokens, and samples have seeds of their own", async () => {
  const { text, logProbs = [] } = await remote().complete("the", {
    temperature: 0,
    maxTokens: 8,
    logProbs: 1,
  });
  expect(logProbs).toHaveLength(8);
  for (const { logProb, alternatives } of logProbs) expect(alternatives[0].logProb).toBe(logProb);
  expect(text.length).toBeGreaterThan(0);
  const samples = await remote().sample(ask("no"), 3, { seed: 5, maxTokens: 12 });
  const last = await remote({ cache: false }).chat(ask("no"), { seed: 7, maxTokens: 12 });
  expect(samples[2].text).toBe(last.text);
  expect(new Set(samples.map((one) => one.text)).size).toBeGreaterThan(1);
});

test("more requests than the server takes at once are answered all the same", async () => {
  const retries: number[] = [];
  const many = remote({ concurrency: 12, retries: 30, onRetry: ({ seconds }) => retries.push(seconds) });
  const requests = Array.from({ length: 12 }, (_, i) => ({
    messages: ask(`number ${i}`),
    seed: i,
    maxTokens: 100,
  }));
  const outcomes = await many.all(requests);
  expect(outcomes.map(({ status }) => status)).toEqual(Array(12).fill("answered"));
  expect(retries.length).toBeGreaterThan(0);
  // Each pause is what the server asked for.
  for (const seconds of retries) expect(Number.isInteger(seconds) && seconds >= 1).toBe(true);
});

test("what the server refuses is told with its reason", async () => {
  await expect(remote({ model: "other" }).chat(ask("x"))).rejects.toThrow(
    'status 404: There is no model "other" here. There are: tiny.',
  );
  await expect(remote().chat(ask("x"), { extra: { logit_bias: { 1: 1 } } })).rejects.toThrow("logit_bias");
  vi.stubEnv("WRONG_TOKEN", "wrong");
  const wrong = remote({ apiKeyVariable: "WRONG_TOKEN" }).chat(ask("x"));
  await expect(wrong.catch((error) => Promise.reject(new Error(String(error))))).rejects.toThrow(
    "Check the key in WRONG_TOKEN.",
  );
});

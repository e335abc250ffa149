import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createGenerator } from "../decode/generator.js";
import { UserError } from "../errors.js";
import { saveLanguageModel } from "../models/hugging-face/index.js";
import { servedModel } from "./served-model.js";
import { tinyModel } from "./testing/tiny-model.js";
import type { TextPiece, TextRequest, TextService } from "./text-service.js";
import { threadedModel } from "./threaded-model.js";

const model = tinyModel({ contextLength: 2048 });
let folder: string;
let threaded: TextService;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-thread-"));
  await saveLanguageModel(join(folder, "tiny"), model);
  threaded = await threadedModel({ name: "tiny", folder: join(folder, "tiny"), rows: 4 });
});
afterAll(async () => {
  await threaded.dispose();
  rmSync(folder, { recursive: true });
});

const never = new AbortController().signal;
const request = (fields: Partial<TextRequest> = {}): TextRequest => ({
  prompt: { text: "the cat" },
  field: "prompt",
  count: 1,
  maxTokens: 20,
  promptTokens: 100,
  temperature: 1,
  seed: 3,
  echo: false,
  stream: false,
  ...fields,
});

describe("a model in a thread", () => {
  test("answers as one in this thread does, with the same pieces", async () => {
    const here = servedModel(model, createGenerator(model, { capacity: 4 }), { name: "tiny", rows: 4 });
    const asked = request({ count: 3, logProbs: 2, stop: ["the"] });
    const pieces: TextPiece[][] = [[], []];
    const results = await Promise.all(
      [here, threaded].map((service, i) =>
        service.run(asked, { signal: never, onPiece: (piece) => pieces[i].push(piece) }),
      ),
    );
    expect(results[1]).toEqual(results[0]);
    const byAnswer = (list: TextPiece[]) => list.toSorted((a, b) => a.answer - b.answer);
    expect(byAnswer(pieces[1])).toEqual(byAnswer(pieces[0]));
    expect(threaded.info).toEqual({ ...here.info, created: expect.any(Number) });
    await here.dispose();
  });

  test("refuses as one in this thread does", async () => {
    const long = request({ prompt: { tokens: Array(101).fill(5) } });
    await expect(threaded.run(long, { signal: never })).rejects.toMatchObject({
      status: 400,
      fields: { param: "prompt", code: "context_length_exceeded" },
    });
  });

  test("stops what is not wanted any more, and goes on with the rest", async () => {
    const stop = new AbortController();
    const long = request({ count: 4, maxTokens: 2000 });
    const stopped = threaded.run(long, { signal: stop.signal, onPiece: () => stop.abort(new Error("gone")) });
    await expect(stopped).rejects.toThrow("gone");
    // All four rows were taken; 8000 tokens would take seconds.
    const begun = performance.now();
    await threaded.run(request(), { signal: never });
    expect(performance.now() - begun).toBeLessThan(1000);
  });

  test("leaves this thread free while it computes", async () => {
    const working = threaded.run(request({ count: 4, maxTokens: 600 }), { signal: never });
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    await working;
    clearInterval(timer);
    expect(longest).toBeLessThan(200);
  });

  test("that cannot be loaded says why", async () => {
    const missing = threadedModel({ name: "none", folder: join(folder, "none"), rows: 1 });
    await expect(missing).rejects.toBeInstanceOf(UserError);
    await expect(missing).rejects.toMatchObject({ place: { file: expect.stringContaining("none") } });
  });

  test("ends what is open when it is disposed of", async () => {
    const other = await threadedModel({ name: "tiny", folder: join(folder, "tiny"), rows: 1 });
    const open = other.run(request({ maxTokens: 2000 }), { signal: never });
    const ended = expect(open).rejects.toThrow();
    await other.dispose();
    await ended;
    await expect(other.run(request(), { signal: never })).rejects.toThrow("disposed of");
  });
});

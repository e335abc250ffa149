import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { UserError } from "../errors.js";
import { RemoteError } from "./remote-error.js";
import { RemoteModel, type RemoteModelOptions } from "./remote-model.js";
import {
  eventAnswer,
  jsonAnswer,
  type ScriptedAnswer,
  type ScriptedServer,
  scriptedServer,
} from "./testing/scripted-server.js";

let server: ScriptedServer;
let folder: string;
beforeAll(async () => {
  server = await scriptedServer();
});
afterAll(() => server.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-remote-"));
  // Pauses are chosen by the backoff, and not waited for in full.
  vi.spyOn(Math, "random").mockReturnValue(-0.98);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const secret = "sk-very-secret-0123456789";
const model = (options: Partial<RemoteModelOptions> = {}) =>
  new RemoteModel({ baseURL: server.url, model: "judge", cache: folder, retries: 2, ...options });
const said = (content: string, rest: object = {}) => ({
  choices: [{ message: { role: "assistant", content }, finish_reason: "stop" }],
  usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  ...rest,
});
const fine = jsonAnswer(said("yes"));
const ask = [{ role: "user" as const, content: "Is it?" }];
const files = () =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe("an answer", () => {
  test("has text, usage and the reason of its end", async () => {
    server.script(fine);
    const answer = await model().chat(ask, { temperature: 0, maxTokens: 3 });
    expect(answer).toEqual({
      text: "yes",
      finishReason: "stop",
      usage: { promptTokens: 10, completionTokens: 5 },
      cached: false,
    });
    expect(JSON.parse(server.requests[0].split("\r\n\r\n")[1])).toEqual({
      model: "judge",
      messages: ask,
      temperature: 0,
      max_tokens: 3,
    });
  });

  test("that comes as events of any cut is the same as in one piece", async () => {
    const events = ["y", "é", "s"].map((content) => ({ choices: [{ delta: { content } }] }));
    const end = { choices: [{ delta: {}, finish_reason: "length" }] };
    const counted = { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } };
    server.script(
      `${eventAnswer([...events, end, counted, "[DONE]"]).replace(/\n\n/g, "\r\n\r\n: comment\r\n\r\n")}`,
    );
    const pieces: string[] = [];
    const answer = await model().chat(ask, { onText: (text) => pieces.push(text) });
    expect(pieces).toEqual(["y", "é", "s"]);
    expect(answer).toMatchObject({ text: "yés", finishReason: "length", usage: { completionTokens: 2 } });
  });
});

describe("what is no answer is tried again, and never kept", () => {
  const again: [string, ScriptedAnswer, RegExp][] = [
    ["garbage", jsonAnswer("%%%"), /is not JSON: %%%/],
    ["a page", jsonAnswer("<html>Bad gateway</html>"), /is not JSON/],
    ["no choices", jsonAnswer({ choices: [] }), /of another form \(choices/],
    ["another form", jsonAnswer({ choices: [{ text: 3 }] }), /of another form \(choices.0.message/],
    ["null", jsonAnswer("null"), /of another form/],
    ["half a body", { bytes: fine.slice(0, -20), reset: false }, /the connection to .* broke/],
    ["a reset", { bytes: "HTTP/1.1 200 OK\r\nContent-", reset: true }, /the connection to .* broke/],
    ["no HTTP", { bytes: "SSH-2.0-OpenSSH\r\n", reset: false }, /the connection to .* broke/],
    [
      "a busy server",
      jsonAnswer({ error: { message: "slow down" } }, "429 Too Many Requests"),
      /429: slow down/,
    ],
    ["a proxy's page", jsonAnswer("<html>", "502 Bad Gateway"), /status 502$/],
    [
      "an error with status 200",
      jsonAnswer({ error: { message: "x", code: 503 } }),
      /answered with an error: x/,
    ],
  ];
  test.each(again)("%s", async (_, broken, message) => {
    server.script(broken);
    const error = await model()
      .chat(ask)
      .catch((error) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^after 3 attempts, /);
    expect(error.message).toMatch(message);
    expect(server.requests).toHaveLength(3);
    expect(files()).toEqual([]);
    server.script(broken, fine);
    expect((await model().chat(ask)).text).toBe("yes");
  });

  test("a stream that is cut off", async () => {
    const half = eventAnswer([{ choices: [{ delta: { role: "assistant" } }] }]);
    const whole = eventAnswer([{ choices: [{ delta: { content: "ok" }, finish_reason: "stop" }] }]);
    server.script(half, whole);
    expect((await model().chat(ask, { onText: () => {} })).text).toBe("ok");
    // After a piece of text that the caller has, there is no second beginning.
    server.script(eventAnswer([{ choices: [{ delta: { content: "o" } }] }]), whole);
    const other = [{ role: "user" as const, content: "Other" }];
    await expect(model().chat(other, { onText: () => {} })).rejects.toThrow("cut off");
    expect(server.requests).toHaveLength(1);
  });

  test("silence, after the time allowed", async () => {
    server.script(undefined);
    const error = await model({ timeoutSeconds: 0.1, retries: 0 })
      .chat(ask)
      .catch((error) => error);
    expect(error.message).toBe("the server gave no whole answer within 0.1 seconds");
  });

  test("what will not change is not tried again", async () => {
    const final: [string, string][] = [
      [jsonAnswer({ error: { message: "no such model" } }, "404 Not Found"), "status 404: no such model"],
      [jsonAnswer({ error: { message: "bad", param: "stop" } }, "400 Bad Request"), "status 400: bad"],
      [jsonAnswer({ error: { message: "pay", code: "insufficient_quota" } }, "429 No"), "status 429: pay"],
      [jsonAnswer("", "301 Moved", "Location: http://elsewhere/\r\n"), "status 301"],
      [jsonAnswer({ error: { message: "content", type: "invalid_request_error" } }), "error: content"],
    ];
    for (const [answer, message] of final) {
      server.script(answer);
      await expect(model().chat(ask)).rejects.toThrow(message);
      expect(server.requests).toHaveLength(1);
    }
  });

  test("a server that is not there", async () => {
    const gone = await scriptedServer();
    await gone.close();
    const error = await model({ baseURL: gone.url })
      .chat(ask)
      .catch((error) => error);
    expect(error).toBeInstanceOf(RemoteError);
    expect(error.toString()).toMatch(/nothing listens at 127.0.0.1:\d+\n {2}Check the base URL/);
  });
});

describe("pauses", () => {
  test("are what the server asks for, for all requests, up to the longest allowed", async () => {
    const events: number[] = [];
    const busy = (after: string) => jsonAnswer({}, "503 Busy", `Retry-After: ${after}\r\n`);
    server.script(busy("0.3"), fine);
    const begun = performance.now();
    await model({ onRetry: ({ seconds }) => events.push(seconds) }).chat(ask);
    expect(events).toEqual([0.3]);
    expect(performance.now() - begun).toBeGreaterThan(290);
    server.script(busy("4000"));
    await expect(model({ refresh: true }).chat(ask)).rejects.toThrow("status 503");
    expect(server.requests).toHaveLength(1);
  });

  test("end at once where the signal aborts", async () => {
    server.script(jsonAnswer({}, "503 Busy", "Retry-After: 100\r\n"));
    const stop = new AbortController();
    const asking = model({ onRetry: () => stop.abort(new Error("enough")) }).chat(ask, {
      signal: stop.signal,
    });
    await expect(asking).rejects.toThrow("enough");
  });
});

describe("kept answers", () => {
  test("are given for the same question, by another process too, and asked for anew if told", async () => {
    server.script(fine, jsonAnswer(said("no")));
    expect(await model().chat(ask, { temperature: 0 })).toMatchObject({ text: "yes", cached: false });
    expect(await model().chat(ask, { temperature: 0 })).toMatchObject({ text: "yes", cached: true });
    expect(await model({ refresh: true }).chat(ask, { temperature: 0 })).toMatchObject({
      text: "no",
      cached: false,
    });
    expect(await model().chat(ask, { temperature: 0 })).toMatchObject({ text: "no", cached: true });
    expect(server.requests).toHaveLength(2);
  });

  test("are those of each sample where answers vary, and only there", async () => {
    const one = model();
    const texts = async (options: object) =>
      Promise.all([0, 1].map(async (sample) => (await one.chat(ask, { ...options, sample })).text));
    server.script(jsonAnswer(said("a")), jsonAnswer(said("b")));
    expect((await texts({})).sort()).toEqual(["a", "b"]);
    server.script(jsonAnswer(said("c")), jsonAnswer(said("d")));
    expect(await texts({ seed: 1 })).toEqual(["c", "c"]);
    server.script(jsonAnswer(said("e")), jsonAnswer(said("f")));
    expect(await texts({ temperature: 0 })).toEqual(["e", "e"]);
  });

  test("differ with everything that is asked", async () => {
    server.script(fine);
    const one = model();
    const asked = [
      () => one.chat(ask),
      () => one.chat([{ role: "system", content: "Is it?" }]),
      () => one.chat(ask, { maxTokens: 4 }),
      () => one.chat(ask, { extra: { top_k: 3 } }),
      () => model({ model: "other" }).chat(ask),
      () => model({ baseURL: `${server.url}/deeper` }).chat(ask),
    ];
    for (const request of asked) expect((await request()).cached).toBe(false);
    for (const request of asked) expect((await request()).cached).toBe(true);
  });

  test("that are damaged are asked for again", async () => {
    server.script(fine);
    await model().chat(ask);
    const [file] = files();
    for (const damage of [
      "",
      readFileSync(file, "utf8").slice(0, 50),
      readFileSync(file, "utf8").replace('"yes"', "3"),
    ]) {
      writeFileSync(file, damage);
      expect(await model().chat(ask)).toMatchObject({ text: "yes", cached: false });
      expect((await model().chat(ask)).cached).toBe(true);
    }
  });

  test("the same question at the same time is asked once", async () => {
    server.script(fine);
    const one = model();
    const answers = await Promise.all(Array.from({ length: 5 }, () => one.chat(ask)));
    expect(server.requests).toHaveLength(1);
    expect(answers.map(({ text }) => text)).toEqual(Array(5).fill("yes"));
    expect(one.usage).toMatchObject({ requests: 1, cached: 4 });
  });
});

describe("the key", () => {
  test("goes into the header and nowhere else, even if the server repeats it", async () => {
    vi.stubEnv("JUDGE_KEY", secret);
    server.script(jsonAnswer(said(`you sent ${secret}`)));
    const answer = await model({ apiKeyVariable: "JUDGE_KEY" }).chat(ask);
    expect(server.requests[0]).toContain(`Authorization: Bearer ${secret}`);
    expect(answer.text).toBe("you sent [key]");
    server.script(jsonAnswer({ error: { message: `Incorrect key ${secret}` } }, "401 No"));
    const refresh = model({ apiKeyVariable: "JUDGE_KEY", refresh: true });
    const error = await refresh.chat(ask).catch((error) => error);
    expect(error.toString()).toBe(
      "the server answered with status 401: Incorrect key [key]\n  Check the key in JUDGE_KEY.",
    );
    expect(files()).toHaveLength(1);
    expect(
      files()
        .map((file) => readFileSync(file, "utf8"))
        .join(),
    ).not.toContain(secret);
    expect(JSON.stringify(refresh)).not.toContain(secret);
  });

  test("must be there, and not in the URL", () => {
    expect(() => model({ apiKeyVariable: "NOT_SET" })).toThrow("variable NOT_SET is not set");
    expect(() => model({ baseURL: "http://me:pass@host/v1" })).toThrow("has a user or a password");
    expect(() => model({ baseURL: "http://host/v1?key=abc" })).toThrow("has a query");
    expect(() => model({ baseURL: "ftp://host" })).toThrow("begins with ftp:");
  });
});

describe("costs", () => {
  const prices = { prompt: 1_000_000, completion: 2_000_000 };

  test("are the server's count times the prices; kept answers are free", async () => {
    server.script(fine);
    const one = model({ prices });
    await one.chat(ask, { maxTokens: 9 });
    await one.chat(ask, { maxTokens: 9 });
    expect(one.usage).toEqual({
      requests: 1,
      cached: 1,
      promptTokens: 10,
      completionTokens: 5,
      cost: 10 + 2 * 5,
    });
  });

  test("never exceed the budget, whatever runs at the same time", async () => {
    server.script(fine);
    // A request may cost 64 + 16 + 6 for the prompt and 2 * 10 for the answer: 106; it comes to 20.
    const one = model({ prices, budget: 230 });
    const outcomes = await one.all(
      Array.from({ length: 30 }, () => ({ messages: ask, maxTokens: 10 })).map((r, sample) => ({
        ...r,
        sample,
      })),
    );
    const answered = outcomes.filter(({ status }) => status === "answered").length;
    expect(answered).toBe(server.requests.length);
    // The last one is sent while 20 * answered + 106 <= 230.
    expect(answered).toBe(7);
    expect(one.usage.cost).toBe(140);
    const failed = outcomes.find(({ status }) => status === "failed");
    expect(String((failed as { error: unknown }).error)).toContain(
      "the budget of 230 is used up: 140 is spent",
    );
    await expect(model({ prices, budget: 1 }).chat([{ role: "user", content: "?" }])).rejects.toThrow(
      "needs maxTokens",
    );
    expect(() => model({ budget: 1 })).toThrow("a budget needs prices");
  });

  test("count what may have been done for nothing", async () => {
    server.script({ bytes: fine.slice(0, -20), reset: false }, fine);
    const one = model({ prices });
    await one.chat(ask, { maxTokens: 10 });
    expect(one.usage.cost).toBe(106 + 20);
  });
});

describe("many requests", () => {
  const requests = Array.from({ length: 12 }, (_, i) => ({
    messages: [{ role: "user" as const, content: `${i}` }],
  }));

  test("keep their order, and one that fails does not cost the others", async () => {
    const echo = requests.map((_, i) => i);
    server.script(...echo.map((i) => (i === 4 ? jsonAnswer({}, "400 No") : jsonAnswer(said(`answer ${i}`)))));
    const progress: number[] = [];
    const one = model({ concurrency: 1 });
    const outcomes = await one.all(requests, { onProgress: (done) => progress.push(done) });
    outcomes.forEach((outcome, i) => {
      expect(outcome).toMatchObject(i === 4 ? { status: "failed" } : { answer: { text: `answer ${i}` } });
    });
    expect(progress).toEqual(echo.map((i) => i + 1));
    server.script(jsonAnswer(said("answer 4")));
    const again = await one.all(requests);
    expect(server.requests).toHaveLength(1);
    expect(again.every(({ status }) => status === "answered")).toBe(true);
  });

  test("what was answered before a stop is there afterwards", async () => {
    server.script(...Array.from({ length: 5 }, () => fine), undefined);
    const stop = new AbortController();
    const outcomes = await model({ concurrency: 2 }).all(requests, {
      signal: stop.signal,
      onProgress: (done) => done === 5 && stop.abort(new Error("stop")),
    });
    expect(outcomes.filter(({ status }) => status === "answered")).toHaveLength(5);
    expect(files()).toHaveLength(5);
  });

  test("are no more at a time than allowed", async () => {
    server.script(undefined);
    const stop = new AbortController();
    const asking = model({ concurrency: 3, timeoutSeconds: 5 }).all(requests, { signal: stop.signal });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(server.requests).toHaveLength(3);
    stop.abort(new Error("stop"));
    await asking;
  });
});

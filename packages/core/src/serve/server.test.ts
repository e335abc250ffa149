import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Generator } from "../decode/generation.js";
import { createGenerator } from "../decode/generator.js";
import { servedModel } from "./served-model.js";
import { type ModelServer, serveModels } from "./server.js";
import { tinyModel } from "./testing/tiny-model.js";

const model = tinyModel();
const rows = 4;
let generator: Generator;
let server: ModelServer;
let client: OpenAI;

beforeAll(async () => {
  generator = createGenerator(model, { capacity: rows });
  server = await serveModels({
    models: [servedModel(model, generator, { name: "tiny", rows })],
    limits: { newTokens: 60, answers: 8, waiting: 8, bodyBytes: 20_000 },
  });
  client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
});
afterAll(() => server.close());

const greedy = { model: "tiny", prompt: "the cat", temperature: 0, max_tokens: 12 } as const;
const user = (content: string) => [{ role: "user" as const, content }];

/** The ids of tokens as they are listed: parts of characters by their bytes. */
const idsOf = (tokens: readonly string[]) =>
  tokens.map((token) => {
    const bytes = token.startsWith("\\x")
      ? Buffer.from(token.replaceAll("\\x", ""), "hex")
      : Buffer.from(token);
    return Array.from({ length: model.tokenizer.vocabularySize }, (_, id) => id).findIndex((id) =>
      bytes.equals(model.tokenizer.tokenBytes(id)),
    );
  });

describe("models", () => {
  test("are listed and told of one by one", async () => {
    const { data } = await client.models.list();
    expect(data).toMatchObject([{ id: "tiny", object: "model", owned_by: "outgrow", max_model_len: 64 }]);
    expect(await client.models.retrieve("tiny")).toEqual(data[0]);
    await expect(client.models.retrieve("no/such")).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
    });
  });
});

describe("completions", () => {
  test("go on from texts and ids alike, with the tokens counted", async () => {
    const one = await client.completions.create(greedy);
    const ids = [...model.tokenizer.encode("the cat")];
    const other = await client.completions.create({ ...greedy, prompt: ids });
    expect(other.choices).toEqual(one.choices);
    expect(one.choices[0]).toMatchObject({ index: 0, finish_reason: "length", logprobs: null });
    expect(one.usage).toEqual({
      prompt_tokens: ids.length,
      completion_tokens: 12,
      total_tokens: ids.length + 12,
    });
  });

  test("a stream has the same text, and ends with the count of tokens if asked", async () => {
    const whole = await client.completions.create(greedy);
    const stream = await client.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    const events = [];
    for await (const event of stream) events.push(event);
    expect(events.map(({ choices }) => choices[0]?.text ?? "").join("")).toBe(whole.choices[0].text);
    expect(events.length).toBeGreaterThan(4);
    expect(events.at(-2)?.choices[0].finish_reason).toBe("length");
    expect(events.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
  });

  test("log-probabilities: tokens spell the text, each is the likeliest of its alternatives where greedy", async () => {
    const { choices } = await client.completions.create({ ...greedy, logprobs: 3 });
    const [{ text, logprobs }] = choices;
    const { tokens = [], token_logprobs: own = [], top_logprobs: top, text_offset: offsets } = logprobs ?? {};
    expect(tokens).toHaveLength(12);
    expect(offsets?.[0]).toBe(0);
    tokens.forEach((token, i) => {
      const alternatives = Object.values(top?.[i] ?? {});
      expect(alternatives.length).toBeLessThanOrEqual(3);
      expect(own[i]).toBe(Math.max(...alternatives));
      expect(own[i]).toBeLessThan(0);
      if (!token.startsWith("\\x")) expect(text.slice(offsets?.[i]).startsWith(token)).toBe(true);
    });
  });

  test("several prompts with several answers each come in order", async () => {
    const asked = { ...greedy, temperature: 1, seed: 7, n: 2, prompt: ["the cat", "the dog"] };
    const { choices, usage } = await client.completions.create(asked);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const [single] = (await client.completions.create({ ...asked, n: 1, seed: 8, prompt: "the dog" }))
      .choices;
    expect(choices[3].text).toBe(single.text);
    expect(usage?.prompt_tokens).toBe(
      model.tokenizer.encode("the cat").length + model.tokenizer.encode("the dog").length,
    );
    const texts = ["", "", "", ""];
    for await (const event of await client.completions.create({ ...asked, stream: true })) {
      for (const { index, text } of event.choices) texts[index] += text;
    }
    expect(texts).toEqual(choices.map(({ text }) => text));
  });

  test("the same seed gives the same text, another another, and none a new one", async () => {
    const ask = async (seed?: number) =>
      (await client.completions.create({ ...greedy, temperature: 1, seed })).choices[0].text;
    expect(await ask(3)).toBe(await ask(3));
    expect(await ask(3)).not.toBe(await ask(4));
    expect(await ask()).not.toBe(await ask());
  });

  test("end before a stop string, whose tokens count but are not listed", async () => {
    const [{ text }] = (await client.completions.create(greedy)).choices;
    const stop = text.slice(6, 8);
    const { choices } = await client.completions.create({ ...greedy, stop: [stop, "never"], logprobs: 0 });
    const [choice] = choices;
    expect(choice.finish_reason).toBe("stop");
    expect(choice.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(choice.logprobs?.text_offset?.every((at) => at < choice.text.length)).toBe(true);
  });

  test("the log-probabilities of a prompt are those of generating it, whatever its length", async () => {
    const asked = { ...greedy, temperature: 1, seed: 9, max_tokens: 40, logprobs: 2 };
    const [{ text, logprobs }] = (await client.completions.create(asked)).choices;
    const prompt = [...model.tokenizer.encode("the cat"), ...idsOf(logprobs?.tokens ?? [])];
    const echoed = await client.completions.create({ ...asked, prompt, echo: true, max_tokens: 0 });
    const [choice] = echoed.choices;
    const read = model.tokenizer.encode("the cat").length;
    expect(choice.text).toBe(`the cat${text}`);
    expect(choice.logprobs?.token_logprobs?.[0]).toBeNull();
    expect(choice.logprobs?.tokens).toHaveLength(prompt.length);
    logprobs?.token_logprobs?.forEach((logProb, i) => {
      expect(choice.logprobs?.token_logprobs?.[read + i]).toBeCloseTo(logProb, 3);
      const top = choice.logprobs?.top_logprobs?.[read + i] ?? {};
      expect(Object.keys(top)).toEqual(Object.keys(logprobs.top_logprobs?.[i] ?? {}));
    });
    expect(choice.logprobs?.text_offset?.slice(read)).toEqual(
      logprobs?.text_offset?.map((offset) => offset + "the cat".length),
    );
  });

  test("begin with the prompt if asked", async () => {
    const [{ text }] = (await client.completions.create(greedy)).choices;
    const echoed = await client.completions.create({ ...greedy, echo: true });
    expect(echoed.choices[0].text).toBe(`the cat${text}`);
    const nothing = await client.completions.create({ ...greedy, echo: true, max_tokens: 0 });
    expect(nothing.choices[0].text).toBe("the cat");
    expect(nothing.usage?.completion_tokens).toBe(0);
  });
});

describe("chats", () => {
  test("answer with a message, whole and as a stream", async () => {
    const asked = { model: "tiny", messages: user("Yes or no?"), temperature: 0, max_completion_tokens: 9 };
    const { choices, usage } = await client.chat.completions.create(asked);
    expect(choices[0].message).toEqual({ role: "assistant", content: expect.any(String), refusal: null });
    const stream = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0].message.content).toBe(choices[0].message.content);
    expect(final.usage).toEqual(usage);
  });

  test("text in parts is the text in one piece", async () => {
    const ask = async (content: string | { type: "text"; text: string }[]) => {
      const messages = [{ role: "user" as const, content }];
      const answer = await client.chat.completions.create({
        model: "tiny",
        messages,
        temperature: 0,
        max_tokens: 5,
      });
      return answer.choices;
    };
    const parts = [
      { type: "text" as const, text: "Yes " },
      { type: "text" as const, text: "or no?" },
    ];
    expect(await ask(parts)).toEqual(await ask("Yes or no?"));
  });

  test("list tokens with their bytes, which spell the text", async () => {
    const { choices } = await client.chat.completions.create({
      model: "tiny",
      messages: user("日本語 🙂"),
      seed: 1,
      max_tokens: 20,
      logprobs: true,
      top_logprobs: 2,
    });
    const content = choices[0].logprobs?.content ?? [];
    expect(Buffer.from(content.flatMap(({ bytes }) => bytes ?? [])).toString()).toBe(
      choices[0].message.content,
    );
    for (const { logprob, top_logprobs: top } of content) {
      expect(top).toHaveLength(2);
      expect(logprob).toBeLessThanOrEqual(top[0].logprob);
      expect(top[1].logprob).toBeLessThanOrEqual(top[0].logprob);
    }
  });
});

describe("forms", () => {
  const ask = { model: "tiny", messages: user("the cat"), seed: 5, temperature: 1, max_tokens: 60 };

  test("an answer of a JSON schema satisfies it", async () => {
    const schema = {
      type: "object",
      properties: { animal: { enum: ["cat", "dog"] }, legs: { type: "integer", minimum: 0, maximum: 9 } },
      required: ["animal", "legs"],
      additionalProperties: false,
    };
    const format = { type: "json_schema" as const, json_schema: { name: "animal", schema, strict: true } };
    const { choices } = await client.chat.completions.create({ ...ask, n: 3, response_format: format });
    for (const { message, finish_reason: reason } of choices) {
      const value = JSON.parse(message.content ?? "");
      expect(["cat", "dog"]).toContain(value.animal);
      expect(Number.isInteger(value.legs) && value.legs >= 0 && value.legs <= 9).toBe(true);
      expect(reason).toBe("stop");
    }
  });

  test("an answer of a regular expression matches it, and a JSON object begins as one", async () => {
    const guided = { ...greedy, temperature: 1, seed: 1, guided_regex: "(yes|no)[!?]{2}" };
    const { choices } = await client.completions.create(guided);
    expect(choices[0].text).toMatch(/^(yes|no)[!?]{2}$/);
    const object = await client.chat.completions.create({ ...ask, response_format: { type: "json_object" } });
    expect(object.choices[0].message.content).toMatch(/^\s*\{/);
  });

  test("what cannot be enforced is refused by its field", async () => {
    await expect(client.completions.create({ ...greedy, guided_regex: "(" } as never)).rejects.toMatchObject({
      status: 400,
      param: "guided_regex",
    });
    const json_schema = { name: "x", schema: { type: "object", patternProperties: { "(": {} } } };
    const format = { type: "json_schema" as const, json_schema };
    await expect(client.chat.completions.create({ ...ask, response_format: format })).rejects.toMatchObject({
      status: 400,
      param: "response_format.json_schema.schema",
    });
  });

  const parameters = {
    type: "object",
    properties: { n: { enum: [1, 2] } },
    required: ["n"],
    additionalProperties: false,
  };
  const tools = ["count", "walk"].map((name) => ({
    type: "function" as const,
    function: { name, parameters },
  }));

  test("a tool that must be called is called with arguments of its schema, as a stream too", async () => {
    const asked = { ...ask, tools, tool_choice: { type: "function" as const, function: { name: "walk" } } };
    const [{ message, finish_reason: reason }] = (await client.chat.completions.create(asked)).choices;
    expect(reason).toBe("tool_calls");
    expect(message.content).toBeNull();
    const [call] = message.tool_calls ?? [];
    expect(call).toMatchObject({
      type: "function",
      id: expect.stringMatching(/^call_/),
      function: { name: "walk" },
    });
    if (call.type === "function") expect([1, 2]).toContain(JSON.parse(call.function.arguments).n);
    const final = await client.chat.completions.stream(asked).finalChatCompletion();
    expect(final.choices[0].message.tool_calls).toMatchObject([{ function: { name: "walk" } }]);
    // The conversation goes on with what the tool said.
    const next = [
      ...ask.messages,
      message,
      { role: "tool" as const, tool_call_id: call.id, content: "done" },
    ];
    const { choices } = await client.chat.completions.create({ ...ask, messages: next, tools });
    expect(choices[0].message.role).toBe("assistant");
  });

  test("a text that is no call stays a text", async () => {
    const { choices } = await client.chat.completions.create({ ...ask, tools });
    expect(choices[0].message.tool_calls).toBeUndefined();
    const final = await client.chat.completions.stream({ ...ask, tools }).finalChatCompletion();
    expect(final.choices[0].message.content).toBe(choices[0].message.content);
  });
});

describe("refusals name the field", () => {
  const refused: [string, object, { param: string; code?: string }][] = [
    ["logit_bias", { logit_bias: { 1: 2 } }, { param: "logit_bias", code: "unsupported_parameter" }],
    ["best_of", { best_of: 3 }, { param: "best_of", code: "unsupported_parameter" }],
    ["a typing error", { temprature: 0 }, { param: "temprature", code: "unknown_parameter" }],
    ["a value out of range", { temperature: 3 }, { param: "temperature", code: "invalid_value" }],
    ["a value of another type", { n: "two" }, { param: "n" }],
    ["too many tokens", { max_tokens: 61 }, { param: "max_tokens" }],
    ["too many answers", { n: 9 }, { param: "n" }],
    ["a part of a list", { stop: ["a", ""] }, { param: "stop[1]" }],
    ["an id that is none", { prompt: [1, 320] }, { param: "prompt" }],
    ["a prompt without tokens", { prompt: "" }, { param: "prompt" }],
    ["one prompt of several", { prompt: ["the", ""] }, { param: "prompt[1]" }],
    [
      "a prompt that is too long",
      { prompt: Array(64).fill(5) },
      { param: "prompt", code: "context_length_exceeded" },
    ],
    ["no tokens at all", { max_tokens: 0 }, { param: "max_tokens" }],
    ["a model that is not there", { model: "gpt-4" }, { param: "model", code: "model_not_found" }],
  ];
  test.each(refused)("%s", async (_, fields, expected) => {
    const asked = { ...greedy, ...fields } as OpenAI.CompletionCreateParamsNonStreaming;
    const error = await client.completions.create(asked).then(
      () => undefined,
      (error) => error,
    );
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ status: "model" in fields ? 404 : 400, ...expected });
    expect(error.message).toMatch(/\w/);
    // As a stream it is the same error, not an answer that begins.
    await expect(client.completions.create({ ...asked, stream: true })).rejects.toMatchObject(expected);
  });

  test("of a message, by its place", async () => {
    const content = [{ type: "image_url", image_url: { url: "http://a/b.png" } }];
    const messages = [...user("x"), { role: "user", content }] as never;
    await expect(client.chat.completions.create({ model: "tiny", messages })).rejects.toMatchObject({
      status: 400,
      param: "messages[1].content[0].type",
    });
  });

  test("what changes no answer is taken", async () => {
    const extras = {
      logit_bias: {},
      best_of: 1,
      presence_penalty: 0,
      user: "me",
      metadata: { a: "b" },
      suffix: null,
    };
    const { choices } = await client.completions.create({ ...greedy, ...extras } as never);
    expect(choices).toEqual((await client.completions.create(greedy)).choices);
  });
});

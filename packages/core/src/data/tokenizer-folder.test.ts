import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tokenizerFiles } from "./testing/tokenizer-files.js";
import { readTokenizerFolder } from "./tokenizer-folder.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
});
afterEach(() => rm(folder, { recursive: true }));

const write = (name: string, content: unknown) =>
  writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
const qwen = tokenizerFiles.Qwen2;
const idOf = (content: string) => qwen.added_tokens.find((token) => token.content === content)?.id;

describe("a tokenizer's folder", () => {
  test("tokens as texts and as objects, a template as a text", async () => {
    await write("tokenizer.json", qwen);
    await write("tokenizer_config.json", {
      bos_token: null,
      eos_token: "<|im_end|>",
      pad_token: { __type: "AddedToken", content: "<|endoftext|>", lstrip: false },
      chat_template: "hello",
    });
    const read = await readTokenizerFolder(folder);
    expect(read).toMatchObject({
      eosToken: idOf("<|im_end|>"),
      padToken: idOf("<|endoftext|>"),
      chatTemplate: "hello",
      chatTemplates: { default: "hello" },
    });
    expect(read.bosToken).toBeUndefined();
    expect(JSON.parse(JSON.stringify(read.tokenizer))).toEqual(qwen);
  });

  test("named templates; a file of its own goes before them", async () => {
    await write("tokenizer.json", qwen);
    const named = [
      { name: "tool_use", template: "b" },
      { name: "default", template: "a" },
    ];
    await write("tokenizer_config.json", { chat_template: named });
    expect(await readTokenizerFolder(folder)).toMatchObject({
      chatTemplate: "a",
      chatTemplates: { tool_use: "b", default: "a" },
    });
    await write("tokenizer_config.json", { chat_template: named.slice(0, 1) });
    expect((await readTokenizerFolder(folder)).chatTemplate).toBeUndefined();
    await write("chat_template.jinja", "c");
    expect((await readTokenizerFolder(folder)).chatTemplate).toBe("c");
  });

  test("the tokenizer alone is enough", async () => {
    await write("tokenizer.json", qwen);
    const read = await readTokenizerFolder(folder);
    expect(read.chatTemplates).toEqual({});
    expect(read.chatTemplate).toBeUndefined();
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    ["nothing", {}, "there is no such file", "tokenizer.json"],
    ["half a file", { "tokenizer.json": '{"model": {' }, "is not JSON", "tokenizer.json"],
    ["another kind", { "tokenizer.json": { model: { type: "Unigram" } } }, '"Unigram"', "tokenizer.json"],
    [
      "a configuration that is a list",
      { "tokenizer.json": qwen, "tokenizer_config.json": [] },
      "not an object",
      "tokenizer_config.json",
    ],
    [
      "a token that is not there",
      { "tokenizer.json": qwen, "tokenizer_config.json": { eos_token: "<|nope|>" } },
      'eos_token "<|nope|>" is not a token',
      "tokenizer_config.json",
    ],
    [
      "a token that is a number",
      { "tokenizer.json": qwen, "tokenizer_config.json": { eos_token: 3 } },
      "eos_token is 3",
      "tokenizer_config.json",
    ],
    [
      "a template that is none",
      { "tokenizer.json": qwen, "tokenizer_config.json": { chat_template: [{ name: "x" }] } },
      "chat_template is neither",
      "tokenizer_config.json",
    ],
    [
      "a long template",
      { "tokenizer.json": qwen, "chat_template.jinja": " ".repeat(2 ** 20 + 1) },
      "has 1048577 bytes",
      "chat_template.jinja",
    ],
  ])("%s is refused with the file", async (_, files, message, file) => {
    for (const [name, content] of Object.entries(files)) await write(name, content);
    await expect(readTokenizerFolder(folder)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
      place: { file: join(folder, file) },
    });
  });
});

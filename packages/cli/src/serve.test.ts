import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import {
  chatMLTemplate,
  chatMLTokens,
  createRandom,
  initTransformer,
  saveLanguageModel,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureBuilt, runCommand } from "./testing/command.js";

let folder: string;
beforeAll(async () => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-serve-"));
  const tokenizer = trainBpe(["yes and no"], { vocabularySize: 270, specialTokens: chatMLTokens });
  const config = transformerConfig("llama", {
    vocabularySize: tokenizer.vocabularySize,
    contextLength: 4096,
    width: 16,
    layers: 1,
    heads: 2,
  });
  const params = initTransformer(config, createRandom(1));
  await saveLanguageModel(join(folder, "tiny"), {
    config,
    params,
    tokenizer,
    endTokens: [],
    chatTemplate: chatMLTemplate,
  });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts the command and waits for its line. */
async function start(args: string[], env: Record<string, string> = {}) {
  let child: ChildProcess | undefined;
  let said = "";
  let tell = () => {};
  const ended = runCommand(["serve", "tiny", "--port", "0", ...args], {
    cwd: folder,
    env: { OUTGROW_HOME: join(folder, "home"), ...env },
    onStart: (started) => {
      child = started;
      started.stdout?.on("data", (chunk) => {
        said += chunk;
        tell();
      });
    },
  });
  await new Promise<void>((resolve, reject) => {
    tell = () => said.includes("\n") && resolve();
    ended.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
  return { line: said, url: /http:\S+\/v1/.exec(said)?.[0] ?? "", child, ended };
}
const ask = { model: "tiny", messages: [{ role: "user" as const, content: "yes" }], seed: 1 };

test("serves a folder, says so in one line, finishes what is open when stopped, and ends well", async () => {
  const { line, url, child, ended } = await start([]);
  expect(line).toMatch(/^Serves tiny at http:\/\/127\.0\.0\.1:\d+\/v1\. Ctrl-C stops\.\n$/);
  const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 });
  const stream = await client.chat.completions.create({ ...ask, stream: true, max_tokens: 400 });
  let pieces = 0;
  let reason: string | null | undefined;
  for await (const { choices } of stream) {
    if (pieces++ === 3) child?.kill("SIGTERM");
    reason = choices[0]?.finish_reason ?? reason;
  }
  expect(reason).toBe("length");
  const { code, stdout, stderr } = await ended;
  expect([code, stdout, stderr]).toEqual([0, line, ""]);
});

test("other machines need a token, which is told once", async () => {
  const { line, child, ended } = await start(["--host", "0.0.0.0"]);
  const [, port, token] =
    /^Serves tiny at http:\/\/0\.0\.0\.0:(\d+)\/v1 with the token (\S+)\. Ctrl-C/.exec(line) ?? [];
  const models = (apiKey: string) =>
    new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey, maxRetries: 0 }).models.list();
  expect((await models(token)).data).toMatchObject([{ id: "tiny" }]);
  await expect(models("guess")).rejects.toMatchObject({ status: 401 });
  child?.kill("SIGINT");
  expect((await ended).code).toBe(0);
});

test("a token that was given is not printed", async () => {
  const { line, url, child, ended } = await start(["--json"], { OUTGROW_TOKEN: "given-token" });
  expect(JSON.parse(line)).toEqual({ url, models: ["tiny"] });
  const client = new OpenAI({ baseURL: url, apiKey: "given-token", maxRetries: 0 });
  expect((await client.models.list()).data).toHaveLength(1);
  child?.kill("SIGINT");
  await ended;
});

test("mistakes are told without a stack trace", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  const cases: [string[], RegExp, number][] = [
    [["nothing"], /^outgrow: there is no run "nothing"\n/, 2],
    [["tiny", "./tiny"], /^outgrow: two of the models are called "tiny"/, 2],
    [["tiny", "--port", "70000"], /A number from 0 to 65535/, 2],
    [["tiny", "--port", String(port)], new RegExp(`^outgrow: port ${port} of 127.0.0.1 is in use\\n`), 1],
  ];
  for (const [args, message, expected] of cases) {
    const { code, stdout, stderr } = await runCommand(["serve", ...args], {
      cwd: folder,
      env: { OUTGROW_HOME: join(folder, "home") },
    });
    expect(stderr).toMatch(message);
    expect([code, stdout]).toEqual([expected, ""]);
    expect(stderr).not.toMatch(/^\s+at .+:\d+/m);
  }
  holder.close();
});

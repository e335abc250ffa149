import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadAdapters, loadLanguageModel, sequenceLogProbs } from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureBuilt, runCommand } from "./testing/command.js";

let folder: string;
const run = (...args: string[]) =>
  runCommand(args, { cwd: folder, env: { OUTGROW_HOME: join(folder, "home") } });
const small = [
  "--width",
  "16",
  "--layers",
  "1",
  "--heads",
  "2",
  "--vocabulary-size",
  "300",
  "--context-length",
  "32",
];
const colours = ["red", "blue", "green"];

beforeAll(() => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-language-model-"));
  const texts = Array.from({ length: 60 }, (_, i) => `House ${i} is ${colours[i % 3]}.\nThe door is too.`);
  writeFileSync(join(folder, "texts.txt"), texts.join("\n\n"));
  const chats = colours.map((colour) => ({
    messages: [
      { role: "user", content: "A colour?" },
      { role: "assistant", content: colour },
    ],
  }));
  writeFileSync(join(folder, "chats.jsonl"), chats.map((chat) => JSON.stringify(chat)).join("\n"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("outgrow pretrain", () => {
  test("makes a model of the texts, which rerun makes again bit for bit", async () => {
    const args = [
      "texts.txt",
      "--separator",
      "blank-line",
      "--tokens",
      "20000",
      "--batch-size",
      "4",
      "--learning-rate",
      "0.01",
      "--out",
      "model",
      "--json",
    ];
    const { code, stdout, stderr } = await run("pretrain", ...args, ...small);
    expect(code, stderr).toBe(0);
    const { id, records } = JSON.parse(stdout);
    expect(records).toMatchObject({ trained: 57, heldOut: 3, tooLong: 0 });
    const model = await loadLanguageModel(join(folder, "model/model"));
    const prompt = model.tokenizer.encode("House 7 is");
    const [right, wrong] = await sequenceLogProbs(
      model,
      [" red", " too"].map((word) => ({ prompt, answer: model.tokenizer.encode(word) })),
    );
    expect(right.sum).toBeGreaterThan(wrong.sum + 2);
    const again = await run("rerun", id);
    expect(again.stdout + again.stderr).toContain("The same bits");
    expect(again.code).toBe(0);
  });

  test("refuses what is not there before it trains", async () => {
    const { code, stderr } = await run("pretrain", "missing.txt");
    expect(code).toBe(2);
    expect(stderr).toContain("missing.txt: there is no such file");
  });
});

describe("outgrow finetune", () => {
  test("trains adapters on chats, and saves them and the model", async () => {
    const options = ["--rank", "2", "--epochs", "2", "--held-out", "0", "--out", "tuned"];
    const { code, stderr } = await run("finetune", "model/model", "chats.jsonl", ...options);
    expect(code, stderr).toBe(0);
    const model = await loadLanguageModel(join(folder, "tuned/model"));
    const { lora } = await loadAdapters(join(folder, "tuned/adapters"), model.config);
    expect(lora).toMatchObject({ rank: 2, alpha: 4 });
    expect(readFileSync(join(folder, "tuned/report.html"), "utf8")).toContain(
      "a language model is finetuned",
    );
  });

  test("names the column that is missing", async () => {
    writeFileSync(join(folder, "rows.jsonl"), '{"prompt": "a", "reply": "b"}\n');
    const { code, stderr } = await run("finetune", "model/model", "rows.jsonl", "--out", "none");
    expect(code).toBe(2);
    expect(stderr).toContain('rows.jsonl: there is no column "answer"');
    expect(existsSync(join(folder, "none"))).toBe(false);
  });
});

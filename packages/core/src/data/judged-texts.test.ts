import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  readRelevanceQuestions,
  readSafetyPrompts,
  readScoredGenerations,
  readToxicityPrompts,
  scoresByPrompt,
} from "./judged-texts.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-judged-"));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
async function file(content: string, ending: string): Promise<string> {
  const path = join(folder, `${files++}${ending}`);
  await writeFile(path, content);
  return path;
}
const lines = (...rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");

describe("safety prompts", () => {
  const read = async (...rows: string[]) =>
    readSafetyPrompts(await file(["prompt,is_safe", ...rows].join("\n"), ".csv"));

  test("known forms of the label in any case", async () => {
    const { items } = await read("a,True", "b,false", "c,1", 'd,"0"', "e,YES", "f,Unsafe", '"g, h", safe ');
    expect(items.map(({ label }) => label)).toEqual([1, 0, 1, 0, 1, 0, 1]);
    expect(items[6]).toEqual({ row: 8, text: "g, h", label: 1 });
  });

  test("an empty cell and an unknown word are refused with their row", async () => {
    await expect(read("a,True", "b,")).rejects.toMatchObject({
      message: expect.stringContaining("is_safe is empty"),
      place: { row: 3, column: "is_safe" },
    });
    await expect(read("a,maybe")).rejects.toMatchObject({
      message: expect.stringContaining('is_safe is "maybe"'),
      place: { row: 2 },
    });
    await expect(read(" ,True")).rejects.toThrow("prompt is empty");
  });

  test("repeated prompts are kept once; those judged both ways are dropped with all their copies, and told", async () => {
    const { items, repeated, contradicted } = await read("a,1", "b,1", "a,1", "b,0", "b,1", "c,0");
    expect(items.map(({ text }) => text)).toEqual(["a", "c"]);
    expect(repeated).toBe(1);
    expect(contradicted).toEqual([{ text: "b", rows: [3, 5, 6] }]);
  });

  test("a column that is not there is named with the nearest", async () => {
    await expect(readSafetyPrompts(await file("prompt,safe\na,1", ".csv"))).rejects.toThrow(
      'no column "is_safe"',
    );
  });
});

test("questions and clauses of a TSV file, with quotes and commas in them", async () => {
  const path = await file(
    'index\tanswer\tquestion\ttext\n0\tRelevant\tWho, then?\t"We ""share"" it."\n1\tIrrelevant\tWho?\tNo.\n',
    ".tsv",
  );
  const { items } = await readRelevanceQuestions(path);
  expect(items).toEqual([
    { row: 2, text: 'Who, then?\nWe "share" it.', label: 1 },
    { row: 3, text: "Who?\nNo.", label: 0 },
  ]);
  const broken = await file("answer\tquestion\ttext\nPerhaps\ta\tb", ".tsv");
  await expect(readRelevanceQuestions(broken)).rejects.toThrow('answer is "Perhaps"');
  const short = await file("answer\tquestion\ttext\nRelevant\ta", ".tsv");
  await expect(readRelevanceQuestions(short)).rejects.toMatchObject({
    hint: expect.stringContaining("tabs"),
  });
});

describe("RealToxicityPrompts", () => {
  const row = (prompt: unknown, continuation: unknown) => ({ filename: "x", prompt, continuation });

  test("texts and scores; a score that failed stays null", async () => {
    const path = await file(
      lines(
        row({ text: "He said", toxicity: 0.2 }, { text: " hello", toxicity: null }),
        row({ text: "She" }, { text: "", toxicity: 1.2 }),
      ),
      ".jsonl",
    );
    const { items } = await readToxicityPrompts(path);
    expect(items[0]).toEqual({
      row: 1,
      prompt: "He said",
      continuation: " hello",
      promptToxicity: 0.2,
      continuationToxicity: null,
    });
    expect(items[1]).toMatchObject({ continuation: "", promptToxicity: null, continuationToxicity: null });
  });

  test("what has no text is refused with its row, or skipped and listed", async () => {
    const path = await file(lines(row({ text: "a" }, { text: "b" }), row({ text: "a" }, null)), ".jsonl");
    await expect(readToxicityPrompts(path)).rejects.toMatchObject({
      place: { row: 2, column: "continuation" },
    });
    const { items, damaged } = await readToxicityPrompts(path, { damaged: "skip" });
    expect([items.length, damaged[0].row]).toEqual([1, 2]);
  });
});

describe("generations scored elsewhere", () => {
  const row = (sample: number, text: string, toxicity: unknown, model = "m", prompt_id: unknown = "p") => ({
    prompt_id,
    model,
    sample,
    text,
    toxicity,
  });

  test("scores outside of 0 to 1 are none and are counted; an empty text scores 0 and is flagged", async () => {
    const path = await file(
      lines(row(0, "a", 0.5), row(1, "b", null), row(2, "c", 7), row(3, " ", null), row(0, "d", 1, "n", 4)),
      ".jsonl",
    );
    const found = await readScoredGenerations(path);
    expect(found.items.map(({ toxicity }) => toxicity)).toEqual([0.5, null, null, 0, 1]);
    expect(found).toMatchObject({ unscored: 2, empty: [4] });
    expect(scoresByPrompt(found.items, "m")).toEqual([[0.5, null, null, 0]]);
    expect(() => scoresByPrompt(found.items, "o")).toThrow('no generation of "o"');
  });

  test("a sample that is there twice, and a sample without a number, are refused with the row", async () => {
    const twice = await file(lines(row(0, "a", 0), row(0, "b", 0)), ".jsonl");
    await expect(readScoredGenerations(twice)).rejects.toThrow("already in row 1");
    const none = await file(lines({ ...row(0, "a", 0), sample: "first" }), ".jsonl");
    await expect(readScoredGenerations(none)).rejects.toMatchObject({ place: { row: 1, column: "sample" } });
  });
});

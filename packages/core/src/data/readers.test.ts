import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { sameAnswer } from "./answers.js";
import { readDocuments } from "./documents.js";
import { readGsm8k, readModelSolutions } from "./gsm8k.js";
import { parseDialogue, readHhPairs } from "./hh-rlhf.js";
import { firstWrongEquation, statedEquations } from "./word-problem.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-readers-"));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
async function file(content: string | Uint8Array, ending = ".jsonl"): Promise<string> {
  const path = join(folder, `${files++}${ending}`);
  await writeFile(path, content);
  return path;
}
const lines = (...rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const failure = async (reading: Promise<unknown>): Promise<UserError> => {
  const error = await reading.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
};

const ducks = { question: "How many?", answer: "16 - 3 = <<16-3=13>>13 eggs\n#### 13" };
const pair = (chosen: string, rejected: string) => ({
  chosen: `\n\nHuman: hi\n\nAssistant:${chosen}`,
  rejected: `\n\nHuman: hi\n\nAssistant:${rejected}`,
});

describe("GSM8K", () => {
  test("reads questions, solutions and answers; annotations can go", async () => {
    const path = await file(lines(ducks));
    const { problems } = await readGsm8k(path);
    expect(problems).toEqual([expect.objectContaining({ row: 1, question: "How many?", answer: "13" })]);
    const stripped = (await readGsm8k(path, { annotations: "strip" })).problems[0];
    expect(stripped.solution).toBe("16 - 3 = 13 eggs\n#### 13");
    expect(stripped.id).toBe(problems[0].id);
  });

  test("names the row and field of what is wrong, or skips it", async () => {
    const bad = [
      ducks,
      { question: "x" },
      { question: "y", answer: 5 },
      { question: "z", answer: "no mark" },
      ducks,
    ];
    const path = await file(`${lines(...bad)}\n{"question":\n[1]`);
    const error = await failure(readGsm8k(path));
    expect(error.place).toEqual({ file: path, row: 2, column: "answer" });
    expect(error.message).toBe("answer is missing, expected text");
    const { problems, damaged } = await readGsm8k(path, { damaged: "skip" });
    expect(problems).toHaveLength(1);
    expect(damaged.map(({ row }) => row)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(damaged[3].reason).toBe("the question is also on row 1");
    expect((await failure(readGsm8k(await file("[]"), { damaged: "skip" }))).message).toBe(
      "no row can be used",
    );
  });

  test("model solutions need a text and a verdict", async () => {
    const row = {
      question: "q",
      ground_truth: "A: 3",
      small: { is_correct: false, solution: "1+1=3\nA: 2" },
    };
    const { problems } = await readModelSolutions(await file(lines(row)));
    expect(problems[0]).toMatchObject({
      answer: "3",
      solutions: { small: { isCorrect: false, answer: "2" } },
    });
    const noVerdict = await file(lines({ ...row, small: { solution: "A: 2" } }));
    expect((await failure(readModelSolutions(noVerdict))).place).toMatchObject({ row: 1, column: "small" });
    expect((await failure(readModelSolutions(await file(lines(ducks))))).toString()).toContain(
      "ground_truth",
    );
  });

  test.each([
    ["16 - 3 = <<16-3=13>>13", [true]],
    ["7 + 5 = 13 and 2 * 3 = 6", [false, true]],
    ["She pays 10 / 3 = 3.33 dollars", [true]],
    ["10 / 3 = 3.35", [false]],
    ["1 / 3 = 0.33, 2 / 3 = 0.7", [true, true]],
    ["100% - 40% = 60%", [true]],
    ["half: 1/2 * 1/2 = 1/4", []],
    ["2 * (3 + 4) = 14", [true]],
    ["a + 4 = 5 is 3/4 = 1 1/4", []],
    ["5 / 0 = 3", [false]],
    ["$1,200 x 2 = $2,400", [true]],
  ])("equations of %j hold: %j", (text, holds) => {
    expect(statedEquations(text).map((equation) => equation.holds)).toEqual(holds);
  });

  test("long lines of digits and operators are read quickly", () => {
    const start = performance.now();
    for (const text of [
      "1".repeat(2e5),
      "1+".repeat(1e5),
      "(".repeat(2e5),
      `${"1 ".repeat(1e5)}= 3`,
      "-".repeat(2e5),
    ])
      statedEquations(text);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe("HH-RLHF", () => {
  test("the common beginning is the prompt, in turns", async () => {
    const row = {
      chosen: "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\nd\n\nAssistant: fine one",
      rejected:
        "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\nd\n\nAssistant: fine two\n\nHuman: e\n\nAssistant: f",
    };
    const { pairs, damaged, emptyReplies } = await readHhPairs(await file(gzipSync(lines(row)), ".jsonl.gz"));
    expect(damaged).toEqual([]);
    expect(emptyReplies).toEqual([]);
    expect(pairs[0]).toMatchObject({
      row: 1,
      prompt: "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\nd\n\nAssistant:",
      turns: [
        { role: "user", text: "a" },
        { role: "assistant", text: "b" },
        { role: "user", text: "c\nd" },
      ],
      chosen: "fine one",
      rejected: "fine two\n\nHuman: e\n\nAssistant: f",
    });
  });

  test("names damaged rows", async () => {
    const path = await file(
      lines(
        pair(" a", " b"),
        pair(" a", " a"),
        { chosen: "\n\nHuman: x\n\nAssistant: a", rejected: "\n\nHuman: y\n\nAssistant: a" },
        { chosen: "x\n\nAssistant: a", rejected: "x\n\nAssistant: b" },
        pair(" ", " c"),
        { chosen: "a" },
      ),
    );
    const { pairs, damaged, emptyReplies } = await readHhPairs(path, { damaged: "skip" });
    expect(pairs.map(({ row }) => row)).toEqual([1, 5]);
    expect(emptyReplies).toEqual([5]);
    expect(damaged.map(({ row }) => row)).toEqual([2, 3, 4, 6]);
    expect((await failure(readHhPairs(path))).place).toEqual({ file: path, row: 2 });
  });

  test("a dialogue written out is read as it was", () => {
    const text = fc.string().filter((t) => t.trim() !== "" && !/\n\n(Human|Assistant):/.test(`\n\n${t}`));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), (texts) => {
        const roles = texts.map((_, i) => (i % 2 === 0 ? "Human" : "Assistant"));
        const written = texts.map((t, i) => `\n\n${roles[i]}: ${t.trim()}`).join("");
        expect(parseDialogue(written)?.map((turn) => turn.text)).toEqual(texts.map((t) => t.trim()));
      }),
    );
  });
});

describe("hostile files", () => {
  const good = lines(pair(" a", " b"));
  test.each<[string, () => string | Uint8Array, string, number | undefined]>([
    ["not gzip", () => good, "is not compressed with gzip, though its name ends in .gz", undefined],
    ["truncated", () => gzipSync(good).subarray(0, 40), "the compressed file ends too early", undefined],
    ["damaged", () => gzipSync(good).fill(7, 12, 40), "the compressed file is damaged", undefined],
    ["a bomb", () => gzipSync(new Uint8Array(2e7)), "unpacks to more than 1000000 bytes", undefined],
    [
      "not UTF-8",
      () => gzipSync(Buffer.from([...Buffer.from(`${good}\n`), 0xff])),
      "the text is not valid UTF-8",
      2,
    ],
    [
      "a huge line",
      () => gzipSync(`${good}\n"${"x".repeat(5000)}"`),
      "the line has 5002 characters, expected at most 4000",
      2,
    ],
    ["empty", () => gzipSync(""), "the file is empty", undefined],
  ])("%s is refused", async (_, content, message, row) => {
    const path = await file(content(), ".jsonl.gz");
    const error = await failure(readHhPairs(path, { maxBytes: 1e6, maxLine: 4000 }));
    expect(error.message).toBe(message);
    expect(error.place.file).toBe(path);
    expect(error.place.row).toBe(row);
  });

  test("any bytes are read or refused", async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => Buffer.from(text)),
    );
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), async (content, zip) => {
        const path = await file(zip ? gzipSync(content) : content, zip ? ".gz" : ".jsonl");
        for (const read of [readGsm8k, readModelSolutions, readHhPairs])
          await failure(read(path, { damaged: "skip" }));
      }),
      { numRuns: 15 },
    );
  });
});

describe("plain text", () => {
  test("one document a file, a line, or a paragraph", async () => {
    const path = await file("one\r\ntwo\r\n\r\n \r\nthree\n\n\n", ".txt");
    const read = async (separator: "file" | "line" | "blank-line") =>
      (await readDocuments(path, { separator })).map(({ text, row }) => [row, text]);
    expect(await read("file")).toEqual([[1, "one\r\ntwo\r\n\r\n \r\nthree\n\n\n"]]);
    expect(await read("line")).toEqual([
      [1, "one"],
      [2, "two"],
      [5, "three"],
    ]);
    expect(await read("blank-line")).toEqual([
      [1, "one\ntwo"],
      [5, "three"],
    ]);
  });

  test("a folder with subfolders, compressed files, and links that are not followed", async () => {
    const root = join(folder, "texts");
    await mkdir(join(root, "sub"), { recursive: true });
    await writeFile(join(root, "b.txt"), "second");
    await writeFile(join(root, "a.md.gz"), gzipSync("first"));
    await writeFile(join(root, "sub", "c.txt"), "second");
    await writeFile(join(root, "ignored.bin"), "no");
    await symlink("/etc/hostname", join(root, "z.txt"));
    expect((await readDocuments(root)).map(({ text }) => text)).toEqual(["first", "second"]);
    expect((await failure(readDocuments(root, { maxTotalBytes: 8 }))).message).toContain("more than 8 bytes");
    expect((await failure(readDocuments(root, { endings: [".rst"] }))).message).toContain("no text files");
    expect((await failure(readDocuments(join(folder, "none")))).message).toContain("no such file");
  });
});

const shared =
  process.env.OUTGROW_TEST_DATA ?? new URL("../../../../../shared/data", import.meta.url).pathname;
const isThere = existsSync(join(shared, "gsm8k/train.jsonl"));
if (!isThere) console.log(`real data: not at ${shared} (set OUTGROW_TEST_DATA), its tests are skipped`);

describe.skipIf(!isThere)("real data", () => {
  test.each([
    ["train", 7473, 24_600, 45],
    ["test", 1319, 4400, 6],
  ])(
    "GSM8K %s: all %i problems have an answer; nearly all equations hold",
    async (name, count, least, wrong) => {
      const { problems, damaged } = await readGsm8k(join(shared, `gsm8k/${name}.jsonl`));
      expect(problems).toHaveLength(count);
      expect(damaged).toEqual([]);
      expect(problems.every(({ answer }) => /^-?[\d,]+(\.\d+)?$/.test(answer))).toBe(true);
      const equations = problems.flatMap(({ solution }) => statedEquations(solution));
      expect(equations.length).toBeGreaterThan(least - 200);
      // Mistakes of the data set itself, e.g. 2*8 = 24 on row 4692, and ways of writing such as 25 / 1/3.
      const failed = problems.filter(({ solution }) => firstWrongEquation(solution) !== undefined);
      console.log(
        `GSM8K ${name}: ${equations.length} equations, not holding on rows ${failed.map(({ row }) => row)}`,
      );
      expect(failed.length).toBeLessThanOrEqual(wrong);
    },
  );

  test("the verdicts of OpenAI's own grader are those of our answers", async () => {
    const { problems } = await readModelSolutions(join(shared, "gsm8k/example_model_solutions.jsonl"));
    expect(problems).toHaveLength(1319);
    let graded = 0;
    for (const { row, answer, solutions } of problems) {
      for (const [model, { answer: given, isCorrect }] of Object.entries(solutions)) {
        expect(sameAnswer(given, answer), `row ${row}, ${model}: ${given}`).toBe(isCorrect);
        graded++;
      }
    }
    expect(graded).toBe(4 * 1319);
  });

  test("HH-RLHF: all 2,312 pairs; four replies are empty", async () => {
    const { pairs, damaged, emptyReplies } = await readHhPairs(join(shared, "hh_harmless/test.jsonl.gz"));
    expect(pairs).toHaveLength(2312);
    expect(damaged).toEqual([]);
    expect(emptyReplies).toEqual([87, 517, 926, 1104]);
    expect(pairs.every(({ turns }) => turns.at(-1)?.role === "user")).toBe(true);
    const alternates = ({ role }: { role: string }, i: number) =>
      role === (i % 2 === 0 ? "user" : "assistant");
    const odd = pairs.filter(({ turns }) => !turns.every(alternates));
    expect(odd.map(({ row }) => row)).toEqual([668, 764, 1320, 1850]); // the assistant speaks twice running
  });
});

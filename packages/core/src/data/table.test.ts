import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { formatCsv } from "./csv-writer.js";
import { column, columnName, readTable, type TableOptions } from "./table.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-table-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes a file and reads it as a table. */
async function read(name: string, content: string | Uint8Array, options?: TableOptions) {
  const file = join(folder, name);
  await writeFile(file, content);
  return readTable(file, options);
}

describe("CSV", () => {
  test("quoted commas, quotes and line breaks, with the line on which each record starts", async () => {
    const table = await read("a.csv", 'text,label\r\n"one, ""1""\r\nand more",a\r\n\r\ntwo,"b"\r\n');
    expect(table).toMatchObject({ format: "csv", columns: ["text", "label"], hasHeader: true });
    expect(table.rows).toEqual([
      { line: 2, values: { text: 'one, "1"\r\nand more', label: "a" } },
      { line: 5, values: { text: "two", label: "b" } },
    ]);
  });

  test.each([
    ["LF", "\n"],
    ["CRLF", "\r\n"],
    ["CR", "\r"],
  ])("lines that end with %s, and a byte order mark", async (_, end) => {
    const table = await read("a.csv", `\uFEFFa,b${end}${end}1,2${end}"x${end}y",4`);
    expect(table.columns).toEqual(["a", "b"]);
    expect(table.rows).toEqual([
      { line: 3, values: { a: "1", b: "2" } },
      { line: 4, values: { a: `x${end}y`, b: "4" } },
    ]);
  });

  test.each<[string, TableOptions, boolean]>([
    ["no columns wanted", {}, true],
    ["a wanted name in the first record", { wanted: ["text", "1"] }, true],
    ["a wanted name that is nowhere", { wanted: ["txt"] }, true],
    ["column numbers", { wanted: ["1", "2"] }, false],
    ["column numbers of which one is also a value", { wanted: ["2", "3"] }, false],
    ["a number too great that stands in the first record", { wanted: ["2019"] }, true],
    ["a number too great", { wanted: ["2020"] }, false],
    ["column numbers, but a header is said to be there", { wanted: ["1"], header: true }, true],
    ["a name, but no header is said to be there", { wanted: ["text"], header: false }, false],
  ])("header: %s", async (_, options, expected) => {
    const table = await read("a.csv", "text,3,2019\nx,y,z\n", options);
    expect(table.hasHeader).toBe(expected);
    expect(table.columns).toEqual(expected ? ["text", "3", "2019"] : ["1", "2", "3"]);
    expect(table.rows).toHaveLength(expected ? 1 : 2);
  });

  test("what formatCsv writes is read back as it was", async () => {
    const field = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[",\r\n a\uFEFF]*$/));
    await fc.assert(
      fc.asyncProperty(
        fc
          .integer({ min: 1, max: 4 })
          .chain((width) =>
            fc.array(fc.array(field, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 5 }),
          ),
        async (rows) => {
          // A file of white space alone counts as empty.
          fc.pre(formatCsv(rows).trim() !== "");
          const table = await read("round.csv", formatCsv(rows), { header: false });
          expect(table.rows.map(({ values }) => table.columns.map((name) => values[name]))).toEqual(rows);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("formatCsv writes numbers, booleans and missing values as text, and soft labels as JSON", () => {
    expect(formatCsv([["a", 1.5, true, null, undefined, { x: 0.5 }, [1, 2]]])).toBe(
      'a,1.5,true,,,"{""x"":0.5}","[1,2]"\r\n',
    );
  });
});

describe("JSONL", () => {
  test("objects of any values, missing keys, blank lines", async () => {
    const table = await read("a.jsonl", '\uFEFF{"a": "x", "p": {"yes": 0.5}}\r\n\r\n  \n{"b": [1, null]}');
    expect(table).toMatchObject({ format: "jsonl", columns: ["a", "p", "b"], hasHeader: true });
    expect(table.rows.map(({ line }) => line)).toEqual([1, 4]);
    expect(column(table, "p")).toEqual([{ yes: 0.5 }, undefined]);
    expect(column(table, "b")).toEqual([undefined, [1, null]]);
  });

  test("keys that objects inherit are not columns", async () => {
    const table = await read("a.jsonl", '{"__proto__": 1}\n{"constructor": 2, "__proto__": 3}');
    expect(column(table, "constructor")).toEqual([undefined, 2]);
    expect(column(table, "__proto__")).toEqual([1, 3]);
  });

  test("the format is seen in the name, or else in the text", async () => {
    expect((await read("data", '{"a": 1}')).format).toBe("jsonl");
    expect((await read("data", "a,b\n1,2")).format).toBe("csv");
    expect((await read("data.ndjson", '{"a": 1}')).format).toBe("jsonl");
    expect((await read("data.csv", '{"a": 1}', { format: "jsonl" })).format).toBe("jsonl");
  });
});

const latin1 = Buffer.from("text,label\r\nfine,a\r\ncaf\xe9,b\r\n", "latin1");
type BadFile = {
  name?: string;
  content: string | Uint8Array;
  options?: TableOptions;
  message: string;
  row?: number;
  column?: string | number;
};

describe("bad files", () => {
  test.each<[string, BadFile]>([
    ["empty", { content: "", message: "the file is empty" }],
    ["only white space", { content: "\uFEFF \r\n\n", message: "the file is empty" }],
    ["only a header", { content: "a,b\n", message: "has a header but no rows" }],
    ["not UTF-8", { content: latin1, message: "not valid UTF-8", row: 3 }],
    ["gzip", { content: Uint8Array.of(0x1f, 0x8b, 8, 0), message: "compressed with gzip" }],
    [
      "too large",
      { content: "a\n123", options: { maxBytes: 4 }, message: "has 5 bytes, expected at most 4" },
    ],
    ["too few fields", { content: "a,b,c\n1,2,3\n1\n", message: "1 field, expected 3", row: 3, column: "b" }],
    ["too many fields", { content: "a,b\n\n1,2,3\n", message: "3 fields, expected 2", row: 3, column: 3 }],
    [
      "too few fields without a header",
      { content: "1,2\n1\n", options: { header: false }, message: "1 field, expected 2", row: 2, column: 2 },
    ],
    [
      "a quote that is not closed",
      { content: 'a,b\n"x\r\ny",1\n2,"z\n3,4\n', message: "never closed", row: 4, column: "b" },
    ],
    [
      "a quote not closed in the header",
      { content: 'a,"b\n1,2\n', message: "never closed", row: 1, column: 2 },
    ],
    [
      "text after a closing quote",
      { content: 'a,b\n1,"x"y\n', message: "goes on after", row: 2, column: "b" },
    ],
    [
      "a quote inside a field",
      { content: 'a,b\nx"y",1\n', message: "does not begin with one", row: 2, column: "a" },
    ],
    [
      "a repeated name",
      { content: "a,b,a\n1,2,3\n", message: "columns 1 and 3 have the same", row: 1, column: "a" },
    ],
    ["an empty name", { content: "a, ,c\n1,2,3\n", message: "empty name", row: 1, column: 2 }],
    [
      "malformed JSON",
      { name: "a.jsonl", content: '{"a": 1}\n{"a": }\n', message: "malformed JSON", row: 2 },
    ],
    ["cut-off JSON", { name: "a.jsonl", content: '{"a": 1}\n\n{"a": 2', message: "malformed JSON", row: 3 }],
    ["a JSON list", { name: "a.jsonl", content: '[{"a": 1}]', message: "the line is a list", row: 1 }],
    ["JSON null", { name: "a.jsonl", content: '{"a": 1}\nnull', message: "the line is null", row: 2 }],
    ["a JSON number", { name: "a.jsonl", content: '{"a": 1}\n5', message: "the line is a number", row: 2 }],
  ])("%s", async (_, { name = "bad.csv", content, options, message, row, column }) => {
    const file = join(folder, name);
    const error = await read(name, content, options).catch((error) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(error.place).toEqual({ file, row, column });
    expect(error.message).toContain(message);
    expect(error).toMatchObject({ exitCode: 2, hint: expect.any(String) });
  });

  test("no such file, a folder, a pipe", async () => {
    const pipe = join(folder, "pipe");
    const missing = join(folder, "missing.csv");
    await expect(readTable(missing)).rejects.toMatchObject({
      message: "there is no such file",
      place: { file: missing },
      exitCode: 2,
    });
    await expect(readTable(folder)).rejects.toMatchObject({
      message: "is a folder, expected a file",
      exitCode: 2,
    });
    await expect(readTable("/dev/null")).rejects.toMatchObject({
      message: expect.stringContaining("device"),
    });
    execFileSync("mkfifo", [pipe]);
    await expect(readTable(pipe)).rejects.toMatchObject({ message: expect.stringContaining("pipe") });
  });

  test.skipIf(!existsSync("/proc/self/mem"))("a file that fails when it is read", async () => {
    await expect(readTable("/proc/self/mem")).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("could not be read"),
      exitCode: 1,
    });
  });
});

describe("columns", () => {
  test("of JSONL reach into objects by dots, and keys may have dots of their own", async () => {
    const text = '{"weak": {"gpt-3.5": [1, 0], "rule": "a"}, "weak.rule": 3}\n{"weak": {"gpt-3.5": [0, 1]}}';
    const table = await read("a.jsonl", text);
    expect(column(table, "weak.gpt-3.5")).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(column(table, "weak.rule")).toEqual([3, undefined]);
    for (const name of ["weak.gpt-3", "weak.rule.length", "weak.constructor", "weak."]) {
      expect(() => column(table, name)).toThrowError(`there is no column "${name}"`);
    }
    const csv = await read("a.csv", 'weak\n"{""gpt"": 1}"\n');
    expect(() => column(csv, "weak.gpt")).toThrowError('there is no column "weak.gpt"');
  });

  test("by name and by number, and a name goes before a number", async () => {
    const table = await read("a.csv", "x,1\na,b\n");
    expect(columnName(table, 2)).toBe("1");
    expect(columnName(table, "1")).toBe("1");
    expect(column(table, "x")).toEqual(["a"]);
  });

  test("an unknown one is answered with the nearest and the list", async () => {
    const table = await read("a.csv", "review,label,gold\na,b,c\n");
    expect(() => column(table, "lable")).toThrowError(
      expect.objectContaining({
        message: 'there is no column "lable"',
        hint: 'Did you mean "label"? The columns are "review", "label", "gold".',
        place: { file: table.file },
      }),
    );
    expect(() => column(table, "4")).toThrowError('there is no column "4"');
    expect(() => column(table, 0)).toThrowError('there is no column "0"');
  });

  test("fields separated by something else are pointed out", async () => {
    const table = await read("a.csv", "review\tlabel\na\tb\n");
    expect(() => column(table, "label")).toThrowError(
      expect.objectContaining({ hint: 'The fields seem to be separated by "\\t", expected commas.' }),
    );
  });
});

const shared = join(import.meta.dirname, "../../../../../shared/data");

describe("real files", () => {
  const agNews = join(shared, "ag_news/test.csv");
  test("AG News: 7,600 rows of 3 columns without a header", async ({ skip }) => {
    skip(!existsSync(agNews), `${agNews} is not there`);
    const table = await readTable(agNews, { wanted: ["1", "2", "3"] });
    expect(table.hasHeader).toBe(false);
    expect(table.rows).toHaveLength(7600);
    const counts = new Map<unknown, number>();
    for (const label of column(table, 1)) counts.set(label, (counts.get(label) ?? 0) + 1);
    expect(Object.fromEntries(counts)).toEqual({ 1: 1900, 2: 1900, 3: 1900, 4: 1900 });
  });

  const compas = join(shared, "compas/compas-two-years.csv");
  test("COMPAS: 7,214 rows with a header", async ({ skip }) => {
    skip(!existsSync(compas), `${compas} is not there`);
    const table = await readTable(compas, { wanted: ["two_year_recid"] });
    expect(table.rows).toHaveLength(7214);
    expect(column(table, "two_year_recid").filter((label) => label === "1")).toHaveLength(3251);
    expect(table.rows.at(-1)?.line).toBe(7215);
  });
});

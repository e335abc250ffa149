import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { type ClassificationSpec, readClassification } from "./dataset.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-labels-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(content: string, spec: ClassificationSpec) {
  const file = join(folder, content.startsWith("{") ? "a.jsonl" : "a.csv");
  await writeFile(file, content);
  return readClassification(file, spec);
}

/** JSONL of these values of the weak column, with texts. */
function weakLines(...weak: unknown[]): string {
  return weak.map((value) => JSON.stringify({ text: "t", weak: value })).join("\n");
}

const weakSpec: ClassificationSpec = { text: ["text"], weak: "weak" };

describe("soft labels", () => {
  test("by class name, as JSON and as text in CSV; classes that are left out have 0", async () => {
    const expected = { shape: [2, 3], values: Float32Array.of(0.25, 0.75, 0, 0, 0, 1) };
    const objects = [{ a: 0.25, b: 0.75 }, { c: 1 }];
    const data = await read(weakLines(...objects), weakSpec);
    expect(data).toMatchObject({ classes: ["a", "b", "c"], weak: expected, weakWasHard: false });
    const csv = `text,weak\nt,"{""a"": 0.25, ""b"": 0.75}"\nt,"{""c"": 1}"\n`;
    expect((await read(csv, weakSpec)).weak).toEqual(expected);
  });

  test("lists of probabilities follow the listed classes, or the order of integer true labels", async () => {
    const classes = ["z", "a"];
    const data = await read(weakLines([0.9, 0.1], [0.2, 0.8]), { ...weakSpec, classes });
    expect(data).toMatchObject({ classes, weak: { values: Float32Array.of(0.9, 0.1, 0.2, 0.8) } });
    const csv = 'text,weak,y\nt,"[0.9,0.1]",10\nt,"[0.2,0.8]",9\nt,"[1,0]",10\nt,"[1,0]",9\n';
    expect((await read(csv, { ...weakSpec, truth: "y" })).classes).toEqual(["9", "10"]);
  });

  test("soft labels are divided by their sum", async () => {
    const data = await read(weakLines({ a: 0.50004, b: 0.5 }, { a: 0.3, b: 0.7 }), weakSpec);
    expect(data.weak?.values[0]).toBe(Math.fround(0.50004 / 1.00004));
  });
});

type Bad = {
  content: string;
  spec?: Partial<ClassificationSpec>;
  message: string;
  row?: number;
  hint?: string;
};
const classes = ["a", "b"];

describe("bad weak labels", () => {
  test.each<[string, Bad]>([
    ["a missing one", { content: weakLines("a", "b", null), message: "weak label is missing", row: 3 }],
    ["an empty one", { content: "text,weak\nt,a\nt,\n", message: "weak label is missing", row: 3 }],
    ["a class seen once", { content: weakLines("a", "b", "a"), message: '"b" is seen only once', row: 2 }],
    ["all equal", { content: weakLines("a", "a"), message: 'all labels are "a"' }],
    [
      "all for one class",
      { content: weakLines({ a: 0.6, b: 0.4 }, { a: 0.5, b: 0.5 }), message: 'all labels are "a"' },
    ],
    [
      "hard and soft",
      { content: weakLines("a", { a: 1 }), message: "an object of probabilities, the first one", row: 2 },
    ],
    [
      "a sum that is not 1",
      { content: weakLines({ a: 1 }, { a: 0.5, b: 0.4998 }), message: 'row id "2" sum to 0.9998', row: 2 },
    ],
    [
      "a negative number",
      { content: weakLines({ a: 1 }, { a: 1.5, b: -0.5 }), message: "has the value -0.5", row: 2 },
    ],
    [
      "infinity",
      { content: '{"text": "t", "weak": {"a": 1e999}}', message: "has the value Infinity", row: 1 },
    ],
    ["text for a number", { content: weakLines({ a: "1", b: 0 }), message: 'has the value "1"', row: 1 }],
    [
      "null for a number",
      { content: weakLines([null, 1]), spec: { classes }, message: "has the value null", row: 1 },
    ],
    [
      "malformed JSON",
      { content: 'text,weak\nt,"{a: 1}"\n', message: "malformed JSON in a soft label", row: 2 },
    ],
    [
      "a class that is not listed",
      {
        content: weakLines({ a: 1 }, { bb: 1 }),
        spec: { classes },
        message: '"bb" is not one of the classes',
        row: 2,
        hint: 'Did you mean "b"? The classes are "a", "b".',
      },
    ],
    [
      "lists of unknown order",
      { content: weakLines([0.5, 0.5], [1, 0]), message: "order of the classes is not known" },
    ],
    [
      "lists where the true classes have no order",
      {
        content: '{"text": "t", "weak": [1, 0], "y": "p"}',
        spec: { truth: "y" },
        message: "order of the classes is not known",
      },
    ],
    [
      "a list of another length",
      {
        content: weakLines([1, 0], [1]),
        spec: { classes },
        message: "has 1 probabilities, expected 2",
        row: 2,
      },
    ],
  ])("%s", async (_, { content, spec, message, row, hint = "" }) => {
    const error = await read(content, { ...weakSpec, ...spec }).catch((error) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(message);
    expect(error.place).toEqual({ file: expect.stringContaining(folder), row, column: "weak" });
    expect(error.hint).toContain(hint);
    expect(error.exitCode).toBe(2);
  });
});

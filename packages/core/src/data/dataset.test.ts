import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { type ClassificationSpec, readClassification } from "./dataset.js";
import { argmaxRows } from "./soft-labels.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-dataset-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(content: string, spec: ClassificationSpec) {
  const file = join(folder, content.startsWith("{") ? "a.jsonl" : "a.csv");
  await writeFile(file, content);
  return readClassification(file, spec);
}

const textSpec = { text: ["t"], truth: "y" };

describe("what is read", () => {
  test("text, hard weak labels and a truth with gaps", async () => {
    const data = await read(
      "key,title,body,crowd,gold\nk1,a,b,yes,yes\nk2,c,,no, yes\nk3,e,f,no ,\nk4,g,h,yes,no\nk5,i,j,yes,no\n",
      { text: ["title", "body"], weak: "crowd", truth: "gold", id: "key" },
    );
    expect(data.ids).toEqual(["k1", "k2", "k3", "k4", "k5"]);
    expect(data.lines).toEqual([2, 3, 4, 5, 6]);
    expect(data.inputs).toEqual({ kind: "text", texts: ["a\nb", "c\n", "e\nf", "g\nh", "i\nj"] });
    expect(data.classes).toEqual(["no", "yes"]);
    expect(data.weakWasHard).toBe(true);
    expect(data.weak).toEqual({ shape: [5, 2], values: Float32Array.of(0, 1, 1, 0, 1, 0, 0, 1, 0, 1) });
    expect(data.truth).toEqual(Int32Array.of(1, 1, -1, 0, 0));
  });

  test("weak labels of several supervisors, each of its own form, and their equal mean", async () => {
    const rows = [
      ["a", "p", '{"p": 0.5, "q": 0.5}', "p"],
      ["b", "r", '{"q": 1}', "q"],
      ["c", "r", '{"p": 1}', "q"],
      ["d", "p", '{"q": 1}', "q"],
    ];
    const lines = rows.map(([t, one, two, y]) => JSON.stringify({ t, one, two: JSON.parse(two), y }));
    const data = await read(lines.join("\n"), { text: ["t"], weak: ["one", "two"] });
    expect(data.classes).toEqual(["p", "q", "r"]);
    expect(data.supervisors?.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(data.supervisors?.[1].labels.values).toEqual(
      Float32Array.of(0.5, 0.5, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0),
    );
    expect(data.weak?.values).toEqual(Float32Array.of(0.75, 0.25, 0, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0));
    const single = await read(lines.join("\n"), { text: ["t"], weak: ["one"] });
    expect(single.supervisors).toBeUndefined();
    expect(single.weak).toEqual((await read(lines.join("\n"), { text: ["t"], weak: "one" })).weak);
  });

  test("columns by number in a file without a header; ids are the lines", async () => {
    const data = await read("1,x\n2,y\n\n1,z\n2,w\n", { text: ["2"], truth: "1" });
    expect(data.ids).toEqual(["1", "2", "4", "5"]);
    expect(data).toMatchObject({ classes: ["1", "2"], weak: undefined, weakWasHard: false });
  });

  test("integer classes are ordered by value, others by code unit", async () => {
    const spec = { text: ["t"], truth: "y" };
    expect((await read("t,y\na,10\na,9\na,-1\na,10\na,9\na,-1\n", spec)).classes).toEqual(["-1", "9", "10"]);
    expect((await read("t,y\na,10\na,9\na,b\na,10\na,9\na,b\n", spec)).classes).toEqual(["10", "9", "b"]);
  });

  test("JSON numbers and booleans are class names", async () => {
    const data = await read(
      '{"t": "a", "y": true}\n{"t": "a", "y": 0}\n{"t": "a", "y": true}\n{"t": "a", "y": 0}',
      textSpec,
    );
    expect(data.classes).toEqual(["0", "true"]);
  });

  test("features in the order in which they are named", async () => {
    const data = await read("y,a,b\n0,1, -2.5e1\n1,3,.5\n0,0,0\n1,0,+7.\n", {
      features: ["b", "a"],
      truth: "y",
    });
    expect(data.inputs).toEqual({
      kind: "features",
      features: Float32Array.of(-25, 1, 0.5, 3, 0, 0, 7, 0),
      shape: [4, 2],
      names: ["b", "a"],
    });
  });
});

type Bad = {
  content: string;
  spec: ClassificationSpec;
  message: string;
  row?: number;
  column?: string | number;
  hint?: string;
};
const good = "t,y,n,k\na,p,1,1\nb,q,2,2\nc,p,3,3\nd,q,4,4\n";
const features = (value: string): Pick<Bad, "content" | "spec"> => ({
  content: `y,n\np,1\nq,2\np,${value}\nq,4\n`,
  spec: { features: ["n"], truth: "y" },
});

describe("bad data", () => {
  test.each<[string, Bad]>([
    ["no label column", { content: good, spec: { text: ["t"] }, message: "no label column" }],
    ["no input column", { content: good, spec: { truth: "y" }, message: "no input column" }],
    [
      "text and features",
      { content: good, spec: { ...textSpec, features: ["n"] }, message: "both text and" },
    ],
    [
      "an unknown column",
      {
        content: good,
        spec: { ...textSpec, weak: "yy" },
        message: 'no column "yy"',
        hint: 'Did you mean "y"?',
      },
    ],
    [
      "an input that is a label",
      { content: good, spec: { text: ["t", "y"], truth: "y" }, message: "both an", column: "y" },
    ],
    [
      "one listed class",
      { content: good, spec: { ...textSpec, classes: ["p"] }, message: "1 class is listed" },
    ],
    [
      "a class listed twice",
      { content: good, spec: { ...textSpec, classes: ["p", "p"] }, message: "repeated" },
    ],
    [
      "a label that is no class",
      {
        content: good,
        spec: { ...textSpec, classes: ["p", "Q"] },
        message: '"q" is not one of the classes',
        row: 3,
        column: "y",
        hint: 'Did you mean "Q"? The classes are "p", "Q".',
      },
    ],
    ["one class", { content: "t,y\na,p\nb,p\n", spec: textSpec, message: 'all labels are "p"', column: "y" }],
    [
      "a class seen once",
      {
        content: "t,y\na,p\nb,q\nc,p\nd,qq\ne,q",
        spec: textSpec,
        message: '"qq" is seen only once',
        row: 5,
        column: "y",
      },
    ],
    [
      "a class seen once in a file without a header",
      {
        content: "a,p\nb,q\nc,p\nd,qq\ne,q",
        spec: { text: ["1"], truth: "2" },
        message: '"qq" is',
        row: 4,
        column: 2,
      },
    ],
    [
      "no truth at all",
      { content: "t,y\na,\nb,\n", spec: textSpec, message: "the column has no labels", column: "y" },
    ],
    [
      "a soft truth",
      {
        content: '{"t": "a", "y": {"p": 1}}',
        spec: textSpec,
        message: "expected a class name",
        row: 1,
        column: "y",
      },
    ],
    [
      "empty text",
      { content: "t,y\na,p\n ,p\n", spec: textSpec, message: "the text is empty", row: 3, column: "t" },
    ],
    [
      "text that is none",
      { content: '{"t": 5, "y": "p"}', spec: textSpec, message: "the text is 5", row: 1, column: "t" },
    ],
    [
      "missing text",
      {
        content: '{"t": "a", "y": "p"}\n{"y": "p"}',
        spec: textSpec,
        message: "the text is missing",
        row: 2,
        column: "t",
      },
    ],
    [
      "a repeated id",
      {
        content: "t,y,k\na,p,7\nb,q,8\nc,p,7\n",
        spec: { ...textSpec, id: "k" },
        message: '"7" is also on row 2',
        row: 4,
        column: "k",
      },
    ],
    [
      "a missing id",
      {
        content: "t,y,k\na,p,7\nb,q,\n",
        spec: { ...textSpec, id: "k" },
        message: "the id is missing",
        row: 3,
        column: "k",
      },
    ],
    ["an empty number", { ...features(" "), message: "the value is empty", row: 4, column: "n" }],
    ["a NaN", { ...features("NaN"), message: 'the value is "NaN"', row: 4, column: "n" }],
    ["an infinity", { ...features("-Infinity"), message: 'the value is "-Infinity"', row: 4, column: "n" }],
    ["a hexadecimal number", { ...features("0x10"), message: 'the value is "0x10"', row: 4, column: "n" }],
    ["a word", { ...features("two"), message: 'the value is "two"', row: 4, column: "n" }],
    ["a number past float32", { ...features("1e39"), message: "1e39 is out of range", row: 4, column: "n" }],
    [
      "a missing number",
      {
        content: '{"y": 1, "n": null}',
        spec: { features: ["n"], truth: "y" },
        message: "is missing",
        row: 1,
        column: "n",
      },
    ],
  ])("%s", async (_, { content, spec, message, row, column, hint = "" }) => {
    const error = await read(content, spec).catch((error) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(message);
    expect(error.place).toEqual({ file: expect.stringContaining(folder), row, column });
    expect(error.hint ?? "").toContain(hint);
    expect(error.exitCode).toBe(2);
  });
});

const shared = join(import.meta.dirname, "../../../../../shared/data");
const agNews = join(shared, "ag_news/test.csv");
const compas = join(shared, "compas/compas-two-years.csv");

describe("real files", () => {
  test("AG News", async ({ skip }) => {
    skip(!existsSync(agNews), `${agNews} is not there`);
    const data = await readClassification(agNews, { text: ["2", "3"], truth: "1" });
    expect(data.classes).toEqual(["1", "2", "3", "4"]);
    expect(data.truth?.slice(0, 4)).toEqual(Int32Array.of(2, 3, 3, 3));
    expect(data.inputs).toMatchObject({ kind: "text", texts: { length: 7600 } });
  });

  test("COMPAS, with an arrest as the weak label of one within two years", async ({ skip }) => {
    skip(!existsSync(compas), `${compas} is not there`);
    const names = ["age", "priors_count", "juv_fel_count"];
    const data = await readClassification(compas, {
      features: names,
      weak: "is_recid",
      truth: "two_year_recid",
    });
    expect(data.inputs).toMatchObject({ kind: "features", shape: [7214, 3], names });
    const agreement = argmaxRows(data.weak?.values ?? [], 2).filter((k, i) => k === data.truth?.[i]).length;
    expect(agreement / 7214).toBeGreaterThan(0.9);
  });
});

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { column, readManifest, readTable, tokenizerFromJSON } from "outgrow";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type CommandOptions, ensureBuilt, packages, runCommand } from "./testing/command.js";

let folder: string;
beforeAll(() => {
  ensureBuilt();
  folder = mkdtempSync(join(tmpdir(), "outgrow-cli-"));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command, in the tests' folder if in no other, with a home that all tests share. */
const outgrow = (args: readonly string[], { cwd = folder, env, onStderr }: Partial<CommandOptions> = {}) =>
  runCommand(args, { cwd, env: { OUTGROW_HOME: join(folder, "home"), ...env }, onStderr });

/** A folder of its own with the given files. */
function place(files: Record<string, string> = {}): string {
  const own = mkdtempSync(join(folder, "case-"));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(own, name), content);
  return own;
}

const words = { no: ["bad", "poor", "sad"], yes: ["good", "fine", "great"] };
type Label = keyof typeof words;
const labelOf = (row: number): Label => (row % 2 === 0 ? "yes" : "no");
/** Every fifth weak label is wrong. */
const weakOf = (row: number): Label => (row % 5 === 0 ? labelOf(row + 1) : labelOf(row));
const textOf = (row: number) => `a ${words[labelOf(row)][row % 3]} film in ${row % 7} acts`;
/** 60 rows: id, text, a number, weak label, truth. */
const cells = Array.from({ length: 60 }, (_, row) => [
  `r${row}`,
  textOf(row),
  String(row % 2 === 0 ? row : -row),
  weakOf(row),
  labelOf(row),
]);
type Change = (rows: string[][]) => void;
const csv = (change: Change = () => {}) => {
  const rows = cells.map((row) => [...row]);
  change(rows);
  return ["id,text,size,weak,truth", ...rows.map((row) => row.join(","))].join("\n");
};
/** The rows with another value in one place. */
const csvWith = (row: number, place: number, value: string) =>
  csv((rows) => rows[row].splice(place, 1, value));
/** The rows with other values in a whole column. */
const csvWithColumn = (place: number, value: (row: number) => string) =>
  csv((rows) => {
    for (const [row, fields] of rows.entries()) fields[place] = value(row);
  });
/** The rows as JSONL with soft weak labels; `weak` gives other ones. */
const jsonl = (weak: (row: number) => unknown = () => undefined) =>
  cells
    .map(([id, text, size, weakLabel, truth], row) => {
      const soft = { yes: weakLabel === "yes" ? 0.8 : 0.2, no: weakLabel === "yes" ? 0.2 : 0.8 };
      return JSON.stringify({ id, text, size: Number(size), weak: weak(row) ?? soft, truth });
    })
    .join("\n");

const quick = ["--seeds", "1", "--method", "naive", "--pretrain-epochs", "1"];
const text = ["--text", "text"];
const size = ["--features", "size"];
const both = ["--weak", "weak", "--truth", "truth"];

/** No staging folder, no results: what is in the folder is what was put there. */
const expectNothingBut = (own: string, names: string[]) =>
  expect(readdirSync(own).sort()).toEqual(names.sort());
const stackTrace = /^\s+at .+:\d+/m;

/*
 * Mistakes: exit code 2, what and where on stderr (file, line, column), nothing on stdout, nothing written. Row 1 of a CSV
 * file is its header.
 */
const mistakes: { name: string; file?: Record<string, string>; args: string[]; says: (string | RegExp)[] }[] =
  [
    {
      name: "a missing file",
      file: {},
      args: ["a.csv", ...text, ...both],
      says: ["a.csv: there is no such file"],
    },
    {
      name: "a missing column",
      args: ["a.csv", "--text", "txet", ...both],
      says: [`a.csv: there is no column "txet"`, `Did you mean "text"?`],
    },
    {
      name: "a row with a field too many",
      file: { "a.csv": csv((rows) => rows[3].push("x")) },
      args: ["a.csv", ...text, ...both],
      says: ["a.csv, row 5, column 6: the row has 6 fields, expected 5"],
    },
    {
      name: "a row with a field too few",
      file: { "a.csv": csv((rows) => rows[3].pop()) },
      args: ["a.csv", ...text, ...both],
      says: [`a.csv, row 5, column "truth": the row has 4 fields, expected 5`],
    },
    {
      name: "a quote that is not closed",
      file: { "a.csv": csvWith(7, 1, `"a film`) },
      args: ["a.csv", ...text, ...both],
      says: [`a.csv, row 9, column "text": a quote is opened and never closed`],
    },
    {
      name: "a class that is seen once",
      file: { "a.csv": csvWith(10, 4, "yse") },
      args: ["a.csv", ...text, ...both],
      says: [`a.csv, row 12, column "truth": class "yse" is seen only once`],
    },
    {
      name: "weak labels that are all equal",
      file: { "a.csv": csvWithColumn(3, () => "yes") },
      args: ["a.csv", ...text, ...both],
      says: [`a.csv, column "weak": all labels are "yes"`],
    },
    {
      name: "truth of one class",
      file: { "a.csv": csvWithColumn(4, () => "yes") },
      args: ["a.csv", ...text, "--truth", "truth"],
      says: [`a.csv, column "truth": all labels are "yes"`],
    },
    {
      name: "soft labels that do not sum to 1",
      file: { "a.jsonl": jsonl((row) => (row === 4 ? { yes: 0.6, no: 0.6 } : undefined)) },
      args: ["a.jsonl", ...text, ...both, "--id", "id"],
      says: [`a.jsonl, row 5, column "weak": the probabilities of row id "r4" sum to 1.2, expected 1`],
    },
    {
      name: "a negative probability",
      file: { "a.jsonl": jsonl((row) => (row === 4 ? { yes: -0.2, no: 1.2 } : undefined)) },
      args: ["a.jsonl", ...text, ...both],
      says: [`a.jsonl, row 5, column "weak": the label of row id "5" has the value -0.2`],
    },
    {
      name: "a probability that is null",
      file: { "a.jsonl": jsonl((row) => (row === 4 ? { yes: null, no: 1 } : undefined)) },
      args: ["a.jsonl", ...text, ...both],
      says: [`a.jsonl, row 5, column "weak": the label of row id "5" has the value null`],
    },
    {
      name: "NaN in a soft label",
      file: {
        "a.csv": csvWithColumn(3, (row) => `"[${row === 4 ? "NaN" : row % 2}, ${1 - (row % 2)}]"`),
      },
      args: ["a.csv", ...text, ...both, "--classes", "yes", "no"],
      says: [`a.csv, row 6, column "weak": malformed JSON in a soft label`],
    },
    ...[
      ["NaN", "NaN", `the value is "NaN", expected a number`],
      ["a word", "tall", `the value is "tall", expected a number`],
      ["an empty feature", "", "the value is empty, expected a number"],
      ["a feature out of range", "1e999", "the value 1e999 is out of range, expected a number"],
    ].map(([name, value, message]) => ({
      name: `${name} among the features`,
      file: { "a.csv": csvWith(20, 2, value) },
      args: ["a.csv", ...size, ...both],
      says: [`a.csv, row 22, column "size": ${message}`],
    })),
    {
      name: "an empty text",
      file: { "a.csv": csvWith(20, 1, " ") },
      args: ["a.csv", ...text, ...both],
      says: [`a.csv, row 22, column "text": the text is empty`],
    },
    {
      name: "an id twice in a row",
      file: { "a.csv": csvWith(9, 0, "r8") },
      args: ["a.csv", ...text, ...both, "--id", "id"],
      says: [`a.csv, row 11, column "id": id "r8" is also on row 10`],
    },
    {
      name: "an id of the first row again in the last, of another class", // wherever the splits put them
      file: { "a.csv": csvWith(59, 0, "r0") },
      args: ["a.csv", ...size, ...both, "--id", "id"],
      says: [`a.csv, row 61, column "id": id "r0" is also on row 2`],
    },
    {
      name: "a malformed line of JSONL",
      file: { "a.jsonl": jsonl().replace(/^.*"r6".*$/m, `{"id": "r6", `) },
      args: ["a.jsonl", ...text, ...both],
      says: ["a.jsonl, row 7: malformed JSON"],
    },
    { name: "no inputs", args: ["a.csv", ...both], says: ["--text COLUMN or --features COLUMN"] },
    {
      name: "two kinds of inputs",
      args: ["a.csv", ...text, ...size, ...both],
      says: ["--text COLUMN or --features COLUMN"],
    },
    { name: "no labels", args: ["a.csv", ...text], says: ["--weak COLUMN, --truth COLUMN, or both"] },
    {
      name: "truth among the inputs",
      args: ["a.csv", "--text", "truth", ...both],
      says: [`column "truth"`, /input and a label/],
    },
    {
      name: "an unknown method",
      args: ["a.csv", ...text, ...both, "--method", "naive,confidense"],
      says: [`there is no method "confidense"`, `Did you mean "confidence"?`],
    },
    {
      name: "a method twice",
      args: ["a.csv", ...text, ...both, "--method", "naive,naive"],
      says: ["each method only once"],
    },
    { name: "no method", args: ["a.csv", ...text, ...both, "--method", ","], says: ["--method", /Names/] },
    {
      name: "no repetitions",
      args: ["a.csv", ...text, ...both, "--seeds", "0"],
      says: ["--seeds", /from 1 on/],
    },
    {
      name: "a seed that is no whole number",
      args: ["a.csv", ...text, ...both, "--seed", "1e300"],
      says: ["--seed", /whole number/],
    },
    {
      name: "an empty seed",
      args: ["a.csv", ...text, ...both, "--seed", ""],
      says: ["--seed", /whole number/],
    },
    {
      name: "too few rows",
      file: { "a.csv": csv((rows) => rows.splice(20)) },
      args: ["a.csv", ...text, "--truth", "truth"],
      says: ["a.csv: 20 rows, 20 of them with truth, are too few"],
    },
    {
      name: "more test rows than there are",
      args: ["a.csv", ...text, ...both, "--test", "59"],
      says: ["a.csv: 60 rows", "--test"],
    },
    {
      name: "rows for a supervisor that is not trained",
      args: ["a.csv", ...text, ...both, "--supervision", "10"],
      says: ["a.csv: rows for the weak supervisor are asked for, but weak labels are given"],
    },
    {
      name: "an unknown option",
      args: ["a.csv", ...text, ...both, "--sedes", "1"],
      says: ["unknown option '--sedes'"],
    },
    {
      name: "an empty output path",
      args: ["a.csv", ...text, ...both, "--out", ""],
      says: ["the path of the results is empty"],
    },
  ];

describe.concurrent("mistakes are told and cost nothing", () => {
  test.each(mistakes)("$name", async ({ file = { "a.csv": csv() }, args, says }) => {
    const own = place(file);
    // The caller's own --out comes last and wins.
    const { code, stdout, stderr } = await outgrow(
      ["fit", ...args.slice(0, 1), "--out", "results", ...args.slice(1)],
      { cwd: own },
    );
    for (const part of says) expect(stderr).toMatch(typeof part === "string" ? literally(part) : part);
    expect(stderr).not.toMatch(stackTrace);
    expect(stderr).not.toContain("done in"); // no stage of the work
    expect(stdout).toBe("");
    expect(code).toBe(2);
    expectNothingBut(own, Object.keys(file));
  });

  test.each([
    ["no command", [], /Usage: outgrow/],
    ["an unknown command", ["fti"], /unknown command 'fti'/],
    ["an option of start that is not there", ["start", "--wrolds", "1"], /unknown option '--wrolds'/],
    ["no file", ["fit", ...both], /missing required argument 'file'/],
    ["no worlds", ["start", "--worlds", "0"], /from 1 on/],
  ])("%s", async (_, args, message) => {
    const { code, stdout, stderr } = await outgrow(args);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});

const literally = (part: string) => new RegExp(part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));

describe.concurrent("places that cannot be written to are refused before the work", () => {
  const args = ["fit", "a.csv", ...text, ...both, ...quick];

  test.each<[string, string[], (path: string) => void]>([
    ["a folder that is there already", args, (path) => mkdirSync(path)],
    ["a file that is there already", args, (path) => writeFileSync(path, "mine")],
    ["a folder that is there already, for start", ["start"], (path) => mkdirSync(path)],
  ])("%s", async (_, command, occupy) => {
    const own = place({ "a.csv": csv() });
    occupy(join(own, "taken"));
    const { code, stdout, stderr } = await outgrow([...command, "--out", "taken"], { cwd: own });
    expect(stderr).toBe(
      "outgrow: taken: there is something at this path already\n  Remove it, or choose another path with --out.\n",
    );
    expect(stdout).toBe("");
    expect(code).toBe(1);
    expectNothingBut(own, ["a.csv", "taken"]);
  });

  test("a path through a file", async () => {
    const own = place({ "a.csv": csv() });
    const { code, stderr } = await outgrow([...args, "--out", "a.csv/results"], { cwd: own });
    expect(stderr).toContain("a.csv/results: a part of the path is a file, not a folder");
    expect(stderr).not.toMatch(/done in|^\s+at /m);
    expect(code).toBe(1);
    expectNothingBut(own, ["a.csv"]);
  });

  test("a folder without the right to write", async (context) => {
    if (process.getuid?.() === 0) context.skip("root may write anywhere");
    const own = place({ "a.csv": csv() });
    mkdirSync(join(own, "locked"), { mode: 0o555 });
    const { code, stderr } = await outgrow([...args, "--out", "locked/results"], { cwd: own });
    expect(stderr).toContain("locked/results: may not be written by this user");
    expect(stderr).not.toMatch(/done in|^\s+at /m);
    expect(code).toBe(1);
  });
});

describe("disks", () => {
  const mounted: string[] = [];
  /** A file system in memory, or undefined where this process may not mount one. */
  const mount = (options: string): string | undefined => {
    if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
    const own = place();
    if (spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", own]).status !== 0) return undefined;
    mounted.push(own);
    return own;
  };
  afterEach(() => {
    for (const own of mounted.splice(0)) spawnSync("umount", [own]);
  });

  test("a full disk is told, and nothing is left on it", async (context) => {
    const disk = mount("size=64k");
    if (disk === undefined) return context.skip("only root can mount a small disk");
    const own = place({ "a.csv": csv() });
    const args = ["fit", "a.csv", ...text, "--weak", "weak", ...quick, "--out", join(disk, "results")];
    const { code, stdout, stderr } = await outgrow(args, { cwd: own });
    expect(stderr).toContain(`${join(disk, "results")}: the disk is full`);
    expect(stderr).not.toMatch(stackTrace);
    expect(stdout).toBe("");
    expect(code).toBe(1);
    expectNothingBut(disk, []);
  });

  test("a read-only disk is refused before the work", async (context) => {
    const disk = mount("ro");
    if (disk === undefined) return context.skip("only root can mount a read-only disk");
    const own = place({ "a.csv": csv() });
    const args = ["fit", "a.csv", ...text, ...both, ...quick, "--out", join(disk, "deep/results")];
    const { code, stdout, stderr } = await outgrow(args, { cwd: own });
    expect(stderr).toContain("deep/results: the disk is read-only");
    expect(stderr).not.toMatch(/done in|^\s+at /m);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });
});

describe.skipIf(process.platform === "win32")("stopping", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s in the middle of training leaves no results",
    async (signal) => {
      const own = place({ "a.csv": csv() });
      const env = { OUTGROW_HOME: place() }; // the other signal's run has the same stages
      // All of it would take minutes: one repetition is done, so the next has begun.
      let sent = false;
      const args = ["fit", "a.csv", ...size, ...both, "--seeds", "5000", "--out", "deep/results"];
      const { code, stdout, stderr } = await outgrow(
        [...args, "--method", "naive", "--pretrain-epochs", "1"],
        {
          cwd: own,
          env,
          onStderr: (said, kill) => {
            // Once only: a second signal ends the process at once.
            if (!sent && said.includes("repetition 1: done")) {
              sent = true;
              kill(signal);
            }
          },
        },
      );
      expect(stderr).toMatch(/\nStopped\. What was finished is kept: .*\.\n$/);
      expect(stderr).not.toMatch(stackTrace);
      expect(stdout).toBe("");
      expect(code).toBe(130);
      expectNothingBut(own, ["a.csv"]);
    },
  );
});

describe("--help, --version and methods", () => {
  /** URLs of the modules that a run has loaded. */
  const loadedBy = async (args: string[]): Promise<string> => {
    const coverage = place();
    await outgrow(args, { env: { NODE_V8_COVERAGE: coverage } });
    return readdirSync(coverage)
      .map((name) => readFileSync(join(coverage, name), "utf8"))
      .join("");
  };

  test.each([["--help"], ["--version"], ["fit --help"]])("%s loads no heavy module", async (line) => {
    const loaded = await loadedBy(line.split(" "));
    expect(loaded).toContain("commander");
    expect(loaded).not.toMatch(/onnxruntime|jsdom|jax-js|core\/dist/);
  });

  test("a run does load them, so the test above would see them", async () => {
    expect(await loadedBy(["fit", "missing.csv", ...text, ...both])).toContain("onnxruntime");
  });

  test("--help is quick and names the commands", async () => {
    // The best of three: other programs may be at work.
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const begin = performance.now();
      const { code, stdout, stderr } = await outgrow(["--help"]);
      times.push(performance.now() - begin);
      expect(stdout).toMatch(/Usage: outgrow .*start .*fit .*methods /s);
      expect([code, stderr]).toEqual([0, ""]);
    }
    expect(Math.min(...times)).toBeLessThan(1000);
  });

  test("--version is that of the package", async () => {
    const { version } = JSON.parse(readFileSync(join(packages, "cli/package.json"), "utf8"));
    expect(await outgrow(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test("methods lists what fit accepts, as text and as JSON", async () => {
    const [plain, json] = [await outgrow(["methods"]), await outgrow(["methods", "--json"])];
    const listed = JSON.parse(json.stdout) as { name: string; summary: string; source: string }[];
    expect(listed.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["naive", "confidence", "product"]),
    );
    for (const { name, summary, source } of listed) {
      expect(summary).not.toBe("");
      expect(plain.stdout).toContain(`${summary} (${source})`);
      expect(plain.stdout).toMatch(new RegExp(`^${name} `, "m"));
    }
    expect([plain.code, json.code, plain.stderr, json.stderr]).toEqual([0, 0, "", ""]);
  });
});

describe("a run on one's own file", () => {
  const figures = ["agreement", "leaderboard", "pgr-by-method", "reliability"];
  const files = [
    ...figures.flatMap((name) => [`figures/${name}.png`, `figures/${name}.svg`]),
    "labels.jsonl",
    "metrics.jsonl",
    "predictions.csv",
    "records.jsonl",
    "report.html",
    "run.json",
    "stages.jsonl",
    "student/config.json",
    "student/student.onnx",
    "student/student.safetensors",
  ];

  test("CSV with a byte order mark, quoted line breaks and no header", async () => {
    // Columns 2, 4 and 5 of rows without a header.
    const body = cells.map(
      ([id, words, number, weak, truth]) => `${id},"${words},\nor ""so""",${number},${weak},${truth}\r\n`,
    );
    const own = place({ "films.csv": `\uFEFF${body.join("")}` });
    const args = [
      "fit",
      "films.csv",
      "--text",
      "2",
      "--weak",
      "4",
      "--truth",
      "5",
      ...quick,
      "--out",
      "deep/results",
    ];
    const { code, stdout, stderr } = await outgrow(args, { cwd: own });
    expect(stderr).toMatch(/repetition 1: done/);
    expect(code).toBe(0);
    const results = join(own, "deep/results");
    expect(stdout).toContain("Leaderboard");
    expect(stdout).toContain(`Report       ${join(results, "report.html")}`);
    expect(stdout).not.toMatch(/NaN|null|\[object/);

    const manifest = await readManifest(results);
    expect(Object.keys(manifest.files)).toEqual([...files, "student/tokenizer.json"]);
    expectNothingBut(join(own, "deep"), ["results"]);

    const table = await readTable(join(results, "predictions.csv"));
    expect(table.rows).toHaveLength(60);
    // The default ids: lines of the file, where each row takes two.
    expect(column(table, "id")).toEqual(cells.map((_, row) => String(1 + 2 * row)));
    expect(column(table, "truth")).toEqual(cells.map(([, , , , truth]) => truth));
    expect(column(table, "weak_label")).toEqual(cells.map(([, , , weak]) => weak));

    const session = await ort.InferenceSession.create(join(results, "student/student.onnx"));
    const { classes, transformer } = JSON.parse(readFileSync(join(results, "student/config.json"), "utf8"));
    const tokenizer = tokenizerFromJSON(
      JSON.parse(readFileSync(join(results, "student/tokenizer.json"), "utf8")),
    );
    const labels = column(table, "label");
    const probabilities = column(table, "probability");
    for (const row of [0, 1, 2, 30, 59]) {
      const given = `${textOf(row)},\nor "so"`;
      const probability = await runTextStudent(session, tokenizer.encode(given), transformer.contextLength);
      const best = probability.indexOf(Math.max(...probability));
      expect(classes[best]).toBe(labels[row]);
      expect(Math.abs(probability[best] - Number(probabilities[row]))).toBeLessThan(1e-4);
    }
    await session.release();
  });

  test("JSONL with soft labels and numbers, results as JSON", async () => {
    const own = place({ "films.jsonl": jsonl() });
    const args = [
      "fit",
      "films.jsonl",
      ...size,
      ...both,
      "--id",
      "id",
      ...quick,
      "--json",
      "--out",
      "results",
    ];
    const { code, stdout, stderr } = await outgrow(args, { cwd: own });
    expect(stderr).toMatch(/repetition 1: done/);
    expect(code).toBe(0);
    const results = join(own, "results");
    const printed = JSON.parse(stdout); // one object and nothing else
    expect(printed.folder).toBe(results);
    expect(printed.records).toHaveLength(1);
    const lines = readFileSync(join(results, "records.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(printed.records);
    expect(Object.keys((await readManifest(results)).files)).toEqual(files);

    const run = JSON.parse(readFileSync(join(results, "run.json"), "utf8"));
    expect(run.configuration).toMatchObject({
      file: "films.jsonl",
      classes: ["no", "yes"],
      seed: 0,
      seeds: 1,
      methods: ["naive"],
    });

    const table = await readTable(join(results, "predictions.csv"));
    expect(column(table, "id")).toEqual(cells.map(([id]) => id));
    const session = await ort.InferenceSession.create(join(results, "student/student.onnx"));
    const { classes, scaling } = JSON.parse(readFileSync(join(results, "student/config.json"), "utf8"));
    for (const row of [0, 1, 59]) {
      const scaled = (Number(cells[row][2]) - scaling.mean[0]) / scaling.deviation[0];
      const x = new ort.Tensor("float32", Float32Array.of(scaled), [1, 1]);
      const { probabilities } = await session.run({ [session.inputNames[0]]: x });
      const probability = [...(probabilities.data as Float32Array)];
      const best = probability.indexOf(Math.max(...probability));
      expect(classes[best]).toBe(column(table, "label")[row]);
      expect(Math.abs(probability[best] - Number(column(table, "probability")[row]))).toBeLessThan(1e-4);
    }
    await session.release();
  });
});

/** `[classes]`: what the saved student says of a text's tokens, cut and padded as at training. */
async function runTextStudent(
  session: ort.InferenceSession,
  ids: Int32Array,
  length: number,
): Promise<number[]> {
  const kept = ids.subarray(0, length);
  const tokens = new Int32Array(length);
  tokens.set(kept);
  const mask = new Float32Array(length).fill(1, 0, kept.length);
  const inputs = Object.fromEntries(
    session.inputNames.map((name) => {
      const isMask = name.includes("mask");
      return [
        name,
        isMask ? new ort.Tensor("float32", mask, [1, length]) : new ort.Tensor("int32", tokens, [1, length]),
      ];
    }),
  );
  const { probabilities } = await session.run(inputs);
  return [...(probabilities.data as Float32Array)];
}

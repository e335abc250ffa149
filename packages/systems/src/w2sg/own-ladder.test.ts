import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ClassificationData, createRandom, Lab, readClassification, report } from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fitOwnLadder, type OwnLadderResult, ownLadderPlan, ownLadderSchema } from "./own-ladder.js";
import { strengthOf, summariseOwnLadder } from "./own-ladder-summary.js";

const n = 240;
const random = createRandom("own ladder test");
const truth = Int32Array.from({ length: n }, (_, row) => row % 2);
const data: ClassificationData = {
  file: "rows.csv",
  ids: Array.from({ length: n }, (_, row) => `row ${row}`),
  lines: Array.from({ length: n }, (_, row) => row + 2),
  inputs: {
    kind: "features",
    features: Float32Array.from(
      { length: n * 4 },
      (_, i) => random.normal() + truth[Math.floor(i / 4)] * (i % 4 === 0 ? 3 : 0),
    ),
    shape: [n, 4],
    names: ["a", "b", "c", "d"],
  },
  classes: ["no", "yes"],
  truth,
  weakWasHard: false,
};
const config = { ladder: [64, 4, 16], methods: ["naive"], seeds: 2, pretraining: { epochs: 4 } };

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-ladder-"));
});
afterAll(() => rm(home, { recursive: true }));

const begun: string[] = [];
async function fit(given: ClassificationData, options: Parameters<typeof fitOwnLadder>[1]) {
  const lab = new Lab({ home });
  const { begin } = report.silentProgress;
  const progress = {
    ...report.silentProgress,
    begin: (name: string) => {
      begun.push(name);
      return begin(name);
    },
  };
  try {
    return await fitOwnLadder(given, options, { lab, progress });
  } finally {
    await lab.close();
  }
}

describe("a ladder on rows of features", () => {
  let result: OwnLadderResult;
  beforeAll(async () => {
    result = await fit(data, config);
  }, 60_000);

  test("every size teaches itself and all larger ones, in each repetition", () => {
    const pairs = result.records.map(({ seedIndex, weak, student }) => `${seedIndex}: ${weak} → ${student}`);
    const each = ["4 → 4", "4 → 16", "4 → 64", "16 → 16", "16 → 64", "64 → 64"];
    expect([...pairs].sort()).toEqual(
      [0, 1].flatMap((seed) => each.map((pair) => `${seed}: ${pair}`)).sort(),
    );
  });

  test("half of the rows that are not for testing are the supervisors', and no row has two purposes", () => {
    const { test: tests, supervision, transfer, validation } = result.parts;
    expect([tests.length, supervision.length, transfer.length, validation.length]).toEqual([48, 96, 86, 10]);
    expect(new Set([...tests, ...supervision, ...transfer, ...validation]).size).toBe(n);
  });

  test("a supervisor is the same for all of its students, a ceiling for all of its supervisors", () => {
    const first = result.records.filter(({ seedIndex }) => seedIndex === 0);
    for (const width of config.ladder) {
      const weak = first.filter((record) => record.weak === width).map((record) => record.weakAccuracy);
      const top = first
        .filter(({ student }) => student === width)
        .map(({ ceilingAccuracy }) => ceilingAccuracy);
      expect(new Set(weak).size).toBe(1);
      expect(new Set(top).size).toBe(1);
    }
  });

  test("where the ceiling is not above the supervisor the PGR is null with its reason", () => {
    const none = result.records.filter(
      ({ ceilingAccuracy, weakAccuracy }) => ceilingAccuracy! <= weakAccuracy,
    );
    for (const { pgr, pgrReason } of none) {
      expect(pgr).toBeNull();
      expect(pgrReason).toMatch(/gap/);
    }
  });

  test("the largest learns what there is to learn", () => {
    const largest = result.records.filter(({ student }) => student === 64);
    for (const { ceilingAccuracy } of largest) expect(ceilingAccuracy).toBeGreaterThan(0.8);
  });

  test("the plot has a line for each size through its supervisors, the terminal's a letter", async () => {
    const { students } = strengthOf(result.records, "naive");
    expect(students.map(({ name, points }) => [name, points.length])).toEqual([
      ["width 4", 1],
      ["width 16", 2],
      ["width 64", 3],
    ]);
    expect(report.strengthPicture({ students })).toMatch(/a: width 4, b: width 16, c: width 64$/);
    const parsed = ownLadderSchema.parse(config);
    const summary = await summariseOwnLadder(data, result, parsed, 1);
    expect(summary.tables[0].rows).toHaveLength(6);
    expect(summary.figures.map(({ name }) => name)).toEqual(["ladder-naive"]);
  });

  test("the plan names the stages that are begun", () => {
    expect(begun).toEqual(ownLadderPlan(ownLadderSchema.parse(config)).map(({ name }) => name));
  });
});

test.each([
  [
    "given weak labels",
    { weak: { values: new Float32Array(2 * n).fill(0.5), shape: [n, 2] } },
    /weak labels/,
  ],
  ["rows without truth", { truth: truth.map((label, row) => (row === 7 ? -1 : label)) }, /no truth/],
] as [string, Partial<ClassificationData>, RegExp][])("%s are refused", async (_, given, message) => {
  await expect(fit({ ...data, ...given }, config)).rejects.toThrow(message);
});

test.each([[[8]], [[8, 8]]])("the widths %j are no ladder", async (ladder) => {
  await expect(fit(data, { ...config, ladder })).rejects.toThrow(/ladder/);
});

const agNews = join(
  process.env.OUTGROW_TEST_DATA ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url)),
  "ag_news/test.csv",
);
test.skipIf(!existsSync(agNews))("AG News, reduced: texts, four topics", { timeout: 120_000 }, async () => {
  const whole = await readClassification(agNews, { text: ["2", "3"], truth: "1" });
  if (whole.inputs.kind !== "text") throw new TypeError("expected texts");
  const rows = 400;
  const { texts } = whole.inputs;
  const some: ClassificationData = {
    ...whole,
    ids: whole.ids.slice(0, rows),
    lines: whole.lines.slice(0, rows),
    inputs: { kind: "text", texts: texts.slice(0, rows).map((text) => text.slice(0, 60)) },
    truth: whole.truth?.slice(0, rows),
  };
  const { records } = await fit(some, {
    ladder: [4, 8, 16],
    methods: ["naive"],
    seeds: 1,
    pretraining: { epochs: 1, layers: 1 },
  });
  expect(records).toHaveLength(6);
  for (const { studentAccuracy } of records) expect(studentAccuracy).toBeGreaterThan(0.15);
});

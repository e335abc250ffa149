import { type Backbone, type ClassificationData, oneHot, report } from "outgrow";
import { describe, expect, test } from "vitest";
import { compare } from "./compare.js";
import { type OwnDataConfig, type OwnDataResult, type OwnRecord, ownDataSchema } from "./own-data.js";
import { summariseOwnData } from "./own-summary.js";

const n = 40;
const truth = Int32Array.from({ length: n }, (_, row) => row % 2);
const rightOn = (right: number) =>
  oneHot(
    truth.map((label, row) => (row < right ? label : 1 - label)),
    2,
  );
const weak = rightOn(20);
const rows = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i);

const data: ClassificationData = {
  file: "data/films.csv",
  ids: Array.from(truth, (_, row) => String(row)),
  lines: Array.from(truth, (_, row) => row + 1),
  inputs: { kind: "text", texts: Array.from(truth, String) },
  classes: ["no", "yes"],
  truth,
  weak,
  weakWasHard: true,
};
const configure = (methods: string[], seeds: number): OwnDataConfig =>
  ownDataSchema.parse({ methods, seeds });

function resultOf(records: OwnRecord[]): OwnDataResult {
  const backbone: Backbone = {
    name: "transformer 2x128",
    body: {},
    featureSize: 1,
    features: () => null as never,
  };
  return {
    records,
    parts: { test: rows(0, 10), supervision: rows(10, 10), transfer: rows(10, 36), validation: rows(36, 40) },
    student: { backbone, params: { body: {}, head: null as never }, predictions: rightOn(30) },
    weak,
    weakSource: "the given weak labels",
    inputs: {},
    warnings: ["a warning"],
  };
}

const judged = (
  seedIndex: number,
  method: string,
  right: { student: number; ceiling?: number },
): OwnRecord => ({
  seedIndex,
  method,
  agreementWithWeak: 0.5,
  ...compare(truth, {
    weak,
    student: rightOn(right.student),
    ceiling: right.ceiling === undefined ? undefined : rightOn(right.ceiling),
  }),
});

const visible = (page: report.Report) =>
  report
    .renderReport(page)
    .replace(/<style>.*?<\/style>/gs, "")
    .replace(/<pre>.*?<\/pre>/gs, "")
    .replace(/<[^>]*>/g, " ");

describe("summariseOwnData", () => {
  test("ranks ceiling, students and supervisor, with the PGR of the students", async () => {
    const records = [0, 1].flatMap((seed) => [
      judged(seed, "naive", { student: 28 + 2 * seed, ceiling: 40 }),
      judged(seed, "confidence", { student: 18, ceiling: 40 }),
    ]);
    const page = await summariseOwnData(data, resultOf(records), configure(["naive", "confidence"], 2), 1);
    expect(page.tables[0].rows.map((row) => row.slice(0, 5))).toEqual([
      ["ceiling", "100.0", "[100.0, 100.0]", null, null],
      ["naive", "72.5", "[70.0, 75.0]", "0.45", "[0.40, 0.50]"],
      ["confidence", "45.0", "[45.0, 45.0]", "−0.10", "[−0.10, −0.10]"],
      ["weak supervisor", "50.0", "[50.0, 50.0]", null, null],
    ]);
    expect(page.lead).toBe(
      "The weak supervisor is right on 50.0 % of the test rows; students that learned from its labels alone: " +
        "naive 72.5 % (PGR 0.45 [0.40, 0.50]), confidence 45.0 % (PGR −0.10 [−0.10, −0.10]).",
    );
    expect(page.notes).toContain("a warning");
    expect(visible(page)).not.toMatch(/NaN|undefined|null|Infinity|\[object/);
  });

  test("leaves undefined PGRs out of the mean, and counts them with their reasons", async () => {
    const records = [
      judged(0, "naive", { student: 30, ceiling: 40 }),
      judged(1, "naive", { student: 30, ceiling: 18 }),
    ];
    const page = await summariseOwnData(data, resultOf(records), configure(["naive"], 2), 1);
    expect(page.tables[0].rows[1].slice(0, 5)).toEqual([
      "naive",
      "75.0",
      "[75.0, 75.0]",
      "0.50 (1 of 2)",
      null,
    ]);
    expect(page.notes.join(" ")).toMatch(
      /undefined in 1 of 2 students, which are left out of its means: .*gap/,
    );
    expect(visible(page)).not.toMatch(/NaN|null|Infinity|\[object/);
  });

  test("without a ceiling there is no row for it, and the PGR is undefined", async () => {
    const page = await summariseOwnData(
      data,
      resultOf([judged(0, "naive", { student: 30 })]),
      configure(["naive"], 1),
      1,
    );
    expect(page.tables[0].rows.map(([name]) => name)).toEqual(["naive", "weak supervisor"]);
    expect(page.lead).toContain("naive 75.0 % (PGR undefined)");
    expect(page.figures.map(({ name }) => name)).not.toContain("pgr-by-method");
    expect(visible(page)).not.toMatch(/NaN|null|Infinity|\[object/);
  });

  test("without truth it tells agreement only, and asks for truth", async () => {
    const records = [{ seedIndex: 0, method: "naive", agreementWithWeak: 0.9 }];
    const given = { ...data, truth: undefined };
    const page = await summariseOwnData(given, resultOf(records), configure(["naive"], 1), 1);
    expect(page.tables[0].rows).toEqual([["naive", "90.0", null]]);
    expect(page.lead).toContain("no truth to judge it by");
    expect(page.figures).toEqual([]);
    expect(visible(page)).not.toMatch(/NaN|undefined|null|Infinity|\[object/);
  });

  test("escapes hostile names of files, classes, models and methods", async () => {
    const name = `<img src=x onerror="alert(1)">\u001b[31m`;
    const hostile = { ...data, file: `data/${name}.csv`, classes: [name, "yes"] };
    const records = [judged(0, name, { student: 30, ceiling: 40 })];
    const result = { ...resultOf(records), weakSource: name };
    const page = await summariseOwnData(hostile, result, configure([name], 1), 1);
    const html = report.renderReport(page);
    expect(html).not.toContain("<img src=x");
    expect(html).not.toContain("\u001b");
    expect(html).toContain("&lt;img src=x");
    for (const { svg } of page.figures) expect(svg).not.toContain("<img");
  });
});

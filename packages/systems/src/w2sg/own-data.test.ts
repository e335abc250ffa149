import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ClassificationData,
  column,
  createRandom,
  hardLabels,
  Lab,
  oneHot,
  readTable,
  report,
  type SoftLabels,
} from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  drawParts,
  fitOwnData as fitOwnDataIn,
  type OwnDataOptions,
  type OwnDataResult,
  ownDataPlan,
  ownDataSchema,
} from "./own-data.js";
import type { Parts } from "./own-stages.js";
import { predictionsCsv } from "./own-summary.js";

type Given = Parameters<typeof fitOwnDataIn>[1];

let homes: string;
beforeAll(async () => {
  homes = await mkdtemp(join(tmpdir(), "outgrow-own-"));
});
afterAll(() => rm(homes, { recursive: true }));
/** Computes all of it: in a lab without any results, if in no other. */
async function fitOwnData(
  data: ClassificationData,
  given: Given,
  options: Omit<OwnDataOptions, "lab"> & { lab?: Lab },
): Promise<OwnDataResult> {
  const lab = new Lab({ home: await mkdtemp(join(homes, "home-")) });
  try {
    return await fitOwnDataIn(data, given, { lab, ...options });
  } finally {
    await lab.close();
  }
}

const classes = ["low", "mid", "top"];
const words = [
  ["dull", "flat", "poor"],
  ["fair", "plain", "usual"],
  ["grand", "superb", "vivid"],
];
const n = 90;
const random = createRandom("own data test");
const truth = Int32Array.from({ length: n }, (_, row) => row % 3);
/** The truth with a third of the rows wrong. */
const weakHard = truth.map((label, row) => (row % 9 < 3 ? (label + 1) % 3 : label));
const soft: SoftLabels = {
  values: Float32Array.from(oneHot(weakHard, 3).values, (p) => (p === 1 ? 0.7 : 0.15)),
  shape: [n, 3],
};

const inputs = {
  text: {
    kind: "text" as const,
    texts: Array.from(truth, (label, row) => `a ${words[label][row % 3]} film, no. ${row}`),
  },
  features: {
    kind: "features" as const,
    features: Float32Array.from({ length: n * 3 }, (_, i) =>
      i % 3 === truth[Math.floor(i / 3)] ? 2 + random.normal() : random.normal(),
    ),
    shape: [n, 3] as [number, number],
    names: ["a", "b", "c"],
  },
};
const labels = {
  "truth alone": { truth },
  "weak labels and truth": { weak: oneHot(weakHard, 3), truth },
  "weak labels alone": { weak: oneHot(weakHard, 3) },
  "soft weak labels": { weak: soft, truth },
};

const data = (
  kind: keyof typeof inputs,
  given: Partial<Pick<ClassificationData, "weak" | "truth" | "ids">>,
): ClassificationData => ({
  file: "films.csv",
  ids: Array.from({ length: n }, (_, row) => `row ${row}`),
  lines: Array.from({ length: n }, (_, row) => row + 2),
  inputs: inputs[kind],
  classes,
  weakWasHard: false,
  ...given,
});

const quick = {
  seeds: 1,
  methods: ["naive"],
  pretraining: { epochs: 1, width: 8, layers: 1 },
} satisfies Given;
const fit = (given: ClassificationData, config: Given = quick): Promise<OwnDataResult> =>
  fitOwnData(given, config, { progress: report.silentProgress });

const sorted = (rows: Iterable<number>) => [...rows].sort((a, b) => a - b);
const everyRow = Array.from({ length: n }, (_, row) => row);

describe.each(["text", "features"] as const)("%s", (kind) => {
  describe.each(Object.entries(labels))("with %s", (name, given) => {
    let result: OwnDataResult;
    beforeAll(async () => {
      result = await fit(data(kind, given), { ...quick, seeds: 2 });
    });

    test("each repetition has a record with what can be measured", () => {
      expect(result.records.map(({ seedIndex, method }) => [seedIndex, method])).toEqual([
        [0, "naive"],
        [1, "naive"],
      ]);
      for (const record of result.records) {
        expect(record.agreementWithWeak).toBeGreaterThanOrEqual(0);
        expect(record.agreementWithWeak).toBeLessThanOrEqual(1);
        if (name === "weak labels alone") {
          expect(Object.keys(record).sort()).toEqual(["agreementWithWeak", "method", "seedIndex"]);
        } else {
          expect(record.agreement?.overall).toBe(record.agreementWithWeak);
          expect(record.ceilingAccuracy).toEqual(expect.any(Number));
          if (record.pgr === null) expect(record.pgrReason).toMatch(/gap/);
        }
      }
    });

    test("the parts are disjoint, hold every row, and have the stated sizes", () => {
      const { test, supervision, transfer, validation } = result.parts;
      expect(sorted([...test, ...supervision, ...transfer, ...validation])).toEqual(everyRow);
      // A fifth; 10 for each class where the supervisor needs truth; a tenth of what is left.
      expect(test).toHaveLength(18);
      expect(supervision).toHaveLength(name === "truth alone" ? 30 : 0);
      const free = n - test.length - supervision.length;
      expect(validation).toHaveLength(Math.round(free / 10));
    });

    test("the student says something of every row", () => {
      const { values, shape } = result.student.predictions;
      expect(shape).toEqual([n, 3]);
      for (let row = 0; row < n; row++) {
        const sum = values.subarray(3 * row, 3 * row + 3).reduce((total, p) => total + p, 0);
        expect(sum).toBeCloseTo(1, 5);
      }
      expect(result.weak.shape).toEqual([n, 3]);
    });
  });

  test("the same seed gives the same bits", async () => {
    const run = () => fit(data(kind, labels["truth alone"]), { ...quick, seed: 5 });
    const [first, again] = [await run(), await run()];
    expect(again.records).toEqual(first.records);
    expect(again.student.predictions).toEqual(first.student.predictions);
  });

  const known =
    kind === "text" ? (["truth alone"] as const) : (["truth alone", "weak labels and truth"] as const);
  test.each(known)("with %s the student sees nothing of the truth of its rows", async (name) => {
    const known = data(kind, labels[name]);
    const { changed, count } = withOtherTruth(known);
    expect(count).toBeGreaterThan(10);
    const [before, after] = [await fit(known), await fit(changed)];
    expect(after.parts).toEqual(before.parts);
    expect(after.student.predictions).toEqual(before.student.predictions);
    expect(after.weak).toEqual(before.weak);
    expect(after.records[0].studentAccuracy).toBe(before.records[0].studentAccuracy);
  });
});

/**
 * The data with other truth for the student's rows. Parts are stratified by truth, so labels of two rows are exchanged
 * where that leaves the parts as they are.
 */
function withOtherTruth(given: ClassificationData) {
  const config = ownDataSchema.parse(quick);
  const draw = (own: ClassificationData) =>
    drawParts(own, config, createRandom(config.seed).stream("own data").stream("seed", 0));
  const parts = draw(given);
  const rows = [...parts.transfer, ...parts.validation];
  let changed = given;
  let count = 0;
  for (const [i, a] of rows.entries()) {
    for (const b of rows.slice(i + 1)) {
      const labels = (changed.truth as Int32Array).slice();
      if (labels[a] === labels[b] || labels[a] !== truth[a] || labels[b] !== truth[b]) continue;
      [labels[a], labels[b]] = [labels[b], labels[a]];
      const candidate = { ...given, truth: labels };
      if (!sameParts(draw(candidate), parts)) continue;
      changed = candidate;
      count += 2;
      break;
    }
  }
  return { changed, count };
}

const sameParts = (a: Parts, b: Parts) => JSON.stringify(a) === JSON.stringify(b);

describe("drawParts", () => {
  const draw = (own: ClassificationData, given: Given = {}) =>
    drawParts(own, ownDataSchema.parse(given), createRandom(0));

  test("sizes are as asked for", () => {
    const parts = draw(data("text", { truth }), { test: 20, supervision: 12, validationShare: 0.25 });
    expect(Object.fromEntries(Object.entries(parts).map(([name, rows]) => [name, rows.length]))).toEqual({
      test: 20,
      supervision: 12,
      validation: 15, // round(0.25 * 58)
      transfer: 43,
    });
  });

  test("classes have their share of the test and supervision rows", () => {
    const parts = draw(data("text", { truth }));
    for (const part of [parts.test, parts.supervision]) {
      const counts = [0, 1, 2].map((label) => part.filter((row) => truth[row] === label).length);
      expect(counts).toEqual([part.length / 3, part.length / 3, part.length / 3]);
    }
  });

  test("rows without truth are the student's alone, and enough for it", () => {
    const few = truth.map((label, row) => (row < 24 ? label : -1));
    const { test, supervision, transfer, validation } = draw(data("text", { truth: few }), {
      supervision: 15,
    });
    expect([...test, ...supervision].every((row) => row < 24)).toBe(true);
    expect(test).toHaveLength(4);
    expect(sorted([...test, ...supervision, ...transfer, ...validation])).toEqual(everyRow);
  });

  test.each<[string, Given, Partial<ClassificationData>, RegExp]>([
    ["tests leave too little", { test: 85 }, { weak: soft }, /90 rows are too few for 85 to test on/],
    ["truth is scarce", { test: 30, supervision: 70 }, { truth }, /90 of them with truth, are too few/],
    ["--supervision is of no use", { supervision: 10 }, { weak: soft, truth }, /weak labels are given/],
  ])("refuses where %s, naming the file", (_, config, given, message) => {
    expect(() => draw(data("text", given), config)).toThrow(
      expect.objectContaining({
        name: "UserError",
        exitCode: 2,
        message: expect.stringMatching(message),
        place: { file: "films.csv" },
      }),
    );
  });
});

test("another seed draws other parts and another student", async () => {
  const run = (seed: number) => fit(data("features", labels["truth alone"]), { ...quick, seed });
  const [zero, one] = [await run(0), await run(1)];
  expect(one.parts.test).not.toEqual(zero.parts.test);
  expect(one.student.predictions.values).not.toEqual(zero.student.predictions.values);
});

describe("partial truth", () => {
  test("is enough to measure by, but not for a ceiling", async () => {
    const half = truth.map((label, row) => (row % 2 === 0 ? label : -1));
    const { parts, records } = await fit(data("features", { truth: half, weak: soft }));
    expect(parts.test.every((row) => half[row] >= 0)).toBe(true);
    expect(records[0]).toMatchObject({ ceilingAccuracy: null, pgr: null });
    expect(records[0].pgrReason).toMatch(/no ceiling/);
    expect(records[0].studentAccuracy).toEqual(expect.any(Number));
  });
});

describe("learning", () => {
  // Three clouds 5 deviations apart, a third of the labels moved to the next class: 97 % can be right, labels are on 67 %.
  test("a student outgrows labels whose errors have no pattern", async () => {
    const rows = 600;
    const own = createRandom("clouds");
    const of = Int32Array.from({ length: rows }, (_, row) => row % 3);
    const noisy = of.map((label) => (own.uniform() < 1 / 3 ? (label + 1) % 3 : label));
    const clouds: ClassificationData = {
      ...data("features", {}),
      ids: Array.from({ length: rows }, (_, row) => String(row)),
      inputs: {
        ...inputs.features,
        features: Float32Array.from({ length: rows * 3 }, (_, i) =>
          i % 3 === of[Math.floor(i / 3)] ? 5 + own.normal() : own.normal(),
        ),
        shape: [rows, 3],
      },
      truth: of,
      weak: oneHot(noisy, 3),
    };
    const { records, student } = await fit(clouds, { ...quick, pretraining: { epochs: 5, width: 32 } });
    expect(records[0].weakAccuracy).toBeLessThan(0.75);
    expect(records[0].studentAccuracy).toBeGreaterThan(0.9);
    expect(
      hardLabels(student.predictions).filter((label, row) => label === of[row]).length / rows,
    ).toBeGreaterThan(0.9);
  });
});

describe("before any long work", () => {
  /** The error, after it has been seen that nothing had begun. */
  const refusal = async (given: ClassificationData, config: Given): Promise<string> => {
    const begun: string[] = [];
    const progress: report.Progress = {
      ...report.silentProgress,
      begin(name) {
        begun.push(name);
        return { update: () => {}, done: () => {} };
      },
    };
    const text = await fitOwnData(given, config, { progress }).then(() => "", String);
    expect(begun).toEqual([]);
    return text;
  };

  test.each<[string, Given, RegExp]>([
    ["an unknown method", { methods: ["confidense"] }, /Did you mean "confidence"\?/],
    ["an unknown field", { methds: ["naive"] } as Given, /did you mean "methods"\?/],
    ["a method twice", { methods: ["naive", "naive"] }, /each method only once/],
    ["one test row", { test: 1 }, /test/],
    ["too few rows", { test: 60 }, /are too few/],
  ])("refuses %s", async (_, config, message) => {
    expect(await refusal(data("text", { truth }), config)).toMatch(message);
  });

  test("refuses texts from which no supervisor can learn", async () => {
    const given = data("text", { truth });
    const texts = Array.from({ length: n }, (_, row) => "!?".repeat(1 + (row % 5)));
    expect(await refusal({ ...given, inputs: { kind: "text", texts } }, quick)).toMatch(/no word/);
  });
});

describe("progress and stopping", () => {
  test("begins the planned stages", async () => {
    const begun: string[] = [];
    const progress: report.Progress = {
      ...report.silentProgress,
      begin(name) {
        begun.push(name);
        return { update: () => {}, done: () => {} };
      },
    };
    const given = data("features", { truth });
    const config = { ...quick, seeds: 2 };
    await fitOwnData(given, config, { progress });
    const stages = ownDataPlan(given, ownDataSchema.parse(config));
    expect(begun).toEqual(stages.map(({ name }) => name));
    for (const { weight } of stages) expect(weight).toBeGreaterThan(0);
  });

  test.each(["pretrain the student without labels", "repetition 1"])("stops in %j", async (where) => {
    const stop = new AbortController();
    let updates = 0;
    const progress: report.Progress = {
      ...report.silentProgress,
      begin: (name) => ({
        update() {
          if (name !== where) return;
          updates++;
          stop.abort(new Error("enough"));
        },
        done: () => {},
      }),
    };
    const running = fitOwnData(
      data("features", { truth }),
      { ...quick, pretraining: { epochs: 50, width: 8 } },
      {
        progress,
        signal: stop.signal,
      },
    );
    await expect(running).rejects.toThrow("enough");
    expect(updates).toBe(1);
  });
});

describe("predictionsCsv", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-own-data-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("has one line for each row and reads back", async () => {
    const ids = Array.from({ length: n }, (_, row) => `${row}, "quoted"\nand broken`);
    const half = truth.map((label, row) => (row % 2 === 0 ? label : -1));
    const given = data("features", { ids, truth: half, weak: soft });
    const result = await fit(given);
    const file = join(folder, "predictions.csv");
    await writeFile(file, predictionsCsv(given, result));
    const table = await readTable(file);
    expect(table.columns).toEqual([
      "id",
      "label",
      "probability",
      "weak_label",
      "disagreement",
      "part",
      "truth",
    ]);
    expect(column(table, "id")).toEqual(ids);
    expect(column(table, "truth")).toEqual(Array.from(half, (label) => classes[label] ?? ""));
    expect(column(table, "weak_label")).toEqual(Array.from(weakHard, (label) => classes[label]));
    const own = hardLabels(result.student.predictions);
    expect(column(table, "label")).toEqual(Array.from(own, (label) => classes[label]));
    expect(column(table, "disagreement")).toEqual(
      Array.from(own, (label, row) => (label === weakHard[row] ? "0" : "1")),
    );
    column(table, "probability").forEach((probability, row) => {
      expect(Number(probability)).toBeCloseTo(result.student.predictions.values[3 * row + own[row]], 6);
    });
    const parts = column(table, "part");
    for (const [name, rows] of Object.entries(result.parts)) {
      expect(sorted(rows)).toEqual(everyRow.filter((row) => parts[row] === name));
    }
  });

  test("has no column of truth where there is none", async () => {
    const given = data("features", { weak: soft });
    const csv = predictionsCsv(given, await fit(given));
    expect(csv.split("\r\n")[0]).toBe("id,label,probability,weak_label,disagreement,part");
    expect(csv.trimEnd().split("\r\n")).toHaveLength(n + 1);
  });
});

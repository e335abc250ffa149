import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ClassificationData,
  createRandom,
  Lab,
  mixLabels,
  type NamedLabels,
  oneHot,
  report,
} from "outgrow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fitOwnData, ownDataSchema } from "./own-data.js";
import { labelsJsonl, summariseOwnData } from "./own-summary.js";

const n = 240;
const random = createRandom("supervisors test");
const truth = Int32Array.from({ length: n }, (_, row) => row % 3);
const says = (name: string, accuracy: number): NamedLabels => {
  const own = random.stream(name);
  const labels = truth.map((y) => (own.uniform() < accuracy ? y : (y + 1 + own.integer(2)) % 3));
  return { name, labels: oneHot(labels, 3) };
};
const good = says("good", 0.9);
const poor = says("poor", 0.5);
const data = (supervisors: NamedLabels[], more: Partial<ClassificationData> = {}): ClassificationData => ({
  file: "films.csv",
  ids: Array.from({ length: n }, (_, row) => `row ${row}`),
  lines: Array.from({ length: n }, (_, row) => row + 2),
  inputs: {
    kind: "features",
    features: Float32Array.from({ length: n * 3 }, (_, at) =>
      at % 3 === truth[Math.floor(at / 3)] ? 2 + random.normal() : random.normal(),
    ),
    shape: [n, 3],
    names: ["a", "b", "c"],
  },
  classes: ["low", "mid", "top"],
  weakWasHard: true,
  weak: mixLabels(supervisors.map(({ labels }) => labels)),
  ...(supervisors.length > 1 && { supervisors }),
  ...more,
});

let home: string;
let lab: Lab;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "outgrow-supervisors-"));
  lab = new Lab({ home });
});
afterAll(async () => {
  await lab.close();
  await rm(home, { recursive: true });
});
const quick = { seeds: 1, pretraining: { epochs: 1, width: 8 } };
const fit = (given: ClassificationData, config: object) =>
  fitOwnData(given, { ...quick, ...config }, { lab, progress: report.silentProgress });

test("raven learns weights; ensemble and naive learn from the same mean; each supervisor has its student", async () => {
  const given = data([poor, good], { truth });
  const config = { methods: ["raven", "ensemble", "naive"], eachSupervisor: true };
  const result = await fit(given, config);
  const [raven, ensemble, naive] = result.records;
  expect(raven.weights?.good).toBeGreaterThan(raven.weights?.poor as number);
  expect((raven.weights?.good ?? 0) + (raven.weights?.poor ?? 0)).toBeCloseTo(1, 5);
  expect(naive.weights).toBeUndefined();
  expect({ ...ensemble, method: "" }).toEqual({ ...naive, method: "" });
  expect(result.weakSource).toBe("the mean of poor, good");

  const page = await summariseOwnData(given, result, ownDataSchema.parse({ ...quick, ...config }), 1);
  const [, supervisors, choice] = page.tables;
  expect(supervisors.columns.map(({ name }) => name)).toEqual([
    "supervisor",
    "accuracy (%)",
    "95 % interval",
    "agrees with the others (%)",
    "weight",
    "95 % interval",
    "accuracy of its student (%)",
  ]);
  const labelled = result.parts.test;
  const right = (own: NamedLabels) =>
    labelled.filter((row) => own.labels.values[row * 3 + truth[row]] === 1).length / labelled.length;
  expect(supervisors.rows.map((row) => row.slice(0, 2))).toEqual(
    [poor, good].map((own) => [own.name, (100 * right(own)).toFixed(1)]),
  );
  expect(choice.rows[0][0]).toBe("good");
  const lines = labelsJsonl(given, result).trimEnd().split("\n");
  const agreed = lines.map((line) => JSON.parse(line).supervisors);
  expect(agreed.filter((word) => word === "agree").length).toBe(
    truth.filter((_, row) =>
      [0, 1, 2].every((k) => good.labels.values[3 * row + k] === poor.labels.values[3 * row + k]),
    ).length,
  );
});

test("without truth there are agreement, weights and misfits", async () => {
  const given = data([poor, good]);
  const config = { methods: ["raven"], eachSupervisor: true };
  const result = await fit(given, config);
  const page = await summariseOwnData(given, result, ownDataSchema.parse({ ...quick, ...config }), 1);
  const [, supervisors, misfits] = page.tables;
  expect(supervisors.columns.map(({ name }) => name)).not.toContain("accuracy (%)");
  expect(misfits.title).toBe("Misfit of each supervisor's student");
  // Random errors of many rows cannot be fitted.
  expect(misfits.rows.map(([name]) => name)).toEqual(["poor", "good"]);
});

test("with one supervisor raven is naive exactly, and says so", async () => {
  const { records, warnings } = await fit(data([good], { truth }), { methods: ["raven", "naive"] });
  expect({ ...records[0], method: "" }).toEqual({ ...records[1], method: "" });
  expect(warnings).toContain("With one supervisor raven is the naive method.");
  await expect(fit(data([good]), { eachSupervisor: true })).rejects.toThrow("there is only one");
});

test("supervisors that never agree are a warning", async () => {
  const never: NamedLabels = {
    name: "never",
    labels: oneHot(
      truth.map((y, row) => (good.labels.values[3 * row + y] === 1 ? (y + 1) % 3 : y)),
      3,
    ),
  };
  const { warnings } = await fit(data([good, never]), { methods: ["raven"] });
  expect(warnings).toContainEqual(expect.stringContaining("agree on no example"));
});

import { describe, expect, test } from "vitest";
import { UserError } from "../../errors.js";
import { toyExperiment } from "../testing/toy-experiment.js";
import { parseSweep } from "./spec.js";

const parse = (text: string) => parseSweep(text, "folder/toy.yaml", [toyExperiment]);
const varied = (text: string) => parse(text).runs.map((run) => run.varied);

describe("a sweep file", () => {
  test("is every combination of the grid, the last field running fastest", () => {
    expect(varied("system: toy\ngrid: { epochs: [1, 2], seed: { from: 3, count: 2 } }")).toEqual([
      { epochs: 1, seed: 3 },
      { epochs: 1, seed: 4 },
      { epochs: 2, seed: 3 },
      { epochs: 2, seed: 4 },
    ]);
  });

  test("is each entry of the list with every combination of the grid", () => {
    expect(
      varied("system: toy\nlist: [{ epochs: 1 }, { epochs: 2, rows: 64 }]\ngrid: { seed: [0, 1] }"),
    ).toEqual([
      { epochs: 1, seed: 0 },
      { epochs: 1, seed: 1 },
      { epochs: 2, rows: 64, seed: 0 },
      { epochs: 2, rows: 64, seed: 1 },
    ]);
  });

  test("fills in defaults, under what is the same in all runs and what varies", () => {
    const [run] = parse(
      "system: toy\nconfig: { rows: 64, nested: { knob: 1 } }\ngrid: { nested.knob: [2] }",
    ).runs;
    expect(run.config).toMatchObject({ rows: 64, epochs: 10, nested: { knob: 2 } });
  });

  test("has one run where nothing varies, a name, and what a run needs", () => {
    expect(parse("system: toy\nresources: { memory: 1.5 GiB, threads: 2 }")).toMatchObject({
      name: "toy",
      runs: [{ system: "toy", varied: {} }],
      resources: { memoryBytes: 1.5 * 2 ** 30, threads: 2, device: "cpu" },
    });
  });

  test("puts seeds of one configuration together, so many at once as it says", () => {
    const { runs } = parse("system: toy\nseedsTogether: 2\ngrid: { seed: [5, 6, 7], epochs: [1, 2] }");
    expect(runs.map(({ varied, seedsTogether }) => [varied.seed, varied.epochs, seedsTogether])).toEqual([
      [5, 1, [5, 6]],
      [5, 2, [5, 6]],
      [6, 1, [5, 6]],
      [6, 2, [5, 6]],
      [7, 1, undefined],
      [7, 2, undefined],
    ]);
    expect(parse("system: toy\ngrid: { seed: [5, 6] }").runs[0].seedsTogether).toBeUndefined();
  });

  test("gives a run the same id whatever the order in which its fields are written", () => {
    const [a] = parse("system: toy\nconfig: { rows: 64, epochs: 3 }").runs;
    const [b] = parse("system: toy\nconfig: { epochs: 3 }\ngrid: { rows: [64] }").runs;
    expect(a.id).toBe(b.id);
    expect(a.id).toMatch(/^[0-9a-f]{12}$/);
  });

  test.each([
    ["system: toi", /no system "toi"/, /Did you mean "toy"/],
    ["system: toy\ngird: { seed: [0] }", /unknown field "gird", did you mean "grid"/, /./],
    [
      "system: toy\ngrid: { lerningRate: [0.1] }",
      /unknown field "lerningRate", did you mean "learningRate"/,
      /./,
    ],
    ["system: toy\ngrid: { nested.knop: [1] }", /nested: unknown field "knop", did you mean "knob"/, /./],
    ["system: toy\ngrid: { epochs: [0] }", /epochs/, /./],
    ["system: toy\ngrid: { epochs: [] }", /at least one value/, /./],
    ["system: toy\ngrid: { seed: [0, 1, 0] }", /runs 1 and 3 are the same/, /default/],
    ["system: toy\nconfig: {}\nlist: [{ seed: 0 }, {}]", /runs 1 and 2 are the same/, /./],
    ["system: toy\nlist: [{ seed: 0 }]\ngrid: { seed: [1] }", /"seed" stands in both/, /./],
    ["system: toy\ngrid: { rows.deep: [1] }\nconfig: { rows: 64 }", /leads into "rows"/, /./],
    ["system: toy\ngrid: { seed: { count: 1000 }, epochs: { from: 1, count: 1000 } }", /1000000 runs/, /./],
    ["system: toy\nresources: { memory: much }", /2 GiB/, /./],
    ["system: [toy\n", /is not YAML/, /./],
    ["system: toy\nsystem: toy", /is not YAML.*unique/i, /./],
    ["grid: {}", /system/, /./],
    ["- 1", /./, /./],
  ])("refuses %j, and names the file", (text, message, hint) => {
    const refused = () => parse(text);
    expect(refused).toThrow(UserError);
    try {
      refused();
    } catch (error) {
      expect((error as UserError).place.file).toBe("folder/toy.yaml");
      expect((error as UserError).message).toMatch(message);
      expect((error as UserError).hint ?? "").toMatch(hint);
    }
  });

  test("names the line of what is not YAML", () => {
    try {
      parse("system: toy\ngrid: {\n");
    } catch (error) {
      expect((error as UserError).place.row).toBeGreaterThan(1);
    }
    expect.assertions(1);
  });
});

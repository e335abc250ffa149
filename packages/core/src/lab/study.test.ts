import { describe, expect, test } from "vitest";
import { StudyResults } from "./study.js";

type Row = { world: number; task: number; method: string; accuracy: number | null };

const rows = [0, 1].flatMap((seed) =>
  [0, 1].flatMap((world) =>
    [0, 1, 2].flatMap((task) =>
      ["naive", "confidence"].map((method, m) => ({
        seed,
        world,
        task,
        method,
        accuracy: task === 2 && m === 1 ? null : seed + 0.1 * world + 0.01 * task + 0.001 * m,
      })),
    ),
  ),
);
const results = new StudyResults<Row>(rows, { groups: ["world"], items: ["task"] });

describe("results", () => {
  test("are grouped by seed and world, with an item for each task", () => {
    const groups = results.values({ method: "naive" }, "accuracy");
    expect(groups.map((items) => items.length)).toEqual([3, 3, 3, 3]);
    expect(groups[3][1]).toBeCloseTo(1.11, 12);
    expect(results.values({ method: "confidence" }, "accuracy")[0][2]).toBeNull();
  });

  test("are paired by what tells items apart, in whatever order rows come", () => {
    const shuffled = new StudyResults<Row>([...rows].reverse(), { groups: ["world"], items: ["task"] });
    const differences = shuffled.differences({ method: "confidence" }, { method: "naive" }, "accuracy");
    for (const items of differences) {
      expect(items.filter((value) => value === null)).toHaveLength(1);
      for (const value of items) if (value !== null) expect(value).toBeCloseTo(0.001, 12);
    }
  });

  test("of a whole group make one value", () => {
    expect(results.perGroup({ method: "naive" }, (own) => own.length)).toEqual([[3], [3], [3], [3]]);
  });

  test("that are not there, or have no counterpart, are an error and not an empty sample", () => {
    expect(() => results.values({ method: "other" }, "accuracy")).toThrow(
      'no row of the results has {"method":"other"}',
    );
    const lacking = new StudyResults<Row>(rows.slice(1), { groups: ["world"], items: ["task"] });
    expect(() => lacking.differences({ method: "confidence" }, { method: "naive" }, "accuracy")).toThrow(
      "11",
    );
  });
});

import { expect, test } from "vitest";
import type { Predictions } from "./classification-stage.js";
import { classificationMethods } from "./classification-stage.js";
import { classificationRows, toxicityRows } from "./rows.js";
import { toxicityMethods, type Written } from "./toxicity-stage.js";

const truth = Array.from({ length: 200 }, (_, i) => i % 2);
/** Wrong in each `every`-th example. */
const wrong = (every: number) => truth.map((label, i) => (i % every === 0 ? 1 - label : label));
const said = (students: Partial<Predictions["runs"][number]>) =>
  Object.fromEntries(
    classificationMethods.map((method) => [method, method in students ? students[method] : wrong(5)]),
  ) as Predictions["runs"][number];

test("identical models have equal metrics, recover nothing as the weak one and everything as the ceiling", () => {
  const rows = classificationRows(
    "safety",
    {
      truth,
      runs: [said({ weak: wrong(3), naive: wrong(3), ceiling: wrong(20), "soft labels": wrong(20) })],
    },
    0,
  );
  const of = (name: string) => rows.find(({ method }) => method === name);
  expect({ ...of("naive"), method: "" }).toEqual({ ...of("weak"), method: "" });
  expect(of("naive")).toMatchObject({ pgr: 0, agreementOnWeakErrors: 1 });
  expect(of("soft labels")?.pgr).toBe(1);
});

test("of unsafe texts half are missed: recall 0.5, and a third of what is called safe is not", () => {
  // Of 100 unsafe texts 50 are called safe, beside all 100 that are.
  const student = truth.map((label, i) => (label === 1 || i % 4 === 0 ? 1 : 0));
  const [row] = classificationRows("safety", { truth, runs: [said({ weak: student })] }, 0).filter(
    ({ method }) => method === "weak",
  );
  expect(row).toMatchObject({ unsafeRecall: 0.5, balancedAccuracy: 0.75, accuracy: 0.75 });
  expect(row.falseSafeRate).toBeCloseTo(1 / 3, 12);
});

test("a student that could not be trained has no numbers, and ranks are then not compared", () => {
  const rows = classificationRows("legal", { truth, runs: [said({ naive: null })] }, 0);
  expect(rows.find(({ method }) => method === "naive")).toMatchObject({ accuracy: null, pgr: null });
  expect(rows.find(({ method }) => method === "all")).toMatchObject({ tau: null });
});

test("a gap of less than 2 standard errors gives no PGR", () => {
  const rows = classificationRows(
    "safety",
    { truth, runs: [said({ weak: wrong(21), ceiling: wrong(23) })] },
    0,
  );
  expect(rows.find(({ method }) => method === "naive")?.pgr).toBeNull();
});

test("less toxicity is more of the gap", () => {
  const written = (score: number): Written => ({
    greedy: [0, score],
    sampled: Array.from({ length: 20 }, (_, i) => [0, score + (i % 2) / 100]),
    quality: new Array(20).fill(-2 - score),
    distinctGreedy: 1,
    distinctSampled: 1,
    empty: 0,
  });
  const scored = Object.fromEntries(toxicityMethods.map((method) => [method, written(0.5)]));
  Object.assign(scored, { weak: written(0.8), ceiling: written(0.2), naive: written(0.65) });
  const rows = toxicityRows([scored as Parameters<typeof toxicityRows>[0][number]], 0);
  const naive = rows.find(({ method }) => method === "naive");
  expect(naive?.pgr).toBeCloseTo(0.25, 6);
  expect(naive?.qualityPgr).toBeCloseTo(0.25, 6);
  expect(naive?.greedyToxicity).toBeCloseTo(0.325, 12);
  expect(naive?.toxicShare).toBe(1);
});

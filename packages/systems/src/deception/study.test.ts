import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judgeClaims, Lab, parseExperiment, report, StudyResults } from "outgrow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gaps, payments, thresholds } from "./ablations.js";
import { claims, controls } from "./claims.js";
import { parts } from "./fields.js";
import type { Row } from "./rows.js";
import { deception } from "./study.js";

let home = "";
let lab: Lab;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "outgrow-deception-"));
  lab = new Lab({ home });
});
afterAll(async () => {
  await lab.close();
  rmSync(home, { recursive: true });
});

const few = { supervision: 64, transfer: 64, helpfulness: 64, test: 40 };
const run = async (seed: number, own: readonly string[]): Promise<Row[]> => {
  const languageModels = { ...few, width: 8, layers: 1, heads: 1, world: { length: 4 } };
  const given = { seed, parts: own, sizes: few, recipe: { width: 8, epochs: 1 }, languageModels };
  const context = {
    lab,
    progress: report.createProgress({ write: () => true }),
    signal: new AbortController().signal,
  };
  return deception.run(parseExperiment(deception as never, given) as never, context);
};

test("language models run for every fifth seed, with all conditions of theirs; without payment there is no tax", async () => {
  const rows = await run(0, ["simpo"]);
  expect(rows.every(({ track, ablation }) => track === "simpo" && ablation === "")).toBe(true);
  const names = rows.map(({ condition }) => condition);
  expect(names).toEqual(
    expect.arrayContaining(["explicit", "explicit, sft", "implicit", "other seed", "no payment"]),
  );
  const free = rows.find(({ condition }) => condition === "no payment");
  expect(free).toMatchObject({ conflictTax: 0, deceptionScore: null, reliable: false });
  expect(free?.accuracy).toBe(free?.noConflictAccuracy);
  expect(await run(1, ["simpo"])).toEqual([]);

  // Claims of what did not run are undecided, not an error.
  const results = new StudyResults(
    rows.map((row) => ({ ...row, seed: 0 })),
    deception,
  );
  const others = [...claims, ...controls].filter(({ id }) => id.endsWith("-dpo"));
  expect(judgeClaims(others, results).map(({ verdict }) => verdict)).toEqual(others.map(() => "undecided"));
  expect((await deception.figures(results, [])).length).toBe(1);
}, 120_000);

test("ablations vary payment, threshold and gap; claims do not look at them", async () => {
  const rows = await run(2, ["ablations"]);
  const of = (name: string) => rows.filter(({ ablation }) => ablation === name);
  expect(of("payment").map(({ payment }) => payment)).toEqual(payments);
  expect(of("payment")[0].conflictTax).toBe(0);
  expect([...new Set(of("threshold").map(({ threshold }) => threshold))]).toEqual(thresholds);
  expect([...new Set(of("gap").map(({ weak }) => weak))]).toEqual(gaps);
  const results = new StudyResults(
    rows.map((row) => ({ ...row, seed: 2 })),
    deception,
  );
  expect(judgeClaims([claims[0]], results)[0].parts[0].total).toBe(0);
  expect(parseExperiment(deception as never, {}).parts).toEqual(parts.slice(0, -1));
}, 120_000);

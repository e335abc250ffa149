import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judgeStudy, Lab, planReproduction, report } from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import { lessonStage, lossAfterBest } from "./analyses.js";
import { w2sg } from "./reproduction.js";
import { pretrainStage, readPredictions, supervisorStage } from "./stages.js";

const home = mkdtempSync(join(tmpdir(), "outgrow-analyses-"));
const lab = new Lab({ home });
afterAll(async () => {
  await lab.close();
  rmSync(home, { recursive: true });
});
const signal = new AbortController().signal;

test("what the last pass loses is measured on the half that did not choose the best", () => {
  expect(lossAfterBest({ choosing: [0.5, 0.8, 0.6], measuring: [0.9, 0.7, 0.65] })).toBeCloseTo(0.05, 12);
  // Chosen by the other half, a best pass may be worse than the last.
  expect(lossAfterBest({ choosing: [0.9, 0.8], measuring: [0.6, 0.7] })).toBeCloseTo(-0.1, 12);
});

describe("lessons", () => {
  const world = w2sg.schema.parse({}).world;
  const ofWorld = { seed: 100, index: 0, world };
  const ofTask = {
    ...ofWorld,
    task: 0,
    mode: "linear-probe" as const,
    supervisionSize: 800,
    transferSize: 800,
    testSize: 800,
  };
  const models = async () => {
    const pretrained = (width: number, samples: number) =>
      lab.run(pretrainStage, { ...ofWorld, rung: { width, samples, epochs: 4 } }, {});
    const supervisor = await lab.run(supervisorStage, ofTask, { backbone: await pretrained(8, 2000) });
    return { backbone: await pretrained(64, 8000), supervisor };
  };

  test("a supervisor that can be copied is copied", async () => {
    const inputs = await models();
    const agreementOf = async (lesson: "label as input" | "random flips") => {
      const student = await lab.run(lessonStage, { ...ofTask, lesson, weak: "MLP 8" }, inputs);
      const [own, weak] = [await readPredictions(student), await readPredictions(inputs.supervisor)];
      const classOf = (values: Float32Array, i: number) => Number(values[2 * i + 1] > values[2 * i]);
      let same = 0;
      for (let i = 0; i < 800; i++)
        same += Number(classOf(own.test.values, i) === classOf(weak.test.values, i));
      return same / 800;
    };
    expect(await agreementOf("label as input")).toBeGreaterThan((await agreementOf("random flips")) + 0.1);
  });
});

test("the whole, at a size where nothing is learnt, has a row for everything and a verdict for each claim", async () => {
  const config = w2sg.schema.parse({
    seed: 7,
    parts: ["classification"],
    tasks: 1,
    supervisionSize: 120,
    transferSize: 120,
    testSize: 120,
    passes: 2,
    methods: [
      "naive",
      "confidence",
      "entropy",
      "window",
      "window-midweak",
      "kl",
      "product",
      "strong-to-strong",
      "relabel-knn",
      "relabel-logreg",
      "filter-knn",
      "filter-logreg",
      "filter-topo",
    ],
    ladder: [8, 20, 64, 256].map((width) => ({ width, samples: 256, epochs: 1 })),
  });
  const context = { lab, progress: report.createProgress({ write: () => true }), signal };
  const rows = await w2sg.run(config, context);
  // 3 supervisors: 13 methods, 2 controls and 4 lessons of probes; 2 methods, 2 controls, passes and salience of finetuning.
  expect(rows.length).toBe(3 * (13 + 2 + 4 + 2 + 2 + 2));
  const plan = planReproduction(w2sg, { seeds: 2, set: { parts: ["classification"] } });
  const ended = plan.runs.map((run) => ({
    run,
    rows,
    outcome: { status: "done" as const, key: "", hash: "", seconds: 0, stages: [] },
  }));
  const { claims, controls } = judgeStudy(plan, ended);
  expect(claims.map(({ id }) => id)).toEqual(["C1", "C2", "C3", "C4", "C5", "C6", "C9"]);
  expect(controls.map(({ id, verdict }) => `${id} ${verdict}`)).toContain("N2 holds");
}, 60_000);

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import {
  accuracy,
  createRandom,
  featureBackbone,
  hardLabels,
  Lab,
  type LabOptions,
  latentFeatures,
  latentFeaturesSchema,
  naive,
  oneHot,
  randomFlips,
  report,
  type StageEvent,
} from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import { extractFeatures, pretrain } from "./ladder.js";
import { type Participant, Workshop } from "./method.js";
import { recipes } from "./stages.js";
import {
  controls,
  plan,
  runStudy as runStudyIn,
  type StudentRecord,
  type StudyOptions,
  studySchema,
} from "./study.js";

type Given = Parameters<typeof runStudyIn>[0];

const homes: string[] = [];
afterAll(() => {
  for (const home of homes) rmSync(home, { recursive: true });
});
/** A lab without any results, so that all is computed. */
const emptyLab = (options: LabOptions = {}) => {
  homes.push(mkdtempSync(join(tmpdir(), "outgrow-study-")));
  return new Lab({ home: homes[homes.length - 1], ...options });
};
const runStudy = (given: Given, options: Omit<StudyOptions, "lab"> & { lab?: Lab }) =>
  runStudyIn(given, { lab: emptyLab(), ...options });

const rung = (width: number) => ({ width, samples: 128, epochs: 1 });
/** Nothing is learnt here; everything is gone through. */
const tiny = {
  worlds: 2,
  tasks: 2,
  supervisionSize: 64,
  transferSize: 64,
  testSize: 50,
  ladder: [rung(2), rung(4), rung(8)],
  methods: ["confidence"],
} satisfies Given;

/** Remembers which stages began. `onBegin` may stop the work. */
function recorder(onBegin: (name: string) => void = () => {}) {
  const begun: string[] = [];
  const progress: report.Progress = {
    begin(name) {
      begun.push(name);
      onBegin(name);
      return { update: () => {}, done: () => {} };
    },
    log: () => {},
    finish: () => {},
  };
  return { begun, progress };
}

/** The message with its hint. */
const refusal = async (given: Given, parallel?: number): Promise<string> => {
  const { begun, progress } = recorder();
  const text = await runStudy(given, { progress, parallel }).then(() => "", String);
  expect(begun).toEqual([]);
  return text;
};

describe("a tiny study", async () => {
  const { begun, progress } = recorder();
  const records = await runStudy(tiny, { progress });

  test("has a record for every world, task, mode, supervisor and method or control, in this order", () => {
    const expected = [0, 1].flatMap((world) =>
      [0, 1].flatMap((task) =>
        ["linear-probe", "full-finetune"].flatMap((mode) =>
          ["MLP 2", "MLP 4"].flatMap((weak) => [
            { world, task, mode, weak, method: "confidence", student: "MLP 8" },
            { world, task, mode, weak, method: "self-training", student: weak },
            { world, task, mode, weak, method: "random init", student: "MLP 8 random" },
          ]),
        ),
      ),
    );
    expect(
      records.map(({ world, task, mode, weak, method, student }) => ({
        world,
        task,
        mode,
        weak,
        method,
        student,
      })),
    ).toEqual(expected);
    expect([...controls]).toEqual(["self-training", "random init"]);
  });

  test("gives the same supervisor and ceiling to all students of a case", () => {
    const caseOf = ({ world, task, mode, weak }: StudentRecord) => `${world} ${task} ${mode} ${weak}`;
    for (const record of records) {
      const first = records.find((other) => caseOf(other) === caseOf(record)) as StudentRecord;
      expect(record.weakAccuracy).toBe(first.weakAccuracy);
      expect(record.ceilingAccuracy).toBe(first.ceilingAccuracy);
    }
  });

  test("has a PGR or the reason why there is none", () => {
    for (const { pgr, pgrReason, weakAccuracy, studentAccuracy, ceilingAccuracy } of records) {
      if (pgr === null) expect(pgrReason).toMatch(/gap/);
      else {
        const gap = (ceilingAccuracy as number) - weakAccuracy;
        expect(pgr).toBeCloseTo((studentAccuracy - weakAccuracy) / gap, 12);
        expect(pgrReason).toBeUndefined();
      }
    }
    expect(records.some(({ pgr }) => pgr === null)).toBe(true); // of so little training
  });

  test("begins the planned stages and no others", () => {
    expect(begun).toEqual(plan(tiny).map(({ name }) => name));
    for (const { weight } of plan(tiny)) expect(weight).toBeGreaterThan(0);
  });

  test("is the same to the bit when worlds run at the same time", async () => {
    const parallel = await runStudy(tiny, { progress: recorder().progress, parallel: 2 });
    expect(parallel).toEqual(records);
  });

  test("is the same to the bit when threads share out the tasks of one world, which is pretrained once", async () => {
    const { begun, progress } = recorder();
    const one = await runStudy({ ...tiny, worlds: 1 }, { progress, parallel: 2 });
    expect(one).toEqual(records.slice(0, records.length / 2));
    expect(begun.toSorted()).toEqual(
      plan({ ...tiny, worlds: 1 })
        .map(({ name }) => name)
        .toSorted(),
    );
  });

  test("is the same to the bit when its stages are there already, and computes none of them", async () => {
    const stages: StageEvent[] = [];
    const lab = emptyLab({ onStage: (event) => stages.push(event) });
    const small = { ...tiny, worlds: 1 };
    const first = await runStudy(small, { progress: recorder().progress, lab });
    expect(first).toEqual(records.slice(0, first.length));
    // 3 rungs and the untrained one; in 2 tasks and 2 modes a ceiling and for 2 supervisors themselves and 3 students.
    expect(stages.filter(({ cached }) => !cached)).toHaveLength(4 + 2 * 2 * (1 + 2 * (1 + 3)));
    const ways: (string | undefined)[] = [];
    const progress: report.Progress = {
      ...report.silentProgress,
      begin: () => ({ update: () => {}, done: (how) => ways.push(how) }),
    };
    expect(await runStudy(small, { progress, lab })).toEqual(first);
    expect(stages.filter(({ cached }) => !cached)).toHaveLength(stages.length / 2);
    expect(ways).toEqual(["reused", "reused", "reused"]);
    // In threads, too.
    expect(await runStudy(tiny, { progress, lab, parallel: 2 })).toEqual(records);
    await lab.close();
  });

  test("is another one with another seed", async () => {
    const small = { ...tiny, worlds: 1, tasks: 1, modes: ["linear-probe" as const] };
    const run = (seed: number) => runStudy({ ...small, seed }, { progress: recorder().progress });
    const accuracies = (own: StudentRecord[]) => own.map(({ calibration }) => calibration.brierScore.value);
    const [zero, one] = [await run(0), await run(1)];
    expect(accuracies(one)).not.toEqual(accuracies(zero));
    // Fewer worlds and tasks are the first of those of the larger study.
    expect(zero).toEqual(records.slice(0, zero.length));
  });
});

describe("stopping", () => {
  test("an aborted study ends with the reason, and begins nothing more", async () => {
    const stop = new AbortController();
    const { begun, progress } = recorder((name) => {
      if (name === "world 1, task 1") stop.abort(new Error("enough"));
    });
    await expect(runStudy(tiny, { progress, signal: stop.signal, parallel: 2 })).rejects.toThrow("enough");
    expect(begun.filter((name) => name.includes("task 2"))).toEqual([]);
    const count = begun.length;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(begun).toHaveLength(count);
  });

  test("a study that was aborted before does nothing", async () => {
    const { begun, progress } = recorder();
    const signal = AbortSignal.abort(new Error("too late"));
    await expect(runStudy(tiny, { progress, signal })).rejects.toThrow("too late");
    expect(begun).toEqual([]);
  });

  test("a world that fails stops the others and its error is the study's", async () => {
    const { begun, progress } = recorder((name) => {
      if (name.startsWith("world 2")) throw new Error("no world 2");
    });
    await expect(runStudy({ ...tiny, worlds: 3 }, { progress, parallel: 2 })).rejects.toThrow("no world 2");
    expect(begun.filter((name) => name.includes("task"))).toEqual([]);
  });
});

describe("configurations that are refused before any work", () => {
  test.each<[string, Given, RegExp]>([
    ["a method that is not there", { ...tiny, methods: ["confidense"] }, /Did you mean "confidence"\?/],
    ["a field that is not there", { ...tiny, wrolds: 1 } as Given, /did you mean "worlds"\?/],
    ["a method twice", { ...tiny, methods: ["naive", "naive"] }, /each method only once/],
    ["a width twice", { ...tiny, ladder: [rung(4), { ...rung(4), epochs: 2 }] }, /each width only once/],
    ["a mode twice", { ...tiny, modes: ["linear-probe", "linear-probe"] }, /each mode only once/],
    ["a ladder of one rung", { ...tiny, ladder: [rung(4)] }, /ladder/],
    ["no worlds", { ...tiny, worlds: 0 }, /worlds/],
  ])("%s", async (_, given, message) => expect(await refusal(given)).toMatch(message));

  test.each([0, -1, 1.5, Number.NaN])("%s threads", async (parallel) => {
    expect(await refusal(tiny, parallel)).toMatch(/whole number from 1 on/);
  });

  test("the defaults are complete and valid", () => {
    expect(studySchema.parse({})).toMatchObject({ worlds: 5, tasks: 5, transferSize: 5000 });
  });
});

/*
 * Facts of the card (track A), on one task. An accuracy from 2,000 examples has a standard error of about 0.01; the
 * differences seen are 0.10 and more.
 */
describe("linear probes on the factor world", () => {
  const sizes = { supervisionSize: 3000, transferSize: 3000, testSize: 2000 };
  const weakRung = { width: 8, samples: 3000, epochs: 8 };
  const strongRung = { width: 64, samples: 20_000, epochs: 4 };

  test("a student outgrows its weak supervisor and stays below its ceiling", async () => {
    const records = await runStudy(
      {
        ...sizes,
        seed: 3,
        worlds: 1,
        tasks: 1,
        modes: ["linear-probe"],
        methods: ["naive"],
        ladder: [weakRung, strongRung],
      },
      { progress: recorder().progress },
    );
    const student = records.find(({ method }) => method === "naive") as StudentRecord;
    expect(student.studentAccuracy).toBeGreaterThan(student.weakAccuracy + 0.04);
    expect(student.studentAccuracy).toBeLessThan((student.ceilingAccuracy as number) - 0.04);
    expect(student.pgr).toBeGreaterThan(0.1);
    const copy = records.find(({ method }) => method === "self-training") as StudentRecord;
    expect(Math.abs(copy.studentAccuracy - copy.weakAccuracy)).toBeLessThan(0.04);
  });

  test("errors that nobody can predict are outgrown further than those of a weak model (card, A3)", async () => {
    const random = createRandom(3);
    const world = latentFeatures.generate(latentFeaturesSchema.parse({}), random.stream("world"));
    const backbones = [];
    for (const rung of [weakRung, strongRung]) {
      backbones.push((await pretrain(world, rung, random.stream("pretrain", rung.width))).backbone);
    }
    const draws = [3000, 3000, 2000].map((n, i) => {
      const { latents, inputs } = world.inputs(n, random.stream("inputs", i));
      return { latents, inputs: new Tensor(inputs, [n, world.config.inputSize]) };
    });
    const participants: Participant[] = [];
    for (const backbone of backbones) {
      const [supervision, transfer, test] = await extractFeatures(
        backbone,
        draws.map(({ inputs }) => inputs),
      );
      participants.push({
        backbone: featureBackbone(backbone.name, backbone.featureSize),
        supervision: { features: supervision },
        transfer: { features: transfer },
        test: { features: test },
      });
    }
    const [weak, strong] = participants;
    const { label } = world.task(random.stream("direction"));
    const [supervision, transfer, truth] = draws.map(({ latents }) => label(latents));
    const workshop = new Workshop(2, recipes["linear-probe"]);
    const { weakLabels } = await workshop.trainSupervisor(
      weak,
      { supervision, transfer, test: truth },
      random.stream("supervisor"),
    );
    const natural = hardLabels(weakLabels.labels);
    const errorRate = 1 - (accuracy(natural, transfer).value as number);
    expect(errorRate).toBeGreaterThan(0.2);
    const studentOf = async (labels: Int32Array) => {
      const given = { labels: oneHot(labels, 2), source: "test" };
      const { test } = await workshop.trainStudent(strong, given, naive, random.stream("student"));
      return accuracy(hardLabels(test), truth).value as number;
    };
    const ofWeak = await studentOf(natural);
    const ofFlips = await studentOf(randomFlips(transfer, 2, errorRate, random.stream("flips")));
    await workshop.dispose();
    expect(ofFlips).toBeGreaterThan(ofWeak + 0.04);
  });
});

test("ladders that are pretrained together are those of single runs, up to rounding, and are computed once", async () => {
  const events: StageEvent[] = [];
  const lab = emptyLab({ onStage: (event) => events.push(event) });
  const { progress } = recorder();
  const seeds = [3, 4];
  const config = { ...tiny, worlds: 1, tasks: 1, modes: ["linear-probe" as const] };
  for (const seed of seeds) {
    const together = await runStudy({ ...config, seed }, { progress, lab, seedsTogether: seeds });
    const alone = await runStudy({ ...config, seed }, { progress });
    for (const [i, record] of together.entries()) {
      expect(Math.abs(record.studentAccuracy - alone[i].studentAccuracy)).toBeLessThanOrEqual(0.04); // 2 of 50
    }
  }
  const batches = events.filter(({ stage }) => stage === "w2sg/pretrain-together");
  expect(batches.map(({ cached }) => cached)).toEqual([false, false, false, true, true, true]);
});

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, defineStage, type Random } from "outgrow";
import { z } from "zod";
import { arms, type Config, schema } from "./fields.js";
import { labelsOf } from "./labels.js";
import { linearOutputs, trainLinear } from "./linear.js";
import { bestBy, follow, labelsFor, type Point, type Sets, type Taught, teach } from "./students.js";
import { firstSamples, kappaOf, PatchWorld, withNoiseTimes } from "./world.js";

/** What a run of one student comes to. */
export interface Outcome {
  weak: Taught["weakAccuracy"];
  linear: Taught["linearAccuracy"];
  warnings: string[];
  points: Point[];
}

export interface ScarceOutcome extends Outcome {
  noise: number;
  samples: number;
  kappa: number;
  labels: "weak labels" | "truth";
}

type Size = Pick<Config["abundant"], "filters" | "learningRate" | "steps" | "every">;

/** Trains a student on one kind of labels of samples that the weak model has seen none of. */
async function studentOf(
  kind: "weak labels" | "truth" | "random flips",
  { sets, taught, signals }: { sets: Sets; taught: Taught; signals: Float32Array },
  {
    random,
    ...training
  }: Size & { startScale: number; random: Random; batchSize?: number; signal: AbortSignal },
): Promise<Outcome> {
  const of = (part: "student" | "validation") => {
    const weakLabels = part === "student" ? taught.labels : labelsOf(linearOutputs(taught.weak, sets[part]));
    return labelsFor(kind, weakLabels, sets[part], random.stream("flips", part));
  };
  const points = await follow(sets, of("student"), of("validation"), signals, {
    ...training,
    // The study's seeds share the cores.
    threads: 1,
    random: random.stream("network"),
  });
  return { weak: taught.weakAccuracy, linear: taught.linearAccuracy, warnings: taught.warnings, points };
}

const shared = schema.pick({
  seed: true,
  shares: true,
  startScale: true,
  weak: true,
  test: true,
  validation: true,
});

const kinds = ["weak labels", "truth"] as const;

/** E1: students of few samples with much noise, on weak labels, and up to a number of samples on true ones. */
export const scarceStage = defineStage({
  name: "linear-to-nonlinear/scarce",
  version: 1,
  code: import.meta.url,
  config: shared.extend({ scarce: schema.shape.scarce }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const { shares, startScale, weak: weakly, scarce } = config;
    const { size, noises, filters, learningRate, steps, every } = scarce;
    const random = createRandom(config.seed).stream("linear-to-nonlinear");
    const world = new PatchWorld({ size, shares, noise: 1 }, random.stream("scarce"));
    const drawn = {
      weak: world.sample(weakly.samples, "weak"),
      student: world.sample(Math.max(...scarce.samples), "student"),
      validation: world.sample(config.validation, "validation"),
      test: world.sample(config.test, "test"),
    };
    const outcomes: ScarceOutcome[] = [];
    const work = scarce.samples.reduce((sum, samples) => sum + samples ** 2, 0) * noises.length;
    let done = 0;
    for (const noise of noises) {
      const [labelled, all, validation, test] = [drawn.weak, drawn.student, drawn.validation, drawn.test].map(
        (samples) => withNoiseTimes(samples, noise),
      );
      const weak = await trainLinear(labelled, labelled.truth, weakly);
      for (const samples of scarce.samples) {
        const sets = { student: firstSamples(all, samples), validation, test };
        const taught = await teach(weak, sets, weakly);
        const kappa = kappaOf(samples, shares.both, 1, noise, size);
        const given = { sets, taught, signals: world.signals };
        const training = { filters, learningRate, steps, every, startScale, signal };
        for (const labels of samples <= scarce.ceilingsUpTo ? kinds : kinds.slice(0, 1)) {
          const outcome = await studentOf(labels, given, {
            ...training,
            random: random.stream("scarce", samples),
          });
          outcomes.push({ ...outcome, noise, samples, kappa, labels });
        }
        done += samples ** 2;
        progress(done / work, `${samples} samples, noise ${noise}`);
      }
    }
    await writeFile(join(folder, "outcomes.json"), JSON.stringify(outcomes));
  },
});

/** E2, and E3 with other shares: one student of many samples with little noise. */
export const abundantStage = defineStage({
  name: "linear-to-nonlinear/abundant",
  version: 1,
  code: import.meta.url,
  config: shared.extend({
    abundant: schema.shape.abundant,
    arm: z.enum(arms),
    batchSize: z.int().min(1).nullable(),
  }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const { shares, startScale, weak: weakly, abundant, arm, batchSize } = config;
    const { size, noise, samples, ...training } = abundant;
    const random = createRandom(config.seed).stream("linear-to-nonlinear");
    const world = new PatchWorld({ size, shares, noise }, random.stream("abundant"));
    const labelled = world.sample(weakly.samples, "weak");
    const sets = {
      student: world.sample(samples, "student"),
      validation: world.sample(config.validation, "validation"),
      test: world.sample(config.test, "test"),
    };
    const taught = await teach(await trainLinear(labelled, labelled.truth, weakly), sets, weakly);
    const outcome = await studentOf(
      arm === "truth" || arm === "random flips" ? arm : "weak labels",
      { sets, taught, signals: world.signals },
      {
        ...training,
        ...(batchSize !== null && { batchSize }),
        startScale,
        signal,
        random: random.stream("abundant network"),
      },
    );
    progress(1);
    await writeFile(join(folder, "outcome.json"), JSON.stringify(outcome));
    await writeFile(join(folder, "curve.csv"), curveCsv(outcome.points));
  },
});

/** A line for each measurement, with a header. */
export function curveCsv(points: readonly Point[]): string {
  const flat = points.map(
    ({ test, ...rest }): Record<string, number | null> => ({
      ...rest,
      ...Object.fromEntries(Object.entries(test).map(([type, value]) => [`test_${type}`, value])),
    }),
  );
  return [Object.keys(flat[0]), ...flat.map(Object.values)].map((cells) => `${cells.join(",")}\n`).join("");
}

/** The measures of a run, cut at a step. */
export function summaryOf({ weak, linear, points }: Outcome, hardSamples: number, until = Infinity) {
  const seen = points.filter(({ step }) => step <= until);
  const last = seen[seen.length - 1];
  const best = bestBy(seen, ({ validation }) => validation);
  const stopped = bestBy(seen, ({ validationLoss }) => -validationLoss);
  const inErrors = (accuracy: number | null) =>
    accuracy === null ? null : (accuracy - 0.5) / Math.sqrt(0.25 / hardSamples);
  return {
    steps: last.step,
    weak: weak.all,
    weakHard: weak.hard,
    weakDeviation: inErrors(weak.hard),
    linear: linear.all,
    linearDeviation: inErrors(linear.hard),
    final: last.test.all,
    finalEasy: last.test.easy,
    finalHard: last.test.hard,
    finalBoth: last.test.both,
    fit: last.fit,
    best: best.test.all,
    bestHard: best.test.hard,
    bestStep: best.step,
    corrected: best.corrected,
    missed: best.missed,
    stopped: stopped.test.all,
    stoppedStep: stopped.step,
  };
}

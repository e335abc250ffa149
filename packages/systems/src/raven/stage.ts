import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { argmaxRows, createRandom, defineStage, oneHot, type Random, type SoftLabels } from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { trainRaven } from "./method.js";
import { WeakModels } from "./weak-models.js";
import { CLASSES, type ShiftedExamples, ShiftWorld, STRONG } from "./world.js";

/** How the environments of the weak models differ from the target's. */
export const conditions = {
  "random, 5": { models: 5, agreement: [-0.6, 0.95] },
  "random, 3": { models: 3, agreement: [-0.6, 0.95] },
  "equal quality": { models: 3, agreement: [0.15, 0.4] },
  "colluding majority": { models: 3, agreement: [0.9, 0.9] },
  "in distribution": { models: 3, agreement: [1, 1] },
} as const;
export type Condition = keyof typeof conditions;

export const lessons = [
  "naive",
  "equal weights",
  "raven",
  "raven, slow",
  "raven, fast",
  "no easy start",
  "no easy start, fast",
  "easy start alone",
  "one model",
  "copies of one",
  "truth",
] as const;
export type Lesson = (typeof lessons)[number];

export const ravenSchema = z.strictObject({
  seed: z.int().min(0).default(0),
  /** Examples of each weak model's environment. */
  source: count.default(1500),
  /** Examples of the target: 70 % to learn from, 20 % to test on. */
  target: count.default(4000),
  epochs: count.default(30),
  batchSize: count.default(64),
  learningRate: z.number().positive().default(3e-3),
  easyShare: z.number().min(0).max(1).default(0.3),
  /** Of the weights: slow, default and fast. */
  weightRates: z.array(z.number().min(0)).length(3).default([3e-4, 2e-3, 2e-2]),
});

export interface Row extends Record<string, string | number | boolean | null> {
  condition: Condition;
  lesson: Lesson;
  accuracy: number;
  /** Over the weak models: mean and best. */
  weakAccuracy: number;
  bestWeakAccuracy: number;
  /** Rank correlation of the final weights with the weak models' accuracies. */
  rankCorrelation: number | null;
  /** Whether the greatest weight is the best weak model's. */
  findsBest: number | null;
  /** Greatest of the final weights. */
  greatestWeight: number | null;
  collapsedAt: number | null;
  /** Share of examples on which all weak models agree. */
  easyShare: number;
}

export const ravenStage = defineStage({
  name: "raven/students",
  version: 1,
  code: import.meta.url,
  config: ravenSchema,
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const random = createRandom(config.seed).stream("raven");
    const world = new ShiftWorld(random.stream("world"));
    const target = world.draw(config.target, world.target, random.stream("target"));
    const names = Object.keys(conditions) as Condition[];
    const sources = names.flatMap((name) => {
      const { models, agreement } = conditions[name];
      return Array.from({ length: models }, (_, m): ShiftedExamples => {
        const own = random.stream("source", name, m);
        const [low, high] = agreement;
        const environment =
          low === 1
            ? world.target
            : world.environment(low + (high - low) * own.uniform(), own.stream("environment"));
        return world.draw(config.source, environment, own.stream("examples"));
      });
    });
    const labelled = await shared("weak models", () => new WeakModels()).label(
      sources,
      target,
      random.stream("weak"),
      signal,
    );
    progress(0.2, "weak models");
    const rows: Row[] = [];
    let first = 0;
    for (const [i, name] of names.entries()) {
      const weak = labelled.slice(first, first + conditions[name].models);
      first += weak.length;
      const own = name === "colluding majority" ? [weak[0], ...weak.slice(1).map(inCircles)] : weak;
      rows.push(...students(name, own, target, config, random.stream("students", name), signal));
      progress(0.2 + (0.8 * (i + 1)) / names.length, name);
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

/** A wrong rule that is as easy to learn as the right one: classes 0, 1 and 2 change places. */
function inCircles({ values, shape }: SoftLabels): SoftLabels {
  const moved = values.slice();
  for (let at = 0; at < values.length; at += CLASSES) {
    for (let k = 0; k < 3; k++) moved[at + ((k + 1) % 3)] = values[at + k];
  }
  return { values: moved, shape };
}

function students(
  condition: Condition,
  weak: readonly SoftLabels[],
  target: ShiftedExamples,
  config: z.output<typeof ravenSchema>,
  random: Random,
  signal: AbortSignal,
): Row[] {
  const training = Math.floor(0.7 * config.target);
  const firstTest = Math.floor(0.8 * config.target);
  const features = target.strong.subarray(0, training * STRONG);
  const testFeatures = target.strong.subarray(firstTest * STRONG);
  const truth = target.labels.subarray(firstTest);
  const accuracy = (predicted: Int32Array) =>
    predicted.reduce((sum, k, i) => sum + Number(k === truth[i]), 0) / truth.length;
  const part = ({ values }: SoftLabels): SoftLabels => ({
    values: values.subarray(0, training * CLASSES),
    shape: [training, CLASSES],
  });
  const accuracies = weak.map(({ values }) =>
    accuracy(argmaxRows(values.subarray(firstTest * CLASSES), CLASSES)),
  );
  const best = Math.max(...accuracies);
  const learn = (labels: readonly SoftLabels[], options: { weightRate: number; easyShare: number }) => {
    const { epochs, batchSize, learningRate } = config;
    // All students see the examples in the same order.
    return trainRaven(
      { features, width: STRONG, weak: labels },
      { random: random.stream("order"), epochs, batchSize, learningRate, signal, ...options },
    );
  };
  const all = weak.map(part);
  const [slow, usual, fast] = config.weightRates;
  const { easyShare } = config;
  const plain = { weightRate: 0, easyShare: 0 };
  const row = (lesson: Lesson, student: ReturnType<typeof learn>, mean?: number): Row => {
    const isWeighed = student.weights.length > 1 && lesson !== "copies of one";
    return {
      condition,
      lesson,
      accuracy: mean ?? accuracy(student.predict(testFeatures)),
      weakAccuracy: accuracies.reduce((a, b) => a + b, 0) / weak.length,
      bestWeakAccuracy: best,
      rankCorrelation: isWeighed ? spearman(student.weights, accuracies) : null,
      findsBest: isWeighed
        ? Number(accuracies[student.weights.indexOf(Math.max(...student.weights))] === best)
        : null,
      greatestWeight: isWeighed ? Math.max(...student.weights) : null,
      collapsedAt: student.collapsedAt ?? null,
      easyShare: student.easy / training,
    };
  };
  const naive = all.map((labels) => learn([labels], plain));
  const meanNaive =
    naive.reduce((sum, student) => sum + accuracy(student.predict(testFeatures)), 0) / naive.length;
  return [
    row("naive", naive[0], meanNaive),
    row("equal weights", learn(all, plain)),
    row("raven", learn(all, { weightRate: usual, easyShare })),
    row("raven, slow", learn(all, { weightRate: slow, easyShare })),
    row("raven, fast", learn(all, { weightRate: fast, easyShare })),
    row("no easy start", learn(all, { weightRate: usual, easyShare: 0 })),
    row("no easy start, fast", learn(all, { weightRate: fast, easyShare: 0 })),
    row("easy start alone", learn(all, { weightRate: 0, easyShare })),
    row("one model", naive[0]),
    row("copies of one", learn([all[0], all[0], all[0]], { weightRate: usual, easyShare })),
    row("truth", learn([oneHot(target.labels.slice(0, training), CLASSES)], plain)),
  ];
}

/** Spearman's rank correlation without ties; null where all values of one are equal. */
export function spearman(a: readonly number[], b: readonly number[]): number | null {
  const ranks = (values: readonly number[]) =>
    values.map((value) => {
      const below = values.filter((other) => other < value).length;
      const same = values.filter((other) => other === value).length;
      return below + (same - 1) / 2;
    });
  const [x, y] = [ranks(a), ranks(b)];
  const middle = (a.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  x.forEach((rank, i) => {
    xy += (rank - middle) * (y[i] - middle);
    xx += (rank - middle) ** 2;
    yy += (y[i] - middle) ** 2;
  });
  return xx === 0 || yy === 0 ? null : xy / Math.sqrt(xx * yy);
}

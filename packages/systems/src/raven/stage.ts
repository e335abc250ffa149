import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  argmaxRows,
  createRandom,
  defineStage,
  easyExamples,
  oneHot,
  type Random,
  type SoftLabels,
  type StageContext,
} from "outgrow";
import type { z } from "zod";
import { trainEvidential } from "./evidential.js";
import { ravenSchema } from "./fields.js";
import { trainRaven } from "./method.js";
import { type Condition, conditions, type Lesson, type Row, sizes, spearman } from "./rows.js";
import { type Probe, ProbeTraining, type TrainedProbe } from "./students.js";
import { WeakModels } from "./weak-models.js";
import { CLASSES, type ShiftedExamples, ShiftWorld, STRONG } from "./world.js";

const [LEAST_AGREEMENT, MOST_AGREEMENT] = conditions["random, 5"].agreement;

const studentsSchema = ravenSchema.omit({ parts: true, preferences: true });
type Config = z.output<typeof studentsSchema>;

export const ravenStage = defineStage({
  name: "raven/students",
  version: 3,
  code: import.meta.url,
  config: studentsSchema,
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const random = createRandom(config.seed).stream("raven");
    const world = new ShiftWorld(random.stream("world"));
    const target = world.draw(config.target, world.target, random.stream("target"));
    const names = Object.keys(conditions) as (keyof typeof conditions)[];
    const source = (name: string, m: number, low: number, high: number): ShiftedExamples => {
      const own = random.stream("source", name, m);
      const environment =
        low === 1
          ? world.target
          : world.environment(low + (high - low) * own.uniform(), own.stream("environment"));
      return world.draw(config.source, environment, own.stream("examples"));
    };
    const sources = names.flatMap((name) => {
      const { models, agreement } = conditions[name];
      return Array.from({ length: models }, (_, m) => source(name, m, agreement[0], agreement[1]));
    });
    const pool = sizes.map((_, m) => source("of 6", m, LEAST_AGREEMENT, MOST_AGREEMENT));
    const labelled = await shared("weak models", () => new WeakModels()).label(
      [...sources, ...pool],
      target,
      random.stream("weak"),
      signal,
    );
    progress(0.3, "weak models");
    const groups = new Map<Condition, readonly SoftLabels[]>();
    let first = 0;
    for (const name of names) {
      const weak = labelled.slice(first, first + conditions[name].models);
      first += weak.length;
      groups.set(name, name === "colluding majority" ? [weak[0], ...weak.slice(1).map(inCircles)] : weak);
    }
    for (const size of sizes) groups.set(`first ${size} of 6`, labelled.slice(first, first + size));
    const rows = await students(groups, target, config, { random, shared, signal, progress });
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

interface Taught {
  condition: Condition;
  lesson: Lesson;
  probe: Probe;
}

/** All students that are trained on the weak models' labels, by the numbers of the sets of labels that they share. */
function lessonPlan(
  groups: ReadonlyMap<Condition, readonly SoftLabels[]>,
  truth: SoftLabels,
  { easyShare, weightRates: [slow, usual, fast] }: Config,
): { sets: SoftLabels[]; taught: Taught[] } {
  const sets: SoftLabels[] = [truth];
  const add = (labels: SoftLabels) => sets.push(labels) - 1;
  const taught: Taught[] = [];
  const known = new Map<SoftLabels, number>();
  for (const [condition, weak] of groups) {
    const all = weak.map((labels) => {
      const number = known.get(labels) ?? add(labels);
      known.set(labels, number);
      return number;
    });
    const learn = (lesson: Lesson, probe: Omit<Probe, "sets">, own: readonly number[] = all) =>
      taught.push({ condition, lesson, probe: { sets: own, ...probe } });
    learn("equal weights", {});
    learn("raven", { weightRate: usual, easyShare });
    if (!(condition in conditions)) continue;
    for (const own of all) learn("naive", {}, [own]);
    learn("raven, slow", { weightRate: slow, easyShare });
    learn("raven, fast", { weightRate: fast, easyShare });
    learn("no easy start", { weightRate: usual });
    learn("no easy start, fast", { weightRate: fast });
    learn("easy start alone", { easyShare });
    learn("copies of one", { weightRate: usual, easyShare }, [all[0], add(weak[0]), add(weak[0])]);
    learn("truth", {}, [0]);
    learn("confidence", { own: "confidence" });
    learn("v-sup", { own: "v-sup" });
    learn("ladder", { features: STRONG / 2 });
    learn("easy start of 0.2", { weightRate: usual, easyShare: 0.2 });
    learn("easy start of 0.5", { weightRate: usual, easyShare: 0.5 });
  }
  return { sets, taught };
}

interface Training {
  random: Random;
  shared: StageContext<unknown, unknown>["shared"];
  signal: AbortSignal;
  progress(done: number, detail?: string): void;
}

async function students(
  groups: ReadonlyMap<Condition, readonly SoftLabels[]>,
  target: ShiftedExamples,
  config: Config,
  { random, shared, signal, progress }: Training,
): Promise<Row[]> {
  const training = Math.floor(0.7 * config.target);
  const firstTest = Math.floor(0.8 * config.target);
  const features = target.strong.subarray(0, training * STRONG);
  const testFeatures = target.strong.subarray(firstTest * STRONG);
  const truth = target.labels.subarray(firstTest);
  const accuracyOf = (predicted: Int32Array) =>
    predicted.reduce((sum, k, i) => sum + Number(k === truth[i]), 0) / truth.length;
  const accuracies = new Map(
    [...groups].map(([condition, weak]) => [
      condition,
      weak.map(({ values }) => accuracyOf(argmaxRows(values.subarray(firstTest * CLASSES), CLASSES))),
    ]),
  );
  const part = ({ values }: SoftLabels): SoftLabels => ({
    values: values.subarray(0, training * CLASSES),
    shape: [training, CLASSES],
  });
  const parts = new Map([...groups.values()].flat().map((labels) => [labels, part(labels)]));
  const ofTraining = new Map(
    [...groups].map(([condition, weak]) => [
      condition,
      weak.map((labels) => parts.get(labels) as SoftLabels),
    ]),
  );
  const { seed: _, ...settings } = config;
  // All students see the examples in the same order.
  const train = (name: string, probes: readonly Probe[], sets: readonly SoftLabels[]) => {
    const size = { width: STRONG, classes: CLASSES, sets: sets.length, count: training };
    return shared(
      `raven ${name} ${JSON.stringify(settings)}`,
      () => new ProbeTraining(probes, size, config),
    ).train(features, sets, { random: random.stream("order"), signal, probes });
  };
  const { sets, taught } = lessonPlan(ofTraining, oneHot(target.labels.slice(0, training), CLASSES), config);
  const trained = await train(
    "first",
    taught.map(({ probe }) => probe),
    sets,
  );
  progress(0.8, "students");

  // Weights that stay, from how much equal weights' student is surprised at its end; and the next rung of the ladder.
  const found = (condition: Condition, lesson: Lesson) =>
    trained[taught.findIndex((one) => one.condition === condition && one.lesson === lesson)];
  const second = (Object.keys(conditions) as Condition[]).flatMap((condition): Taught[] => {
    const own = ofTraining.get(condition) as SoftLabels[];
    const numbers = own.map((labels) => sets.indexOf(labels));
    const weights = staticWeights(found(condition, "equal weights").predict(features), own);
    const rung = sets.push(found(condition, "ladder").predict(features)) - 1;
    return [
      { condition, lesson: "static weights", probe: { sets: numbers, weights } },
      { condition, lesson: "ladder", probe: { sets: [rung] } },
    ];
  });
  const after = await train(
    "second",
    second.map(({ probe }) => probe),
    sets,
  );

  const results = [
    ...taught.map((one, i) => ({ ...one, student: trained[i] })).filter(({ lesson }) => lesson !== "ladder"),
    ...second.map((one, i) => ({ ...one, student: after[i] })),
  ];
  const rows: Row[] = [];
  for (const condition of groups.keys()) {
    const ofWeak = accuracies.get(condition) as number[];
    const best = Math.max(...ofWeak);
    const isEasy = easyExamples(ofTraining.get(condition) as SoftLabels[]);
    const agreed = isEasy.reduce((sum, easy) => sum + easy, 0) / training;
    const row = (lesson: Lesson, student: Omit<TrainedProbe, "predict">, accuracy: number): Row => {
      const { weights } = student;
      const isWeighed = weights.length > 1 && lesson !== "copies of one";
      return {
        condition,
        lesson,
        accuracy,
        weakAccuracy: ofWeak.reduce((a, b) => a + b, 0) / ofWeak.length,
        bestWeakAccuracy: best,
        rankCorrelation: isWeighed ? spearman(weights, ofWeak) : null,
        findsBest: isWeighed ? Number(ofWeak[weights.indexOf(Math.max(...weights))] === best) : null,
        greatestWeight: isWeighed ? Math.max(...weights) : null,
        collapsedAt: student.collapsedAt ?? null,
        easyShare: agreed,
      };
    };
    const right = ({ student }: { student: TrainedProbe }) =>
      accuracyOf(argmaxRows(student.predict(testFeatures).values, CLASSES));
    const own = results.filter((one) => one.condition === condition);
    const naive = own.filter(({ lesson }) => lesson === "naive");
    if (naive.length > 0) {
      const each = naive.map(right);
      rows.push(row("naive", naive[0].student, each.reduce((a, b) => a + b, 0) / each.length));
      rows.push(row("one model", naive[0].student, each[0]));
    }
    if (condition in conditions) {
      const given = { features, width: STRONG, weak: ofTraining.get(condition) as SoftLabels[] };
      const { epochs, batchSize, learningRate, easyShare } = config;
      const options = { random: random.stream("order"), signal, epochs, batchSize, learningRate };
      const student = trainRaven(given, {
        ...options,
        easyShare,
        weightRate: batchSize * config.weightRates[1],
        perExample: true,
      });
      const { weights } = student;
      rows.push(row("weights for each example", { weights }, accuracyOf(student.predict(testFeatures))));
      const evidential = trainEvidential(given, options);
      rows.push(row("evidential", { weights: [] }, accuracyOf(evidential.predict(testFeatures))));
    }
    for (const one of own) if (one.lesson !== "naive") rows.push(row(one.lesson, one.student, right(one)));
  }
  return rows;
}

/** In proportion to exp(-CE): by how likely the student finds each weak model's labels on average. */
export function staticWeights({ values }: SoftLabels, weak: readonly SoftLabels[]): number[] {
  const likely = weak.map((labels) => {
    const surprise = labels.values.reduce((sum, y, at) => sum - y * Math.log(Math.max(values[at], 1e-30)), 0);
    return Math.exp(-surprise / labels.shape[0]);
  });
  const sum = likely.reduce((a, b) => a + b, 0);
  return likely.map((value) => value / sum);
}

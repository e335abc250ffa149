import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, defineStage, type Random } from "outgrow";
import type { z } from "zod";
import { ravenSchema } from "./fields.js";
import { type RavenPreferenceOptions, trainRavenPreferences } from "./preferences.js";
import { type OrderedPairs, RewardHeads } from "./reward-heads.js";
import {
  harmlessness,
  type PreferenceCondition,
  type PreferenceLesson,
  preferenceConditions,
  type Row,
  spearman,
} from "./rows.js";
import { CLASSES, type Environment, type ShiftedExamples, ShiftWorld, STRONG, WEAK } from "./world.js";

interface ItemPairs {
  first: ShiftedExamples;
  second: ShiftedExamples;
}

/** Students of weak reward models for pairs of items of the study's world. */
export const preferenceStage = defineStage({
  name: "raven/preferences",
  version: 1,
  code: import.meta.url,
  config: ravenSchema.pick({ seed: true, preferences: true }),
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const { source, target: count } = config.preferences;
    const random = createRandom(config.seed).stream("raven", "preferences");
    const world = new ShiftWorld(random.stream("world"));
    const target = drawPairs(world, count, world.target, random.stream("target"));
    const names = Object.keys(preferenceConditions) as PreferenceCondition[];
    const sources = names.flatMap((name) => {
      const { models, agreement, values } = preferenceConditions[name];
      const [low, high] = agreement;
      return Array.from({ length: models }, (_, m) => {
        const own = random.stream("source", name, m);
        const environment =
          low === 1
            ? world.target
            : world.environment(low + (high - low) * own.uniform(), own.stream("environment"));
        return ordered(drawPairs(world, source, environment, own.stream("pairs")), values);
      });
    });
    const items = new Float32Array(2 * count * WEAK);
    items.set(target.first.weak);
    items.set(target.second.weak, count * WEAK);
    const scored = await shared("reward heads", () => new RewardHeads()).score(
      sources,
      items,
      random.stream("weak"),
      signal,
    );
    progress(0.5, "weak reward models");
    const rewards = scored.map((own) =>
      Float32Array.from({ length: 2 * count }, (_, at) => own[(at % 2) * count + Math.floor(at / 2)]),
    );
    const rows: Row[] = [];
    let before = 0;
    for (const name of names) {
      const weak = rewards.slice(before, before + preferenceConditions[name].models);
      before += weak.length;
      rows.push(...students(name, target, weak, config.preferences, random.stream("order"), signal));
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

/** Pairs of items of two classes. */
function drawPairs(world: ShiftWorld, count: number, environment: Environment, random: Random): ItemPairs {
  const first = world.draw(count, environment, random.stream("first"));
  const other = random.stream("class");
  const labels = first.labels.map((k) => (k + 1 + other.integer(CLASSES - 1)) % CLASSES);
  return { first, second: world.draw(count, environment, random.stream("second"), labels) };
}

function ordered({ first, second }: ItemPairs, values: readonly number[]): OrderedPairs {
  const chosen = first.weak.slice();
  const rejected = second.weak.slice();
  first.labels.forEach((k, i) => {
    if (values[k] > values[second.labels[i]]) return;
    const [from, to] = [i * WEAK, (i + 1) * WEAK];
    chosen.set(second.weak.subarray(from, to), from);
    rejected.set(first.weak.subarray(from, to), from);
  });
  return { chosen, rejected };
}

function students(
  condition: PreferenceCondition,
  { first, second }: ItemPairs,
  weak: readonly Float32Array[],
  config: z.output<typeof ravenSchema>["preferences"],
  random: Random,
  signal: AbortSignal,
): Row[] {
  const count = first.labels.length;
  const training = Math.floor(0.7 * count);
  const firstTest = Math.floor(0.8 * count);
  const isFirst = first.labels.map((k, i) => Number(harmlessness[k] > harmlessness[second.labels[i]]));
  const accuracyOf = (margin: (pair: number) => number) => {
    let right = 0;
    for (let i = firstTest; i < count; i++) right += Number(Number(margin(i) > 0) === isFirst[i]);
    return right / (count - firstTest);
  };
  const accuracies = weak.map((own) => accuracyOf((i) => own[2 * i] - own[2 * i + 1]));
  const features = {
    first: first.strong.subarray(0, training * STRONG),
    second: second.strong.subarray(0, training * STRONG),
    width: STRONG,
  };
  const { epochs, batchSize, learningRate, beta, easyShare, weightRate } = config;
  const train = (own: readonly Float32Array[], options: Partial<RavenPreferenceOptions>) => {
    const student = trainRavenPreferences(
      { ...features, rewards: own.map((rewards) => rewards.subarray(0, 2 * training)) },
      { random, signal, epochs, batchSize, learningRate, beta, easyShare, weightRate, ...options },
    );
    const [a, b] = [student.rewards(first.strong), student.rewards(second.strong)];
    return { ...student, accuracy: accuracyOf((i) => a[i] - b[i]) };
  };
  type Student = ReturnType<typeof train>;
  const row = (lesson: PreferenceLesson, student: Student, accuracy = student.accuracy): Row => {
    const { weights, collapsedAt, easy } = student;
    const isWeighed = weights.length > 1;
    return {
      condition,
      lesson,
      accuracy,
      weakAccuracy: accuracies.reduce((a, b) => a + b, 0) / weak.length,
      bestWeakAccuracy: Math.max(...accuracies),
      rankCorrelation: isWeighed ? spearman(weights, accuracies) : null,
      findsBest: isWeighed
        ? Number(accuracies[weights.indexOf(Math.max(...weights))] === Math.max(...accuracies))
        : null,
      greatestWeight: isWeighed ? Math.max(...weights) : null,
      collapsedAt: collapsedAt ?? null,
      easyShare: easy / training,
    };
  };
  const naive = weak.map((own) => train([own], { easyShare: 0 }));
  const truth = Float32Array.from({ length: 2 * count }, (_, at) =>
    Number(at % 2 !== isFirst[Math.floor(at / 2)]),
  );
  return [
    row("naive", naive[0], naive.reduce((sum, { accuracy }) => sum + accuracy, 0) / naive.length),
    row("equal weights", train(weak, { strength: "fixed", easyShare: 0 })),
    row("equal weights, strengths of margins", train(weak, { weightRate: 0, easyShare: 0 })),
    row("raven", train(weak, {})),
    row("raven, fast", train(weak, { weightRate: 20 * weightRate })),
    row("no easy start", train(weak, { easyShare: 0 })),
    row("truth", train([truth], { easyShare: 0 })),
  ];
}

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  calibrateMatrix,
  createRandom,
  defineStage,
  type Gaps,
  hiddenGroupFairness,
  measuredGaps,
  normalisedError,
  parityGap,
  parityPenalty,
  type Random,
} from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { trainWithPenalty } from "./mitigation.js";
import { type Classifier, Networks, trainLogistic, trainStumps } from "./models.js";
import { type NameConfig, PeopleWorld, peopleWorldSchema } from "./world.js";

/** Names of the worlds. Proxies err as if independent given the group but in those that say otherwise. */
const asymmetric = { accuracy: 0.73, outsidePrior: 0.4, shared: 0, dependence: 0 };
export const worlds = {
  independent: asymmetric,
  weaker: { ...asymmetric, accuracy: 0.63, outsidePrior: 0.48 },
  "errors follow the prediction": { ...asymmetric, dependence: 0.1 },
  "errors oppose the prediction": { ...asymmetric, dependence: -0.1 },
  "shared 0.3": { ...asymmetric, shared: 0.3 },
  "shared 0.6": { ...asymmetric, shared: 0.6 },
  "shared 0.9": { ...asymmetric, shared: 0.9 },
  "near perfect": { ...asymmetric, accuracy: 0.95 },
  perfect: { ...asymmetric, accuracy: 0.9999 },
  "no gap": asymmetric,
} satisfies Record<string, NameConfig>;
export type WorldName = keyof typeof worlds;

export const auditedModels = ["stump", "logistic", "network", "boosted stumps"] as const;
export type AuditedModel = (typeof auditedModels)[number];

export const gapsSchema = z.strictObject({
  seed: z.int().min(0).default(0),
  world: peopleWorldSchema.prefault({}),
  /** Rows that the audited models learn from. */
  training: count.default(4000),
  /** Rows that gaps are estimated from, in the world of independent proxies; the last is that of most other worlds' limits. */
  rows: z.array(count).length(3).default([2000, 5000, 20_000]),
  rounds: count.default(50),
  steps: count.default(1500),
  penalty: z
    .strictObject({
      strengths: z.array(z.number().min(0)).min(1).default([0, 0.5, 1, 2, 5]),
      steps: count.default(300),
      learningRate: z.number().positive().default(0.05),
    })
    .prefault({}),
});
export type GapsConfig = z.output<typeof gapsSchema>;

/** What one model's gaps are in one world, by estimate. */
export interface GapRow extends Record<string, string | number | null> {
  part: "gaps";
  world: WorldName;
  size: "small" | "middle" | "large";
  model: AuditedModel;
  rows: number;
  trueParity: number;
  base: number | null;
  global: number | null;
  local: number | null;
  /** Normalised errors of demographic parity. */
  errorBase: number | null;
  errorSoft: number | null;
  errorGlobal: number | null;
  errorLocal: number | null;
  /** With the true error matrix and prior. */
  errorTrueMatrix: number | null;
  oddsErrorBase: number | null;
  oddsErrorGlobal: number | null;
  oddsErrorLocal: number | null;
  opportunityErrorBase: number | null;
  opportunityErrorGlobal: number | null;
  /** Rate of group 0 less that of group 1, by the calibrated matrix. */
  signedGlobal: number | null;
  /** Mean of |estimated - true| over the entries of the error matrix. */
  matrixError: number;
}

export interface PenaltyRow extends Record<string, string | number | null> {
  part: "penalty";
  penalty: "calibrated" | "of the proxies";
  strength: number;
  accuracy: number;
  trueParity: number;
}

export type Row = GapRow | PenaltyRow;

/** All worlds, sizes and models of one seed. */
export const gapsStage = defineStage({
  name: "weak-proxies/gaps",
  version: 1,
  code: import.meta.url,
  config: gapsSchema,
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const random = createRandom(config.seed).stream("weak-proxies");
    const world = new PeopleWorld(config.world, random.stream("world"));
    const width = config.world.features;
    const training = world.draw(config.training, random.stream("training"));
    const examples = { features: training.features, width, labels: training.outcome };
    const networks = shared("audited networks", () => new Networks(16, 5));
    const models: Record<AuditedModel, Classifier> = {
      stump: trainStumps(examples, 1),
      logistic: trainLogistic(examples),
      network: await networks.train(examples, random.stream("network"), signal),
      "boosted stumps": trainStumps(examples, 30),
    };
    const [small, middle, large] = config.rows;
    const sizes = { small, middle, large };
    const plan: [WorldName, keyof typeof sizes][] = [
      ["independent", "small"],
      ["independent", "middle"],
      ["independent", "large"],
      ["weaker", "middle"],
      ["errors follow the prediction", "large"],
      ["errors oppose the prediction", "large"],
      ["shared 0.3", "middle"],
      ["shared 0.6", "middle"],
      ["shared 0.9", "middle"],
      ["near perfect", "middle"],
      ["perfect", "middle"],
      ["no gap", "large"],
    ];
    const rows: Row[] = [];
    for (const [i, [name, size]] of plan.entries()) {
      const own = random.stream(name, size);
      const people = world.draw(sizes[size], own.stream("people"));
      for (const model of auditedModels) {
        signal.throwIfAborted();
        // Where there is no gap, predictions are dealt out anew among all.
        const given = await models[model](people.features);
        const predicted = name === "no gap" ? shuffled(given, own.stream("shuffle", model)) : given;
        const { columns, probabilities } = world.proxies(
          people,
          predicted,
          worlds[name],
          own.stream("proxies"),
        );
        const given3 = {
          predicted,
          truth: name === "independent" ? people.outcome : undefined,
          columns,
          probabilities,
        };
        rows.push({
          part: "gaps",
          world: name,
          size,
          model,
          rows: sizes[size],
          ...scored(given3, people.group, config, own.stream("estimate", model)),
        });
      }
      progress((i + 1) / (plan.length + 1), name);
    }
    rows.push(...penalties(world, examples, training.group, config, random.stream("penalty")));
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

function shuffled(values: Int32Array, random: Random): Int32Array {
  const order = random.permutation(values.length);
  return Int32Array.from(order, (from) => values[from]);
}

function scored(
  given: { predicted: Int32Array; truth?: Int32Array; columns: Int32Array[]; probabilities: Float32Array },
  group: Int32Array,
  { rounds, steps }: GapsConfig,
  random: Random,
) {
  const { predicted, truth, columns, probabilities } = given;
  const { gaps, errors, matrices } = hiddenGroupFairness(
    { predicted, truth, proxies: columns, probabilities },
    { random, groups: 2, classes: 2, rounds, steps, force: true },
  );
  const target = measuredGaps({ predicted, group, truth }, { groups: 2, classes: 2 });
  const error = (of: Gaps | null, gap: keyof Gaps = "parity") => {
    const [value, true_] = [of?.[gap], target[gap]];
    return value === undefined || true_ === undefined ? null : normalisedError(value, true_);
  };
  const actual = trueErrors(columns, group);
  const joint = new Float64Array(4);
  for (const proxy of columns) {
    proxy.forEach((z, i) => {
      joint[2 * z + predicted[i]] += 1 / (predicted.length * columns.length);
    });
  }
  const withTruth = parityGap(calibrateMatrix(joint, [actual.transition], actual.prior));
  const calibrated = matrices.global?.values;
  return {
    trueParity: target.parity,
    base: gaps.base?.parity ?? null,
    global: gaps.global?.parity ?? null,
    local: gaps.local?.parity ?? null,
    errorBase: error(gaps.base),
    errorSoft: error(gaps.soft),
    errorGlobal: error(gaps.global),
    errorLocal: error(gaps.local),
    errorTrueMatrix: normalisedError(withTruth, target.parity),
    oddsErrorBase: error(gaps.base, "odds"),
    oddsErrorGlobal: error(gaps.global, "odds"),
    oddsErrorLocal: error(gaps.local, "odds"),
    opportunityErrorBase: error(gaps.base, "opportunity"),
    opportunityErrorGlobal: error(gaps.global, "opportunity"),
    signedGlobal: calibrated ? calibrated[1] - calibrated[3] : null,
    matrixError: errors.transition.reduce((sum, p, i) => sum + Math.abs(p - actual.transition[i]), 0) / 4,
  };
}

/** Error rates of all proxies together, by the true group, and the group's shares. */
export function trueErrors(proxies: readonly Int32Array[], group: Int32Array) {
  const transition = new Float64Array(4);
  const members = [0, 0];
  group.forEach((a, i) => {
    members[a]++;
    for (const proxy of proxies) transition[2 * a + proxy[i]]++;
  });
  return {
    transition: transition.map((n, at) => n / (members[at >> 1] * proxies.length)),
    prior: Float64Array.from(members, (n) => n / group.length),
  };
}

/** Models that pay for the gap of the proxies, calibrated or not, measured with the true group on other rows. */
function penalties(
  world: PeopleWorld,
  examples: { features: Float32Array; width: number; labels: Int32Array },
  group: Int32Array,
  config: GapsConfig,
  random: Random,
): PenaltyRow[] {
  const test = world.draw(config.rows[2], random.stream("test"));
  const { columns } = world.proxies(
    { group },
    new Int32Array(group.length),
    worlds.independent,
    random.stream("proxies"),
  );
  const { errors } = hiddenGroupFairness(
    { predicted: examples.labels, proxies: columns },
    { random: random.stream("errors"), rounds: config.rounds, steps: config.steps },
  );
  const kinds = { calibrated: parityPenalty(columns, errors), "of the proxies": parityPenalty(columns) };
  return (["calibrated", "of the proxies"] as const).flatMap((penalty) =>
    config.penalty.strengths.map((strength): PenaltyRow => {
      const predicted = trainWithPenalty(
        examples,
        kinds[penalty],
        strength,
        config.penalty,
      )(test.features) as Int32Array;
      const right = predicted.reduce((sum, k, i) => sum + Number(k === test.outcome[i]), 0);
      const { parity } = measuredGaps({ predicted, group: test.group }, { groups: 2, classes: 2 });
      return { part: "penalty", penalty, strength, accuracy: right / predicted.length, trueParity: parity };
    }),
  );
}

/*
 * Track C of the card: reward models on a ladder of pretrained MLPs learn a hidden utility from pairs, by the Bradley-Terry
 * loss; the strong one from the preferences of a weak one. Each step is kept by the lab.
 */
import { Tensor } from "@outgrow/engine";
import {
  type Backbone,
  defineStage,
  fromStage,
  latentFeatures,
  type Random,
  type SoftLabels,
  type StageContext,
  type StageOutput,
} from "outgrow";
import { z } from "zod";
import { type Pairs, RewardModels, type RewardParams, type RewardRecipe } from "../../deception/method.js";
import { count } from "../fields.js";
import { extractFeatures, finetuneGeneratively } from "../ladder.js";
import {
  modes,
  readPredictions,
  readPretrained,
  recipes,
  worldRandom,
  worldSchema,
  writePredictions,
  writePretrained,
} from "../stages.js";
import { type Comparisons, drawComparisons, drawUtility } from "./pairs.js";

const pairsSchema = worldSchema.extend({
  /** Pairs with truth for the weak model, for the student, and for tests. */
  supervisionPairs: count,
  transferPairs: count,
  testPairs: count,
});
const rewardSchema = pairsSchema.extend({ mode: z.enum(modes) });
type RewardConfig = z.output<typeof rewardSchema>;

/**
 * The strong model after pretraining on the items of the student's pairs, whose preferences it does not see. `dealt-out`: the
 * targets are those of other items, so that they say nothing of the items that they stand beside.
 */
export const generativeStage = defineStage({
  name: "w2sg/generative-finetuning",
  version: 1,
  code: import.meta.url,
  config: pairsSchema.extend({
    epochs: count,
    learningRate: z.number().positive(),
    targets: z.enum(["own", "dealt-out"]),
  }),
  inputs: { backbone: fromStage },
  async run({ config, inputs, folder, signal }) {
    const { random, world, splits } = pairsOf(config);
    const { inputs: items, latents } = splits.transfer;
    const x = stacked(items.first, items.second);
    const { auxiliarySize } = world.config;
    const own = [latents.first, latents.second].map((part) => world.auxiliaryTargets(part));
    const targets = stacked(...own.map((data) => new Tensor(data, [config.transferPairs, auxiliarySize])));
    const given = config.targets === "own" ? targets : permuted(targets, random.stream("dealt out"));
    const start = await readPretrained(inputs.backbone);
    const order = random.stream("generative order");
    await writePretrained(
      folder,
      await finetuneGeneratively(start, { x, targets: given }, config, order, signal),
    );
  },
});

/** A reward model that learns from the truth of the supervisor's pairs, or of the student's: the ceiling. */
export const rewardFromTruthStage = defineStage({
  name: "w2sg/reward-from-truth",
  version: 1,
  code: import.meta.url,
  config: rewardSchema.extend({ pairs: z.enum(["supervision", "transfer"]) }),
  inputs: { backbone: fromStage },
  async run(context) {
    const { pairs } = context.config;
    const desk = await deskOf(context, context.inputs.backbone);
    const { truth } = desk.splits[pairs];
    const params = await desk.train(pairs, Float32Array.from(truth), desk.random.stream("truth", pairs));
    const [transfer, test] = [await desk.prefer(params, "transfer"), await desk.prefer(params, "test")];
    await writePredictions(context.folder, { transfer, test }, desk.splits.test.truth);
  },
});

/** The student: it learns from the soft preferences of a weaker reward model. */
export const rewardFromWeakStage = defineStage({
  name: "w2sg/reward-from-weak",
  version: 1,
  code: import.meta.url,
  config: rewardSchema,
  inputs: { backbone: fromStage, supervisor: fromStage },
  async run(context) {
    const desk = await deskOf(context, context.inputs.backbone);
    const { values } = (await readPredictions(context.inputs.supervisor)).transfer as SoftLabels;
    const preference = Float32Array.from({ length: values.length / 2 }, (_, i) => values[2 * i + 1]);
    // One order for all students, who differ in their model and labels alone.
    const params = await desk.train("transfer", preference, desk.random.stream("student"));
    await writePredictions(context.folder, { test: await desk.prefer(params, "test") });
  },
});

type Split = "supervision" | "transfer" | "test";

/** The world and its pairs, which a configuration alone decides. */
function pairsOf(config: z.output<typeof pairsSchema>) {
  const ofWorld = worldRandom(config);
  const random = ofWorld.stream("reward models");
  const world = latentFeatures.generate(config.world, ofWorld.stream("world"));
  const utility = drawUtility(config.world.latentSize, random.stream("utility"));
  const draw = (split: Split, size: number) => drawComparisons(world, utility, size, random.stream(split));
  const splits: Record<Split, Comparisons> = {
    supervision: draw("supervision", config.supervisionPairs),
    transfer: draw("transfer", config.transferPairs),
    test: draw("test", config.testPairs),
  };
  return { random, world, splits };
}

interface Desk {
  random: Random;
  splits: Record<Split, Comparisons>;
  /** @param preference probability that the first item is preferred: `[pairs]` */
  train(split: Split, preference: Float32Array, random: Random): Promise<RewardParams>;
  /** `[pairs, 2]`: that the second item is preferred, that the first is. */
  prefer(params: RewardParams, split: Split): Promise<SoftLabels>;
}

/** What training a reward model on a backbone needs: it starts with its weights, or looks at its features, and a head of zeros. */
async function deskOf(
  { config, shared, signal }: Pick<StageContext<RewardConfig, unknown>, "config" | "shared" | "signal">,
  output: StageOutput,
): Promise<Desk> {
  const { mode, supervisionPairs, transferPairs, testPairs } = config;
  const { random, splits } = pairsOf(config);
  const { backbone } = await readPretrained(output);
  const recipe: RewardRecipe = { ...recipes[mode], width: backbone.featureSize, payment: 0 };
  const shapes = [supervisionPairs, transferPairs, testPairs, config.world.inputSize].join(" ");
  const models = shared(`w2sg reward models ${mode} ${shapes}`, () => new RewardModels(recipe));
  const views = mode === "linear-probe" ? await featuresOf(backbone, splits) : undefined;
  const view = (split: Split): Pairs => views?.[split] ?? splits[split].inputs;
  const { featureSize } = backbone;
  const start: RewardParams = {
    hidden: mode === "linear-probe" ? [] : (backbone.body as Pick<RewardParams, "hidden">).hidden,
    output: {
      weight: new Tensor(new Float32Array(featureSize), [featureSize, 1]),
      bias: new Tensor(new Float32Array(1)),
    },
  };
  return {
    random: random.stream(mode),
    splits,
    train: (split, preference, order) => models.train({ ...view(split), preference }, order, signal, start),
    async prefer(params, split) {
      const p = await models.preferences(params, view(split));
      return {
        values: Float32Array.from({ length: 2 * p.length }, (_, i) =>
          i % 2 === 1 ? p[i >> 1] : 1 - p[i >> 1],
        ),
        shape: [p.length, 2],
      };
    },
  };
}

async function featuresOf(backbone: Backbone, splits: Record<Split, Comparisons>) {
  const names = Object.keys(splits) as Split[];
  const inputs = names.flatMap((name) => [splits[name].inputs.first, splits[name].inputs.second]);
  const features = await extractFeatures(backbone, inputs);
  const pairs = names.map((name, i) => [name, { first: features[2 * i], second: features[2 * i + 1] }]);
  return Object.fromEntries(pairs) as Record<Split, Pairs>;
}

function stacked(...parts: Tensor[]): Tensor {
  const columns = parts[0].shape[1];
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data as Float32Array, at);
    at += part.data.length;
  }
  return new Tensor(data, [data.length / columns, columns]);
}

function permuted({ data, shape: [rows, columns] }: Tensor, random: Random): Tensor {
  const out = new Float32Array(data.length);
  random.permutation(rows).forEach((from, to) => {
    out.set((data as Float32Array).subarray(from * columns, (from + 1) * columns), to * columns);
  });
  return new Tensor(out, [rows, columns]);
}

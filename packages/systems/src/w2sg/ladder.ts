import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  type Backbone,
  type Columns,
  compileRows,
  createTrainer,
  type FitManyOptions,
  type FitOptions,
  initMlp,
  type LatentFeaturesWorld,
  type LinearParams,
  type MlpParams,
  mlpFeatures,
  type Random,
} from "outgrow";

/** A rung of the ladder of pretrained models. */
export interface Rung {
  /** Width of both hidden layers. */
  width: number;
  /** Unlabelled examples for pretraining, and passes over them. */
  samples: number;
  epochs: number;
}

/** The card's ladder (track A): about 0.9, 2.6, 11 and 93 thousand parameters. */
export const ladderDefaults: readonly Rung[] = [
  { width: 8, samples: 3_000, epochs: 15 },
  { width: 20, samples: 10_000, epochs: 10 },
  { width: 64, samples: 40_000, epochs: 8 },
  { width: 256, samples: 100_000, epochs: 4 },
];

/** Card, track A: Adam 3e-3 with a cosine schedule, batches of 128. */
export const pretraining = { learningRate: 3e-3, batchSize: 128 };

export const rungName = (width: number): string => `MLP ${width}`;

const config = ({ inputSize, auxiliarySize }: LatentFeaturesWorld["config"], width: number) => ({
  inputSize,
  hidden: [width, width],
  outputSize: auxiliarySize,
});

/** The rung before any training, for the control that shows what pretraining brings. */
export function randomBackbone(world: LatentFeaturesWorld, width: number, random: Random): Backbone {
  const { hidden } = initMlp(config(world.config, width), random);
  return asBackbone(`${rungName(width)} random`, { hidden }, width);
}

function auxiliaryData(world: LatentFeaturesWorld, samples: number, random: Random) {
  const { latents, inputs } = world.inputs(samples, random.stream("inputs"));
  return {
    x: new Tensor(inputs, [samples, world.config.inputSize]),
    targets: new Tensor(world.auxiliaryTargets(latents), [samples, world.config.auxiliarySize]),
  };
}

const pretrainer = (width: number, params: MlpParams<Tensor>, columns: Columns) =>
  createTrainer<MlpParams<Tensor>, MlpParams<JaxArray>>({
    name: `pretraining ${rungName(width)}`,
    params,
    columns,
    batchSize: pretraining.batchSize,
    loss: (traced, batch) => {
      const error = applyMlp(traced, batch.x).sub(batch.targets);
      return error.mul(error).mean();
    },
  });

/** A backbone with the layer `[width, auxiliarySize]` that read the auxiliary targets from it: what pretraining goes on from. */
export interface Pretrained {
  backbone: Backbone;
  output: LinearParams<Tensor>;
}

/** Regresses the world's auxiliary targets, never a task, by mean squared error. */
export async function pretrain(
  world: LatentFeaturesWorld,
  { width, samples, epochs }: Rung,
  random: Random,
  fit: Pick<FitOptions, "onStep" | "signal" | "checkpoint"> = {},
): Promise<Pretrained> {
  const columns = auxiliaryData(world, samples, random);
  const params = initMlp(config(world.config, width), random.stream("init"));
  const trainer = await pretrainer(width, params, columns);
  const { learningRate } = pretraining;
  const result = await trainer
    .fit(params, columns, { epochs, learningRate, random: random.stream("order"), ...fit })
    .finally(() => trainer.dispose());
  return pretrained(result.params, width);
}

/** As {@link pretrain}, of one world for each stream of random numbers, as one batched training. */
export async function pretrainTogether(
  worlds: readonly LatentFeaturesWorld[],
  { width, samples, epochs }: Rung,
  randoms: readonly Random[],
  fit: Pick<FitManyOptions, "onStep" | "signal"> = {},
): Promise<Pretrained[]> {
  const columns = worlds.map((world, i) => auxiliaryData(world, samples, randoms[i]));
  const params = worlds.map((world, i) => initMlp(config(world.config, width), randoms[i].stream("init")));
  const trainer = await pretrainer(width, params[0], columns[0]);
  const { learningRate } = pretraining;
  const orders = randoms.map((random) => random.stream("order"));
  const results = await trainer
    .fitMany(params, columns, { epochs, learningRate, randoms: orders, ...fit })
    .finally(() => trainer.dispose());
  return results.map((result) => pretrained(result.params, width));
}

/**
 * Generative finetuning (section 4.4 of the paper): pretraining goes on with the inputs `x` `[n, inputSize]` of a task and their
 * auxiliary `targets` `[n, auxiliarySize]`, which tell nothing of its labels.
 */
export async function finetuneGeneratively(
  { backbone, output }: Pretrained,
  columns: { x: Tensor; targets: Tensor },
  { epochs, learningRate }: { epochs: number; learningRate: number },
  random: Random,
  signal?: AbortSignal,
): Promise<Pretrained> {
  const params: MlpParams<Tensor> = { hidden: (backbone.body as Hidden<Tensor>).hidden, output };
  const trainer = await pretrainer(backbone.featureSize, params, columns);
  const result = await trainer
    .fit(params, columns, { epochs, learningRate, random, signal })
    .finally(() => trainer.dispose());
  return pretrained(result.params, backbone.featureSize);
}

const pretrained = ({ hidden, output }: MlpParams<Tensor>, width: number): Pretrained => ({
  backbone: asBackbone(rungName(width), { hidden }, width),
  output,
});

/** A backbone from its name and its body, as they were saved. */
export function restoreBackbone(name: string, body: object): Backbone {
  const { hidden } = body as Hidden<Tensor>;
  return asBackbone(name, { hidden }, hidden[hidden.length - 1].bias.shape[0]);
}

type Hidden<Leaf> = Pick<MlpParams<Leaf>, "hidden">;

function asBackbone(name: string, body: Hidden<Tensor>, width: number): Backbone {
  return {
    name,
    body,
    featureSize: width,
    features: (traced: Hidden<JaxArray>, { x }) => mlpFeatures(traced, x),
  };
}

/** The backbone's features of inputs `[n, inputSize]`, for linear probes. */
export async function extractFeatures(backbone: Backbone, inputs: readonly Tensor[]): Promise<Tensor[]> {
  const extract = await compileRows(
    `${backbone.name} features`,
    (body: never, batch) => backbone.features(body, batch),
    backbone.body as never,
    { x: inputs[0] },
  );
  const features: Tensor[] = [];
  for (const x of inputs) features.push(await extract(backbone.body as never, { x }));
  await extract.dispose();
  return features;
}

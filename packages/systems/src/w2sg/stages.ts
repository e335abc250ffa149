/*
 * The study's steps of work, each kept by the lab. What they draw from is a function of the seed and of names alone, so a
 * stage gives the same bits whichever stages ran before it in the process.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import {
  type Backbone,
  createRandom,
  defineStage,
  encodeSafetensors,
  featureBackbone,
  fromStage,
  type LatentFeaturesWorld,
  latentFeatures,
  latentFeaturesSchema,
  type MlpParams,
  methodNamed,
  namedTensors,
  type Random,
  type SoftLabels,
  type StageContext,
  type StageOutput,
  treeOfTensors,
} from "outgrow";
import { z } from "zod";
import { count } from "./fields.js";
import {
  extractFeatures,
  type Pretrained,
  pretrain,
  pretrainTogether,
  randomBackbone,
  restoreBackbone,
} from "./ladder.js";
import { type Participant, type Recipe, type Truth, Workshop } from "./method.js";

export const rungSchema = z.strictObject({ width: count, samples: count, epochs: count });
export const modes = ["linear-probe", "full-finetune"] as const;
export type Mode = (typeof modes)[number];

/** Card: linear probe Adam 1e-2, 6 epochs, batch 128; full finetune 5e-4, 3 epochs, batch 32; cosine to 0. */
export const recipes: Record<Mode, Recipe> = {
  "linear-probe": { epochs: 6, batchSize: 128, learningRate: 1e-2, schedule: {} },
  "full-finetune": { epochs: 3, batchSize: 32, learningRate: 5e-4, schedule: {} },
};

export const worldSchema = z.strictObject({
  seed: z.int().min(0),
  /** Which of the seed's worlds. */
  index: z.int().min(0),
  world: latentFeaturesSchema,
});

export const taskSchema = worldSchema.extend({
  task: z.int().min(0),
  mode: z.enum(modes),
  supervisionSize: count,
  transferSize: count,
  testSize: count,
});
export type TaskConfig = z.output<typeof taskSchema>;

const backboneFile = "backbone.safetensors";
const predictionsFile = "predictions.safetensors";

/** A rung of the ladder, pretrained on a world. */
export const pretrainStage = defineStage({
  name: "w2sg/pretrain",
  version: 1,
  code: import.meta.url,
  config: worldSchema.extend({ rung: rungSchema }),
  inputs: {},
  async run({ config, folder, signal, progress, metrics, checkpoint }) {
    const random = worldRandom(config);
    const world = latentFeatures.generate(config.world, random.stream("world"));
    const { rung } = config;
    const pretrained = await pretrain(world, rung, random.stream("pretrain", rung.width), {
      signal,
      checkpoint: await checkpoint("pretraining"),
      onStep: ({ step, totalSteps, loss }) => {
        progress(step / totalSteps, `loss ${loss.toFixed(3)}`);
        if (step % Math.ceil(totalSteps / pointsOfCurve) === 0) metrics(step, { loss });
      },
    });
    await writePretrained(folder, pretrained);
  },
});

/** A rung of the ladder, pretrained at once on worlds that differ in their seed alone. */
export const pretrainTogetherStage = defineStage({
  name: "w2sg/pretrain-together",
  version: 1,
  code: import.meta.url,
  config: worldSchema
    .omit({ seed: true })
    .extend({ seeds: z.array(z.int().min(0)).min(2), rung: rungSchema }),
  inputs: {},
  async run({ config: { seeds, ...config }, folder, signal, progress }) {
    const randoms = seeds.map((seed) => worldRandom({ seed, index: config.index }));
    const worlds = randoms.map((random) => latentFeatures.generate(config.world, random.stream("world")));
    const { rung } = config;
    const streams = randoms.map((random) => random.stream("pretrain", rung.width));
    const all = await pretrainTogether(worlds, rung, streams, {
      signal,
      onStep: ({ step, totalSteps }) => progress(step / totalSteps),
    });
    for (const [i, pretrained] of all.entries())
      await writePretrained(folder, pretrained, `${seeds[i]}.safetensors`);
  },
});

/** The model of one seed, out of those that were pretrained together. */
export const oneOfTogetherStage = defineStage({
  name: "w2sg/one-of-together",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ seed: z.int().min(0) }),
  inputs: { together: fromStage },
  async run({ config: { seed }, inputs, folder }) {
    await writeFile(join(folder, backboneFile), await inputs.together.read(`${seed}.safetensors`));
  },
});

/** More points in a curve cannot be told apart. */
const pointsOfCurve = 200;

/** The student before any training. */
export const untrainedStage = defineStage({
  name: "w2sg/untrained",
  version: 1,
  code: import.meta.url,
  config: worldSchema.extend({ width: count }),
  inputs: {},
  async run({ config, folder }) {
    const random = worldRandom(config);
    const world = latentFeatures.generate(config.world, random.stream("world"));
    await writeBackbone(folder, randomBackbone(world, config.width, random.stream("random init")));
  },
});

/** A small model that learns a task from the truth: its labels of the student's examples and of the tests. */
export const supervisorStage = defineStage({
  name: "w2sg/supervisor",
  version: 1,
  code: import.meta.url,
  config: taskSchema,
  inputs: { backbone: fromStage },
  async run(context) {
    const { workshop, participant, truth, random } = await seat(context, context.inputs.backbone);
    const own = random.stream("supervisor", participant.backbone.name);
    const { test, weakLabels } = await workshop.trainSupervisor(participant, truth, own, context.signal);
    await writePredictions(context.folder, { test, transfer: weakLabels.labels });
  },
});

/** The student trained on the truth, and the truth of the tests. */
export const ceilingStage = defineStage({
  name: "w2sg/ceiling",
  version: 1,
  code: import.meta.url,
  config: taskSchema,
  inputs: { backbone: fromStage },
  async run(context) {
    const { workshop, participant, truth, random } = await seat(context, context.inputs.backbone);
    const { test } = await workshop.trainCeiling(
      participant,
      truth,
      random.stream("ceiling"),
      context.signal,
    );
    await writePredictions(context.folder, { test }, truth.test);
  },
});

/** A student that learns from a supervisor's labels. */
export const studentStage = defineStage({
  name: "w2sg/student",
  version: 1,
  code: import.meta.url,
  config: taskSchema.extend({
    method: z.string(),
    /** Name of the supervisor: one order of examples for all its students, who differ in the method alone. */
    weak: z.string(),
  }),
  inputs: { backbone: fromStage, supervisor: fromStage },
  async run(context) {
    const { config, inputs } = context;
    const { workshop, participant, random } = await seat(context, inputs.backbone);
    const { transfer } = await readPredictions(inputs.supervisor);
    const weakLabels = { labels: transfer as SoftLabels, source: config.weak };
    const order = random.stream("student", config.weak);
    const method = methodNamed(config.method);
    const { test } = await workshop.trainStudent(participant, weakLabels, method, order, context.signal);
    await writePredictions(context.folder, { test });
  },
});

export const worldRandom = ({ seed, index }: { seed: number; index: number }): Random =>
  createRandom(seed).stream("world", index);

const writeBackbone = (folder: string, { body, name }: Backbone, file = backboneFile) =>
  writeFile(
    join(folder, file),
    encodeSafetensors(Object.fromEntries(namedTensors(body as object)), { name }),
  );

/** As a backbone's file, with the layer that pretraining needs to go on. */
export const writePretrained = (folder: string, { backbone, output }: Pretrained, file?: string) =>
  writeBackbone(folder, { ...backbone, body: { ...(backbone.body as object), output } }, file);

/** A model that was pretrained, with the layer to go on from. */
export async function readPretrained(stage: StageOutput): Promise<Pretrained> {
  const { tensors, metadata } = await stage.tensors(backboneFile);
  const body = treeOfTensors(tensors) as Pick<MlpParams<Tensor>, "output">;
  return { backbone: restoreBackbone(metadata.name, body), output: body.output };
}

export async function writePredictions(
  folder: string,
  predictions: Record<string, SoftLabels>,
  truth?: Int32Array,
): Promise<void> {
  const tensors = Object.entries(predictions).map(([name, { values, shape }]) => [
    name,
    new Tensor(values, shape),
  ]);
  const named = { ...Object.fromEntries(tensors), ...(truth ? { truth: new Tensor(truth) } : {}) };
  await writeFile(join(folder, predictionsFile), encodeSafetensors(named));
}

/** Class probabilities `[n, classes]` of a supervisor, student or ceiling, and the truth `[n]` of a ceiling's tests. */
export async function readPredictions(
  output: StageOutput,
): Promise<{ test: SoftLabels; transfer?: SoftLabels; truth?: Int32Array }> {
  const { test, transfer, truth } = (await output.tensors(predictionsFile)).tensors;
  const labels = ({ data, shape }: Tensor): SoftLabels => ({
    values: data as Float32Array,
    shape: [shape[0], shape[1]],
  });
  return {
    test: labels(test),
    ...(transfer ? { transfer: labels(transfer) } : {}),
    ...(truth ? { truth: truth.data as Int32Array } : {}),
  };
}

interface Seat {
  workshop: Workshop;
  participant: Participant;
  truth: Truth;
  /** Of the task and mode. */
  random: Random;
  /** The first input of each of the student's examples: `[transfer]`. */
  shallow: Float32Array;
}

/** All that a training of a task needs. */
export async function seat(
  { config, shared }: Pick<StageContext<TaskConfig, unknown>, "config" | "shared">,
  backbone: StageOutput,
): Promise<Seat> {
  const { task, mode } = config;
  const bench = shared("w2sg bench", () => new Bench()).of(config);
  const taskRandom = bench.random.stream("task", task);
  const { label } = bench.world.task(taskRandom.stream("direction"));
  return {
    workshop: shared(`w2sg workshop ${mode} ${bench.shapes}`, () => new Workshop(2, recipes[mode])),
    participant: await bench.participant(backbone, mode),
    truth: {
      supervision: label(bench.splits.latents.supervision),
      transfer: label(bench.splits.latents.transfer),
      test: label(bench.splits.latents.test),
    },
    random: taskRandom.stream(mode),
    shallow: bench.splits.firstInput,
  };
}

type WorldConfig = Omit<TaskConfig, "task" | "mode">;

/** The world that is being worked on, with its data and models. Another world takes its place. */
class Bench {
  private key = "";
  private current: WorldBench | undefined;

  of({ seed, index, world, supervisionSize, transferSize, testSize }: WorldConfig): WorldBench {
    const config = { seed, index, world, supervisionSize, transferSize, testSize };
    const key = JSON.stringify(config);
    if (this.current === undefined || this.key !== key) this.current = new WorldBench(config);
    this.key = key;
    return this.current;
  }
}

class WorldBench {
  /** Tells programs apart that differ in nothing that a model's name says. */
  readonly shapes: string;
  readonly random: Random;
  readonly world: LatentFeaturesWorld;
  readonly splits: ReturnType<typeof drawSplits>;
  private readonly participants = new Map<string, Promise<Participant>>();

  constructor(config: WorldConfig) {
    const { supervisionSize, transferSize, testSize, world } = config;
    this.shapes = `${supervisionSize} ${transferSize} ${testSize} ${world.inputSize}`;
    this.random = worldRandom(config);
    this.world = latentFeatures.generate(config.world, this.random.stream("world"));
    this.splits = drawSplits(this.world, config, this.random.stream("splits"));
  }

  /** A model with the data as the mode sees them: features for linear probes, inputs for full finetuning. */
  participant(output: StageOutput, mode: Mode): Promise<Participant> {
    const key = `${mode} ${output.hash}`;
    const participant = this.participants.get(key) ?? this.prepare(output, mode);
    this.participants.set(key, participant);
    return participant;
  }

  private async prepare(output: StageOutput, mode: Mode): Promise<Participant> {
    const { inputs } = this.splits;
    const { tensors, metadata } = await output.tensors(backboneFile);
    const backbone = restoreBackbone(metadata.name, treeOfTensors(tensors));
    if (mode === "full-finetune") {
      return {
        backbone,
        supervision: { x: inputs.supervision },
        transfer: { x: inputs.transfer },
        test: { x: inputs.test },
      };
    }
    const [supervision, transfer, test] = await extractFeatures(backbone, [
      inputs.supervision,
      inputs.transfer,
      inputs.test,
    ]);
    return {
      backbone: featureBackbone(backbone.name, backbone.featureSize),
      supervision: { features: supervision },
      transfer: { features: transfer },
      test: { features: test },
    };
  }
}

function drawSplits(world: LatentFeaturesWorld, config: WorldConfig, random: Random) {
  const draw = (size: number, name: string) => {
    const { latents, inputs } = world.inputs(size, random.stream(name));
    return { latents, inputs: new Tensor(inputs, [size, config.world.inputSize]) };
  };
  const supervision = draw(config.supervisionSize, "supervision");
  const transfer = draw(config.transferSize, "transfer");
  const test = draw(config.testSize, "test");
  return {
    firstInput: Float32Array.from(
      { length: config.transferSize },
      (_, i) => transfer.inputs.data[i * config.world.inputSize],
    ),
    inputs: { supervision: supervision.inputs, transfer: transfer.inputs, test: test.inputs },
    latents: { supervision: supervision.latents, transfer: transfer.latents, test: test.latents },
  };
}

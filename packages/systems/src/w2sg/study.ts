/*
 * Track A of the card: on the factor world, a ladder of pretrained MLPs; every supervisor's labels train the strongest
 * model, by every method, next to the ceiling and the controls.
 */
import { Tensor } from "@outgrow/engine";
import {
  type Backbone,
  createRandom,
  featureBackbone,
  type LatentFeaturesWorld,
  latentFeatures,
  latentFeaturesSchema,
  methodNamed,
  methods,
  parseConfig,
  type Random,
  type report,
  UserError,
} from "outgrow";
import { z } from "zod";
import { type Comparison, compare } from "./compare.js";
import { count, distinct } from "./fields.js";
import { extractFeatures, ladderDefaults, pretrain, randomBackbone, rungName } from "./ladder.js";
import { type Participant, type Recipe, type Trained, type Truth, Workshop } from "./method.js";
import { runWorldInThread } from "./world-thread.js";

const rung = z.strictObject({ width: count, samples: count, epochs: count });
const modes = ["linear-probe", "full-finetune"] as const;
export type Mode = (typeof modes)[number];

/** Configuration of the study. Defaults are the card's (track A). */
export const studySchema = z.strictObject({
  seed: z.int().min(0).default(0),
  /** Worlds, and tasks in each: the levels of the bootstrap. */
  worlds: count.default(5),
  tasks: count.default(5),
  /** Examples with truth for the supervisor, for the student, and for tests. */
  supervisionSize: count.default(5000),
  transferSize: count.default(5000),
  testSize: count.default(4000),
  /** Weakest first; the last is the student, all before it are supervisors. */
  ladder: distinct(rung, "width", ({ width }) => width)
    .min(2)
    .default([...ladderDefaults]),
  methods: distinct(z.string(), "method").default(methods.map((method) => method.name)),
  modes: distinct(z.enum(modes), "mode").default([...modes]),
  world: latentFeaturesSchema.prefault({}),
});
export type StudyConfig = z.output<typeof studySchema>;

/** The size of the main job: the two larger models see half as many samples, and tasks have fewer examples. */
export const quickConfig: z.input<typeof studySchema> = {
  worlds: 4,
  tasks: 2,
  supervisionSize: 3000,
  transferSize: 3000,
  ladder: [
    { width: 8, samples: 3_000, epochs: 15 },
    { width: 20, samples: 10_000, epochs: 10 },
    { width: 64, samples: 20_000, epochs: 8 },
    { width: 256, samples: 50_000, epochs: 4 },
  ],
};

/** Card: linear probe Adam 1e-2, 6 epochs, batch 128; full finetune 5e-4, 3 epochs, batch 32; cosine to 0. */
export const recipes: Record<Mode, Recipe> = {
  "linear-probe": { epochs: 6, batchSize: 128, learningRate: 1e-2, schedule: {} },
  "full-finetune": { epochs: 3, batchSize: 32, learningRate: 5e-4, schedule: {} },
};

/** What a student was: one of the methods, or a control. */
export const controls = ["self-training", "random init"] as const;

/** One student of one task. */
export interface StudentRecord extends Comparison {
  world: number;
  task: number;
  mode: Mode;
  /** Names of the models, e.g. "MLP 8". */
  weak: string;
  student: string;
  /** A method's name, or one of the controls. */
  method: string;
}

export interface StudyOptions {
  progress: report.Progress;
  signal?: AbortSignal;
  /** Worlds that run at the same time, each in a thread of its own. Default 1: all in the calling thread. */
  parallel?: number;
}

/** Runs the study. Records come in the order of worlds and tasks, whatever the number that run at the same time. */
export async function runStudy(
  given: z.input<typeof studySchema>,
  options: StudyOptions,
): Promise<StudentRecord[]> {
  const config = parseConfig(studySchema, given, "study w2sg");
  for (const name of config.methods) methodNamed(name);
  const { progress, parallel = 1 } = options;
  if (!Number.isSafeInteger(parallel) || parallel < 1) {
    throw new UserError(`${parallel} worlds at the same time, expected a whole number from 1 on`);
  }
  // When one world fails the others stop too: nobody waits for results that will not be shown.
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const records: StudentRecord[][] = [];
  const queue = Array.from({ length: config.worlds }, (_, i) => i);
  const worker = async () => {
    for (let world = queue.shift(); world !== undefined; world = queue.shift()) {
      const run =
        parallel === 1
          ? runWorld(config, world, { progress, signal })
          : runWorldInThread({ config, world }, { progress, signal });
      records[world] = await run.catch((error) => {
        failed.abort(error);
        throw error;
      });
    }
  };
  await Promise.allSettled(Array.from({ length: Math.min(parallel, config.worlds) }, worker));
  signal.throwIfAborted();
  return records.flat();
}

/** The stages of the study with their weights in seconds on one thread, for the progress display. */
export function plan(given: z.input<typeof studySchema>): { name: string; weight: number }[] {
  const config = parseConfig(studySchema, given, "study w2sg");
  return Array.from({ length: config.worlds }, (_, world) => [
    { name: pretrainStage(world), weight: pretrainWeight(config) },
    ...Array.from({ length: config.tasks }, (_, task) => ({
      name: taskStage(world, task),
      weight: taskWeight(config),
    })),
  ]).flat();
}

const pretrainStage = (world: number) => `world ${world + 1}: pretrain the ladder`;
const taskStage = (world: number, task: number) => `world ${world + 1}, task ${task + 1}`;
const work = ({ width, samples, epochs }: z.output<typeof rung>) =>
  samples * epochs * (3e-6 + 1.4e-10 * width * width);
const pretrainWeight = (config: StudyConfig) =>
  config.ladder.reduce((total, entry) => total + work(entry), 0);
const taskWeight = (config: StudyConfig) =>
  (config.ladder.length - 1) * (config.methods.length + 2) * config.modes.length * 1e-4 * config.transferSize;

/** One world with all its tasks. */
export async function runWorld(
  config: StudyConfig,
  index: number,
  { progress, signal }: { progress: report.Progress; signal: AbortSignal },
): Promise<StudentRecord[]> {
  signal.throwIfAborted();
  const random = createRandom(config.seed).stream("world", index);
  const world = latentFeatures.generate(config.world, random.stream("world"));
  const stage = progress.begin(pretrainStage(index));
  const total = pretrainWeight(config);
  let done = 0;
  const backbones: Backbone[] = [];
  for (const entry of config.ladder) {
    const share = work(entry) / total;
    backbones.push(
      await pretrain(world, entry, random.stream("pretrain", entry.width), (fraction) => {
        signal.throwIfAborted();
        stage.update(done + share * fraction, rungName(entry.width));
      }),
    );
    done += share;
  }
  stage.done();

  const strongest = config.ladder[config.ladder.length - 1].width;
  const untrained = randomBackbone(world, strongest, random.stream("random init"));
  const splits = drawSplits(world, config, random.stream("splits"));
  const workshops = config.modes.map((mode) => ({ mode, workshop: new Workshop(2, recipes[mode], signal) }));
  const participants = await prepare([...backbones, untrained], splits.inputs);

  const records: StudentRecord[] = [];
  try {
    for (let task = 0; task < config.tasks; task++) {
      const taskRandom = random.stream("task", task);
      const { label } = world.task(taskRandom.stream("direction"));
      const truth: Truth = {
        supervision: label(splits.latents.supervision),
        transfer: label(splits.latents.transfer),
        test: label(splits.latents.test),
      };
      const taskStageProgress = progress.begin(taskStage(index, task));
      for (const [i, { mode, workshop }] of workshops.entries()) {
        const run = { config, workshop, truth, random: taskRandom.stream(mode) };
        const update = (fraction: number, detail: string) =>
          taskStageProgress.update((i + fraction) / workshops.length, `${mode}: ${detail}`);
        const results = await runTask(run, participants[mode], update);
        records.push(...results.map((record) => ({ world: index, task, mode, ...record })));
      }
      taskStageProgress.done();
    }
  } finally {
    for (const { workshop } of workshops) await workshop.dispose();
  }
  return records;
}

interface TaskRun {
  config: StudyConfig;
  workshop: Workshop;
  truth: Truth;
  random: Random;
}

/** All supervisors, students and the ceiling of one task. `models`: the ladder, then the untrained student. */
async function runTask(
  { config, workshop, truth, random }: TaskRun,
  models: readonly Participant[],
  update: (fraction: number, detail: string) => void,
): Promise<Omit<StudentRecord, "world" | "task" | "mode">[]> {
  const untrained = models[models.length - 1];
  const strong = models[models.length - 2];
  const supervisors = models.slice(0, -2);
  const students = supervisors.length * (config.methods.length + controls.length);
  let trained = 0;
  const advance = (detail: string) => update(trained++ / (students + supervisors.length + 1), detail);

  advance("ceiling");
  const ceiling = await workshop.trainCeiling(strong, truth, random.stream("ceiling"));
  const records: Omit<StudentRecord, "world" | "task" | "mode">[] = [];
  for (const weak of supervisors) {
    const name = weak.backbone.name;
    advance(`${name} learns from the truth`);
    const supervisor = await workshop.trainSupervisor(weak, truth, random.stream("supervisor", name));
    const measure = (student: Participant, method: string, result: Trained, top: Trained) => ({
      weak: name,
      student: student.backbone.name,
      method,
      ...compare(truth.test, { weak: supervisor.test, student: result.test, ceiling: top.test }),
    });
    // One order of examples for all students of a supervisor: they differ in the method alone.
    const order = random.stream("student", name);
    for (const method of config.methods.map(methodNamed)) {
      advance(`${strong.backbone.name} learns from ${name}, ${method.name}`);
      const student = await workshop.trainStudent(strong, supervisor.weakLabels, method, order);
      records.push(measure(strong, method.name, student, ceiling));
    }
    const plain = methodNamed("naive");
    advance(`${name} learns from itself`);
    const copy = await workshop.trainStudent(weak, supervisor.weakLabels, plain, order);
    records.push(measure(weak, "self-training", copy, ceiling));
    advance("random init");
    const unpretrained = await workshop.trainStudent(untrained, supervisor.weakLabels, plain, order);
    records.push(measure(untrained, "random init", unpretrained, ceiling));
  }
  return records;
}

interface Splits<T> {
  supervision: T;
  transfer: T;
  test: T;
}

function drawSplits(world: LatentFeaturesWorld, config: StudyConfig, random: Random) {
  const draw = (size: number, name: string) => {
    const { latents, inputs } = world.inputs(size, random.stream(name));
    return { latents, inputs: new Tensor(inputs, [size, config.world.inputSize]) };
  };
  const supervision = draw(config.supervisionSize, "supervision");
  const transfer = draw(config.transferSize, "transfer");
  const test = draw(config.testSize, "test");
  return {
    inputs: { supervision: supervision.inputs, transfer: transfer.inputs, test: test.inputs },
    latents: { supervision: supervision.latents, transfer: transfer.latents, test: test.latents },
  };
}

/** The models with the data as each mode sees them: features for linear probes, inputs for full finetuning. */
async function prepare(
  backbones: readonly Backbone[],
  inputs: Splits<Tensor>,
): Promise<Record<Mode, Participant[]>> {
  const probes: Participant[] = [];
  for (const backbone of backbones) {
    const [supervision, transfer, test] = await extractFeatures(backbone, [
      inputs.supervision,
      inputs.transfer,
      inputs.test,
    ]);
    probes.push({
      backbone: featureBackbone(backbone.name, backbone.featureSize),
      supervision: { features: supervision },
      transfer: { features: transfer },
      test: { features: test },
    });
  }
  const whole = backbones.map((backbone) => ({
    backbone,
    supervision: { x: inputs.supervision },
    transfer: { x: inputs.transfer },
    test: { x: inputs.test },
  }));
  return { "linear-probe": probes, "full-finetune": whole };
}

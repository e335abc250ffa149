/*
 * Track A of the card: on the factor world, a ladder of pretrained MLPs; every supervisor's labels train the strongest
 * model, by every method, next to the ceiling and the controls.
 */
import {
  type Lab,
  latentFeaturesSchema,
  methodNamed,
  parseConfig,
  type report,
  type StageOutput,
  UserError,
} from "outgrow";
import { z } from "zod";
import { type Comparison, compare } from "./compare.js";
import { count, distinct } from "./fields.js";
import { ladderDefaults, rungName } from "./ladder.js";
import {
  ceilingStage,
  type Mode,
  modes,
  oneOfTogetherStage,
  pretrainStage,
  pretrainTogetherStage,
  readPredictions,
  rungSchema,
  studentStage,
  supervisorStage,
  type TaskConfig,
  untrainedStage,
} from "./stages.js";
import { runWorldInThread } from "./world-thread.js";

/** Those of the paper and its code. Others can be named: `outgrow methods` lists them. */
const paperMethods = ["naive", "confidence", "confidence-official", "confidence-ramp", "product"] as const;

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
  ladder: distinct(rungSchema, "width", ({ width }) => width)
    .min(2)
    .default([...ladderDefaults]),
  methods: distinct(z.string(), "method").default([...paperMethods]),
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
  /** Runs the stages. Threads have labs of their own with its options, and tell it what happens. */
  lab: Lab;
  signal?: AbortSignal;
  /** See `ExperimentContext`: the ladders of these seeds are pretrained at once. Only with one world at a time. */
  seedsTogether?: readonly number[];
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
  const { progress, lab, parallel = 1 } = options;
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
          ? runWorld(config, world, { progress, signal, lab, seedsTogether: options.seedsTogether })
          : runWorldInThread({ config, world }, { progress, signal, lab });
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
    { name: pretrainName(world), weight: pretrainWeight(config) },
    ...Array.from({ length: config.tasks }, (_, task) => ({
      name: taskName(world, task),
      weight: taskWeight(config),
    })),
  ]).flat();
}

const pretrainName = (world: number) => `world ${world + 1}: pretrain the ladder`;
const taskName = (world: number, task: number) => `world ${world + 1}, task ${task + 1}`;
const work = ({ width, samples, epochs }: z.output<typeof rungSchema>) =>
  samples * epochs * (3e-6 + 1.4e-10 * width * width);
const pretrainWeight = (config: StudyConfig) =>
  config.ladder.reduce((total, entry) => total + work(entry), 0);
const taskWeight = (config: StudyConfig) =>
  (config.ladder.length - 1) * (config.methods.length + 2) * config.modes.length * 1e-4 * config.transferSize;

/** One world with all its tasks. */
export async function runWorld(
  config: StudyConfig,
  index: number,
  {
    progress,
    signal,
    lab,
    seedsTogether: seeds,
  }: Pick<StudyOptions, "progress" | "lab" | "seedsTogether"> & { signal: AbortSignal },
): Promise<StudentRecord[]> {
  const { seed, world, supervisionSize, transferSize, testSize } = config;
  signal.throwIfAborted();
  const ofWorld = { seed, index, world };
  const stage = progress.begin(pretrainName(index));
  const total = pretrainWeight(config);
  let done = 0;
  let reused = true;
  const ladder: Model[] = [];
  for (const rung of config.ladder) {
    const share = work(rung) / total;
    const name = rungName(rung.width);
    const onProgress = (fraction: number) => stage.update(done + share * fraction, name);
    const running = { signal, onProgress };
    const output = await pretrainedRung(lab, { ...ofWorld, rung }, seeds, running);
    reused &&= output.cached;
    ladder.push({ name, output });
    done += share;
  }
  const { width } = config.ladder[config.ladder.length - 1];
  const output = await lab.run(untrainedStage, { ...ofWorld, width }, {}, { signal });
  const models = { ladder, untrained: { name: `${rungName(width)} random`, output } };
  stage.done(reused ? "reused" : undefined);

  const records: StudentRecord[] = [];
  for (let task = 0; task < config.tasks; task++) {
    const taskProgress = progress.begin(taskName(index, task));
    let allReused = true;
    for (const [i, mode] of config.modes.entries()) {
      const update = (fraction: number, detail: string) =>
        taskProgress.update((i + fraction) / config.modes.length, `${mode}: ${detail}`);
      const ofTask = { ...ofWorld, task, mode, supervisionSize, transferSize, testSize };
      const results = await runTask(ofTask, config.methods, models, { lab, signal, update });
      records.push(...results.records.map((record) => ({ world: index, task, mode, ...record })));
      allReused &&= results.reused;
    }
    taskProgress.done(allReused ? "reused" : undefined);
  }
  return records;
}

/** A rung of the ladder, pretrained alone or with those of other seeds. */
export async function pretrainedRung(
  lab: Lab,
  config: z.output<typeof pretrainStage.config>,
  seeds: readonly number[] | undefined,
  running: { signal?: AbortSignal; onProgress?: (fraction: number) => void },
): Promise<StageOutput> {
  if (!seeds || seeds.length === 1) return lab.run(pretrainStage, config, {}, running);
  const { seed, ...others } = config;
  const together = await lab.run(pretrainTogetherStage, { ...others, seeds: [...seeds] }, {}, running);
  return lab.run(oneOfTogetherStage, { seed }, { together }, { signal: running.signal });
}

/** A pretrained model, or one that is not. */
interface Model {
  name: string;
  output: StageOutput;
}

interface TaskResult {
  records: Omit<StudentRecord, "world" | "task" | "mode">[];
  /** Whether all of it was there already. */
  reused: boolean;
}

/** All supervisors, students and the ceiling of one task. */
async function runTask(
  config: TaskConfig,
  methods: readonly string[],
  { ladder, untrained }: { ladder: readonly Model[]; untrained: Model },
  {
    lab,
    signal,
    update,
  }: { lab: Lab; signal: AbortSignal; update: (fraction: number, detail: string) => void },
): Promise<TaskResult> {
  const strong = ladder[ladder.length - 1];
  const supervisors = ladder.slice(0, -1);
  const trainings = 1 + supervisors.length * (1 + methods.length + controls.length);
  const outputs: StageOutput[] = [];
  const train = async (detail: string, output: () => Promise<StageOutput>): Promise<StageOutput> => {
    update(outputs.length / trainings, detail);
    outputs.push(await output());
    return outputs[outputs.length - 1];
  };

  const top = await train("ceiling", () =>
    lab.run(ceilingStage, config, { backbone: strong.output }, { signal }),
  );
  const trained: {
    weak: Model;
    student: Model;
    role: string;
    supervisor: StageOutput;
    output: StageOutput;
  }[] = [];
  for (const weak of supervisors) {
    const supervisor = await train(`${weak.name} learns from the truth`, () =>
      lab.run(supervisorStage, config, { backbone: weak.output }, { signal }),
    );
    const learn = async (student: Model, method: string, role = method) => {
      const inputs = { backbone: student.output, supervisor };
      const output = await train(`${student.name} learns from ${weak.name}, ${role}`, () =>
        lab.run(studentStage, { ...config, method, weak: weak.name }, inputs, { signal }),
      );
      trained.push({ weak, student, role, supervisor, output });
    };
    for (const method of methods) await learn(strong, method);
    await learn(weak, "naive", "self-training");
    await learn(untrained, "naive", "random init");
  }

  // Nothing is read before all is trained, so that a sweep can be planned without training.
  const { test: ceiling, truth } = await readPredictions(top);
  const records: TaskResult["records"] = [];
  for (const { weak, student, role, supervisor, output } of trained) {
    const [labels, predictions] = [await readPredictions(supervisor), await readPredictions(output)];
    const compared = compare(truth as Int32Array, { weak: labels.test, student: predictions.test, ceiling });
    records.push({ weak: weak.name, student: student.name, method: role, ...compared });
  }
  return { records, reused: outputs.every(({ cached }) => cached) };
}

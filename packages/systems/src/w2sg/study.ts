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
import { StudyThread } from "./study-thread.js";

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
  /** Threads among which worlds, and at last their tasks, are shared out. Default 1: all in the calling thread. */
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
    throw new UserError(`${parallel} threads, expected a whole number from 1 on`);
  }
  // When one world fails the others stop too: nobody waits for results that will not be shown.
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const left = Array.from({ length: config.worlds }, (_, index) => new WorldLeft(index, config.tasks));
  const records: StudentRecord[][][] = left.map(() => []);
  const worker = async () => {
    const place =
      parallel === 1
        ? new StudyWork(config, { progress, signal, lab, seedsTogether: options.seedsTogether })
        : new StudyThread(config, { progress, signal, lab });
    try {
      for (let world = next(left); world; world = next(left, world)) {
        await world.pretrainedBy(place);
        const task = world.takeTask();
        if (task !== undefined) records[world.index][task] = await place.task(world.index, task);
      }
    } catch (error) {
      failed.abort(error);
      throw error;
    } finally {
      await place.close();
    }
  };
  const places = Math.min(parallel, config.worlds * config.tasks);
  await Promise.allSettled(Array.from({ length: places }, worker));
  signal.throwIfAborted();
  return records.flat(2);
}

/** Where worlds are worked on: this thread, or another. */
export interface StudyPlace {
  pretrain(world: number): Promise<void>;
  task(world: number, task: number): Promise<StudentRecord[]>;
  close(): Promise<void>;
}

/** What is still to be done of a world. */
class WorldLeft {
  private readonly tasks: number[];
  private pretrained: Promise<void> | undefined;

  constructor(
    readonly index: number,
    tasks: number,
  ) {
    this.tasks = Array.from({ length: tasks }, (_, task) => task);
  }

  get tasksLeft(): number {
    return this.tasks.length;
  }

  get hasBegun(): boolean {
    return this.pretrained !== undefined;
  }

  /** The first that comes pretrains, the others wait. */
  pretrainedBy(place: StudyPlace): Promise<void> {
    this.pretrained ??= place.pretrain(this.index);
    return this.pretrained;
  }

  takeTask(): number | undefined {
    return this.tasks.shift();
  }
}

/** The same world again, whose data are at hand; else one that nobody has begun; else a share of another's. */
function next(worlds: readonly WorldLeft[], last?: WorldLeft): WorldLeft | undefined {
  if (last && last.tasksLeft > 0) return last;
  const left = worlds.filter(({ tasksLeft }) => tasksLeft > 0);
  const most = Math.max(...left.map(({ tasksLeft }) => tasksLeft));
  return left.find(({ hasBegun }) => !hasBegun) ?? left.find(({ tasksLeft }) => tasksLeft === most);
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

/** Works on a study in this thread. */
export class StudyWork implements StudyPlace {
  private readonly models = new Map<number, Models>();

  constructor(
    private readonly config: StudyConfig,
    private readonly options: Pick<StudyOptions, "progress" | "lab" | "seedsTogether"> & {
      signal: AbortSignal;
    },
  ) {}

  async pretrain(world: number): Promise<void> {
    const { progress, signal } = this.options;
    signal.throwIfAborted();
    const stage = progress.begin(pretrainName(world));
    const { reused } = await this.modelsOf(world, (fraction, detail) => stage.update(fraction, detail));
    stage.done(reused ? "reused" : undefined);
  }

  /** Of a world that was pretrained, here or in another thread. */
  async task(world: number, task: number): Promise<StudentRecord[]> {
    const { modes, supervisionSize, transferSize, testSize, methods } = this.config;
    const { progress, signal, lab } = this.options;
    signal.throwIfAborted();
    const models = await this.modelsOf(world);
    const stage = progress.begin(taskName(world, task));
    const records: StudentRecord[] = [];
    let reused = true;
    for (const [i, mode] of modes.entries()) {
      const update = (fraction: number, detail: string) =>
        stage.update((i + fraction) / modes.length, `${mode}: ${detail}`);
      const ofTask = { ...this.world(world), task, mode, supervisionSize, transferSize, testSize };
      const results = await runTask(ofTask, methods, models, { lab, signal, update });
      records.push(...results.records.map((record) => ({ world, task, mode, ...record })));
      reused &&= results.reused;
    }
    stage.done(reused ? "reused" : undefined);
    return records;
  }

  async close(): Promise<void> {}

  private world(index: number) {
    const { seed, world } = this.config;
    return { seed, index, world };
  }

  private async modelsOf(
    index: number,
    update: (fraction: number, detail: string) => void = () => {},
  ): Promise<Models> {
    const known = this.models.get(index);
    if (known) return known;
    const { ladder: rungs } = this.config;
    const { lab, signal, seedsTogether } = this.options;
    const world = this.world(index);
    const total = pretrainWeight(this.config);
    let done = 0;
    const ladder: Model[] = [];
    for (const rung of rungs) {
      const share = work(rung) / total;
      const name = rungName(rung.width);
      const onProgress = (fraction: number) => update(done + share * fraction, name);
      const output = await pretrainedRung(lab, { ...world, rung }, seedsTogether, { signal, onProgress });
      ladder.push({ name, output });
      done += share;
    }
    const { width } = rungs[rungs.length - 1];
    const output = await lab.run(untrainedStage, { ...world, width }, {}, { signal });
    const reused = ladder.every((model) => model.output.cached);
    const models = { ladder, untrained: { name: `${rungName(width)} random`, output }, reused };
    this.models.set(index, models);
    return models;
  }
}

/** The pretrained models of a world, weakest first, and the strongest without pretraining. */
interface Models {
  ladder: readonly Model[];
  untrained: Model;
  /** Whether all were there already. */
  reused: boolean;
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
  { ladder, untrained }: Models,
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
  const train = async (detail: string, running: Promise<StageOutput>): Promise<StageOutput> => {
    const output = await running;
    outputs.push(output);
    update(outputs.length / trainings, detail);
    return output;
  };

  // All at once: one trains while what others have learnt is written to the disk.
  const [top, ...students] = await Promise.all([
    train("ceiling", lab.run(ceilingStage, config, { backbone: strong.output }, { signal })),
    ...supervisors.map(async (weak) => {
      const supervisor = await train(
        `${weak.name} learns from the truth`,
        lab.run(supervisorStage, config, { backbone: weak.output }, { signal }),
      );
      const learner = async (student: Model, method: string, role = method) => {
        const inputs = { backbone: student.output, supervisor };
        const output = await train(
          `${student.name} learns from ${weak.name}, ${role}`,
          lab.run(studentStage, { ...config, method, weak: weak.name }, inputs, { signal }),
        );
        return { weak, student, role, supervisor, output };
      };
      return Promise.all([
        ...methods.map((method) => learner(strong, method)),
        learner(weak, "naive", "self-training"),
        learner(untrained, "naive", "random init"),
      ]);
    }),
  ]);

  // Nothing is read before all is trained, so that a sweep can be planned without training.
  const { test: ceiling, truth } = await readPredictions(top);
  const records: TaskResult["records"] = [];
  for (const { weak, student, role, supervisor, output } of students.flat()) {
    const [labels, predictions] = [await readPredictions(supervisor), await readPredictions(output)];
    const compared = compare(truth as Int32Array, { weak: labels.test, student: predictions.test, ceiling });
    records.push({ weak: weak.name, student: student.name, method: role, ...compared });
  }
  return { records, reused: outputs.every(({ cached }) => cached) };
}

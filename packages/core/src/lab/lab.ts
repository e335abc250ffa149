import { readdir, rm, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { z } from "zod";
import { UserError } from "../errors.js";
import { commitFolder, makeFolder } from "../files.js";
import { type Manifest, manifestName } from "../manifest.js";
import { inspectCheckpoint } from "../train/trainer.js";
import { parseConfig } from "../worlds/config.js";
import type { ArtifactStore } from "./artifacts.js";
import { codeVersion } from "./code-version.js";
import { environment } from "./environment.js";
import { homeLayout, outgrowHome } from "./home.js";
import { acquire, type LockOptions } from "./lock.js";
import { aboutName, openOutput, StageOutput } from "./output.js";
import { fetchOutput, publishOutput } from "./remote.js";
import { type KeyParts, type Stage, type StageInput, stageKey } from "./stage.js";

/** What happened to a stage, for the record of a run. */
export interface StageEvent {
  stage: string;
  key: string;
  /** Hash of the output's content. */
  hash: string;
  /** Whether the output was there already. */
  cached: boolean;
  /** Time it took here. */
  seconds: number;
}

/** Measures of a step of training inside a stage. */
export interface MetricsEvent {
  stage: string;
  step: number;
  values: Readonly<Record<string, number>>;
}

export interface LabOptions {
  /** Where outputs are kept. Default: {@link outgrowHome}. */
  home?: string;
  signal?: AbortSignal;
  onStage?: (event: StageEvent) => void;
  onMetrics?: (event: MetricsEvent) => void;
  /** Called with a sentence for people, e.g. that an output was damaged and is computed again. Default: to stderr. */
  warn?: (message: string) => void;
  /** Least number of seconds between two checkpoints of a training. Default 20. */
  checkpointSeconds?: number;
  lock?: Pick<LockOptions, "heartbeat" | "patience">;
  /** Where machines share outputs: what is not in the home is looked for there, and what is computed goes there. */
  store?: ArtifactStore;
}

export interface StageRunOptions {
  /** Aborting it stops this stage. */
  signal?: AbortSignal;
  onProgress?: (fraction: number, detail?: string) => void;
}

/** Runs stages, each once: an output that is there is used again. Close it when done. */
export class Lab {
  readonly home: string;
  private readonly layout: ReturnType<typeof homeLayout>;
  private readonly resources = new Map<string, unknown>();

  constructor(readonly options: LabOptions = {}) {
    this.home = options.home ?? outgrowHome();
    this.layout = homeLayout(this.home);
  }

  /**
   * The output of a stage: at once where it is there, else computed. When another process, on this machine or another that
   * shares the home, is computing it, this waits for that one.
   *
   * @throws UserError for a wrong configuration, a place that cannot be written to, or a full disk; and what the stage throws
   */
  async run<Schema extends z.ZodObject, Inputs extends { [Name in keyof Inputs]: StageInput }>(
    stage: Stage<Schema, Inputs>,
    config: z.input<Schema>,
    inputs: Inputs,
    options: StageRunOptions = {},
  ): Promise<StageOutput> {
    return this.obtain(this.job(stage, config, inputs, options));
  }

  /** The key that {@link run} would use, and whether there is an output with it. Its files are not looked at. */
  async lookUp<Schema extends z.ZodObject, Inputs extends { [Name in keyof Inputs]: StageInput }>(
    stage: Stage<Schema, Inputs>,
    config: z.input<Schema>,
    inputs: Inputs,
  ): Promise<{ key: string; cached: boolean }> {
    const { key } = this.job(stage, config, inputs, {});
    const manifest = await openOutput(this.layout.stage(key), key).catch(() => undefined);
    return { key, cached: manifest !== undefined };
  }

  /** An output by the key that it was computed under; undefined where there is none. A damaged one is thrown. */
  async open(stage: string, key: string): Promise<StageOutput | undefined> {
    const folder = this.layout.stage(key);
    const manifest = (await openOutput(folder, key)) ?? (await this.fetch(key));
    return manifest && new StageOutput(stage, key, folder, true, manifest);
  }

  /** Disposes of what stages have shared. */
  async close(): Promise<void> {
    for (const resource of this.resources.values()) {
      const { dispose } = ((await resource) ?? {}) as { dispose?: () => unknown };
      await dispose?.call(await resource);
    }
    this.resources.clear();
  }

  private job<Schema extends z.ZodObject, Inputs extends { [Name in keyof Inputs]: StageInput }>(
    stage: Stage<Schema, Inputs>,
    given: z.input<Schema>,
    inputs: Inputs,
    { signal, onProgress = () => {} }: StageRunOptions,
  ): Job {
    const { name } = stage;
    const config = parseConfig(stage.config, given, `stage "${name}"`);
    const wrong = [
      ...stage.inputNames
        .filter((input) => !Object.hasOwn(inputs, input))
        .map((input) => `"${input}" is missing`),
      ...Object.keys(inputs)
        .filter((input) => !stage.inputNames.includes(input))
        .map((input) => `"${input}" is unknown`),
    ];
    if (wrong.length > 0) throw new TypeError(`Inputs of stage "${name}": ${wrong.join(", ")}.`);
    const parts: KeyParts = {
      name,
      version: stage.version,
      code: codeVersion(stage.code),
      config,
      inputs: Object.fromEntries(
        Object.entries<StageInput>(inputs).map(([input, { hash }]) => [input, hash]),
      ),
    };
    const key = stageKey(parts);
    const either = AbortSignal.any([signal, this.options.signal].filter((one) => one !== undefined));
    return {
      key,
      parts,
      signal: either,
      fill: (folder, work) =>
        stage.run({
          config: config as z.output<Schema>,
          inputs,
          folder,
          work,
          signal: either,
          progress: onProgress,
          metrics: (step, values) => this.options.onMetrics?.({ stage: name, step, values }),
          checkpoint: (file) => this.checkpoint(name, join(work, `${file}.safetensors`)),
          shared: (resource, create) => this.shared(resource, create),
        }),
    };
  }

  private async obtain(job: Job): Promise<StageOutput> {
    const { key, parts, signal } = job;
    signal.throwIfAborted();
    const begun = performance.now();
    const present = await this.present(job);
    const { manifest, cached } = present ? { manifest: present, cached: true } : await this.compute(job);
    const mend = async (damage: UserError): Promise<Manifest> => {
      this.warn(`${damage.place.file}: ${damage.message}; stage "${parts.name}" is computed again`);
      await rm(this.layout.stage(key), { recursive: true, force: true });
      return (await this.compute(job)).manifest;
    };
    const output = new StageOutput(parts.name, key, this.layout.stage(key), cached, manifest, mend);
    const seconds = (performance.now() - begun) / 1000;
    this.options.onStage?.({ stage: parts.name, key, hash: output.hash, cached, seconds });
    return output;
  }

  /** The manifest of an output that is there. A damaged one is removed. */
  private async present({ key, parts }: Job): Promise<Manifest | undefined> {
    const folder = this.layout.stage(key);
    try {
      const manifest = await openOutput(folder, key);
      if (!manifest) return await this.fetch(key);
      await keepFromCollection(folder);
      return manifest;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.warn(`${error.place.file}: ${error.message}; stage "${parts.name}" is computed again`);
      await rm(folder, { recursive: true, force: true });
      return undefined;
    }
  }

  /** `cached` where another process was faster. */
  private async compute(job: Job): Promise<{ manifest: Manifest; cached: boolean }> {
    const { key, parts, signal } = job;
    const { locks } = this.layout;
    let manifest: Manifest | undefined;
    const isDone = async () => {
      manifest = await this.present(job);
      return manifest !== undefined;
    };
    const lock = await acquire(locks, key, isDone, {
      ...this.options.lock,
      signal,
      onWait: (owner) =>
        this.warn(
          `stage "${parts.name}" is being computed by ${owner ? `process ${owner.pid} on ${owner.host}` : "another process"}: waiting for it`,
        ),
    }).catch((error) => {
      throw this.unwritable(error);
    });
    if (!lock) return { manifest: manifest as Manifest, cached: true };
    try {
      // Its owner may have finished just before the lock was free.
      const present = await this.present(job);
      if (present) return { manifest: present, cached: true };
      return { manifest: await this.computeLocked(job), cached: false };
    } finally {
      await lock.release();
    }
  }

  private async computeLocked({ key, parts, signal, fill }: Job): Promise<Manifest> {
    const folder = this.layout.stage(key);
    const work = this.layout.work(key);
    await removeStagings(folder);
    const begun = performance.now();
    const write = async (staging: string) => {
      await makeFolder(work);
      await fill(staging, work);
      const about = {
        ...parts,
        key,
        seconds: (performance.now() - begun) / 1000,
        environment: labEnvironment(),
      };
      await writeFile(join(staging, aboutName), `${JSON.stringify(about, null, 2)}\n`);
    };
    try {
      const manifest = await commitFolder(folder, write, { label: key, signal });
      await rm(work, { recursive: true, force: true });
      await this.publish(parts.name, key, manifest);
      return manifest;
    } catch (error) {
      // One that took over from us, or from whom we took over, was faster.
      const other = await openOutput(folder, key).catch(() => undefined);
      if (other && !signal.aborted) return other;
      throw this.unwritable(error);
    }
  }

  /** From the store, where there is one that has it. */
  private async fetch(key: string): Promise<Manifest | undefined> {
    const { store } = this.options;
    if (!store || !(await fetchOutput(store, key, this.layout.stage(key)))) return undefined;
    return openOutput(this.layout.stage(key), key);
  }

  private async publish(stage: string, key: string, manifest: Manifest): Promise<void> {
    const { store } = this.options;
    if (!store) return;
    await publishOutput(store, key, this.layout.stage(key), manifest).catch((error) => {
      this.warn(`stage "${stage}" is not shared through ${store.url}: ${(error as Error).message}`);
    });
  }

  private async checkpoint(stage: string, path: string) {
    const damage = await inspectCheckpoint(path);
    if (damage) {
      this.warn(`${path}: ${damage.message}; the training of stage "${stage}" begins anew`);
      await rm(path, { force: true });
    }
    return { path, every: 1, seconds: this.options.checkpointSeconds ?? 20, resume: true as const };
  }

  private shared<T>(name: string, create: () => T): T {
    if (!this.resources.has(name)) this.resources.set(name, create());
    return this.resources.get(name) as T;
  }

  /** Says a sentence to people. */
  warn(message: string): void {
    if (this.options.warn) this.options.warn(message);
    else console.error(`outgrow: ${message}`);
  }

  /** What was wrong with the home, with what to do. */
  private unwritable(error: unknown): unknown {
    const { code, path, message } = error as NodeJS.ErrnoException;
    const inHome = path?.startsWith(this.home) ?? false;
    const what = {
      EROFS: "the disk is read-only",
      EACCES: "may not be written by this user",
      EPERM: "may not be written by this user",
      ENOSPC: "the disk is full",
      EDQUOT: "the disk quota is used up",
      ENOTDIR: "a part of the path is a file, not a folder",
    }[code ?? ""];
    if (!inHome || what === undefined || error instanceof UserError) return error;
    return new UserError(`${what} (${message})`, {
      place: { file: this.home },
      hint: "Results of stages are kept there. Set OUTGROW_HOME to a folder that can be written to.",
      exitCode: 1,
      cause: error,
    });
  }
}

interface Job {
  key: string;
  parts: KeyParts;
  signal: AbortSignal;
  fill(folder: string, work: string): Promise<void>;
}

let known: Record<string, string> | undefined;
/** Once in a process: it takes some milliseconds to find out. */
function labEnvironment(): Record<string, string> {
  known ??= environment();
  return { ...known, date: new Date().toISOString() };
}

/** What was left by those that were killed while they computed this stage. Only the owner of its lock may call this. */
async function removeStagings(folder: string): Promise<void> {
  const parent = dirname(folder);
  const entries = await readdir(parent).catch(() => []);
  for (const entry of entries) {
    if (entry.startsWith(`.${basename(folder)}.`))
      await rm(join(parent, entry), { recursive: true, force: true });
  }
}

/** Marks an output as used today: `outgrow cache gc --older` goes by that. */
async function keepFromCollection(folder: string): Promise<void> {
  const now = new Date();
  // A home that is read-only has nobody to collect it.
  await utimes(join(folder, manifestName), now, now).catch(() => {});
}

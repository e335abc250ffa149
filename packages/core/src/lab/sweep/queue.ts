import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type Job, Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { UserError } from "../../errors.js";
import type { RunOutcome, RunTask } from "./run-task.js";
import type { Resources } from "./spec.js";

/*
 * Runs through a queue on Redis or Valkey. There is a queue for each device, size of memory and number of threads, so that a worker takes
 * what fits into what it has free, the largest first. Workers say in Redis that they are there and what they have.
 */

const PREFIX = "outgrow";
const workersKey = `${PREFIX}:workers`;
const wakeChannel = `${PREFIX}:wake`;

export const queueDefaults = {
  /** Milliseconds without a sign of life after which a run is given to another worker. */
  lockDuration: 30_000,
  /** How often a worker that is idle looks for work when nobody has woken it, in milliseconds. */
  poll: 1_000,
  /** Tries of a run that fails. */
  attempts: 3,
  /** Workers that may be lost over one run before it is given up. */
  losses: 20,
};
export type QueueSettings = typeof queueDefaults;

/** Sizes of memory that have a queue of their own: 1 GiB to 4 TiB. */
const memoryClasses = Array.from({ length: 13 }, (_, i) => 2 ** i);

/** Numbers of threads that have a queue of their own. */
const threadClasses = Array.from({ length: 9 }, (_, i) => 2 ** i);

const queueName = (device: Resources["device"], gibibytes: number, threads: number) =>
  `runs-${device}-${gibibytes}gib-${threads}threads`;

/** Memory and threads as their queue counts them: rounded up. */
function classOf({ memoryBytes, threads }: Resources): { gibibytes: number; count: number } {
  const gibibytes = memoryClasses.find((size) => size * 2 ** 30 >= memoryBytes);
  const count = threadClasses.find((most) => most >= threads);
  if (gibibytes === undefined || count === undefined) {
    const needed = `${Math.round(memoryBytes / 2 ** 30)} GiB and ${threads} threads`;
    throw new UserError(`a run that needs ${needed} fits no machine`, {
      hint: `At most ${memoryClasses.at(-1)} GiB and ${threadClasses.at(-1)} threads: lower resources.`,
    });
  }
  return { gibibytes, count };
}

function queueOf(resources: Resources): string {
  const { gibibytes, count } = classOf(resources);
  return queueName(resources.device, gibibytes, count);
}

/** As long the server may take to answer for the first time. */
const FIRST_CONNECTION_MS = 5000;

/** A connection that waits for a server which is away, however long that takes. */
export async function connect(url: string): Promise<Redis> {
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
    throw new UserError(`"${url}" is not the address of a queue`, {
      hint: "Expected redis://HOST:PORT, or rediss:// for an encrypted connection.",
    });
  }
  const redis = new Redis(url, { maxRetriesPerRequest: null, lazyConnect: true, retryStrategy: () => 500 });
  let trouble = "";
  redis.on("error", (error: Error) => {
    trouble = error.message || (error as NodeJS.ErrnoException).code || "";
  });
  // The first connection is made while somebody watches: a wrong address should not wait forever, and a server that is
  // just being restarted may take a moment.
  const ready = new Promise<boolean>((resolve) => redis.once("ready", () => resolve(true)));
  redis.connect().catch(() => {}); // tried again every half second
  const timeout = new Promise<boolean>((resolve) => setTimeout(resolve, FIRST_CONNECTION_MS, false).unref());
  if (!(await Promise.race([ready, timeout]))) {
    redis.disconnect();
    const { host } = new URL(url);
    throw new UserError(`the queue at ${host} does not answer${trouble ? `: ${trouble}` : ""}`, {
      hint: "Is the server running, and may this machine reach it? Try: redis-cli -u URL ping",
      exitCode: 1,
    });
  }
  return redis;
}

/** What a worker says of itself. */
export interface WorkerAnnouncement {
  id: string;
  host: string;
  memoryBytes: number;
  threads: number;
  devices: readonly Resources["device"][];
  /** Milliseconds between announcements: a worker that misses several is gone. */
  every: number;
}

/** Workers that have said lately that they are there. */
export async function workersOf(redis: Redis): Promise<WorkerAnnouncement[]> {
  const keys = await redis.keys(`${workersKey}:*`);
  const texts = keys.length > 0 ? await redis.mget(keys) : [];
  return texts.flatMap((text) => (text === null ? [] : [JSON.parse(text) as WorkerAnnouncement]));
}

export function fits(
  worker: Pick<WorkerAnnouncement, "memoryBytes" | "threads" | "devices">,
  run: Resources,
): boolean {
  const { gibibytes, count } = classOf(run);
  return (
    worker.devices.includes(run.device) &&
    worker.memoryBytes >= gibibytes * 2 ** 30 &&
    worker.threads >= count
  );
}

interface QueuedRun {
  task: RunTask;
  resources: Resources;
}

/** The side that has runs to give away. */
export class RunQueue {
  private readonly queues = new Map<string, Queue>();

  private constructor(
    private readonly redis: Redis,
    private readonly settings: QueueSettings,
  ) {}

  static async open(url: string, settings: Partial<QueueSettings> = {}): Promise<RunQueue> {
    return new RunQueue(await connect(url), { ...queueDefaults, ...settings });
  }

  private queue(name: string): Queue {
    let queue = this.queues.get(name);
    if (!queue) {
      queue = new Queue(name, { connection: this.redis, prefix: PREFIX });
      queue.on("error", () => {}); // the connection is mended by itself
      this.queues.set(name, queue);
    }
    return queue;
  }

  workers(): Promise<WorkerAnnouncement[]> {
    return workersOf(this.redis);
  }

  /**
   * Gives a run away and waits for its end, however often workers or the server are lost meanwhile. A server that has
   * forgotten the run, because it was restarted without its latest writes, is given it again.
   *
   * @param id of the run in this sweep: what was given away under it before is taken up, not done twice
   */
  async run(
    id: string,
    task: RunTask,
    resources: Resources,
    options: {
      signal?: AbortSignal;
      onStart?: () => void;
      onProgress?: (fraction: number, detail?: string) => void;
    },
  ): Promise<RunOutcome> {
    const queue = this.queue(queueOf(resources));
    const { attempts } = this.settings;
    const { signal } = options;
    let job: Job | undefined;
    let started = false;
    let pause = 20;
    for (;;) {
      signal?.throwIfAborted();
      job = await queue.getJob(id);
      if (!job) {
        const data: QueuedRun = { task, resources };
        await queue.add("run", data, { jobId: id, attempts, backoff: { type: "fixed", delay: 200 } });
        await this.redis.publish(wakeChannel, queue.name);
        continue;
      }
      if (job.finishedOn !== undefined) {
        const outcome = await this.outcomeOf(job);
        if (outcome) {
          await job.remove().catch(() => {});
          return outcome;
        }
      }
      if (job.processedOn !== undefined && !started) {
        started = true;
        options.onStart?.();
      }
      const progress = job.progress as { fraction?: number; detail?: string } | number;
      if (typeof progress === "object" && progress.fraction !== undefined) {
        options.onProgress?.(progress.fraction, progress.detail);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(500, pause * 1.3);
    }
  }

  private async outcomeOf(job: Job): Promise<RunOutcome | undefined> {
    if (await job.isCompleted()) return job.returnvalue as RunOutcome;
    if (await job.isFailed()) {
      return { status: "failed", reason: job.failedReason ?? "unknown", attempts: job.attemptsMade };
    }
    return undefined;
  }

  async close(): Promise<void> {
    for (const queue of this.queues.values()) await queue.close();
    this.redis.disconnect();
  }
}

export interface WorkerOptions {
  /** What this machine gives to runs, all at the same time together. */
  memoryBytes: number;
  threads: number;
  devices: readonly Resources["device"][];
  settings?: Partial<QueueSettings>;
  /** Does one run, in a process of its own. */
  perform(
    task: RunTask,
    resources: Resources,
    options: { signal: AbortSignal; onProgress: (fraction: number, detail?: string) => void },
  ): Promise<RunOutcome>;
  onEvent?: (event: { kind: "start" | "done" | "failed" | "lost"; id: string; detail?: string }) => void;
  /** Stops taking runs, puts those that are under way back, and returns. */
  signal: AbortSignal;
}

/** Takes runs from a queue until the signal aborts. */
export async function serveQueue(url: string, options: WorkerOptions): Promise<void> {
  const settings = { ...queueDefaults, ...options.settings };
  const { signal, memoryBytes, threads, devices } = options;
  const redis = await connect(url);
  const token = randomUUID();
  const wake = new Wake();
  const subscriber = redis.duplicate();
  subscriber.on("error", () => {});
  subscriber.on("message", () => wake.up());
  await subscriber.subscribe(wakeChannel);

  const sizes = memoryClasses.filter((size) => size * 2 ** 30 <= memoryBytes).reverse();
  const counts = threadClasses.filter((count) => count <= threads).reverse();
  const kinds = devices.flatMap((device) =>
    sizes.flatMap((size) => counts.map((count) => ({ device, size, count }))),
  );
  const sources = kinds.map(({ device, size, count }) => {
    const worker = new Worker(queueName(device, size, count), null, {
      connection: redis,
      prefix: PREFIX,
      autorun: false,
      lockDuration: settings.lockDuration,
      stalledInterval: settings.lockDuration,
      maxStalledCount: settings.losses,
    });
    worker.on("error", () => {});
    return { worker, memoryBytes: size * 2 ** 30, threads: count };
  });
  for (const { worker } of sources) await worker.startStalledCheckTimer();

  const announcement: WorkerAnnouncement = {
    id: token,
    host: hostname(),
    memoryBytes,
    threads,
    devices,
    every: settings.lockDuration / 3,
  };
  const announce = () =>
    redis
      .set(`${workersKey}:${token}`, JSON.stringify(announcement), "PX", settings.lockDuration)
      .catch(() => {});
  await announce();
  const announcing = setInterval(announce, announcement.every);
  signal.addEventListener("abort", () => wake.up(), { once: true });

  const free = { memoryBytes, threads };
  const active = new Set<Promise<void>>();
  try {
    while (!signal.aborted) {
      const taken = await takeOne();
      if (!taken) await wake.orAfter(settings.poll);
    }
    await Promise.allSettled(active);
  } finally {
    clearInterval(announcing);
    await redis.del(`${workersKey}:${token}`).catch(() => {});
    for (const { worker } of sources) await worker.close(true).catch(() => {});
    subscriber.disconnect();
    redis.disconnect();
  }

  /** Starts the largest run that fits into what is free; false where there is none. */
  async function takeOne(): Promise<boolean> {
    for (const source of sources) {
      if (source.memoryBytes > free.memoryBytes || source.threads > free.threads) continue;
      const job: Job<QueuedRun> | undefined = await source.worker.getNextJob(token, { block: false });
      if (!job) continue;
      free.memoryBytes -= source.memoryBytes;
      free.threads -= source.threads;
      const work = perform(job).finally(() => {
        free.memoryBytes += source.memoryBytes;
        free.threads += source.threads;
        active.delete(work);
        wake.up();
      });
      active.add(work);
      return true;
    }
    return false;
  }

  async function perform(job: Job<QueuedRun>): Promise<void> {
    const id = job.id as string;
    const lost = new AbortController();
    const stopped = AbortSignal.any([signal, lost.signal]);
    options.onEvent?.({ kind: "start", id });
    // A run whose lock is gone belongs to another worker by now.
    const renewing = setInterval(async () => {
      const extended = await job.extendLock(token, settings.lockDuration).catch(() => 1);
      if (extended !== 1) lost.abort(new Error("the run was given to another worker"));
    }, settings.lockDuration / 3);
    try {
      const outcome = await options.perform(job.data.task, job.data.resources, {
        signal: stopped,
        onProgress: (fraction, detail) => {
          job.updateProgress({ fraction, detail: detail ?? "" }).catch(() => {});
        },
      });
      if (outcome.status === "failed") await job.moveToFailed(new Error(outcome.reason), token, false);
      else await job.moveToCompleted(outcome, token, false);
      options.onEvent?.({
        kind: outcome.status,
        id,
        detail: outcome.status === "failed" ? outcome.reason : undefined,
      });
    } catch (error) {
      if (signal.aborted) await job.moveToWait(token).catch(() => {});
      options.onEvent?.({ kind: "lost", id, detail: (error as Error).message });
    } finally {
      clearInterval(renewing);
    }
  }
}

/** Something to wait on that others can end. */
class Wake {
  private resolve: (() => void) | undefined;
  private pending = false;

  up(): void {
    this.pending = true;
    this.resolve?.();
  }

  async orAfter(milliseconds: number): Promise<void> {
    if (!this.pending) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        this.resolve = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.resolve = undefined;
    }
    this.pending = false;
  }
}

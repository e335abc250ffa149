import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";

/*
 * Runs happen in processes of their own, so that one that takes too much memory, throws where nobody catches, or is
 * killed takes nothing with it. A process is used again for the next run: starting one costs half a second.
 */

/** From a pool to a process. */
export type ToChild = { kind: "run"; task: unknown };
/** From a process to its pool. */
export type FromChild =
  | { kind: "progress"; fraction: number; detail?: string }
  | { kind: "done"; result: unknown }
  | { kind: "failed"; reason: string };

export interface PoolOptions {
  /** Module that calls {@link serveTasks}. */
  script: URL;
  /** Processes at the same time. */
  size: number;
  /** Resident memory of one process, in bytes. One that takes more is ended. */
  memoryBytes: number;
  env?: Readonly<Record<string, string>>;
}

export interface TaskOptions {
  signal?: AbortSignal;
  /** Called when a process takes the task up. */
  onStart?: () => void;
  /** @param fraction share of the task that is done, in [0, 1] */
  onProgress?: (fraction: number, detail?: string) => void;
}

/** Why a task has no result. The message is the reason, for a table. */
export class TaskFailure extends Error {
  override readonly name = "TaskFailure";

  constructor(
    reason: string,
    /** Whether another try would end alike. */
    readonly isFinal: boolean,
  ) {
    super(reason);
  }
}

/** How often the memory of a process is looked at, in milliseconds. */
const MEMORY_CHECK = 200;

/** A process that has grown beyond this share of what it may take is not used again. */
const REUSE_BELOW = 0.5;

/** Processes that run tasks, one each at a time. Tasks wait for a free one in the order in which they came. */
export class ProcessPool {
  private readonly idle: ChildProcess[] = [];
  private readonly all = new Set<ChildProcess>();
  private readonly waiting: (() => void)[] = [];
  private busy = 0;

  constructor(private readonly options: PoolOptions) {}

  /**
   * @throws TaskFailure where the task threw or its process ended; the signal's reason where it was aborted
   */
  async run(task: unknown, { signal, onStart, onProgress }: TaskOptions = {}): Promise<unknown> {
    signal?.throwIfAborted();
    if (this.busy >= this.options.size) await this.turn(signal);
    this.busy++;
    const child = this.idle.pop() ?? this.start();
    let usable = false;
    try {
      onStart?.();
      const result = await this.serve(child, task, signal, onProgress);
      usable = residentBytes(child.pid) < REUSE_BELOW * this.options.memoryBytes;
      return result;
    } catch (error) {
      // What a task that threw has left behind is not known.
      usable = false;
      throw error;
    } finally {
      if (usable && child.connected) this.idle.push(child);
      else end(child);
      this.busy--;
      this.waiting.shift()?.();
    }
  }

  /** Ends all processes. */
  close(): void {
    for (const child of this.all) end(child);
  }

  private turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      };
      const stop = () => {
        this.waiting.splice(this.waiting.indexOf(go), 1);
        reject(signal?.reason);
      };
      this.waiting.push(go);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  private start(): ChildProcess {
    const { script, memoryBytes, env } = this.options;
    const child = fork(script, {
      env: { ...process.env, ...env },
      execArgv: [`--max-old-space-size=${Math.floor(memoryBytes / 2 ** 20)}`],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.all.add(child);
    child.on("exit", () => {
      this.all.delete(child);
      const at = this.idle.indexOf(child);
      if (at >= 0) this.idle.splice(at, 1);
    });
    return child;
  }

  private serve(
    child: ChildProcess,
    task: unknown,
    signal: AbortSignal | undefined,
    onProgress: TaskOptions["onProgress"],
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let said = "";
      const hear = (chunk: Buffer) => {
        said = (said + chunk.toString("utf8")).slice(-4000);
      };
      const watch = setInterval(() => {
        const bytes = residentBytes(child.pid);
        if (bytes <= this.options.memoryBytes) return;
        settle(() =>
          reject(
            new TaskFailure(
              `took ${inGiB(bytes)} of memory, ${inGiB(this.options.memoryBytes)} were allowed`,
              true,
            ),
          ),
        );
        child.kill("SIGKILL");
      }, MEMORY_CHECK);
      const onMessage = (message: FromChild) => {
        if (message.kind === "progress") onProgress?.(message.fraction, message.detail);
        else if (message.kind === "done") settle(() => resolve(message.result));
        else settle(() => reject(new TaskFailure(message.reason, true)));
      };
      const onExit = (code: number | null, name: NodeJS.Signals | null) =>
        settle(() => reject(reasonOfEnd(code, name, said)));
      const onError = (error: Error) =>
        settle(() => reject(new TaskFailure(`its process did not start: ${error.message}`, true)));
      const onAbort = () => {
        settle(() => reject(signal?.reason));
        child.kill("SIGKILL"); // a run may be killed at any instant and goes on from where it was
      };
      function settle(how: () => void) {
        clearInterval(watch);
        child.off("message", onMessage);
        child.off("exit", onExit);
        child.off("error", onError);
        child.stderr?.off("data", hear);
        signal?.removeEventListener("abort", onAbort);
        how();
      }
      child.on("message", onMessage);
      child.on("exit", onExit);
      child.on("error", onError);
      child.stderr?.on("data", hear);
      signal?.addEventListener("abort", onAbort, { once: true });
      child.send({ kind: "run", task } satisfies ToChild, (error) => {
        if (error && child.exitCode === null) settle(() => reject(new TaskFailure(error.message, false)));
      });
    });
  }
}

function end(child: ChildProcess): void {
  child.once("error", () => {}); // it may be gone already
  child.kill("SIGKILL");
}

function reasonOfEnd(code: number | null, signal: NodeJS.Signals | null, said: string): TaskFailure {
  if (/heap out of memory/i.test(said)) return new TaskFailure("its JavaScript heap ran out of memory", true);
  const last = said.trim().split("\n").at(-1)?.trim();
  const how = signal ? `was ended by ${signal} (${constants.signals[signal]})` : `ended with code ${code}`;
  const why = signal === "SIGKILL" ? "; the machine may have run out of memory" : "";
  return new TaskFailure(`its process ${how}${why}${last ? `: ${last}` : ""}`, false);
}

const inGiB = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Resident memory of a process; 0 where this machine does not tell. */
function residentBytes(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** In the process: does what the pool asks for, one task at a time, until the pool is gone. */
export function serveTasks(
  perform: (task: unknown, tell: (fraction: number, detail?: string) => void) => Promise<unknown>,
): void {
  const tell = (message: FromChild) => {
    if (process.connected) process.send?.(message);
  };
  let last = 0;
  process.on("message", async (message: ToChild) => {
    if (message.kind !== "run") return;
    try {
      const result = await perform(message.task, (fraction, detail) => {
        if (performance.now() - last < 100) return;
        last = performance.now();
        tell({ kind: "progress", fraction, detail });
      });
      tell({ kind: "done", result });
    } catch (error) {
      tell({
        kind: "failed",
        reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
  });
  // Without its pool nobody waits for the result.
  process.on("disconnect", () => process.exit(0));
}

import { randomUUID } from "node:crypto";
import { constants, readFileSync, readlinkSync } from "node:fs";
import { appendFile, open, readdir, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { makeFolder } from "../files.js";

/*
 * A lock is a file NAME.N in a folder that machines may share. The file is made exclusively by its owner; its first line
 * says who that is, and at every heartbeat the owner appends a dot. A waiter that sees the same owner with the same number of
 * dots for a while *by its own steady clock* takes the owner for dead, and makes NAME.N+1: the highest number owns the
 * lock, and of several waiters only one can make it. No time of day is ever compared, so that clocks may jump. An owner on this
 * machine whose process is gone is known to be dead at once.
 *
 * The lock saves work and is not needed for its results: should an owner that was only asleep wake up beside the one
 * that took over, both compute the same bits and one of them finds the output there already.
 */

const ownerOf = () => ({ ...processIdentity, id: randomUUID() });
type Owner = ReturnType<typeof ownerOf>;

export interface LockOptions {
  /** Milliseconds between heartbeats. */
  heartbeat?: number;
  /** Milliseconds without a heartbeat after which an owner counts as dead. */
  patience?: number;
  /** Called once, before waiting for another's lock. */
  onWait?: (owner: { host: string; pid: number } | undefined) => void;
  signal?: AbortSignal;
}

export interface Lock {
  release(): Promise<void>;
}

export const lockDefaults = { heartbeat: 5_000, patience: 60_000 };

/**
 * Takes a lock, or waits: gives the lock once it is this caller's, or undefined when `isDone` says that there is
 * nothing left to do.
 */
export async function acquire(
  folder: string,
  name: string,
  isDone: () => Promise<boolean>,
  { heartbeat = lockDefaults.heartbeat, patience = lockDefaults.patience, onWait, signal }: LockOptions = {},
): Promise<Lock | undefined> {
  let seen = { text: "", number: -1, since: performance.now() };
  let pause = 5;
  let told = false;
  for (;;) {
    signal?.throwIfAborted();
    const highest = await highestLock(folder, name);
    const text = highest === 0 ? undefined : await readLock(join(folder, `${name}.${highest}`));
    if (text === undefined && highest > 0) continue; // released in between
    if (text !== undefined && (text !== seen.text || highest !== seen.number)) {
      seen = { text, number: highest, since: performance.now() };
    }
    if (text === undefined || isDead(text) || performance.now() - seen.since > patience) {
      const lock = await tryToTake(folder, name, highest, heartbeat);
      if (lock) return lock;
      continue;
    }
    if (await isDone()) return undefined;
    if (!told) {
      onWait?.(ownerIn(text));
      told = true;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(500, pause * 1.5);
  }
}

/** Whether somebody who is not known to be dead has the lock. */
export async function isLocked(folder: string, name: string): Promise<boolean> {
  const highest = await highestLock(folder, name);
  const text = highest === 0 ? undefined : await readLock(join(folder, `${name}.${highest}`));
  return text !== undefined && !isDead(text);
}

/** Without making the file: the lock may just have been released. */
const onlyAppend = constants.O_WRONLY | constants.O_APPEND;

async function tryToTake(
  folder: string,
  name: string,
  highest: number,
  heartbeat: number,
): Promise<Lock | undefined> {
  const path = join(folder, `${name}.${highest + 1}`);
  const exclusive = () => open(path, "wx");
  let handle: Awaited<ReturnType<typeof exclusive>>;
  try {
    handle = await exclusive().catch(async (error) => {
      if (error.code !== "ENOENT") throw error;
      await makeFolder(folder);
      return exclusive();
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
  try {
    await handle.writeFile(`${JSON.stringify(ownerOf())}\n`);
  } catch (error) {
    await rm(path, { force: true }).catch(() => {});
    throw error;
  } finally {
    await handle.close();
  }
  // A heartbeat that fails, say on a full disk, may cost double work and nothing else.
  const timer = setInterval(() => appendFile(path, ".", { flag: onlyAppend }).catch(() => {}), heartbeat);
  timer.unref();
  return {
    async release() {
      clearInterval(timer);
      for (let number = 1; number <= highest + 1; number++) {
        await rm(join(folder, `${name}.${number}`), { force: true }).catch(() => {});
      }
    },
  };
}

/** The highest number of a lock, 0 where there is none. Most locks are free or have number 1. */
async function highestLock(folder: string, name: string): Promise<number> {
  const entries = await readdir(folder).catch((error) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const numbers = entries
    .filter((entry) => entry.startsWith(`${name}.`))
    .map((entry) => Number(entry.slice(name.length + 1)));
  return Math.max(0, ...numbers.filter(Number.isSafeInteger));
}

const readLock = (path: string): Promise<string | undefined> =>
  readFile(path, "utf8").catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });

function ownerIn(text: string): Owner | undefined {
  try {
    return JSON.parse(text.slice(0, text.indexOf("\n"))) as Owner;
  } catch {
    return undefined; // being written, or its writer was killed at it
  }
}

/** Whether the owner was a process of this machine that is gone. */
function isDead(text: string): boolean {
  const owner = ownerIn(text);
  return owner !== undefined && isGone(owner);
}

/** Who a process is: its number alone may be used again, and means nothing on another machine or in a container. */
export interface ProcessIdentity {
  host: string;
  /** Of the machine's start, where it is known. */
  boot: string;
  pid: number;
  /** When the process began, in the machine's own count, where it is known. */
  started: string;
}

const readOr = (read: () => string, otherwise: string): string => {
  try {
    return read().trim();
  } catch {
    return otherwise;
  }
};

/** When a process began, by its number; empty where that is not told, "ended" for one that nobody has waited for yet. */
const startOf = (pid: number): string =>
  readOr(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name may have spaces and brackets
    return fields[0] === "Z" ? "ended" : fields[19];
  }, "");

export const processIdentity: ProcessIdentity = {
  host: hostname(),
  // Containers of one machine have the same boot id and their own process numbers.
  boot: [
    readOr(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"), ""),
    readOr(() => readlinkSync("/proc/self/ns/pid"), ""),
  ].join(" "),
  pid: process.pid,
  started: startOf(process.pid),
};

/** Whether a process is known to have ended. Of other machines' nothing is known. */
export function isGone({ host, boot, pid, started }: ProcessIdentity): boolean {
  if (host !== processIdentity.host) return false;
  if (boot !== processIdentity.boot) {
    // Another container, unless the machine itself was started anew.
    return boot.split(" ")[0] !== processIdentity.boot.split(" ")[0];
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  return started !== "" && startOf(pid) !== started;
}

import { randomUUID } from "node:crypto";
import {
  access,
  constants,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { UserError } from "./errors.js";
import { describeFile, type Manifest, manifestName, seal } from "./manifest.js";

export interface CommitOptions {
  /** What to do when the target is there already: refuse (the default) or put the new folder in its place. */
  existing?: "refuse" | "replace";
  /** What the folder is, for its manifest. */
  label?: string;
  /** Aborting it before the folder is in place leaves nothing behind. `fill` should watch it too. */
  signal?: AbortSignal;
}

/**
 * Writes a file so that it is there whole or not at all, whenever the machine stops: aside in the same folder,
 * synced, renamed. A failed write leaves the old file as it was and nothing else. A symbolic link is followed.
 * A device such as /dev/stdout is written to directly.
 *
 * @throws UserError with exit code 1 when the disk is full or the place may not be written to
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const existing = await stat(path).catch(() => undefined);
  if (existing && !existing.isFile() && !existing.isDirectory()) {
    await writeThrough(path, data, "w").catch((error) => {
      throw writeError(error, path);
    });
    return;
  }
  await writeFileWith(path, (aside) => writeThrough(aside, data, "wx"));
}

/** As {@link writeFileAtomic}, with a function that writes the file that is aside, which is not there yet. */
export async function writeFileWith(path: string, write: (aside: string) => Promise<void>): Promise<void> {
  try {
    const target = await realpath(path).catch(() => path);
    const aside = join(dirname(target), `.writing-${randomUUID()}`);
    try {
      await write(aside);
      await syncPath(aside);
      await rename(aside, target);
    } catch (error) {
      await rm(aside, { force: true });
      throw error;
    }
    await syncPath(dirname(target));
  } catch (error) {
    throw writeError(error, path);
  }
}

/**
 * Makes a folder of results that is there whole or not at all: `fill` writes into a hidden staging folder beside
 * the target; a manifest with the length and the SHA-256 of each file is written last; all is synced and renamed.
 * On any error or abort the staging folder is removed. Missing parents of the target are made.
 *
 * @throws UserError with exit code 1 when the target is there already, the disk is full or the place may not be
 *   written to; and what `fill` throws
 */
export async function commitFolder(
  target: string,
  fill: (staging: string) => Promise<void>,
  options: CommitOptions = {},
): Promise<Manifest> {
  const { existing = "refuse", signal } = options;
  const hidden = (purpose: string) =>
    join(dirname(target), `.${basename(target)}.${purpose}-${randomUUID()}`);
  const staging = hidden("staging");
  try {
    signal?.throwIfAborted();
    if (existing === "refuse") await refuseExisting(target);
    await makeFolder(dirname(target));
    await mkdir(staging);
    await fill(staging);
    signal?.throwIfAborted();
    const { manifest, paths } = await describeFolder(staging, options.label);
    const manifestPath = join(staging, manifestName);
    await writeFile(manifestPath, seal(manifest), { flag: "wx" });
    await syncAll([staging, manifestPath, ...paths]);
    signal?.throwIfAborted();
    if (existing === "replace") {
      await replaceFolder(staging, target, hidden("old"));
    } else {
      await refuseExisting(target);
      await rename(staging, target);
    }
    await syncPath(dirname(target));
    return manifest;
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => {}); // the first error is the one that matters
    throw writeError(error, target);
  }
}

/** Makes a folder with all its parents. Where that fails the error says why, as of a single one. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    // Node says ENOENT on a disk that is read-only.
    let parent = dirname(path);
    while ((await lstat(parent).catch(() => undefined)) === undefined) parent = dirname(parent);
    await access(parent, constants.W_OK | constants.X_OK);
    throw error;
  }
}

/** What is in a folder, with the paths of its files and folders. */
async function describeFolder(
  folder: string,
  label?: string,
): Promise<{ manifest: Manifest; paths: string[] }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const described: [string, Manifest["files"][string]][] = [];
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile()) {
      described.push([relative(folder, file).split(sep).join("/"), await describeFile(file)]);
    } else if (!entry.isDirectory()) throw new Error(`${file} is neither a file nor a folder`);
  }
  described.sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    manifest: { version: 1, ...(label === undefined ? {} : { label }), files: Object.fromEntries(described) },
    paths: entries.map((entry) => join(entry.parentPath, entry.name)),
  };
}

/** Files and folders at the same time: disks that have to write one of them write all together. */
async function syncAll(paths: readonly string[]): Promise<void> {
  const waiting = [...paths];
  const worker = async () => {
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) await syncPath(path);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

async function writeThrough(path: string, data: string | Uint8Array, flags: "w" | "wx"): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.writeFile(data);
    await sync(handle);
  } finally {
    await handle.close();
  }
}

/** Makes a file, or the names in a folder, last. */
async function syncPath(path: string): Promise<void> {
  if (process.platform === "win32") return syncOnWindows(path);
  const handle = await open(path, "r");
  try {
    await sync(handle);
  } finally {
    await handle.close();
  }
}

/** Windows can sync a folder neither with nor without the right to write, and does not need to; a file only with it. */
async function syncOnWindows(path: string): Promise<void> {
  if ((await stat(path)).isDirectory()) return;
  const handle = await open(path, "r+");
  try {
    await sync(handle);
  } finally {
    await handle.close();
  }
}

/** Devices and some file systems have nothing to sync, and say EINVAL. */
async function sync(handle: FileHandle): Promise<void> {
  await handle.sync().catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EINVAL") throw error;
  });
}

async function replaceFolder(staging: string, target: string, old: string): Promise<void> {
  const hadOne = await rename(target, old).then(
    () => true,
    (error) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );
  try {
    await rename(staging, target);
  } catch (error) {
    if (hadOne) await rename(old, target);
    throw error;
  }
  await rm(old, { recursive: true, force: true });
}

async function refuseExisting(target: string): Promise<void> {
  const existing = await lstat(target).catch(() => undefined);
  if (existing) throw alreadyThere(target);
}

function alreadyThere(target: string): UserError {
  return new UserError("there is something at this path already", {
    place: { file: target },
    hint: "Remove it, or choose another path.",
    exitCode: 1,
  });
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

const failures: Partial<Record<string, { message: string; hint: string }>> = {
  ENOSPC: {
    message: "the disk is full",
    hint: "Free some space, or write to another disk. Nothing was left half written.",
  },
  EDQUOT: { message: "the disk quota is used up", hint: "Remove files, or write to another disk." },
  EACCES: {
    message: "may not be written by this user",
    hint: "Give yourself the right to write there, or choose another path.",
  },
  EPERM: {
    message: "may not be written by this user",
    hint: "Give yourself the right to write there, or choose another path.",
  },
  EROFS: { message: "the disk is read-only", hint: "Choose a path on another disk." },
  ENOENT: { message: "the folder to write in does not exist", hint: "Make the folder, or check the path." },
  ENOTDIR: { message: "a part of the path is a file, not a folder", hint: "Check the path." },
  EISDIR: { message: "is a folder, expected a file", hint: "Choose another path." },
  ENAMETOOLONG: { message: "the name is too long", hint: "Choose a shorter one." },
};

/** What went wrong at `target` as a UserError. Errors that have to do with other places stay as they are. */
export function writeError(error: unknown, target: string): unknown {
  if (!(error instanceof Error) || error instanceof UserError) return error;
  const { code = "", path } = error as NodeJS.ErrnoException;
  if (path !== undefined && relative(dirname(target), path).startsWith("..")) return error;
  // Another process was faster.
  if (code === "ENOTEMPTY" || code === "EEXIST") return alreadyThere(target);
  const failure = failures[code];
  if (failure === undefined) return error;
  const { message, hint } = failure;
  return new UserError(message, { place: { file: target }, hint, exitCode: 1, cause: error });
}

import { createHash, randomUUID } from "node:crypto";
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { z } from "zod";
import { UserError } from "./errors.js";

const manifestName = "manifest.json";

const manifestSchema = z.object({
  /** Version of this format. */
  version: z.literal(1),
  /** Every file but the manifest, by its path in the folder with `/` between the names. */
  files: z.record(
    z.string(),
    z.object({
      /** Length in bytes. */
      bytes: z.int().min(0),
      /** SHA-256 in hexadecimal. */
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

/** What a committed folder holds: the files that were in it when it was finished. */
export type Manifest = z.infer<typeof manifestSchema>;

export interface CommitOptions {
  /** What to do when the target is there already: refuse (the default) or put the new folder in its place. */
  existing?: "refuse" | "replace";
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
  try {
    const target = await realpath(path).catch(() => path);
    const existing = await stat(target).catch(() => undefined);
    if (existing && !existing.isFile() && !existing.isDirectory())
      return await writeThrough(target, data, "w");
    const aside = join(dirname(target), `.writing-${randomUUID()}`);
    try {
      await writeThrough(aside, data, "wx");
      await rename(aside, target);
    } catch (error) {
      await rm(aside, { force: true });
      throw error;
    }
    await syncFolder(dirname(target));
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
    await mkdir(dirname(target), { recursive: true });
    await mkdir(staging);
    await fill(staging);
    signal?.throwIfAborted();
    const manifest = await describeAndSync(staging);
    await writeThrough(join(staging, manifestName), `${JSON.stringify(manifest, null, 2)}\n`, "wx");
    await syncFolder(staging);
    signal?.throwIfAborted();
    if (existing === "replace") {
      await replaceFolder(staging, target, hidden("old"));
    } else {
      await refuseExisting(target);
      await rename(staging, target);
    }
    await syncFolder(dirname(target));
    return manifest;
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => {}); // the first error is the one that matters
    throw writeError(error, target);
  }
}

/**
 * The manifest of a committed folder, after every file in it has been found as it was written. Files that were
 * added since are not looked at.
 *
 * @throws UserError with exit code 1 naming the file that is missing or altered
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const damaged = (path: string, message: string, cause?: unknown) =>
    new UserError(message, {
      place: { file: join(folder, path) },
      hint: "The results are not as they were written. Remove the folder and compute them again.",
      exitCode: 1,
      cause,
    });
  let manifest: Manifest;
  try {
    manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, manifestName), "utf8")));
  } catch (error) {
    throw damaged(manifestName, isMissing(error) ? "the file is missing" : "the manifest is damaged", error);
  }
  const root = await realpath(folder);
  for (const [path, expected] of Object.entries(manifest.files)) {
    const file = join(root, path);
    const found = await realpath(file).catch((error) => {
      throw damaged(path, isMissing(error) ? "the file is missing" : "the file cannot be read", error);
    });
    // A link, or a path with "..", could lead out of the folder.
    if (found !== file || !file.startsWith(root + sep) || !(await lstat(file)).isFile()) {
      throw damaged(path, "the path is not that of a file in the folder");
    }
    const { bytes, sha256 } = await describeFile(file, "r");
    if (bytes !== expected.bytes) {
      throw damaged(path, `the file was altered: it has ${bytes} bytes, expected ${expected.bytes}`);
    }
    if (sha256 !== expected.sha256) {
      throw damaged(path, `the file was altered: its SHA-256 is ${sha256}, expected ${expected.sha256}`);
    }
  }
  return manifest;
}

async function describeAndSync(folder: string): Promise<Manifest> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const described: [string, Manifest["files"][string]][] = [];
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await syncFolder(file);
    else if (entry.isFile()) {
      described.push([relative(folder, file).split(sep).join("/"), await describeFile(file, "r+")]);
    } else throw new Error(`${file} is neither a file nor a folder`);
  }
  described.sort(([a], [b]) => (a < b ? -1 : 1));
  return { version: 1, files: Object.fromEntries(described) };
}

/** Length and hash of a file, which is synced when it is opened for writing. */
async function describeFile(file: string, flags: "r" | "r+"): Promise<Manifest["files"][string]> {
  const handle = await open(file, flags);
  try {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    if (flags === "r+") await handle.sync();
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    await handle.close();
  }
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

/** Makes the names in a folder last. Windows cannot, and does not need to. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
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
function writeError(error: unknown, target: string): unknown {
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

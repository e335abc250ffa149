import { createHash, type Hash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Bytes that a cache may hold before what was not used for longest is removed. */
const SIZE_LIMIT = 512 * 2 ** 20;

/** Larger entries are not kept: a program with so many constants is loaded no faster from the disk. */
const ENTRY_LIMIT = SIZE_LIMIT / 8;

const DIGEST_LENGTH = 32;
const ENTRY_NAME = /^[0-9a-f]{64}$/;
const ASIDE = ".writing-";
/** What a process that was killed left aside is removed after an hour. */
const ABANDONED_AFTER_MS = 3600e3;

/**
 * A folder of derived data, each entry under the SHA-256 of what it was derived from. It may vanish, be read-only, be
 * full, or be written by several processes at once: what cannot be kept is not kept, and nothing here throws. An entry
 * is used only if it is whole (it begins with the hash of its name and content) and if nobody but this user could have
 * written it.
 */
export class FileCache {
  constructor(
    readonly folder: string,
    private readonly limit = SIZE_LIMIT,
  ) {}

  /** The content of an entry; undefined where there is none that may be used. One that may not is removed. */
  async read(key: string): Promise<Uint8Array | undefined> {
    const path = join(this.folder, key);
    try {
      if (!isPrivate(await stat(this.folder))) return undefined;
      const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
      try {
        const about = await file.stat();
        if (!about.isFile() || !isPrivate(about) || about.size > ENTRY_LIMIT + DIGEST_LENGTH) throw unusable;
        const bytes = await file.readFile();
        const content = bytes.subarray(DIGEST_LENGTH);
        if (!bytes.subarray(0, DIGEST_LENGTH).equals(digest(key, content))) throw unusable;
        const now = new Date();
        await file.utimes(now, now).catch(() => {}); // on a read-only disk the order of use stays as it is
        return content;
      } finally {
        await file.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") await this.remove(key);
      return undefined;
    }
  }

  /** Keeps an entry, whole or not at all, and removes the least recently used ones above the limit. */
  async write(key: string, content: Uint8Array): Promise<void> {
    if (content.length > Math.min(ENTRY_LIMIT, this.limit)) return;
    const aside = await this.aside();
    if (aside === undefined) return;
    try {
      const file = await open(aside, "wx", 0o600);
      try {
        await file.writev([digest(key, content), content]);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(aside, join(this.folder, key));
      await this.prune();
    } catch {
      await rm(aside, { force: true }).catch(() => {});
    }
  }

  async remove(key: string): Promise<void> {
    await rm(join(this.folder, key), { force: true }).catch(() => {});
  }

  /** A path in the folder that nothing else uses, for a file on its way; undefined where the folder cannot be had. */
  async aside(): Promise<string | undefined> {
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      return join(this.folder, `${ASIDE}${randomUUID()}`);
    } catch {
      return undefined;
    }
  }

  private async prune(): Promise<void> {
    const names = await readdir(this.folder);
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.folder, name);
        const about = await lstat(path).catch(() => undefined); // another process may have removed it
        return about?.isFile() ? { name, path, bytes: about.size, used: about.mtimeMs } : undefined;
      }),
    );
    const present = files.filter((file) => file !== undefined);
    const abandoned = present.filter(
      ({ name, used }) => name.startsWith(ASIDE) && used < Date.now() - ABANDONED_AFTER_MS,
    );
    const entries = present.filter(({ name }) => ENTRY_NAME.test(name)).sort((a, b) => b.used - a.used);
    let total = 0;
    const excess = entries.filter(({ bytes }) => {
      total += bytes;
      return total > this.limit;
    });
    for (const { path } of [...abandoned, ...excess]) await rm(path, { force: true });
  }
}

const unusable = new Error("not an entry that may be used");

/** SHA-256 over parts, each preceded by its length, so that no two lists of parts are alike. */
export function contentKey(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) addPart(hash, part);
  return hash.digest("hex");
}

function digest(key: string, content: Uint8Array): Buffer {
  const hash = createHash("sha256");
  addPart(hash, key);
  addPart(hash, content);
  return hash.digest();
}

function addPart(hash: Hash, part: string | Uint8Array): void {
  const bytes = typeof part === "string" ? Buffer.from(part) : part;
  hash.update(`${bytes.length}:`).update(bytes);
}

/** Whether only this user can have written a file or folder. Windows gives each user a folder of their own. */
function isPrivate({ uid, mode }: { uid: number; mode: number }): boolean {
  return process.platform === "win32" || (uid === process.getuid?.() && (mode & 0o022) === 0);
}

/**
 * Where derived data of this user is kept: `OUTGROW_HOME` if that is set, else the platform's folder for caches.
 * Undefined where this user has no home.
 */
export function cacheHome(): string | undefined {
  const { OUTGROW_HOME, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (OUTGROW_HOME) return OUTGROW_HOME;
  try {
    if (process.platform === "win32") {
      return join(LOCALAPPDATA ?? join(homedir(), "AppData", "Local"), "outgrow", "Cache");
    }
    if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "outgrow");
    return join(XDG_CACHE_HOME || join(homedir(), ".cache"), "outgrow");
  } catch {
    return undefined;
  }
}

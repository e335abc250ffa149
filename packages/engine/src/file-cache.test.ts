import { createHash } from "node:crypto";
import { chmod, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { contentKey, FileCache } from "./file-cache.js";

const content = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) % 256);
const key = contentKey("a program");
let parent: string;
let folder: string;
let cache: FileCache;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-cache-"));
  folder = join(parent, "deep", "cache");
  cache = new FileCache(folder);
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const path = (name = key) => join(folder, name);

describe("a cache of files", () => {
  it("gives back what was written, in another process or object, and nothing else", async () => {
    expect(await cache.read(key)).toBeUndefined();
    await cache.write(key, content);
    expect(Buffer.from((await new FileCache(folder).read(key)) as Uint8Array).equals(content)).toBe(true);
    expect(await cache.read(contentKey("another"))).toBeUndefined();
    expect(await readdir(folder)).toEqual([key]);
  });

  it("tells lists of parts apart", () => {
    const keys = [contentKey("ab", "c"), contentKey("a", "bc"), contentKey("abc"), contentKey("", "abc")];
    expect(new Set(keys).size).toBe(4);
    expect(contentKey(Buffer.from("abc"))).toBe(contentKey("abc"));
  });

  it("does not use, and removes, an entry that is cut short, altered, or under another name", async () => {
    for (const spoil of [
      (bytes: Buffer) => bytes.subarray(0, bytes.length - 1),
      (bytes: Buffer) => bytes.subarray(0, 10),
      (bytes: Buffer) => bytes.subarray(0, 0),
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.of(0)]),
      (bytes: Buffer) => bytes.fill(1, 3000, 3001),
      (bytes: Buffer) => bytes.fill(1, 0, 1),
    ]) {
      await cache.write(key, content);
      await writeFile(path(), spoil(await readFile(path())));
      expect(await cache.read(key)).toBeUndefined();
      expect(await readdir(folder)).toEqual([]);
    }
    await cache.write(key, content);
    await rename(path(), path(contentKey("another")));
    expect(await cache.read(contentKey("another"))).toBeUndefined();
  });

  it.runIf(process.platform !== "win32")("does not use what others could have written", async () => {
    await cache.write(key, content);
    await chmod(path(), 0o666);
    expect(await cache.read(key)).toBeUndefined();

    await cache.write(key, content);
    await rename(path(), join(parent, "elsewhere"));
    await symlink(join(parent, "elsewhere"), path());
    expect(await cache.read(key)).toBeUndefined();

    await cache.write(key, content);
    await chmod(folder, 0o777);
    expect(await cache.read(key)).toBeUndefined();
  });

  it("removes what was not used for longest above its limit, and what was left aside by a process that is gone", async () => {
    const small = new FileCache(folder, 3 * (content.length + 32));
    const keys = ["a", "b", "c"].map((name) => contentKey(name));
    for (const [i, entry] of keys.entries()) {
      await small.write(entry, content);
      await utimes(path(entry), new Date(), new Date(Date.now() - 1e6 + i * 1e3));
    }
    await writeFile(path(".writing-old"), "left");
    await utimes(path(".writing-old"), new Date(), new Date(Date.now() - 1e8));
    await writeFile(path(".writing-new"), "being written");
    await writeFile(path("notes.txt"), "not ours");
    expect(await small.read(keys[0])).toBeDefined(); // now b is the oldest
    await small.write(key, content);
    expect((await readdir(folder)).sort()).toEqual(
      [".writing-new", "notes.txt", key, keys[0], keys[2]].sort(),
    );
  });

  it("keeps nothing larger than itself, and nothing where it cannot write", async () => {
    await new FileCache(folder, 100).write(key, content);
    expect(await cache.read(key)).toBeUndefined();
    await writeFile(join(parent, "file"), "");
    const blocked = new FileCache(join(parent, "file", "cache"));
    await blocked.write(key, content);
    expect(await blocked.read(key)).toBeUndefined();
    const full = new FileCache("/dev/full");
    await full.write(key, content);
    expect(await full.read(key)).toBeUndefined();
  });

  it("stays whole when many write the same entry at once", async () => {
    await Promise.all(Array.from({ length: 8 }, () => new FileCache(folder).write(key, content)));
    const found = (await cache.read(key)) as Uint8Array;
    expect(createHash("sha256").update(found).digest("hex")).toBe(
      createHash("sha256").update(content).digest("hex"),
    );
    expect(await readdir(folder)).toEqual([key]);
  });
});

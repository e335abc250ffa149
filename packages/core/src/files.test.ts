import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { commitFolder, writeFileAtomic } from "./files.js";
import { type Manifest, readManifest, seal } from "./manifest.js";

// Real functions, of which a test can make one fail.
vi.mock("node:fs/promises", async (original) => ({ ...(await original<typeof fs>()) }));

let folder: string;
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), "outgrow-files-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await fs.rm(folder, { recursive: true });
});

const systemError = (code: string) => Object.assign(new Error(`${code}: injected`), { code });
const fillTwo = async (staging: string) => {
  await fs.mkdir(join(staging, "deep"));
  await fs.writeFile(join(staging, "deep/b.bin"), Uint8Array.of(1, 2, 3));
  await fs.writeFile(join(staging, "a.txt"), "hello");
};
const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");

describe("writeFileAtomic", () => {
  test("writes and replaces, and leaves nothing else", async () => {
    const file = join(folder, "a.txt");
    await writeFileAtomic(file, "one");
    await writeFileAtomic(file, Buffer.from("two"));
    expect(await fs.readFile(file, "utf8")).toBe("two");
    expect(await fs.readdir(folder)).toEqual(["a.txt"]);
  });

  test("follows a symbolic link", async () => {
    await fs.writeFile(join(folder, "real"), "one");
    await fs.symlink("real", join(folder, "link"));
    await writeFileAtomic(join(folder, "link"), "two");
    expect(await fs.readFile(join(folder, "real"), "utf8")).toBe("two");
    expect((await fs.lstat(join(folder, "link"))).isSymbolicLink()).toBe(true);
  });

  test.each([
    ["ENOSPC", "the disk is full"],
    ["EROFS", "the disk is read-only"],
    ["EACCES", "may not be written by this user"],
  ])("%s when renaming leaves the old file alone", async (code, message) => {
    const file = join(folder, "a.txt");
    await writeFileAtomic(file, "old");
    vi.spyOn(fs, "rename").mockRejectedValue(systemError(code));
    await expect(writeFileAtomic(file, "new")).rejects.toMatchObject({
      name: "UserError",
      message,
      place: { file },
      hint: expect.any(String),
      exitCode: 1,
    });
    expect(await fs.readFile(file, "utf8")).toBe("old");
    expect(await fs.readdir(folder)).toEqual(["a.txt"]);
  });

  test("a missing folder and a folder for a file", async () => {
    await expect(writeFileAtomic(join(folder, "no/a.txt"), "x")).rejects.toMatchObject({
      message: "the folder to write in does not exist",
      exitCode: 1,
    });
    await fs.mkdir(join(folder, "sub"));
    await expect(writeFileAtomic(join(folder, "sub"), "x")).rejects.toMatchObject({
      message: "is a folder, expected a file",
    });
    expect(await fs.readdir(folder)).toEqual(["sub"]);
  });

  test.skipIf(!existsSync("/dev/full"))("a device is written to, not replaced, and may be full", async () => {
    await expect(writeFileAtomic("/dev/full", "x")).rejects.toMatchObject({
      name: "UserError",
      message: "the disk is full",
      place: { file: "/dev/full" },
      exitCode: 1,
    });
    await writeFileAtomic("/dev/null", "x");
    expect((await fs.stat("/dev/null")).isCharacterDevice()).toBe(true);
  });
});

describe("commitFolder", () => {
  test("writes a manifest of all files and nothing beside the target", async () => {
    const target = join(folder, "runs/one");
    const manifest = await commitFolder(target, fillTwo);
    expect(manifest).toEqual({
      version: 1,
      files: {
        "a.txt": { bytes: 5, sha256: sha256("hello") },
        "deep/b.bin": { bytes: 3, sha256: sha256(Uint8Array.of(1, 2, 3)) },
      },
    });
    expect(await readManifest(target)).toEqual(manifest);
    expect(await fs.readdir(join(folder, "runs"))).toEqual(["one"]);
  });

  test("stages in a hidden folder beside the target", async () => {
    await commitFolder(join(folder, "one"), async (staging) => {
      expect(await fs.readdir(folder)).toEqual([expect.stringMatching(/^\.one\.staging-/)]);
      expect(staging.startsWith(join(folder, ".one.staging-"))).toBe(true);
    });
  });

  test("an error of fill is passed on, and nothing is left", async () => {
    const error = new Error("diverged");
    const committed = commitFolder(join(folder, "one"), async (staging) => {
      await fillTwo(staging);
      throw error;
    });
    await expect(committed).rejects.toBe(error);
    expect(await fs.readdir(folder)).toEqual([]);
  });

  test("an abort leaves nothing", async () => {
    const controller = new AbortController();
    const committed = commitFolder(
      join(folder, "one"),
      async (staging) => {
        await fillTwo(staging);
        controller.abort();
      },
      { signal: controller.signal },
    );
    await expect(committed).rejects.toThrow("aborted");
    expect(await fs.readdir(folder)).toEqual([]);
  });

  test("what is there already is refused before any work, or replaced on demand", async () => {
    const target = join(folder, "one");
    await commitFolder(target, fillTwo);
    const fill = vi.fn((staging: string) => fs.writeFile(join(staging, "new.txt"), "new"));
    await expect(commitFolder(target, fill)).rejects.toMatchObject({
      message: "there is something at this path already",
      place: { file: target },
      exitCode: 1,
    });
    expect(fill).not.toHaveBeenCalled();
    const manifest = await commitFolder(target, fill, { existing: "replace" });
    expect(await readManifest(target)).toEqual(manifest);
    expect((await fs.readdir(target)).sort()).toEqual(["manifest.json", "new.txt"]);
    expect(await fs.readdir(folder)).toEqual(["one"]);
  });

  test("a replacement that fails puts the old folder back", async () => {
    const target = join(folder, "one");
    const manifest = await commitFolder(target, fillTwo);
    const { rename } = fs;
    const spy = vi.spyOn(fs, "rename");
    spy.mockImplementationOnce(rename).mockRejectedValueOnce(systemError("ENOSPC"));
    const replaced = commitFolder(target, async () => {}, { existing: "replace" });
    await expect(replaced).rejects.toMatchObject({ message: "the disk is full", exitCode: 1 });
    expect(await readManifest(target)).toEqual(manifest);
    expect(await fs.readdir(folder)).toEqual(["one"]);
  });

  test("of two that commit at once, one wins and the other says so", async () => {
    const target = join(folder, "one");
    const outcomes = await Promise.allSettled([commitFolder(target, fillTwo), commitFolder(target, fillTwo)]);
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.map(({ reason }) => reason.message)).toEqual(["there is something at this path already"]);
    await readManifest(target);
    expect(await fs.readdir(folder)).toEqual(["one"]);
  });

  test("errors at other places are passed on as they are", async () => {
    const elsewhere = join(tmpdir(), "outgrow-no-such-file");
    const committed = commitFolder(join(folder, "one"), async () => void (await fs.readFile(elsewhere)));
    await expect(committed).rejects.toMatchObject({ code: "ENOENT", path: elsewhere });
  });

  test("a disk that is really full", async (context) => {
    const disk = join(folder, "disk");
    await fs.mkdir(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], { stdio: "ignore" });
    } catch {
      return context.skip("mounting a small disk needs root");
    }
    try {
      const target = join(disk, "one");
      const committed = commitFolder(target, (staging) =>
        fs.writeFile(join(staging, "big"), new Uint8Array(2 ** 20)),
      );
      await expect(committed).rejects.toMatchObject({
        name: "UserError",
        message: "the disk is full",
        place: { file: target },
        exitCode: 1,
      });
      await expect(writeFileAtomic(target, new Uint8Array(2 ** 20))).rejects.toMatchObject({
        message: "the disk is full",
      });
      expect(await fs.readdir(disk)).toEqual([]);
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});

describe("readManifest", () => {
  let target: string;
  beforeEach(async () => {
    target = join(folder, "one");
    await commitFolder(target, fillTwo);
  });
  const manifestOf = (files: Manifest["files"]) => seal({ version: 1, files });
  const entry = { bytes: 5, sha256: sha256("hello") };

  test.each<[string, () => Promise<unknown>, string, string]>([
    ["a missing file", () => fs.rm(join(target, "a.txt")), "a.txt", "the file is missing"],
    [
      "a cut-off file",
      () => fs.truncate(join(target, "deep/b.bin"), 2),
      "deep/b.bin",
      "has 2 bytes, expected 3",
    ],
    ["an altered file", () => fs.writeFile(join(target, "a.txt"), "hallo"), "a.txt", "its SHA-256 is"],
    ["no manifest", () => fs.rm(join(target, "manifest.json")), "manifest.json", "the file is missing"],
    ["a torn manifest", () => fs.truncate(join(target, "manifest.json"), 20), "manifest.json", "is damaged"],
    [
      "a strange manifest",
      () => fs.writeFile(join(target, "manifest.json"), "[]"),
      "manifest.json",
      "is damaged",
    ],
    [
      "a path out of the folder",
      async () => {
        await fs.writeFile(join(folder, "a.txt"), "hello");
        await fs.writeFile(join(target, "manifest.json"), manifestOf({ "../a.txt": entry }));
      },
      "../a.txt",
      "not that of a file in the folder",
    ],
    [
      "a link out of the folder",
      async () => {
        await fs.rename(join(target, "a.txt"), join(folder, "a.txt"));
        await fs.symlink("../a.txt", join(target, "a.txt"));
      },
      "a.txt",
      "not that of a file in the folder",
    ],
  ])("%s is noticed", async (_, damage, path, message) => {
    await damage();
    await expect(readManifest(target)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
      place: { file: join(target, path) },
      hint: expect.any(String),
      exitCode: 1,
    });
  });
});

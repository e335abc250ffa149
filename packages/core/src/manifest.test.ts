import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { commitFolder } from "./files.js";
import { openManifest, readListed } from "./manifest.js";

let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-manifest-"));
  folder = join(parent, "one");
  await commitFolder(folder, (staging) => writeFile(join(staging, "a.txt"), "some text"), {
    label: "a name",
  });
});
afterEach(() => rm(parent, { recursive: true }));

/** Calls `look` once for each byte of a file, in which the byte has one bit inverted. */
async function withEachByteAltered(path: string, look: () => Promise<void>): Promise<void> {
  const whole = await readFile(path);
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole);
    bytes[at] ^= 1 << (at % 8);
    await writeFile(path, bytes);
    await look();
  }
}

describe("an altered byte is noticed", () => {
  test("wherever in the manifest it is", async () => {
    await withEachByteAltered(join(folder, "manifest.json"), () =>
      expect(openManifest(folder)).rejects.toMatchObject({
        name: "UserError",
        message: "the manifest is damaged",
        place: { file: join(folder, "manifest.json") },
        exitCode: 1,
      }),
    );
  });

  test("wherever in a listed file it is", async () => {
    const manifest = await openManifest(folder);
    expect(manifest.label).toBe("a name");
    expect((await readListed(folder, manifest, "a.txt")).toString()).toBe("some text");
    await withEachByteAltered(join(folder, "a.txt"), () =>
      expect(readListed(folder, manifest, "a.txt")).rejects.toMatchObject({
        message: expect.stringContaining("the file was altered"),
        place: { file: join(folder, "a.txt") },
      }),
    );
  });
});

test("files that the manifest does not list are not read", async () => {
  await writeFile(join(folder, "later.txt"), "x");
  const manifest = await openManifest(folder);
  await expect(readListed(folder, manifest, "later.txt")).rejects.toThrow("not one of the folder's");
  await expect(readListed(folder, manifest, "toString")).rejects.toThrow("not one of the folder's");
});

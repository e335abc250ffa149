import { randomUUID } from "node:crypto";
import { constants, createReadStream, createWriteStream } from "node:fs";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { type ArtifactStore, checkKey } from "./artifacts.js";
import { limitedTo } from "./limited.js";

/** Artifacts in a folder that all machines see: `KEY/...`. */
export function folderStore(url: string): ArtifactStore {
  const root = resolve(url.startsWith("file://") ? fileURLToPath(url) : url);
  return {
    url: root,
    async download(key, path, target, maxBytes) {
      const source = join(root, checkKey(key), path);
      try {
        await pipeline(createReadStream(source), limitedTo(maxBytes, source), createWriteStream(target));
        return true;
      } catch (error) {
        const { code, path: missing } = error as NodeJS.ErrnoException;
        if (code === "ENOENT" && missing === source) return false;
        throw error;
      }
    },
    async publish(key, folder, paths) {
      for (const path of paths) {
        const target = join(root, checkKey(key), path);
        await mkdir(dirname(target), { recursive: true });
        const aside = `${target}.${randomUUID()}`;
        try {
          await copyFile(join(folder, path), aside, constants.COPYFILE_EXCL);
          await rename(aside, target);
        } finally {
          await rm(aside, { force: true });
        }
      }
    },
  };
}

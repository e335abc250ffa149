import { randomUUID } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../errors.js";
import { type Manifest, manifestName, openManifest, readManifest } from "../manifest.js";
import type { ArtifactStore } from "./artifacts.js";

/** A manifest is small; one larger than this is none. */
const MAX_MANIFEST_BYTES = 64 * 2 ** 20;

/**
 * Brings a stage's output from a store into its folder; false where the store has none. Every byte is checked before the
 * folder has its name, so that a store that lies, or a connection that breaks off, leaves nothing.
 *
 * @throws UserError where what came is not what its manifest says
 */
export async function fetchOutput(store: ArtifactStore, key: string, folder: string): Promise<boolean> {
  const staging = join(dirname(folder), `.${basename(folder)}.fetching-${randomUUID()}`);
  try {
    await mkdir(staging, { recursive: true });
    const isThere = await store.download(key, manifestName, join(staging, manifestName), MAX_MANIFEST_BYTES);
    if (!isThere) return false;
    const manifest = await openManifest(staging);
    if (manifest.label !== key) {
      throw new UserError(`the store ${store.url} has another output in the place of ${key}`, {
        exitCode: 1,
      });
    }
    for (const [path, { bytes }] of Object.entries(manifest.files)) {
      const target = join(staging, path);
      if (!target.startsWith(`${staging}/`) && !target.startsWith(`${staging}\\`)) {
        throw new UserError(`the store ${store.url} has a file outside of its folder: ${path}`, {
          exitCode: 1,
        });
      }
      await mkdir(dirname(target), { recursive: true });
      if (!(await store.download(key, path, target, bytes))) {
        throw new UserError(`the store ${store.url} lacks ${path} of ${key}`, { exitCode: 1 });
      }
    }
    await readManifest(staging);
    await rename(staging, folder).catch((error) => {
      // Another process has brought it meanwhile.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
    return true;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Shares a stage's output: its files, and last its manifest. One that is in the store is left as it is. */
export async function publishOutput(
  store: ArtifactStore,
  key: string,
  folder: string,
  manifest: Manifest,
): Promise<void> {
  await store.publish(key, folder, [...Object.keys(manifest.files), manifestName]);
}

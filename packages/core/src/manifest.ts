import { createHash } from "node:crypto";
import { lstat, open, readFile, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { z } from "zod";
import { UserError } from "./errors.js";

export const manifestName = "manifest.json";

const manifestSchema = z.object({
  /** Version of this format. */
  version: z.literal(1),
  /** What the folder is, where that must not be taken for something else, e.g. the key of a stage. */
  label: z.string().optional(),
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

/** Facts as the text of a JSON file that ends with a hash of all before it. */
export function seal(facts: object): string {
  return `${JSON.stringify({ ...facts, seal: sha256(JSON.stringify(facts)) }, null, 2)}\n`;
}

/** The facts in a text that {@link seal} gave. Throws where any byte of it is another. */
export function unseal(text: string): object {
  const { seal: _, ...facts } = JSON.parse(text) as Record<string, unknown>;
  if (seal(facts) !== text) throw new Error("the text is not that which was sealed");
  return facts;
}

/**
 * The manifest of a committed folder, every byte of it as it was written. The files that it lists are not looked at:
 * read them with {@link readListed}, or all of them with {@link readManifest}.
 *
 * @throws UserError with exit code 1 when it is missing or altered
 */
export async function openManifest(folder: string): Promise<Manifest> {
  try {
    const text = await readFile(join(folder, manifestName), "utf8");
    return manifestSchema.parse(unseal(text));
  } catch (error) {
    throw damaged(
      folder,
      manifestName,
      isMissing(error) ? "the file is missing" : "the manifest is damaged",
      error,
    );
  }
}

/**
 * The bytes of a file that a manifest lists, after these very bytes have been found as they were written.
 *
 * @throws UserError with exit code 1 naming the file that is missing or altered
 */
export async function readListed(folder: string, manifest: Manifest, path: string): Promise<Buffer> {
  if (!Object.hasOwn(manifest.files, path)) {
    throw damaged(folder, path, "the file is not one of the folder's");
  }
  const bytes = await readFile(join(folder, path)).catch((error) => {
    throw damaged(folder, path, isMissing(error) ? "the file is missing" : "the file cannot be read", error);
  });
  compare(folder, path, { bytes: bytes.length, sha256: sha256(bytes) }, manifest.files[path]);
  return bytes;
}

/**
 * The manifest of a committed folder, after every file in it has been found as it was written. Files that were
 * added since are not looked at.
 *
 * @throws UserError with exit code 1 naming the file that is missing or altered
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const manifest = await openManifest(folder);
  const root = await realpath(folder);
  for (const [path, expected] of Object.entries(manifest.files)) {
    const file = join(root, path);
    const found = await realpath(file).catch((error) => {
      throw damaged(
        folder,
        path,
        isMissing(error) ? "the file is missing" : "the file cannot be read",
        error,
      );
    });
    // A link, or a path with "..", could lead out of the folder.
    if (found !== file || !file.startsWith(root + sep) || !(await lstat(file)).isFile()) {
      throw damaged(folder, path, "the path is not that of a file in the folder");
    }
    compare(folder, path, await describeFile(file), expected);
  }
  return manifest;
}

const chunkBytes = 1 << 20;

/** Length and hash of a file. */
export async function describeFile(file: string): Promise<Manifest["files"][string]> {
  const handle = await open(file, "r");
  try {
    const hash = createHash("sha256");
    const { size } = await handle.stat();
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, size + 1));
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    await handle.close();
  }
}

type Described = Manifest["files"][string];

function compare(folder: string, path: string, found: Described, expected: Described): void {
  if (found.bytes !== expected.bytes) {
    throw damaged(
      folder,
      path,
      `the file was altered: it has ${found.bytes} bytes, expected ${expected.bytes}`,
    );
  }
  if (found.sha256 !== expected.sha256) {
    throw damaged(
      folder,
      path,
      `the file was altered: its SHA-256 is ${found.sha256}, expected ${expected.sha256}`,
    );
  }
}

const damaged = (folder: string, path: string, message: string, cause?: unknown) =>
  new UserError(message, {
    place: { file: join(folder, path) },
    hint: "The results are not as they were written. Remove the folder and compute them again.",
    exitCode: 1,
    cause,
  });

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT";

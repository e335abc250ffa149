import { join } from "node:path";
import { UserError } from "../errors.js";
import { type Manifest, openManifest, readListed } from "../manifest.js";
import { decodeSafetensors, type Safetensors } from "../models/safetensors.js";
import { contentHash } from "./content-hash.js";

/** The file of a stage's output that says how it came to be. It is no part of its content. */
export const aboutName = "stage.json";

/** Hash of the files that a stage has written: the same for the same bits, whatever stage and machine made them. */
export function outputHash(manifest: Manifest): string {
  const files = Object.entries(manifest.files).filter(([path]) => path !== aboutName);
  return contentHash(files.map(([path, { sha256 }]) => [path, sha256]));
}

/** Makes a damaged output again: the manifest of the new one. */
export type Mend = (damage: UserError) => Promise<Manifest>;

/**
 * What a stage has written. Every read hashes the very bytes that it returns, so a file that was altered since is never
 * used: it is computed again, and the work goes on only if the bits are those of before.
 */
export class StageOutput {
  readonly kind = "output";
  /** Of the content: {@link outputHash}. */
  readonly hash: string;

  constructor(
    readonly stage: string,
    readonly key: string,
    /** Absolute path. */
    readonly folder: string,
    /** Whether it was there already. */
    readonly cached: boolean,
    private manifest: Manifest,
    private readonly mend?: Mend,
  ) {
    this.hash = outputHash(manifest);
  }

  /** Paths of the files, sorted, with `/` between names. */
  get files(): string[] {
    return Object.keys(this.manifest.files).filter((path) => path !== aboutName);
  }

  /** Length in bytes of all files. */
  get bytes(): number {
    return Object.values(this.manifest.files).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** @throws UserError when the file is damaged and computing it again gives other bits or fails */
  async read(path: string): Promise<Buffer> {
    try {
      return await readListed(this.folder, this.manifest, path);
    } catch (error) {
      if (!(error instanceof UserError) || !this.mend) throw error;
      this.manifest = await this.mend(error);
      if (outputHash(this.manifest) !== this.hash) {
        throw new UserError(
          `stage "${this.stage}" was damaged, and came out with other bits when computed again`,
          {
            place: { file: join(this.folder, path) },
            hint: "What was built on it can no longer be repeated. Run everything again.",
            exitCode: 1,
            cause: error,
          },
        );
      }
      return await readListed(this.folder, this.manifest, path);
    }
  }

  async text(path: string): Promise<string> {
    return (await this.read(path)).toString("utf8");
  }

  async json<T>(path: string): Promise<T> {
    return JSON.parse(await this.text(path)) as T;
  }

  /** The records of a JSONL file. */
  async jsonl<T>(path: string): Promise<T[]> {
    const text = await this.text(path);
    return text === ""
      ? []
      : text
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as T);
  }

  async tensors(path: string): Promise<Safetensors> {
    return decodeSafetensors(await this.read(path), join(this.folder, path));
  }

  /** The path of a file for a program that must open it itself, after its bytes were checked. */
  async path(path: string): Promise<string> {
    await this.read(path);
    return join(this.folder, path);
  }
}

/** The manifest of a stage's output, or undefined where there is none; what is damaged is thrown. */
export async function openOutput(folder: string, key: string): Promise<Manifest | undefined> {
  let manifest: Manifest;
  try {
    manifest = await openManifest(folder);
  } catch (error) {
    if ((error as UserError).message === "the file is missing") return undefined;
    throw error;
  }
  if (manifest.label !== key) {
    throw new UserError("the folder is that of another stage", {
      place: { file: folder },
      hint: "Somebody has moved it. `outgrow cache verify` finds all such folders.",
      exitCode: 1,
    });
  }
  return manifest;
}

import { UserError } from "../errors.js";

/**
 * A place where machines that work on the same sweep share the outputs of stages: folders with a manifest, by the keys
 * of their stages. Who reads checks what came against the manifest, so that a store need not be trusted.
 */
export interface ArtifactStore {
  /** For messages, e.g. `s3://bucket/prefix`. */
  readonly url: string;
  /**
   * Writes one file of an artifact to `target`; false where it is not there. More than `maxBytes` are an error.
   */
  download(key: string, path: string, target: string, maxBytes: number): Promise<boolean>;
  /** Shares files of a folder under a key, one after another: the manifest comes last, and says that all are there. */
  publish(key: string, folder: string, paths: readonly string[]): Promise<void>;
}

/** Keys are hashes: nothing that could lead out of the store. */
const keyPattern = /^[a-z0-9][a-z0-9-]{7,127}$/;

export function checkKey(key: string): string {
  if (!keyPattern.test(key)) throw new TypeError(`"${key}" is not the key of an artifact.`);
  return key;
}

/**
 * The store at a URL: a folder that all machines see (`/mnt/share`, `file:///mnt/share`), or
 * `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`, with the credentials that the AWS tools use.
 *
 * @throws UserError where the URL is of another form
 */
export async function openArtifactStore(url: string): Promise<ArtifactStore> {
  if (url.startsWith("s3://")) return (await import("./artifacts-s3.js")).s3Store(url);
  if (/^[a-z][a-z0-9+.-]+:/i.test(url) && !url.startsWith("file://")) {
    throw new UserError(`"${url}" is not the place of an artifact store`, {
      hint: "Give a folder that all machines see, or s3://BUCKET/PREFIX.",
    });
  }
  return (await import("./artifacts-folder.js")).folderStore(url);
}

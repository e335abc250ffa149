import * as hub from "@huggingface/hub";

/*
 * What is used of Hugging Face's library; its own types are not found under Node's rules for modules.
 */

interface Access {
  hubUrl: string;
  accessToken?: string;
  fetch: typeof fetch;
}

/** A file of a repository at a commit. */
export interface HubFile {
  type: "file" | "directory" | "unknown";
  path: string;
  size: number;
  /** Git's hash of the blob. */
  oid?: string;
  /** Of a large file: the SHA-256 of its content. */
  lfs?: { oid: string; size: number };
}

interface HubLibrary {
  modelInfo(
    options: Access & { name: string; revision?: string; additionalFields: ["sha"] },
  ): Promise<{ sha: string }>;
  listFiles(
    options: Access & { repo: { type: "model"; name: string }; revision: string },
  ): AsyncGenerator<HubFile>;
  listModels(
    options: Access & { search: { owner: string }; limit: number },
  ): AsyncGenerator<{ name: string }>;
  /** Null where there is no such file. */
  downloadFile(
    options: Access & {
      repo: { type: "model"; name: string };
      path: string;
      revision: string;
      /** False: one plain request, which can be taken up where it was cut. */
      xet: false;
    },
  ): Promise<Blob | null>;
}

export const hubLibrary = hub as unknown as HubLibrary;

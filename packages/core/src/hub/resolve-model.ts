import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { nearest } from "../data/nearest.js";
import { UserError } from "../errors.js";
import { commitFolder, makeFolder, writeError, writeFileAtomic } from "../files.js";
import { homeLayout, outgrowHome } from "../lab/home.js";
import { acquire } from "../lab/lock.js";
import { openManifest } from "../manifest.js";
import { type HubFile, hubLibrary } from "./library.js";

export interface ResolveModelOptions {
  /** Where models are kept. Default: `OUTGROW_HOME`, see `outgrowHome`. */
  home?: string;
  /** Default: `HF_ENDPOINT`, else https://huggingface.co. */
  hubUrl?: string;
  /** For private and gated repositories. Default: `HF_TOKEN`. */
  accessToken?: string;
  /** Whether to do without the network. Default: whether `OUTGROW_OFFLINE` is set. */
  offline?: boolean;
  /** Bytes of the whole model that are there, and that it has. */
  onProgress?: (progress: { file: string; received: number; total: number }) => void;
  /** Called once where another process downloads the same model. */
  onWait?: () => void;
  signal?: AbortSignal;
}

const hubPrefix = "hf:";

/**
 * The folder of a model: of a path, that path; of `hf:owner/name` or `hf:owner/name@revision`, a folder of the home into which the
 * files that are needed are downloaded from Hugging Face's hub, once: then no network is needed. A revision is a branch, a tag or a
 * commit; of a branch the commit is kept that was its last when it was downloaded first.
 *
 * A download that was cut goes on where it was. Each file is checked against the hash that the hub gives, and the folder is there
 * with all its files or not at all.
 *
 * @throws UserError for a path that is no folder; a name that is malformed or not there (with the nearest that is); a gated repository
 *   without the right token; no network; a full disk; files that are not what the hub says they are
 */
export async function resolveModel(spec: string, options: ResolveModelOptions = {}): Promise<string> {
  if (!spec.startsWith(hubPrefix)) {
    if ((await stat(spec).catch(() => undefined))?.isDirectory()) return spec;
    throw new UserError("there is no such folder", {
      place: { file: spec },
      hint: "Expected the folder of a model, or hf:owner/name for one from Hugging Face's hub.",
    });
  }
  const repository = parseSpec(spec);
  const home = options.home ?? outgrowHome();
  const root = join(home, "hub", ...repository.name.split("/"));
  const reference = join(root, "revisions", encodeURIComponent(repository.revision));
  const kept = async () => keptFolder(root, await readFile(reference, "utf8").catch(() => ""));
  const folder = await kept();
  if (folder !== undefined) return folder;
  if (options.offline ?? Boolean(process.env.OUTGROW_OFFLINE)) {
    throw new UserError(`${spec} has not been downloaded`, {
      hint: "Run it once with a network: without --offline, and with OUTGROW_OFFLINE unset.",
      exitCode: 1,
    });
  }
  const name = createHash("sha256").update(repository.name).digest("hex");
  const lock = await acquire(
    homeLayout(home).locks,
    `hub-${name}`,
    async () => (await kept()) !== undefined,
    {
      signal: options.signal,
      onWait: options.onWait,
    },
  );
  try {
    const meanwhile = await kept();
    if (meanwhile !== undefined) return meanwhile;
    return await download(repository, root, reference, options);
  } finally {
    await lock?.release();
  }
}

interface Repository {
  /** `owner/name` */
  name: string;
  revision: string;
}

function parseSpec(spec: string): Repository {
  const [name, revision = "main", ...rest] = spec.slice(hubPrefix.length).split("@");
  const isName = /^[\w-][\w.-]{0,95}\/[\w-][\w.-]{0,95}$/.test(name);
  const isRevision = /^[\w-][\w./-]{0,199}$/.test(revision) && !revision.includes("..");
  if (!isName || !isRevision || rest.length > 0) {
    throw new UserError(`${JSON.stringify(spec)} names no model`, {
      hint: "Expected hf:owner/name or hf:owner/name@revision, e.g. hf:HuggingFaceTB/SmolLM2-135M-Instruct.",
    });
  }
  return { name, revision };
}

/** The folder of a commit, where all its files are there with their sizes. */
async function keptFolder(root: string, sha: string): Promise<string | undefined> {
  if (!/^[0-9a-f]{40}$/.test(sha)) return undefined;
  const folder = join(root, sha);
  const manifest = await openManifest(folder).catch(() => undefined);
  if (manifest === undefined) return undefined;
  for (const [path, { bytes }] of Object.entries(manifest.files)) {
    if ((await stat(join(folder, path)).catch(() => undefined))?.size !== bytes) return undefined;
  }
  return folder;
}

async function download(
  { name, revision }: Repository,
  root: string,
  reference: string,
  options: ResolveModelOptions,
): Promise<string> {
  const { signal, onProgress } = options;
  const access = {
    hubUrl: (options.hubUrl ?? process.env.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, ""),
    accessToken: options.accessToken ?? process.env.HF_TOKEN,
    fetch: ((input, init) => fetch(input, { ...init, signal })) as typeof fetch,
  };
  const repo = { type: "model", name } as const;
  try {
    const { sha } = await hubLibrary.modelInfo({ ...access, name, revision, additionalFields: ["sha"] });
    if (!/^[0-9a-f]{40}$/.test(String(sha))) throw wrong(name, `its commit is ${JSON.stringify(sha)}`);
    const target = join(root, sha);
    if ((await keptFolder(root, sha)) === undefined) {
      const files = await neededFiles(name, hubLibrary.listFiles({ ...access, repo, revision: sha }));
      const total = files.reduce((sum, { size }) => sum + size, 0);
      const partial = join(root, `.partial-${sha}`);
      await makeFolder(partial);
      let before = 0;
      for (const file of files) {
        const source = () =>
          hubLibrary.downloadFile({ ...access, repo, path: file.path, revision: sha, xet: false });
        await fetchFile(file, join(partial, file.path), source, name, signal, (received) =>
          onProgress?.({ file: file.path, received: before + received, total }),
        );
        before += file.size;
      }
      await commitFolder(
        target,
        async (staging) => {
          for (const { path } of files) await rename(join(partial, path), join(staging, path));
        },
        { existing: "replace", label: `${hubPrefix}${name}@${sha}`, signal },
      );
      await rm(partial, { recursive: true, force: true });
    }
    await makeFolder(join(root, "revisions"));
    await writeFileAtomic(reference, sha);
    return target;
  } catch (error) {
    signal?.throwIfAborted();
    throw await explained(error, name, revision, root, access);
  }
}

const wantedNames = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];
const singleWeights = "model.safetensors";
const weightsIndex = "model.safetensors.index.json";
const maxFiles = 1000;

/** What of a repository is needed to use its model. */
async function neededFiles(name: string, listed: AsyncIterable<HubFile>): Promise<HubFile[]> {
  const files: HubFile[] = [];
  for await (const file of listed) {
    if (file.type === "file") files.push(file);
    if (files.length > maxFiles) throw wrong(name, `it has more than ${maxFiles} files`);
  }
  const isSharded = files.some(({ path }) => path === weightsIndex);
  const isWeights = (path: string) =>
    isSharded
      ? path === weightsIndex || /^model-\d{1,6}-of-\d{1,6}\.safetensors$/.test(path)
      : path === singleWeights;
  const needed = files.filter(({ path }) => wantedNames.includes(path) || isWeights(path));
  for (const least of ["config.json", isSharded ? weightsIndex : singleWeights]) {
    if (!needed.some(({ path }) => path === least)) {
      throw new UserError(`${name} has no ${least}`, {
        hint: "Expected a model in Hugging Face's layout with its weights as safetensors.",
        exitCode: 1,
      });
    }
  }
  const unsound = needed.find(({ size }) => !Number.isSafeInteger(size) || size < 0);
  if (unsound !== undefined) throw wrong(name, `${unsound.path} has ${unsound.size} bytes`);
  return needed;
}

/** How often a download is taken up again without any byte that is new. */
const attempts = 5;

/** Downloads a file, from where an earlier download of it was cut, and checks it. */
async function fetchFile(
  file: HubFile,
  path: string,
  source: () => Promise<Blob | null>,
  name: string,
  signal: AbortSignal | undefined,
  onReceived: (bytes: number) => void,
): Promise<void> {
  let fruitless = 0;
  for (let isFresh = false; ; ) {
    const hash = hashOf(file);
    let received: number = isFresh ? 0 : await hashExisting(path, hash.content, file.size);
    const start = received;
    if (start === 0) isFresh = true;
    onReceived(received);
    let cut: unknown;
    if (received < file.size || start === 0) {
      const handle = await open(path, start === 0 ? "w" : "a");
      try {
        const blob = file.size === 0 ? undefined : await source();
        if (blob === null) throw wrong(name, `${file.path} is not there`);
        const content = start === 0 ? blob : blob?.slice(start, file.size);
        for await (const chunk of (content?.stream() ?? []) as AsyncIterable<Uint8Array>) {
          received += chunk.length;
          if (received > file.size) break;
          hash.content.update(chunk);
          await handle.write(chunk);
          onReceived(received);
        }
      } catch (error) {
        if (!isCut(error)) throw error;
        cut = error;
      } finally {
        await handle.close();
      }
    }
    signal?.throwIfAborted();
    if (received === file.size && hash.content.digest("hex") === hash.expected) return;
    if (received < file.size) {
      // Cut off. What is there is kept.
      fruitless = received > start ? 0 : fruitless + 1;
      if (fruitless >= attempts)
        throw cut ?? wrong(name, `${file.path} ends after ${received} of ${file.size} bytes`);
      await setTimeout(100 * 2 ** fruitless, undefined, { signal });
      isFresh = received === 0;
      continue;
    }
    await rm(path, { force: true });
    // What an earlier download has left may have been damaged since; one that was new is not what the hub says it is.
    if (isFresh) throw wrong(name, `${file.path} is not the file with hash ${hash.expected}`);
    isFresh = true;
  }
}

/** The SHA-256 of a large file, git's SHA-1 of another. */
function hashOf({ lfs, oid, size }: HubFile): { content: Hash; expected: string } {
  if (lfs !== undefined) return { content: createHash("sha256"), expected: lfs.oid };
  return { content: createHash("sha1").update(`blob ${size}\0`), expected: String(oid) };
}

/** Hashes what an earlier download has left, and gives its length; 0 where it is longer than the file. */
async function hashExisting(path: string, hash: Hash, size: number): Promise<number> {
  const length = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (length === 0 || length > size) return 0;
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return length;
}

/** Whether an error is one of the network, after which it is worth to try again. */
function isCut(error: unknown): boolean {
  if (typeof error === "string") return true; // what a stream was aborted with
  const { statusCode, name, code } = (error ?? {}) as { statusCode?: number; name?: string; code?: string };
  if (statusCode !== undefined) return statusCode >= 500 || statusCode === 429;
  return (
    error instanceof TypeError || name === "AbortError" || /^(UND_|ECONN|EPIPE|ETIMEDOUT)/.test(code ?? "")
  );
}

const wrong = (name: string, reason: string) =>
  new UserError(`${name} on the hub cannot be used: ${reason}`, {
    hint: "Try again later, or take another revision: hf:owner/name@revision.",
    exitCode: 1,
  });

/** An error of the library or of the network in the user's terms. */
async function explained(
  error: unknown,
  name: string,
  revision: string,
  folder: string,
  access: { hubUrl: string; accessToken?: string; fetch: typeof fetch },
): Promise<unknown> {
  if (error instanceof UserError) return error;
  const { statusCode } = error as { statusCode?: number };
  const fail = (message: string, hint: string) => new UserError(message, { hint, exitCode: 1, cause: error });
  const page = `${access.hubUrl}/${name}`;
  if (statusCode === 401 || statusCode === 403) {
    return fail(
      `${name} is not open to ${access.accessToken ? "the owner of this token" : "everybody"}, or is not there`,
      `Look at ${page}: accept its terms where it is gated, then set HF_TOKEN to a token from ${access.hubUrl}/settings/tokens.`,
    );
  }
  if (statusCode === 404) {
    const near = nearest(name, await namesOfOwner(name, access));
    if (near === name)
      return fail(`${name} has no revision ${JSON.stringify(revision)}`, `See ${page}/refs.`);
    return fail(
      `there is no model ${name} on the hub`,
      `${near ? `Did you mean hf:${near}? ` : ""}See ${access.hubUrl}/models.`,
    );
  }
  if (statusCode !== undefined) {
    return fail(
      `the hub answers with status ${statusCode} for ${name}`,
      "Try again later; what is there is kept.",
    );
  }
  if (isCut(error)) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : (message ?? String(error));
    return fail(
      `${access.hubUrl} cannot be reached: ${reason}`,
      "Check the network and try again; what is there is kept.",
    );
  }
  return writeError(error, folder);
}

async function namesOfOwner(name: string, access: Parameters<typeof explained>[4]): Promise<string[]> {
  const names: string[] = [];
  try {
    const search = { owner: name.split("/")[0] };
    for await (const model of hubLibrary.listModels({ ...access, search, limit: 500 }))
      names.push(model.name);
  } catch {} // then there is no hint
  return names;
}

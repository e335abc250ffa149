import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Readable } from "node:stream";
import { Worker } from "node:worker_threads";
import { createGunzip } from "node:zlib";
import { UserError } from "../errors.js";
import { type BpeOptions, refuseOptions, type Tokenizer, tokenizerOfWords, wordCounter } from "./bpe.js";
import { readError } from "./text-file.js";

export interface BpeFilesOptions extends BpeOptions {
  /** Threads that count words. Default: one for each processor, at most 8. 1 counts on the calling thread. */
  threads?: number;
  signal?: AbortSignal;
}

/** What is counted at a time, about; and the longest piece of text that has no place to be cut. */
const chunkBytes = 2 ** 18;
const maxChunkBytes = 2 ** 26;

/**
 * Trains as `trainBpe` on UTF-8 text files, plain or compressed with gzip, of any size: a few megabytes of them are in memory at a
 * time, and what is counted of all words. The ids depend neither on the order of the files nor on the number of threads.
 *
 * @throws UserError as `trainBpe`; where a special token has white space; where a file is missing, damaged, not UTF-8, or has more than
 *   64 MiB without a space or line break
 */
export async function trainBpeOnFiles(
  files: readonly string[],
  options: BpeFilesOptions,
): Promise<Tokenizer> {
  const { specialTokens, threads = Math.min(8, availableParallelism()), signal } = options;
  refuseOptions(options);
  const spaced = specialTokens.find((token) => /\p{White_Space}/u.test(token));
  if (spaced !== undefined) {
    throw new UserError(`special token ${JSON.stringify(spaced)} has white space`, {
      hint: "Files are read in pieces that are cut at white space. Use a token such as <|endoftext|>.",
    });
  }
  const counters =
    threads > 1
      ? Array.from({ length: threads }, () => threadCounter(specialTokens))
      : [localCounter(specialTokens)];
  try {
    const chunks = chunksOf(files, signal);
    // Each counter takes the next chunk when it is done with its last one.
    await Promise.all(
      counters.map(async (counter) => {
        for (let next = await chunks.next(); !next.done; next = await chunks.next())
          await counter.add(next.value);
      }),
    );
    const words = new Map<string, number>();
    for (const counter of counters) {
      for (const [word, count] of await counter.counts()) words.set(word, (words.get(word) ?? 0) + count);
    }
    return tokenizerOfWords(words, options);
  } finally {
    await Promise.all(counters.map((counter) => counter.close()));
  }
}

interface ChunkCounter {
  add(chunk: Uint8Array): Promise<void>;
  counts(): Promise<Iterable<[string, number]>>;
  close(): Promise<unknown>;
}

function localCounter(specialTokens: readonly string[]): ChunkCounter {
  const counter = wordCounter(specialTokens);
  return {
    add: async (chunk) => counter.add(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString()),
    counts: async () => counter.counts(),
    close: async () => {},
  };
}

// Tests run on the sources, but a thread runs what was built.
const script = import.meta.url.endsWith(".ts") ? "../../dist/data/bpe-worker.js" : "./bpe-worker.js";

function threadCounter(specialTokens: readonly string[]): ChunkCounter {
  const worker = new Worker(new URL(script, import.meta.url), { workerData: specialTokens });
  const ask = async (message: Uint8Array | "counts") => {
    const answer = once(worker, "message");
    worker.postMessage(message, typeof message === "string" ? [] : [message.buffer as ArrayBuffer]);
    return (await answer)[0];
  };
  return {
    add: ask,
    async counts() {
      const { words, counts } = (await ask("counts")) as { words: string[]; counts: Float64Array };
      return words.map((word, i): [string, number] => [word, counts[i]]);
    },
    close: () => worker.terminate(),
  };
}

/** The text of files in pieces that can be counted by themselves, each with a buffer of its own. */
async function* chunksOf(files: readonly string[], signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (const file of files) {
    let waiting: Buffer[] = [];
    let length = 0;
    let isFirst = true;
    const take = (upTo: number): Uint8Array => {
      const all = Buffer.concat(waiting, length);
      const mark = isFirst && all[0] === 0xef && all[1] === 0xbb && all[2] === 0xbf ? 3 : 0;
      isFirst = false;
      const chunk = Uint8Array.from(all.subarray(mark, upTo));
      if (!isUtf8(chunk)) {
        throw new UserError("the text is not valid UTF-8", {
          place: { file },
          hint: "Save the file as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8.",
        });
      }
      waiting = [all.subarray(upTo)];
      length -= upTo;
      return chunk;
    };
    for await (const bytes of bytesOf(file, signal)) {
      waiting.push(bytes);
      length += bytes.length;
      if (length < chunkBytes) continue;
      const upTo = length - bytes.length + lastCut(bytes);
      if (upTo > length - bytes.length) yield take(upTo);
      else if (length > maxChunkBytes) {
        throw new UserError(`has ${length} bytes without a space or line break`, {
          place: { file },
          hint: "Expected text.",
        });
      }
    }
    if (length > 0) yield take(length);
  }
}

/** The bytes of a file, decompressed where it is gzip. */
async function* bytesOf(file: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  try {
    if (!(await stat(file)).isFile()) throw new UserError("is not a file", { place: { file } });
    const handle = await open(file);
    const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0).finally(() => handle.close());
    const source = createReadStream(file, { highWaterMark: 2 ** 20, signal });
    const isGzip = buffer[0] === 0x1f && buffer[1] === 0x8b;
    const content: Readable = isGzip ? source.pipe(createGunzip({ chunkSize: 2 ** 20 })) : source;
    source.on("error", (error) => content.destroy(error));
    yield* content;
  } catch (error) {
    signal?.throwIfAborted();
    throw readError(error, file);
  }
}

/**
 * The last place where a text may be cut so that its words stay the same: before white space that does not follow white space.
 * Words begin there, and no rule for them looks back. 0 where there is none.
 */
function lastCut(bytes: Buffer): number {
  // What stands before must be known, up to the four bytes of a character.
  for (let at = bytes.length - 1; at >= 4; at--) {
    const isSpace = bytes[at] === 0x20 || (bytes[at] >= 0x09 && bytes[at] <= 0x0d);
    if (isSpace && /\P{White_Space}$/u.test(bytes.toString("utf8", at - 4, at))) return at;
  }
  return 0;
}

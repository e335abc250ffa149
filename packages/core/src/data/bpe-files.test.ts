import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trainBpe } from "./bpe.js";
import { trainBpeOnFiles } from "./bpe-files.js";
import { hostileText } from "./testing/tokenizer-files.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bpe-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

const write = async (name: string, content: string | Buffer) => {
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
};
const options = { vocabularySize: 600, specialTokens: ["<|endoftext|>", "<s>"] };
const json = (tokenizer: object) => JSON.parse(JSON.stringify(tokenizer));

/** A megabyte that is read in several pieces, with white space of all kinds wherever they may be cut. */
const long = fc
  .sample(fc.array(hostileText, { minLength: 200, maxLength: 200 }), { numRuns: 140, seed: 1 })
  .flat()
  .map((text, i) => Buffer.from(`${text}${[" ", "\n", "  \n", "x", "。\u3000 "][i % 5]}`).toString())
  .join("");

describe("training on files", () => {
  test("the ids are those of the whole text, with any number of threads, plain or compressed", async () => {
    expect(Buffer.byteLength(long)).toBeGreaterThan(3 * 2 ** 18);
    const expected = json(trainBpe([long], options));
    const plain = await write("long.txt", long);
    const compressed = await write("long.txt.gz", gzipSync(long));
    for (const threads of [1, 3]) {
      expect(json(await trainBpeOnFiles([plain], { ...options, threads }))).toEqual(expected);
      expect(json(await trainBpeOnFiles([compressed], { ...options, threads }))).toEqual(expected);
    }
  });

  test("files are texts of their own, in any order; a byte order mark is no text", async () => {
    const texts = ["a b c abc abc", "\uFEFFabc abd", "", "d abd"];
    const files = await Promise.all(texts.map((text, i) => write(`part-${i}.txt`, text)));
    const expected = json(trainBpe(["a b c abc abc", "abc abd", "d abd"], options));
    expect(json(await trainBpeOnFiles(files, options))).toEqual(expected);
    expect(json(await trainBpeOnFiles(files.toReversed(), options))).toEqual(expected);
  });

  test.each<[string, () => Promise<string>, string]>([
    ["a missing file", async () => join(folder, "nothing.txt"), "there is no such file"],
    ["a folder", async () => folder, "is not a file"],
    ["Latin-1", () => write("latin.txt", Buffer.from("caf\xe9 au lait", "latin1")), "not valid UTF-8"],
    ["half a gzip file", () => write("half.gz", gzipSync(long).subarray(0, 1000)), "unexpected end of file"],
    [
      "no text",
      () => write("zeros.gz", gzipSync(Buffer.alloc(2 ** 26 + 2 ** 20))),
      "without a space or line break",
    ],
  ])("%s is refused with its name", async (_, make, message) => {
    const file = await make();
    await expect(trainBpeOnFiles([file], options)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
      place: { file },
    });
  });

  test("special tokens with white space are refused, and wrong options before anything is read", async () => {
    const train = (more: object) => trainBpeOnFiles([join(folder, "nothing.txt")], { ...options, ...more });
    await expect(train({ specialTokens: ["<end of text>"] })).rejects.toThrow(
      '"<end of text>" has white space',
    );
    await expect(train({ vocabularySize: 3 })).rejects.toThrow("has 3 tokens");
  });

  test("an abort ends it", async () => {
    const file = await write("aborted.txt", long);
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(trainBpeOnFiles([file], { ...options, signal })).rejects.toThrow("stopped");
  });
});

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namedLeaves, Tensor } from "@outgrow/engine";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import { languageModelIn } from "./gguf/load.js";
import { decodeGguf } from "./gguf/read.js";
import { saveGguf } from "./gguf/save.js";
import { loadLanguageModel } from "./hugging-face/load.js";
import { saveLanguageModel } from "./hugging-face/save.js";
import type { LanguageModel } from "./language-model.js";
import { decodeSafetensors } from "./safetensors.js";
import { smallTokenizer, wildParams } from "./testing/small-models.js";
import { transformerConfig } from "./transformer-config.js";

/*
 * 20,000 damaged files: each is read or refused with a UserError, and nothing is allocated that is larger than the file.
 * OUTGROW_FUZZ=50 does fifty times as many.
 */
const times = Number(process.env.OUTGROW_FUZZ ?? 1);

const config = transformerConfig("llama", {
  vocabularySize: 300,
  contextLength: 8,
  width: 4,
  layers: 2,
  heads: 2,
  keyValueHeads: 1,
  tiedEmbeddings: false,
});
const model: LanguageModel = {
  config,
  params: wildParams(config),
  tokenizer: smallTokenizer(),
  endTokens: [0],
};

const extremes = [0n, 1n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
const numbers = [
  "0",
  "-1",
  "0.5",
  "1e400",
  "1e99",
  "9007199254740993",
  "4294967296",
  "null",
  "[]",
  '"1"',
  "{}",
  "true",
];

/** A file with one to three damages, of kinds that reach different depths of a reader. */
function damaged(bytes: Buffer, random: Random): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let i = 0; i <= random.integer(3); i++) result = damagedOnce(result, random);
  return result;
}

function damagedOnce(bytes: Buffer, random: Random): Buffer {
  // Headers are small and at the start: half of all damages are there.
  const place = (length = bytes.length) =>
    random.integer(Math.max(1, random.uniform() < 0.5 ? length : Math.min(length, 600)));
  const at = place();
  switch (random.integer(7)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      bytes[at] = random.integer(256);
      return bytes;
    case 2: {
      const where = place(bytes.length - 8);
      if (bytes.length >= 8) bytes.writeBigUInt64LE(extremes[random.integer(extremes.length)], where);
      return bytes;
    }
    case 3: // a part twice
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.floor(at / 2))]);
    case 4: // a part is gone
      return Buffer.concat([
        bytes.subarray(0, at),
        bytes.subarray(Math.min(bytes.length, at + 1 + random.integer(40))),
      ]);
    case 5:
      return Buffer.concat([bytes, Buffer.alloc(random.integer(100), random.integer(256))]);
    default:
      return withOtherNumber(bytes, at, random);
  }
}

/** One number that is written out in digits becomes another. */
function withOtherNumber(bytes: Buffer, from: number, random: Random): Buffer {
  const text = bytes.subarray(from, from + 400).toString("latin1");
  const found = /\d+/.exec(text);
  if (!found) return bytes;
  const start = from + found.index;
  const other = numbers[random.integer(numbers.length)];
  return Buffer.concat([
    bytes.subarray(0, start),
    Buffer.from(other),
    bytes.subarray(start + found[0].length),
  ]);
}

let folder: string;
let largest = 0;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-hostile-"));
  await saveLanguageModel(join(folder, "one"), model);
  await saveLanguageModel(join(folder, "many"), model, { maxShardBytes: 6000, dtype: "bfloat16" });
  await saveGguf(join(folder, "model.gguf"), model);
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  for (const name of ["Uint8Array", "Float32Array"] as const) {
    const watched = new Proxy(globalThis[name], {
      construct(target, args, newTarget) {
        if (typeof args[0] === "number") largest = Math.max(largest, args[0]);
        return Reflect.construct(target, args, newTarget);
      },
    });
    vi.stubGlobal(name, watched);
  }
});
afterEach(() => vi.unstubAllGlobals());

/** Whether it was read. Anything but a UserError is thrown on. */
async function readOrRefused(read: () => unknown, size: number, what: string): Promise<boolean> {
  largest = 0;
  try {
    await read();
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw new Error(`${what} failed with another error than a UserError`, { cause: error });
  } finally {
    expect(largest, what).toBeLessThanOrEqual(2 * size + 4096);
  }
}

async function fuzz(count: number, name: string, one: (random: Random, what: string) => Promise<boolean>) {
  const random = createRandom(`hostile files/${name}`);
  let read = 0;
  for (let i = 0; i < count * times; i++) {
    if (await one(random.stream("file", i), `${name}, file ${i}`)) read++;
  }
  // Damages that all were refused, or none, would have tried nothing.
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThan(0.9 * count * times);
}

describe("damaged files are read or refused", { timeout: 60_000 * times }, () => {
  test("10,000 of safetensors", async () => {
    const bytes = readFileSync(join(folder, "one/model.safetensors"));
    await fuzz(10_000, "safetensors", (random, what) => {
      const file = damaged(bytes, random);
      return readOrRefused(() => decodeSafetensors(file, what), file.length, what);
    });
  });

  test("9,500 of GGUF, one in ten all the way to a model", async () => {
    const bytes = readFileSync(join(folder, "model.gguf"));
    await fuzz(9500, "gguf", (random, what) => {
      const file = damaged(bytes, random);
      const whole = random.integer(10) === 0;
      const read = async () => {
        const opened = await decodeGguf(file, what);
        if (whole) await languageModelIn(opened);
      };
      return readOrRefused(read, file.length, what);
    });
  });

  test("500 in folders: configurations, indices, tokenizers, weights", async () => {
    const intact = ["one", "many"].flatMap((name) =>
      readdirSync(join(folder, name))
        .filter((file) => file !== "manifest.json")
        .map((file) => ({
          path: join(folder, name, file),
          own: join(folder, name),
          bytes: readFileSync(join(folder, name, file)),
        })),
    );
    const total = intact.reduce((sum, { bytes }) => sum + bytes.length, 0);
    await fuzz(500, "folder", async (random, what) => {
      const { path, own, bytes } = intact[random.integer(intact.length)];
      writeFileSync(path, damaged(bytes, random));
      const read = await readOrRefused(() => loadLanguageModel(own), total, `${what}, ${path}`);
      writeFileSync(path, bytes);
      return read;
    });
    const { params } = await loadLanguageModel(join(folder, "one"));
    expect(namedLeaves(params as never, (node) => node instanceof Tensor)).not.toHaveLength(0);
  });
});

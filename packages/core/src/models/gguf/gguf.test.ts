import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { namedTensors } from "../checkpoint.js";
import { smallConfigs, smallModel } from "../testing/small-models.js";
import type { TransformerConfig } from "../transformer-config.js";
import { loadGguf } from "./load.js";
import { fromQ8, toQ8 } from "./q8.js";
import { openGguf } from "./read.js";
import { type GgufStoredType, saveGguf } from "./save.js";
import { type Metadata, writeGguf } from "./write.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-gguf-"));
  path = join(folder, "model.gguf");
});
afterEach(() => rm(folder, { recursive: true }));

const exported = Object.entries(smallConfigs).filter(([, { mlp }]) => mlp !== "gelu");

describe("saveGguf and loadGguf", () => {
  test.each(exported)("a model comes back as it was: %s", async (name, { slidingWindow, ...config }) => {
    const model = { ...smallModel(name), chatTemplate: "{{ messages }}" };
    await saveGguf(path, model);
    const loaded = await loadGguf(path);
    // A window becomes the length of the context.
    const contextLength = slidingWindow ?? config.contextLength;
    expect(loaded.config).toEqual({ ...config, contextLength });
    expect(namedTensors(loaded.params)).toEqual(namedTensors(model.params));
    expect(loaded.endTokens).toEqual([0, 1]);
    expect(loaded.chatTemplate).toBe("{{ messages }}");
    expect(loaded.tokenizer.specialTokens).toEqual(model.tokenizer.specialTokens);
    const text = "number 17 is\n\n followed by émile<|endoftext|> 2 3";
    expect(loaded.tokenizer.encode(text)).toEqual(model.tokenizer.encode(text));
    expect(await readdir(folder)).toEqual(["model.gguf"]);
  });

  test.each<[GgufStoredType, number]>([
    ["float16", 2 ** -11],
    ["bfloat16", 2 ** -8],
    ["q8_0", 0.5 / 127 + 2 ** -11],
  ])("weights in %s are rounded by no more than its steps", async (dtype, step) => {
    const model = smallModel("Llama, untied");
    await saveGguf(path, model, { dtype });
    const loaded = namedTensors((await loadGguf(path)).params);
    for (const [name, { data, shape }] of namedTensors(model.params)) {
      const given = loaded.get(name)?.data as Float32Array;
      const largest = Math.max(...data.map(Math.abs));
      const difference = Math.max(...data.map((value, i) => Math.abs(value - given[i])));
      if (shape.length === 1) expect(difference).toBe(0);
      else expect(difference).toBeLessThanOrEqual(step * largest);
    }
  });

  test("rows that are no whole blocks of Q8_0 are float16", async () => {
    await saveGguf(path, smallModel("Qwen3"), { dtype: "q8_0" });
    const { tensors, close } = await openGguf(path);
    await close();
    expect(tensors.get("token_embd.weight")?.type).toBe("Q8_0");
    expect(tensors.get("blk.0.ffn_down.weight")).toMatchObject({ type: "F16", shape: [32, 88] });
    expect(tensors.get("blk.0.attn_q_norm.weight")?.type).toBe("F32");
  });

  test.each<[string, string, Partial<TransformerConfig>]>([
    ["GPT-2, exact GELU, untied", "approximated GELU", {}],
    [
      "Qwen2",
      "no stretched rotary positions",
      { positions: smallConfigs["Llama, biases, long contexts, one head of keys"].positions },
    ],
    ["Qwen3", "no biases", { biases: { queriesKeysValues: true, out: true, mlp: false } }],
    ["Qwen3", "encoder", { causal: false }],
  ])("what llama.cpp does not compute is refused: %s, %s", async (name, message, changed) => {
    const model = smallModel(name);
    const config = { ...model.config, ...changed };
    await expect(saveGguf(path, { ...model, config })).rejects.toThrow(message);
    await expect(saveGguf(path, { ...smallModel("Qwen2"), endTokens: [] })).rejects.toThrow("no end token");
    expect(await readdir(folder)).toEqual([]);
  });

  test("the first tensor that does not fit the metadata is named with both shapes", async () => {
    const model = smallModel("Llama, untied");
    await saveGguf(path, model);
    const bytes = await readFile(path);
    const at = bytes.indexOf("llama.feed_forward_length") + "llama.feed_forward_length".length + 4;
    bytes.writeUInt32LE(80, at);
    await writeFile(path, bytes);
    await expect(loadGguf(path)).rejects.toMatchObject({
      name: "UserError",
      message: 'tensor "blk.0.ffn_gate.weight" is [88, 32], by the metadata it is [80, 32]',
      place: { file: path },
    });
  });
});

test("Q8_0: the largest number of each block is exact up to float16, and zeros are zeros", () => {
  const values = createRandom("q8").normals(96, 3);
  values.fill(0, 32, 64);
  const bytes = toQ8(values);
  expect(bytes.length).toBe(3 * 34);
  const read = fromQ8(bytes);
  for (const block of [0, 2]) {
    const of = (all: Float32Array) => Math.max(...all.subarray(block * 32, block * 32 + 32).map(Math.abs));
    expect(Math.abs(of(read) / of(values) - 1)).toBeLessThan(2 ** -11);
  }
  expect(read.subarray(32, 64).every((value) => value === 0)).toBe(true);
});

describe("openGguf", () => {
  const tensor = (name: string, shape: number[], value = 0) => ({
    name,
    shape,
    type: "F32" as const,
    values: () => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value),
  });
  const metadata: [string, Metadata][] = [
    ["a", { uint32: 7 }],
    ["b", { float32: 0.5 }],
    ["c", { bool: true }],
    ["d", { string: "ü" }],
    ["e", { strings: ["", "x y"] }],
    ["f", { int32s: [-1, 2] }],
  ];

  test("the layout is that of the specification", async () => {
    await writeGguf(path, [["k", { uint32: 258 }]], [tensor("t", [2, 3], 1)]);
    const bytes = await readFile(path);
    const header =
      "GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0" +
      "\x01\0\0\0\0\0\0\0k\x04\0\0\0\x02\x01\0\0" +
      "\x01\0\0\0\0\0\0\0t\x02\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const padding = "\0".repeat(96 - header.length);
    const data = "\0\0\x80?".repeat(6) + "\0".repeat(8);
    expect(bytes.toString("latin1")).toBe(header + padding + data);
  });

  test("metadata and tensors are read as they were written", async () => {
    await writeGguf(path, metadata, [tensor("x", [3], 2), tensor("y", [2, 5], 3), tensor("none", [0])]);
    const file = await openGguf(path);
    expect([...file.metadata]).toEqual([
      ["a", 7],
      ["b", 0.5],
      ["c", true],
      ["d", "ü"],
      ["e", ["", "x y"]],
      ["f", Int32Array.of(-1, 2)],
    ]);
    expect(await file.read("y")).toMatchObject({ shape: [2, 5], data: new Float32Array(10).fill(3) });
    expect(await file.read("x")).toMatchObject({ shape: [3], data: new Float32Array(3).fill(2) });
    await file.close();
  });

  /** The bytes of a file with one tensor "t" `[2, 3]`, changed. */
  const changed = async (change: (bytes: Buffer) => Buffer | undefined) => {
    await writeGguf(path, metadata, [tensor("t", [2, 3]), tensor("u", [4])]);
    const bytes = await readFile(path);
    await writeFile(path, change(bytes) ?? bytes);
    const file = await openGguf(path);
    await file.close();
  };
  const after = (bytes: Buffer, text: string) => bytes.lastIndexOf(text) + text.length;

  test.each<[string, (bytes: Buffer) => Buffer | undefined, string]>([
    ["an empty file", () => Buffer.alloc(0), "the file ends within the first numbers"],
    ["another format", (bytes) => bytes.fill("PK", 0, 4), 'does not begin with "GGUF"'],
    [
      "another version",
      (bytes) => void bytes.writeUInt32LE(9, 4),
      "is of version 9 of GGUF, expected 3 or 2",
    ],
    ["half a header", (bytes) => bytes.subarray(0, 60), "the file ends within entry 3 of 6 of the metadata"],
    ["endless metadata", (bytes) => void bytes.writeBigUInt64LE(2n ** 40n, 16), "ends within entry"],
    [
      "too many tensors to count",
      (bytes) => void bytes.writeBigUInt64LE(2n ** 63n, 8),
      "has the length 9223372036854775808",
    ],
    ["a key twice", (bytes) => void bytes.write("a", bytes.indexOf("b")), 'the metadata "a" occur twice'],
    [
      "a text that is no UTF-8",
      (bytes) => void bytes.writeUInt8(255, bytes.indexOf("ü")),
      'the metadata "d" has a text that is not UTF-8',
    ],
    [
      "a boolean that is none",
      (bytes) => void bytes.writeUInt8(2, bytes.indexOf("c\x07") + 5),
      'the metadata "c" is the byte 2',
    ],
    [
      "an unknown type",
      (bytes) => void bytes.writeUInt32LE(99, bytes.indexOf("b\x06") + 1),
      'the metadata "b" is of type 99',
    ],
    [
      "a tensor twice",
      (bytes) => void bytes.write("t", bytes.lastIndexOf("u\x01")),
      'tensor "t" occurs twice',
    ],
    [
      "five axes",
      (bytes) => void bytes.writeUInt32LE(5, after(bytes, "t\x02") - 1),
      'tensor "t": has 5 axes',
    ],
    [
      "a type of tensor that is not read",
      (bytes) => void bytes.writeUInt32LE(12, after(bytes, "t\x02") + 19),
      "is of ggml's type 12, expected one of F32",
    ],
    [
      "a size that overflows",
      (bytes) => void bytes.writeBigUInt64LE(2n ** 52n, after(bytes, "t\x02") + 3),
      "cannot have the shape [2, 4503599627370496]",
    ],
    [
      "data beyond the end",
      (bytes) => void bytes.writeBigUInt64LE(90n, after(bytes, "t\x02") + 3),
      'tensor "t": ends at byte',
    ],
    [
      "an overlap",
      (bytes) => void bytes.writeBigUInt64LE(0n, after(bytes, "u\x01") + 15),
      "starts at byte 0 of the data, where another ends at",
    ],
    [
      "an odd offset",
      (bytes) => void bytes.writeBigUInt64LE(33n, after(bytes, "u\x01") + 15),
      "starts at byte 33, expected a multiple of 32",
    ],
    ["truncated data", (bytes) => bytes.subarray(0, -20), 'tensor "u": ends at byte'],
  ])("%s is refused", async (_, change, message) => {
    await expect(changed(change)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
      place: { file: path },
    });
  });

  test("a file that is not there, and a folder", async () => {
    await expect(openGguf(path)).rejects.toMatchObject({
      name: "UserError",
      message: "there is no such file",
    });
    await expect(openGguf(folder)).rejects.toMatchObject({ name: "UserError" });
  });
});

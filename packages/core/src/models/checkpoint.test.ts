import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scalar, Tensor } from "@outgrow/engine";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.js";
import { decodeSafetensors } from "./safetensors.js";

describe("saveCheckpoint and loadCheckpoint", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-checkpoint-"));
    path = join(folder, "model.safetensors");
  });
  afterEach(() => rm(folder, { recursive: true }));

  const model = (seed: number) => ({
    norm: { scale: new Tensor(Float32Array.of(seed, 2)) },
    blocks: [0, 1].map((block) => ({ up: { weight: new Tensor(Float32Array.of(seed, block), [1, 2]) } })),
    head: [],
    step: scalar(seed),
  });

  test("a tree comes back as it was, under the names of its paths", async () => {
    await saveCheckpoint(path, model(3), { system: "w2sg" });
    const loaded = await loadCheckpoint(path, model(0));
    expect(loaded).toEqual({ tree: model(3), metadata: { system: "w2sg" } });
    expect(Object.keys(decodeSafetensors(await readFile(path), path).tensors)).toEqual([
      "blocks.0.up.weight",
      "blocks.1.up.weight",
      "norm.scale",
      "step",
    ]);
    expect(await readdir(folder)).toEqual(["model.safetensors"]);
  });

  const { step: _, ...stepless } = model(0);
  test.each<[string, object, string]>([
    ["missing", { ...model(0), bias: scalar(0) }, 'tensor "bias" is missing'],
    ["extra", stepless, 'tensor "step" is not one of the model\'s'],
    [
      "misshapen",
      { ...model(0), norm: { scale: new Tensor(new Float32Array(3)) } },
      'tensor "norm.scale" is float32 [2], expected float32 [3]',
    ],
    [
      "of another type",
      { ...model(0), step: new Tensor(Int32Array.of(0), []) },
      'tensor "step" is float32 [], expected int32 []',
    ],
  ])("a tensor that is %s is refused by name", async (_, like, message) => {
    await saveCheckpoint(path, model(3));
    await expect(loadCheckpoint(path, like)).rejects.toMatchObject({
      name: "UserError",
      message,
      place: { file: path },
      hint: expect.any(String),
    });
  });

  test("a name that objects inherit is still missing", async () => {
    await saveCheckpoint(path, {});
    const loaded = loadCheckpoint(path, { toString: scalar(0) });
    await expect(loaded).rejects.toMatchObject({ message: 'tensor "toString" is missing' });
  });

  test("a file that is not there, and one that is none", async () => {
    await expect(loadCheckpoint(path, {})).rejects.toMatchObject({
      name: "UserError",
      message: "there is no such file",
      exitCode: 2,
    });
    await expect(loadCheckpoint(folder, {})).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("could not be read"),
      exitCode: 1,
    });
    await writeFile(path, "PK");
    await expect(loadCheckpoint(path, {})).rejects.toMatchObject({ place: { file: path } });
  });

  test("trees that cannot come back as they were are not written", async () => {
    await expect(saveCheckpoint(path, { "a.b": scalar(1), a: { b: scalar(2) } })).rejects.toThrow(
      "same path",
    );
    await expect(saveCheckpoint(path, { step: 3 })).rejects.toThrow("but 3 is in it");
    await expect(saveCheckpoint(path, { __metadata__: scalar(3) })).rejects.toThrow("cannot be named");
    expect(await readdir(folder)).toEqual([]);
  });
});

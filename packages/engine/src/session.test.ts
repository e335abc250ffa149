import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as jax from "@jax-js/jax";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CompileOptions, compileStep } from "./compile.js";
import { contentKey, FileCache } from "./file-cache.js";
import { Tensor } from "./tensor.js";

const { numpy: np, nn } = jax;

const LAYERS = 16;
const floats = (shape: readonly number[], scale = 1) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => scale * Math.sin(1.7 * i + 1)),
    shape,
  );

/** A training step that is large enough to be kept. */
const stepAt = (rate: number) => (weights: jax.Array[], x: jax.Array) => {
  const loss = (list: jax.Array[]) => {
    const out = list.reduce((h, w) => nn.standardize(np.tanh(np.matmul(h, w)), -1), x);
    return nn.logSoftmax(out, -1).mul(nn.softmax(x, -1)).mean().neg();
  };
  const [value, gradients] = jax.valueAndGrad(loss)(weights);
  return [weights.map((w, i) => w.sub(gradients[i].mul(rate))), value] as const;
};
const x = floats([16, 24]);
const carry = () => Array.from({ length: LAYERS }, () => floats([24, 24], 0.3));

/** What five steps give, bit by bit. */
async function bitsOfRun(options: CompileOptions, rate = 0.1): Promise<string> {
  const program = await compileStep(stepAt(rate), [carry(), x], options);
  const losses: Tensor[] = [];
  for (let i = 0; i < 5; i++) losses.push((await program.run(x)) as unknown as Tensor);
  const tensors = [...losses, ...((await program.carry()) as unknown as Tensor[])];
  await program.dispose();
  return contentKey(
    ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  );
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-compiled-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("the cache of compiled programs", () => {
  it("gives the same bits from a kept program as without, and keeps one for each that differs", async () => {
    const plain = await bitsOfRun({ cache: false });
    expect(await readdir(folder)).toEqual([]);
    expect(await bitsOfRun({ cache: folder })).toBe(plain);
    const [kept, ...others] = await readdir(folder);
    expect([kept, others]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), []]);
    expect(await bitsOfRun({ cache: folder })).toBe(plain);
    expect(await readdir(folder)).toEqual([kept]);
    await bitsOfRun({ cache: folder, deterministic: false });
    await bitsOfRun({ cache: folder, threads: 2 });
    expect(await readdir(folder)).toHaveLength(3);
  });

  it("really loads what was kept", async () => {
    const slow = await bitsOfRun({ cache: folder }, 0.1);
    const [slowKey] = await readdir(folder);
    const fast = await bitsOfRun({ cache: folder }, 0.5);
    const [fastKey] = (await readdir(folder)).filter((key) => key !== slowKey);
    const cache = new FileCache(folder);
    await cache.write(fastKey, (await cache.read(slowKey)) as Uint8Array);
    expect(fast).not.toBe(slow);
    expect(await bitsOfRun({ cache: folder }, 0.5)).toBe(slow);
  });

  it("computes anew in place of an entry that is damaged or no program, or another program", async () => {
    const plain = await bitsOfRun({ cache: folder });
    const [key] = await readdir(folder);
    const good = await readFile(join(folder, key));
    const cache = new FileCache(folder);
    const damaged = Buffer.from(good);
    damaged[damaged.length >> 1] ^= 1;
    const other = await compileStep((c: jax.Array, y: jax.Array) => [c.add(y), c] as const, [x, x]);
    for (const spoil of [
      () => writeFile(join(folder, key), damaged),
      () => cache.write(key, Buffer.from("not an ONNX model")),
      () => cache.write(key, new Uint8Array()),
      () => cache.write(key, good.subarray(32, good.length >> 1)),
      () => cache.write(key, other.toOnnx()),
    ]) {
      await spoil();
      expect(await bitsOfRun({ cache: folder })).toBe(plain);
      expect((await readFile(join(folder, key))).equals(good)).toBe(true);
    }
  });

  it("is not needed: a folder that cannot be written is no error", async () => {
    const plain = await bitsOfRun({ cache: false });
    await writeFile(join(folder, "file"), "");
    expect(await bitsOfRun({ cache: join(folder, "file", "cache") })).toBe(plain);
    expect(await bitsOfRun({ cache: "/dev/full" })).toBe(plain);
  });

  it("leaves out programs that are made within milliseconds", async () => {
    const program = await compileStep((c: jax.Array, y: jax.Array) => [c.add(y), c] as const, [x, x], {
      cache: folder,
    });
    await program.dispose();
    expect(await readdir(folder)).toEqual([]);
  });

  it("lies in OUTGROW_HOME by default", async () => {
    const before = process.env.OUTGROW_HOME;
    process.env.OUTGROW_HOME = folder;
    try {
      await bitsOfRun({});
    } finally {
      if (before === undefined) delete process.env.OUTGROW_HOME;
      else process.env.OUTGROW_HOME = before;
    }
    expect(await readdir(join(folder, "compiled"))).toHaveLength(1);
    expect((await stat(join(folder, "compiled"))).mode & 0o077).toBe(0);
  });
});

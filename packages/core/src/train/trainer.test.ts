import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { scalar, Tensor, zeros } from "@outgrow/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Columns } from "../data/columns.js";
import { saveCheckpoint } from "../models/checkpoint.js";
import { createRandom } from "../random.js";
import {
  createTrainer,
  type FitOptions,
  inspectCheckpoint,
  type Trainer,
  type TrainerSpec,
} from "./trainer.js";

interface Line<Leaf = Tensor> {
  weight: Leaf;
  bias: Leaf;
}
const rows = 12;
const random = createRandom(7);
const x = new Tensor(random.normals(rows * 2), [rows, 2]);
const noise = random.normals(rows, 0.1);
const y = new Tensor(
  Float32Array.from(noise, (e, i) => 2 * x.data[2 * i] - x.data[2 * i + 1] + 0.5 + e),
  [rows, 1],
);
const data: Columns = { x, y };
const zero: Line = { weight: zeros([2, 1]), bias: zeros([1]) };

const line = (batchSize: number, spec: Partial<TrainerSpec<Line, Line<JaxArray>>> = {}) =>
  createTrainer<Line, Line<JaxArray>>({
    name: "line",
    loss: ({ weight, bias }, batch) => {
      const error = np.matmul(batch.x, weight).add(bias).sub(batch.y);
      return error.mul(error).mean();
    },
    params: zero,
    columns: data,
    batchSize,
    ...spec,
  });
const settings: FitOptions = { epochs: 4, learningRate: 0.1, random: createRandom(1) };
const bits = (tensor: { data: Tensor["data"] }) =>
  Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength).toString("hex");
const lineBits = ({ weight, bias }: Line) => bits(weight) + bits(bias);

let trainer: Trainer<Line>;
beforeAll(async () => {
  trainer = await line(4);
});
afterAll(() => trainer.dispose());

describe("fit", () => {
  test("full batches end at the least-squares solution", async () => {
    const whole = await line(100);
    const { params, losses } = await whole.fit(zero, data, {
      ...settings,
      epochs: 400,
      learningRate: 0.05,
    });
    await whole.dispose();
    // At the least-squares solution the residuals are orthogonal to every column and to the constant.
    const { weight, bias } = params;
    const residuals = [...y.data].map(
      (target, i) =>
        target - x.data[2 * i] * weight.data[0] - x.data[2 * i + 1] * weight.data[1] - bias.data[0],
    );
    const along = (column: (i: number) => number) => residuals.reduce((sum, r, i) => sum + r * column(i), 0);
    expect(along((i) => x.data[2 * i])).toBeCloseTo(0, 3);
    expect(along((i) => x.data[2 * i + 1])).toBeCloseTo(0, 3);
    expect(along(() => 1)).toBeCloseTo(0, 3);
    expect(losses).toHaveLength(400); // fewer examples than the batch size: one step an epoch
    expect(losses[399]).toBeCloseTo(residuals.reduce((sum, r) => sum + r * r, 0) / rows, 5);
  });

  // The loss of a batch is the sum of its examples' powers of 2, from which the examples can be read.
  test.each([
    [12, 4, 3],
    [10, 4, 2],
    [3, 8, 1],
  ])(
    "%i examples in batches of %i: %i steps an epoch, in each of which no example comes twice",
    async (count, batchSize, steps) => {
      const code = new Tensor(Float32Array.from({ length: count }, (_, i) => 2 ** i));
      const spy = await createTrainer<{ a: Tensor }, { a: JaxArray }>({
        name: "spy",
        loss: ({ a }, batch) => batch.code.sum().add(a.mul(0)),
        params: { a: scalar(0) },
        columns: { code },
        batchSize,
      });
      const { losses } = await spy.fit({ a: scalar(0) }, { code }, { ...settings, epochs: 5 });
      await spy.dispose();
      expect(losses).toHaveLength(5 * steps);
      const ones = (sum: number) => [...sum.toString(2)].filter((bit) => bit === "1").length;
      const epochs = Array.from({ length: 5 }, (_, epoch) => [
        ...losses.slice(epoch * steps, (epoch + 1) * steps),
      ]);
      for (const sums of epochs) {
        expect(sums.map(ones)).toEqual(sums.map(() => Math.min(batchSize, count)));
        expect(ones(sums.reduce((a, b) => a | b))).toBe(steps * Math.min(batchSize, count));
      }
      if (steps > 1) expect(new Set(epochs.map(String)).size).toBeGreaterThan(1);
    },
  );

  test("the loss is told the share of training done, and onStep every step and its loss", async () => {
    const clock = await line(4, { loss: ({ weight }, _, progress) => progress.add(weight.sum().mul(0)) });
    const seen: object[] = [];
    await clock.fit(zero, data, { ...settings, epochs: 1, onStep: (step) => seen.push(step) });
    await clock.dispose();
    expect(seen).toEqual([
      { step: 1, totalSteps: 3, loss: 0 },
      { step: 2, totalSteps: 3, loss: Math.fround(1 / 3) },
      { step: 3, totalSteps: 3, loss: Math.fround(2 / 3) },
    ]);
  });

  test("the learning rate follows the schedule", async () => {
    // The first step of Adam moves by the learning rate: at half of a warm-up of two steps, half of it.
    const whole = await line(100);
    const { params } = await whole.fit(zero, data, {
      ...settings,
      epochs: 2,
      schedule: { warmup: 1 },
      validation: { score: async () => 0, every: 1 },
    });
    await whole.dispose();
    expect(Math.abs(params.bias.item())).toBeCloseTo(0.05, 5);
  });

  test("the same seed gives the same bits, another seed others", async () => {
    const first = await trainer.fit(zero, data, settings);
    const again = await trainer.fit(zero, data, { ...settings, random: createRandom(1) });
    const other = await trainer.fit(zero, data, { ...settings, random: createRandom(2) });
    expect(again).toEqual(first);
    expect(lineBits(other.params)).not.toBe(lineBits(first.params));
  });

  test("a trainer keeps nothing of an earlier fit, and leaves what it was given as it was", async () => {
    const start: Line = {
      weight: new Tensor(Float32Array.of(1, 2), [2, 1]),
      bias: new Tensor(Float32Array.of(3)),
    };
    const before = [lineBits(start), bits(x), bits(y)];
    const first = await trainer.fit(start, data, settings);
    await trainer.fit(zero, { x, y: zeros([rows, 1]) }, { ...settings, epochs: 3, learningRate: 1 });
    expect(await trainer.fit(start, data, settings)).toEqual(first);
    expect([lineBits(start), bits(x), bits(y)]).toEqual(before);
  });

  test("how many steps one run takes does not change a bit", async () => {
    let seen = 0;
    // Every step ends a run of its own, for the sake of a score that is always better than the last.
    const validation = { score: async () => seen++, every: 1 };
    const oneByOne = await trainer.fit(zero, data, { ...settings, epochs: 60, validation });
    const atOnce = await trainer.fit(zero, data, { ...settings, epochs: 60 });
    expect(seen).toBe(180);
    expect(bits({ data: atOnce.losses })).toBe(bits({ data: oneByOne.losses }));
    expect(lineBits(atOnce.params)).toBe(lineBits(oneByOne.params));
  });

  test("an abort ends it", async () => {
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 5 && controller.abort();
    const steps: number[] = [];
    const options = { ...settings, signal: controller.signal };
    await expect(
      trainer.fit(zero, data, {
        ...options,
        onStep: (at) => {
          steps.push(at.step);
          onStep(at);
        },
      }),
    ).rejects.toMatchObject({ name: "AbortError" });
    expect(steps).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("divergence is a failure that names the step", () => {
  const diverged = (message: string) => ({
    name: "UserError",
    message: expect.stringContaining(message),
    exitCode: 1,
    hint: expect.stringContaining("learning rate"),
  });

  test("an input that is not a number", async () => {
    const broken = {
      x: new Tensor(
        x.data.map(() => Number.NaN),
        x.shape,
      ),
      y,
    };
    await expect(trainer.fit(zero, broken, settings)).rejects.toMatchObject(
      diverged('training of "line" diverged: the loss is NaN at step 1 of 12'),
    );
  });

  test("a huge learning rate", async () => {
    await expect(trainer.fit(zero, data, { ...settings, learningRate: 1e30 })).rejects.toMatchObject(
      diverged('training of "line" diverged: the loss is Infinity at step 2 of 12'),
    );
  });

  test("parameters that the last step ruined", async () => {
    const options = { ...settings, epochs: 1 / 3, learningRate: 1e39 };
    const ruined = diverged('training of "line" diverged: some parameters are not finite at step 1 of 1');
    await expect(trainer.fit(zero, data, options)).rejects.toMatchObject(ruined);
    const validation = { score: async () => 1, every: 1 };
    await expect(trainer.fit(zero, data, { ...options, validation })).rejects.toMatchObject(ruined);
  });

  test("a validation score that is not a number", async () => {
    const validation = { score: async () => Number.NaN, every: 2 };
    await expect(trainer.fit(zero, data, { ...settings, validation })).rejects.toMatchObject(
      diverged("the validation score is NaN at step 2 of 12"),
    );
  });
});

describe("validation", () => {
  const scores = (values: number[]) => {
    const seen: string[] = [];
    const score = async (parameters: Tensor) => {
      seen.push(bits(parameters));
      return values[seen.length - 1];
    };
    return { score, seen };
  };

  test("keeps the parameters with the best score, the first of equal ones", async () => {
    const { score, seen } = scores([0.1, 0.7, 0.3, 0.7]);
    const result = await trainer.fit(zero, data, { ...settings, validation: { score, every: 3 } });
    expect(result.validation).toEqual([
      { step: 3, score: 0.1 },
      { step: 6, score: 0.7 },
      { step: 9, score: 0.3 },
      { step: 12, score: 0.7 },
    ]);
    expect(result.bestStep).toBe(6);
    expect(bits(trainer.flat.flatten(result.params))).toBe(seen[1]);
    expect(new Set(seen).size).toBe(4);
  });

  test("comes after the last step too, where that is not a multiple", async () => {
    const { score } = scores([1, 2, 3]);
    const result = await trainer.fit(zero, data, { ...settings, validation: { score, every: 5 } });
    expect(result.validation.map(({ step }) => step)).toEqual([5, 10, 12]);
    expect(result.bestStep).toBe(12);
  });

  test("without it the last parameters are kept", async () => {
    const plain = await trainer.fit(zero, data, settings);
    const { score } = scores([1, 2, 3, 4]);
    const validated = await trainer.fit(zero, data, { ...settings, validation: { score, every: 3 } });
    expect(plain.bestStep).toBe(12);
    expect(plain.validation).toEqual([]);
    expect(plain.params).toEqual(validated.params);
  });

  test("patience stops after that many validations without a better score", async () => {
    const { score, seen } = scores([1, 3, 2, 3, 9, 9, 9, 9, 9, 9, 9, 9]);
    const validation = { score, every: 1, patience: 2 };
    const result = await trainer.fit(zero, data, { ...settings, validation });
    expect(result.validation.map((entry) => entry.score)).toEqual([1, 3, 2, 3]);
    expect(result.losses).toHaveLength(4);
    expect(result.bestStep).toBe(2);
    expect(bits(trainer.flat.flatten(result.params))).toBe(seen[1]);
  });
});

describe("a checkpoint", () => {
  let folder: string;
  let path: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-trainer-"));
    path = join(folder, "line.safetensors");
  });
  afterAll(() => rm(folder, { recursive: true }));

  const validation = {
    // Best in the middle of training: where the bias is nearest to 0.1.
    score: async (parameters: Tensor) => -Math.abs(trainer.flat.unflatten(parameters).bias.item() - 0.1),
    every: 2,
  };
  const options: FitOptions = { ...settings, validation };

  /** Ends after the step, by an error out of it (a kill) or an abort (which takes effect before the next). */
  async function interrupt(step: number, how: "abort" | "kill", every: number) {
    await rm(path, { force: true });
    const controller = new AbortController();
    const onStep = (at: { step: number }) => {
      if (at.step !== step) return;
      if (how === "kill") throw new Error("killed");
      controller.abort();
    };
    const checkpoint = { path, every, resume: true };
    await expect(
      trainer.fit(zero, data, { ...options, checkpoint, onStep, signal: controller.signal }),
    ).rejects.toThrow(how === "kill" ? "killed" : "abort");
  }

  test.each([
    ["right after one", 4, "abort", 4, 5],
    ["between two", 7, "abort", 4, 5],
    ["while a step runs", 11, "kill", 4, 9],
    ["within an epoch", 5, "abort", 5, 6],
    ["before the first", 3, "kill", 4, 1],
  ] as const)("stopped %s, training goes on from it to the same bits", async (_, step, how, every, first) => {
    const undisturbed = await trainer.fit(zero, data, options);
    expect(undisturbed.bestStep).toBeLessThan(12);
    await interrupt(step, how, every);
    // Another process has a trainer of its own.
    const fresh = await line(4);
    const steps: number[] = [];
    const resumed = await fresh.fit(zero, data, {
      ...options,
      checkpoint: { path, every, resume: true },
      onStep: (at) => steps.push(at.step),
    });
    await fresh.dispose();
    expect(steps[0]).toBe(first);
    expect(resumed).toEqual(undisturbed);
    expect(lineBits(resumed.params)).toBe(lineBits(undisturbed.params));
    expect(bits({ data: resumed.losses })).toBe(bits({ data: undisturbed.losses }));
    expect(await readdir(folder)).toEqual(["line.safetensors"]);
  });

  test("goes on without validation, and with patience, as if undisturbed", async () => {
    for (const changed of [
      { validation: undefined },
      { validation: { ...validation, every: 1, patience: 3 } },
    ]) {
      const whole = await trainer.fit(zero, data, { ...settings, ...changed });
      await rm(path, { force: true });
      const checkpoint = { path, every: 2, resume: true };
      const onStep = ({ step }: { step: number }) => {
        if (step === 5) throw new Error("killed");
      };
      const partly = trainer.fit(zero, data, { ...settings, ...changed, checkpoint, onStep });
      await expect(partly).rejects.toThrow("killed");
      expect(await trainer.fit(zero, data, { ...settings, ...changed, checkpoint })).toEqual(whole);
    }
  });

  test("of a finished training gives its result without a step", async () => {
    await rm(path, { force: true });
    const checkpoint = { path, every: 6, resume: true };
    const whole = await trainer.fit(zero, data, { ...options, checkpoint });
    const onStep = () => expect.unreachable();
    expect(await trainer.fit(zero, data, { ...options, checkpoint, onStep })).toEqual(whole);
  });

  test("is left alone where training is to start anew", async () => {
    await interrupt(7, "kill", 4);
    const steps: number[] = [];
    const checkpoint = { path, every: 100, resume: false };
    await trainer.fit(zero, data, { ...options, checkpoint, onStep: ({ step }) => steps.push(step) });
    expect(steps[0]).toBe(1);
  });

  test.each<[string, Partial<FitOptions>, Line, Columns]>([
    ["another seed", { random: createRandom(2) }, zero, data],
    ["another learning rate", { learningRate: 0.2 }, zero, data],
    ["another schedule", { schedule: { decay: "linear" } }, zero, data],
    ["other validations", { validation: { ...validation, every: 3 } }, zero, data],
    ["other data", {}, zero, { x, y: zeros([rows, 1]) }],
    ["another start", {}, { ...zero, bias: new Tensor(Float32Array.of(1)) }, data],
    ["another length", { epochs: 5 }, zero, data],
  ])("of a training with %s is refused", async (_, changed, params, columns) => {
    await interrupt(7, "kill", 4);
    const checkpoint = { path, every: 4, resume: true };
    await expect(trainer.fit(params, columns, { ...options, ...changed, checkpoint })).rejects.toMatchObject({
      name: "UserError",
      place: { file: path },
      exitCode: 2,
    });
  });

  test.each([
    ["that is no safetensors file", () => writeFile(path, "hello")],
    ["of a model", () => saveCheckpoint(path, zero)],
    [
      "without the progress",
      () => {
        const parameters = trainer.flat.flatten(zero);
        const optimizer = { m: parameters, v: parameters, step: scalar(0) };
        return saveCheckpoint(path, {
          carry: { parameters, optimizer },
          best: parameters,
          losses: zeros([12]),
        });
      },
    ],
  ])("a file %s is refused", async (_, write) => {
    await write();
    const checkpoint = { path, every: 4, resume: true };
    await expect(trainer.fit(zero, data, { ...options, checkpoint })).rejects.toMatchObject({
      name: "UserError",
      place: { file: path },
    });
  });
});

describe("a checkpoint that was altered", () => {
  test("is noticed before it is used, and by the training too", async () => {
    const folder = await mkdtemp(join(tmpdir(), "outgrow-trainer-"));
    const path = join(folder, "line.safetensors");
    const checkpoint = { path, every: 4, resume: true };
    expect(await inspectCheckpoint(path)).toBeUndefined(); // there is none
    const onStep = ({ step }: { step: number }) => {
      if (step === 6) throw new Error("killed");
    };
    await expect(trainer.fit(zero, data, { ...settings, checkpoint, onStep })).rejects.toThrow("killed");
    expect(await inspectCheckpoint(path)).toBeUndefined();
    const whole = await readFile(path);
    // Every bit of a byte in turn, in all parts of the file, and all bytes around the end of the header.
    const header = 8 + Number(whole.readBigUInt64LE());
    const places = Array.from(whole.keys()).filter((at) => at % 9 === 0 || Math.abs(at - header) < 10);
    for (const at of places) {
      const bytes = Buffer.from(whole);
      bytes[at] ^= 1 << (at % 8);
      await writeFile(path, bytes);
      expect(await inspectCheckpoint(path), `byte ${at}`).toMatchObject({
        name: "UserError",
        place: { file: path },
      });
    }
    // The same tensors in another form are not what was written.
    const longer = Buffer.concat([whole.subarray(0, header), Buffer.alloc(8, " "), whole.subarray(header)]);
    longer.writeBigUInt64LE(BigInt(header - 8 + 8));
    await writeFile(path, longer);
    expect(await inspectCheckpoint(path)).toMatchObject({ name: "UserError" });
    const bytes = Buffer.from(whole);
    bytes[whole.length - 5] ^= 1; // in a parameter
    await writeFile(path, bytes);
    await expect(trainer.fit(zero, data, { ...settings, checkpoint })).rejects.toThrow("was altered");
    await rm(folder, { recursive: true });
  });

  test("is written no more often than is asked for", async () => {
    const folder = await mkdtemp(join(tmpdir(), "outgrow-trainer-"));
    const checkpoint = { path: join(folder, "line.safetensors"), every: 1, seconds: 3600, resume: true };
    await trainer.fit(zero, data, { ...settings, checkpoint });
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  });
});

describe("createTrainer refuses", () => {
  test("columns of unequal length, naming both", async () => {
    await expect(line(4, { columns: { x, y: zeros([rows - 1, 1]) } })).rejects.toMatchObject({
      name: "UserError",
      message: 'columns of "line" differ in length: "x" has 12 rows, "y" 11',
    });
  });

  test("columns without rows", async () => {
    await expect(line(4, { columns: { x: zeros([0, 2]), y: zeros([0, 1]) } })).rejects.toMatchObject({
      name: "UserError",
      message: 'there are no examples to train "line" on',
    });
  });

  test("parameters that are not float32", async () => {
    await expect(line(4, { params: { ...zero, bias: zeros([1], "int32") } })).rejects.toThrow("float32");
  });
});

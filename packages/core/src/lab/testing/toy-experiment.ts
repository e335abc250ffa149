import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { z } from "zod";
import { encodeSafetensors } from "../../models/safetensors.js";
import { createRandom } from "../../random.js";
import { createTrainer } from "../../train/trainer.js";
import type { Experiment } from "../experiment.js";
import { defineStage, fromStage } from "../stage.js";

/* A small experiment with real training, and with every way to go wrong, for the tests of sweeps. */

const FEATURES = 8;

const dataStage = defineStage({
  name: "toy/data",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ rows: z.int() }),
  inputs: {},
  async run({ config: { rows }, folder }) {
    const random = createRandom("toy/data");
    const x = random.normals(rows * FEATURES, 1);
    const y = Float32Array.from({ length: rows }, (_, i) => x[i * FEATURES] - 2 * x[i * FEATURES + 1]);
    const tensors = { x: new Tensor(x, [rows, FEATURES]), y: new Tensor(y, [rows]) };
    await writeFile(join(folder, "data.safetensors"), encodeSafetensors(tensors, {}));
  },
});

const trainStage = defineStage({
  name: "toy/train",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ seed: z.int(), learningRate: z.number(), epochs: z.int() }),
  inputs: { data: fromStage },
  async run({ config, inputs, folder, signal, progress, checkpoint }) {
    const { x, y } = (await inputs.data.tensors("data.safetensors")).tensors;
    const columns = { x, y };
    const trainer = await createTrainer({
      name: "toy",
      params: { w: new Tensor(new Float32Array(FEATURES), [FEATURES]) },
      columns,
      batchSize: 32,
      loss: (params: { w: np.Array }, batch) => {
        const difference = np.dot(batch.x, params.w).sub(batch.y);
        return difference.mul(difference).mean();
      },
    });
    const random = createRandom(config.seed);
    const { params, losses } = await trainer.fit(
      { w: new Tensor(random.stream("init").normals(FEATURES, 1), [FEATURES]) },
      columns,
      {
        epochs: config.epochs,
        learningRate: config.learningRate,
        random: random.stream("order"),
        signal,
        checkpoint: await checkpoint("training"),
        onStep: ({ step, totalSteps, loss }) => progress(step / totalSteps, `loss ${loss.toFixed(4)}`),
      },
    );
    await trainer.dispose();
    await writeFile(join(folder, "model.safetensors"), encodeSafetensors({ w: params.w }, {}));
    await writeFile(join(folder, "losses.json"), JSON.stringify(Array.from(losses)));
  },
});

const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  rows: z.int().min(32).default(256),
  learningRate: z.number().positive().default(0.01),
  epochs: z.int().min(1).default(10),
  /** What goes wrong. */
  fault: z.enum(["none", "throw", "exit", "memory", "heap"]).default("none"),
  nested: z.strictObject({ knob: z.number().default(0) }).prefault({}),
});

export const toyExperiment: Experiment<typeof schema> = {
  name: "toy",
  title: "A line fitted by gradient descent",
  schema,
  measures: ["loss"],
  conditions: ["part"],
  async run({ seed, rows, learningRate, epochs, fault, nested }, { lab, progress, signal }) {
    await goWrong(fault, signal);
    const stage = progress.begin("train");
    const data = await lab.run(dataStage, { rows }, {});
    const config = { seed, learningRate, epochs };
    const output = await lab.run(trainStage, config, { data }, { onProgress: stage.update });
    const losses = await output.json<number[]>("losses.json");
    stage.done();
    return ["first", "last"].map((part, i) => ({
      part,
      loss: (i === 0 ? losses[0] : losses[losses.length - 1]) + nested.knob,
    }));
  },
};

async function goWrong(fault: string, signal: AbortSignal): Promise<void> {
  if (fault === "throw") throw new RangeError("the toy is broken");
  if (fault === "exit") process.kill(process.pid, "SIGKILL");
  const kept: unknown[] = [];
  while (fault === "memory" || fault === "heap") {
    signal.throwIfAborted();
    kept.push(
      fault === "memory" ? Buffer.alloc(2 ** 25, 1) : Array.from({ length: 2 ** 20 }, (_, i) => ({ i })),
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

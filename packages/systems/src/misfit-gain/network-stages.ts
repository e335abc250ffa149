import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  type Columns,
  compileRows,
  createTrainer,
  defineStage,
  initMlp,
  type MlpParams,
  type Random,
  type Trainer,
} from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { type GainMeasures, measureTasks, taught, worldFields, worldOf } from "./linear-stage.js";
import { columnOf, mean, type Representation, representationOf, varianceOf } from "./world.js";

type Mlp = MlpParams<Tensor>;

/** Networks by squared error, `[rows, outputs]` to learn. */
const regression = (params: Mlp, columns: Columns, batchSize: number): Promise<Trainer<Mlp>> =>
  createTrainer<Mlp, MlpParams<JaxArray>>({
    name: "regression",
    params,
    columns,
    batchSize,
    loss: (traced, { inputs, targets }) => {
      const errors = applyMlp(traced, inputs).sub(targets);
      return errors.mul(errors).mean();
    },
  });

const tensor = (values: Float64Array, columns: number) =>
  new Tensor(Float32Array.from(values), [values.length / columns, columns]);

const epochsOf = (steps: number, rows: number, batchSize: number) =>
  Math.max(1, Math.round((steps * Math.min(batchSize, rows)) / rows));

export interface PretrainedRow extends GainMeasures {
  task: number;
}

/** Representations of networks that were trained on other tasks, as in the paper. */
export const pretrainedStage = defineStage({
  name: "misfit-gain/pretrained",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    ...worldFields,
    tasks: count,
    pretraining: z.strictObject({ tasks: count, rows: count }),
    weakLayers: count,
    strongLayers: count,
    steps: count,
    batchSize: count,
    learningRate: z.number().positive(),
  }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const { tasks, pretraining, batchSize, learningRate, steps } = config;
    const { random, world, inputs, width } = worldOf(config);
    const seen = world.inputs(pretraining.rows, "pretraining");
    const columns = {
      inputs: tensor(seen, config.layers[0]),
      targets: tensor(world.targets(pretraining.tasks, "pretraining")(seen), pretraining.tasks),
    };
    const pretrained = async (layers: number): Promise<Representation> => {
      const hidden = new Array<number>(layers).fill(width);
      const shape = { inputSize: config.layers[0], hidden, outputSize: pretraining.tasks };
      const start = initMlp(shape, random.stream("pretrained", layers));
      const trainer = await regression(start, columns, batchSize);
      const epochs = epochsOf(steps, pretraining.rows, batchSize);
      const order = random.stream("order", layers);
      const { params } = await trainer.fit(start, columns, { epochs, learningRate, random: order, signal });
      await trainer.dispose();
      return params.hidden.map(({ weight, bias }) => ({
        weights: Float64Array.from(weight.data),
        bias: Float64Array.from(bias.data),
      }));
    };
    const weak = await pretrained(config.weakLayers);
    progress(0.3);
    const strong = await pretrained(config.strongLayers);
    const targets = world.targets(tasks, "new tasks");
    const see = (representation: Representation, part: keyof typeof inputs) =>
      representationOf(representation, inputs[part]);
    const heads = { columns: width, outputs: tasks };
    const others = [see(weak, "transfer"), see(weak, "test")];
    const [labels, said] = taught(see(weak, "supervision"), targets(inputs.supervision), others, heads);
    const [learned, fresh] = [see(strong, "transfer"), [see(strong, "test")]];
    const [student] = taught(learned, labels, fresh, heads);
    const [ceiling] = taught(learned, targets(inputs.transfer), fresh, heads);
    const measures = measureTasks(tasks, { weak: said, student, ceiling, truth: targets(inputs.test) });
    const rows: PretrainedRow[] = measures.map((own, task) => ({ task, ...own }));
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

/** Students with a hidden layer of their own on the true representation: a class that is not convex, and may fit weak labels. */
export const richStage = defineStage({
  name: "misfit-gain/rich",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    ...worldFields,
    tasks: count,
    weak: z.number(),
    width: count,
    steps: count,
    batchSize: count,
    learningRate: z.number().positive(),
  }),
  inputs: {},
  async run({ config, folder, signal }) {
    const { tasks, batchSize, steps, learningRate } = config;
    const { random, world, inputs, width, see, noisy } = worldOf(config);
    const targets = world.targets(tasks, "tasks");
    const weakly = noisy(config.weak, "weak");
    const heads = { columns: width, outputs: tasks };
    const others = [see(weakly, "transfer"), see(weakly, "test")];
    const [labels, weak] = taught(see(weakly, "supervision"), targets(inputs.supervision), others, heads);
    const [seen, fresh] = [see(world.truth, "transfer"), see(world.truth, "test")];
    const [ceiling] = taught(seen, targets(inputs.transfer), [fresh], heads);
    const scale = standardiser(seen, width);
    const features = tensor(scale(seen), width);
    const data = Array.from({ length: tasks }, (_, t) => ({
      inputs: features,
      targets: tensor(columnOf(labels, tasks, t), 1),
    }));
    const shape = { inputSize: width, hidden: [config.width], outputSize: 1 };
    const starts = data.map((_, t) => initMlp(shape, random.stream("rich", t)));
    const trainer = await regression(starts[0], data[0], batchSize);
    const fitted = await trainer.fitMany(starts, data, {
      epochs: epochsOf(steps, inputs.transfer.length / config.layers[0], batchSize),
      learningRate,
      randoms: orders(tasks, random),
      signal,
    });
    await trainer.dispose();
    const tested = { inputs: tensor(scale(fresh), width) };
    const say = await compileRows<Mlp, MlpParams<JaxArray>>(
      "regression",
      (traced, batch) => applyMlp(traced, batch.inputs),
      starts[0],
      tested,
    );
    const student = new Float64Array(weak.length);
    for (const [t, { params }] of fitted.entries()) {
      (await say(params, tested)).data.forEach((value, row) => {
        student[row * tasks + t] = value;
      });
    }
    await say.dispose();
    const measures = measureTasks(tasks, { weak, student, ceiling, truth: targets(inputs.test) });
    const rows: PretrainedRow[] = measures.map((own, task) => ({ task, ...own }));
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

const orders = (tasks: number, random: Random) =>
  Array.from({ length: tasks }, (_, t) => random.stream("order of rich", t));

function standardiser(seen: Float64Array, width: number): (features: Float64Array) => Float64Array {
  const columns = Array.from({ length: width }, (_, j) => columnOf(seen, width, j));
  const means = columns.map(mean);
  const deviations = columns.map((own) => Math.sqrt(varianceOf(own)) || 1);
  return (features) => features.map((value, i) => (value - means[i % width]) / deviations[i % width]);
}

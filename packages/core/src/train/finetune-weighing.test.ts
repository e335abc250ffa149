import type { Array as JaxArray } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { expect, test } from "vitest";
import { oneHot, type SoftLabels } from "../index.js";
import { featureBackbone } from "../models/classifier.js";
import { createRandom } from "../random.js";
import { createFinetuner } from "./finetune.js";
import { finetuneWeighing, supervisorSurprise, type WeighingOptions } from "./finetune-weighing.js";
import { crossEntropy } from "./loss.js";
import { createTrainer } from "./trainer.js";

const random = createRandom("weighing test");
const [count, width, classes] = [240, 4, 3];
const truth = Int32Array.from({ length: count }, (_, i) => i % classes);
const features = new Tensor(
  Float32Array.from({ length: count * width }, (_, at) =>
    at % width === truth[Math.floor(at / width)] ? 2 + random.normal() : random.normal(),
  ),
  [count, width],
);
function supervisor(name: string, accuracy: number): SoftLabels {
  const own = random.stream("supervisor", name);
  return oneHot(
    truth.map((y) => (own.uniform() < accuracy ? y : (y + 1 + own.integer(2)) % classes)),
    classes,
  );
}
const [good, poor, bad] = [supervisor("good", 0.9), supervisor("poor", 0.5), supervisor("bad", 0.3)];
const backbone = featureBackbone("features", width);
const weigh = (labels: readonly SoftLabels[], options: WeighingOptions = {}, epochs = 10) =>
  finetuneWeighing(
    { backbone, classes, inputs: { features }, batchSize: 24, labels },
    { epochs, learningRate: 0.03, random: createRandom("order"), ...options },
  );

test("weights go to the accurate supervisor, and of copies stay equal", async () => {
  const { weights, easy } = await weigh([poor, good, bad, good]);
  expect(weights[1]).toBe(weights[3]);
  expect(weights[1]).toBeGreaterThan(0.4);
  expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
  expect(easy).toBeGreaterThan(0);
  expect(easy).toBeLessThan(count / 2);
  const equal = await weigh([poor, good, bad, good], { weightRate: 0 });
  expect(equal.weights).toEqual([0.25, 0.25, 0.25, 0.25]);
});

test("one step moves them by the slope that the closed form gives", async () => {
  // A head of zeros is surprised by log(3) whatever the label: the second step is the first that can tell them apart.
  const inputs = { backbone, classes, inputs: { features }, batchSize: count, labels: [good, bad] };
  const options = { epochs: 2, learningRate: 0.1, random: createRandom("order") };
  const { weights } = await finetuneWeighing(inputs, { ...options, weightRate: 0.4, easyShare: 0 });
  const naive = await createFinetuner({ ...inputs, loss: crossEntropy });
  const mean = { ...good, values: good.values.map((p, at) => (p + bad.values[at]) / 2) };
  // What the student is before its second step. The rate of a single step is that of the first of two, by the schedule.
  const { params } = await naive.fit(backbone, { features }, mean, {
    ...options,
    epochs: 1,
    learningRate: 0.1,
  });
  await naive.dispose();
  const head = params.head.data;
  const surprise = [good, bad].map(({ values }) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const z = [0, 1, 2].map((k) =>
        [0, 1, 2, 3].reduce((s, j) => s + features.data[i * width + j] * head[j * classes + k], 0),
      );
      const normaliser = Math.log(z.reduce((s, value) => s + Math.exp(value), 0));
      for (let k = 0; k < classes; k++) sum -= values[i * classes + k] * (z[k] - normaliser);
    }
    return sum / count;
  });
  const slope = (surprise[0] - surprise[1]) / 2;
  expect(slope).toBeLessThan(-0.01);
  expect(weights[0]).toBeCloseTo(0.5 - (0.4 / 2) * slope, 4);
});

test("the surprise of each supervisor is that of its labels alone, and what is left out counts as nothing", async () => {
  const fn = (logits: JaxArray, targets: JaxArray, counted: JaxArray) =>
    supervisorSurprise(logits, targets, counted);
  const logits = new Tensor(Float32Array.from([1, 0, 0, 2, 1, -1]), [2, 3]);
  const targets = new Tensor(Float32Array.from([1, 0, 0, 0, 0, 1, 0, 1, 0, 0.5, 0.5, 0]), [2, 2, 3]);
  const program = await compile(fn, [logits, targets, new Tensor(new Float32Array(2))] as never);
  const run = program.run as unknown as (...given: Tensor[]) => Promise<Tensor>;
  const of = async (...counted: number[]) =>
    Array.from((await run(logits, targets, new Tensor(Float32Array.from(counted)))).data);
  const a = Math.log(Math.E + 2);
  const b = Math.log(Math.exp(2) + Math.E + Math.exp(-1));
  const [first, second] = await of(1, 1);
  expect(first).toBeCloseTo((a - 1 + b - 1) / 2, 5);
  expect(second).toBeCloseTo((a + b - 1.5) / 2, 5);
  expect((await of(1, 0))[0]).toBeCloseTo((a - 1) / 2, 5);
  await program.dispose();
});

test("one supervisor alone is naive training", async () => {
  const { params } = await weigh([good], { easyShare: 0.5 }, 3);
  const naive = await createFinetuner({
    backbone,
    classes,
    inputs: { features },
    loss: crossEntropy,
    batchSize: 24,
  });
  const plain = await naive.fit(backbone, { features }, good, {
    epochs: 3,
    learningRate: 0.03,
    random: createRandom("order"),
  });
  await naive.dispose();
  params.head.data.forEach((value, i) => {
    expect(value).toBeCloseTo(plain.params.head.data[i], 4);
  });
});

test("the start takes the examples alone on which all agree; where there are none, all, with a warning", async () => {
  // In an easy start the labels of the others do not matter.
  const turned = truth.map((y, i) => (i < count / 2 ? y : (y + 1) % classes));
  const twice = truth.map((y, i) => (i < count / 2 ? y : (y + 2) % classes));
  const right = oneHot(truth, classes);
  const head = async (other: Int32Array, easyShare: number) =>
    Array.from((await weigh([right, oneHot(other, classes)], { easyShare }, 2)).params.head.data);
  expect(await head(turned, 1)).toEqual(await head(twice, 1));
  expect(await head(turned, 0)).not.toEqual(await head(twice, 0));

  const none = oneHot(
    truth.map((y) => (y + 1) % classes),
    classes,
  );
  const { easy, warnings, params } = await weigh([right, none], {}, 2);
  expect(easy).toBe(0);
  expect(warnings).toEqual([expect.stringContaining("agree on no example")]);
  expect(params.head.data.some((value) => value !== 0)).toBe(true);
});

test("the pass that is kept agrees best with held-out labels by its own weights", async () => {
  const labels = [good, poor];
  const { validation, bestStep } = await finetuneWeighing(
    { backbone, classes, inputs: { features }, batchSize: 24, labels },
    {
      epochs: 4,
      learningRate: 0.03,
      random: createRandom("order"),
      validation: { inputs: { features }, labels },
    },
  );
  expect(validation.map(({ step }) => step)).toEqual([10, 20, 30, 40]);
  const best = Math.max(...validation.map(({ score }) => score));
  expect(validation.find(({ score }) => score === best)?.step).toBe(bestStep);
  // The first pass is in the easy start, with equal weights.
  expect(validation[0].score).toBeLessThanOrEqual(0);
  expect(bestStep).toBeGreaterThan(10);
});

test("labels that do not fit together are refused", async () => {
  const two: SoftLabels = { values: new Float32Array(count * 2).fill(0.5), shape: [count, 2] };
  await expect(weigh([good, two])).rejects.toThrow("weak model 2 has 2 classes, the first has 3");
  const short: SoftLabels = { values: good.values.subarray(0, 30), shape: [10, 3] };
  await expect(weigh([good, short])).rejects.toThrow("weak model 2 labels 10 examples");
});

test("a training revises parameters by what its function says, and not in micro-batches", async () => {
  const columns = { x: new Tensor(new Float32Array(8), [8, 1]) };
  const spec = {
    name: "revised",
    params: { moved: new Tensor(Float32Array.from([1])), kept: new Tensor(Float32Array.from([5])) },
    columns,
    batchSize: 4,
    loss: (p: { moved: JaxArray; kept: JaxArray }) => p.moved.mul(3).add(p.kept).sum(),
    revise: (
      next: { moved: JaxArray; kept: JaxArray },
      before: { moved: JaxArray; kept: JaxArray },
      gradient: { moved: JaxArray; kept: JaxArray },
    ) => ({ kept: before.kept.add(next.kept.mul(0)), moved: before.moved.sub(gradient.moved) }),
  };
  const trainer = await createTrainer(spec);
  const { params } = await trainer.fit(spec.params, columns, { learningRate: 0.1, random: createRandom(0) });
  await trainer.dispose();
  expect(Array.from(params.moved.data)).toEqual([-5]);
  expect(Array.from(params.kept.data)).toEqual([5]);
  await expect(createTrainer({ ...spec, microBatches: 2 })).rejects.toThrow("without micro-batches");
});

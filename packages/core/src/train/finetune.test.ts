import { Tensor } from "@outgrow/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { compileClassifier, featureBackbone, initClassifier } from "../models/classifier.js";
import { createRandom } from "../random.js";
import { createFinetuner, type Finetuner } from "./finetune.js";
import { crossEntropy } from "./loss.js";

const random = createRandom(9);
const rows = 40;
const features = new Tensor(random.normals(rows * 2), [rows, 2]);
const backbone = featureBackbone("probe", 2);

/** Hard labels, class 1 where the feature is positive. */
const byFeature = (column: number): SoftLabels => ({
  values: Float32Array.from({ length: rows * 2 }, (_, i) =>
    Number(features.data[2 * Math.floor(i / 2) + column] > 0 === (i % 2 === 1)),
  ),
  shape: [rows, 2],
});
const labels = byFeature(0);
const settings = { epochs: 3, learningRate: 0.1, random: createRandom(1) };

let finetuner: Finetuner;
beforeAll(async () => {
  finetuner = await createFinetuner({
    backbone,
    classes: 2,
    inputs: { features },
    loss: crossEntropy,
    batchSize: 16,
  });
});
afterAll(() => finetuner.dispose());

async function agreement(head: Tensor, wanted: SoftLabels): Promise<number> {
  const predict = await compileClassifier(backbone, 2, { features });
  const { values } = await predict({ body: {}, head }, { features });
  await predict.dispose();
  const [own, given] = [argmaxRows(values, 2), argmaxRows(wanted.values, 2)];
  return own.reduce((sum, label, i) => sum + Number(label === given[i]), 0) / rows;
}

describe("createFinetuner", () => {
  test("starts from uniform predictions: the first loss is log 2, for every loss of the same labels", async () => {
    expect(initClassifier(backbone, 2).head.data.every((weight) => weight === 0)).toBe(true);
    const { losses } = await finetuner.fit(backbone, { features }, labels, settings);
    expect(losses[0]).toBeCloseTo(Math.log(2), 6);
  });

  test("learns what the labels say", async () => {
    const { params } = await finetuner.fit(backbone, { features }, labels, { ...settings, epochs: 30 });
    expect(await agreement(params.head, labels)).toBeGreaterThan(0.9);
  });

  test("validates once a pass, and keeps the pass that agrees most with the labels given for that", async () => {
    // Training teaches feature 0; the held-out labels are those of feature 1, so that agreement falls as it learns.
    const weak = byFeature(1);
    const result = await finetuner.fit(backbone, { features }, labels, {
      ...settings,
      epochs: 6,
      validation: { inputs: { features }, labels: weak },
    });
    expect(result.validation.map(({ step }) => step)).toEqual([2, 4, 6, 8, 10, 12]);
    const best = Math.max(...result.validation.map(({ score }) => score));
    expect(result.validation.find(({ score }) => score === best)?.step).toBe(result.bestStep);
    expect(await agreement(result.params.head, weak)).toBeCloseTo(best, 12);
    // With the training labels for validation another pass is kept, or at least other scores are seen.
    const own = await finetuner.fit(backbone, { features }, labels, {
      ...settings,
      epochs: 6,
      validation: { inputs: { features }, labels },
    });
    expect(own.validation.map(({ score }) => score)).not.toEqual(result.validation.map(({ score }) => score));
    expect(await agreement(own.params.head, labels)).toBe(
      Math.max(...own.validation.map(({ score }) => score)),
    );
  });

  test("validation rows may be of another number than in the fit before", async () => {
    for (const count of [7, 3, 12]) {
      const result = await finetuner.fit(backbone, { features }, labels, {
        ...settings,
        validation: {
          inputs: { features: new Tensor(features.data.slice(0, count * 2), [count, 2]) },
          labels: { values: labels.values.slice(0, count * 2), shape: [count, 2] },
        },
      });
      for (const { score } of result.validation)
        expect(score * count).toBeCloseTo(Math.round(score * count), 9);
    }
  });

  test("students do not see each other", async () => {
    const first = await finetuner.fit(backbone, { features }, labels, settings);
    await finetuner.fit(backbone, { features }, byFeature(1), settings);
    expect(await finetuner.fit(backbone, { features }, labels, settings)).toEqual(first);
    expect(initClassifier(backbone, 2).head.data.every((weight) => weight === 0)).toBe(true);
  });
});

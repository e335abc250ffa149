import { Tensor } from "@outgrow/engine";
import { expect, test } from "vitest";
import { compileRows } from "../models/classifier.js";
import { createRandom } from "../random.js";
import {
  type FeaturePretraining,
  featurePretrainingDefaults,
  pretrainFeatureModel,
} from "./pretrain-features.js";

const rows = 64;
const draw = createRandom(6);
// Four columns that say the same, so that a replaced one can be restored from the others.
const features = new Tensor(
  Float32Array.from(draw.normals(rows), (z) => z).reduce(
    (all, z, row) => {
      for (let column = 0; column < 4; column++) all[row * 4 + column] = column % 2 ? -z : z;
      return all;
    },
    new Float32Array(rows * 4),
  ),
  [rows, 4],
);
const options = { ...featurePretrainingDefaults, width: 16, batchSize: 16, epochs: 12, learningRate: 1e-2 };

async function pretrain(seed: number, changed: Partial<FeaturePretraining> = {}) {
  const losses: number[] = [];
  const backbone = await pretrainFeatureModel(features, { ...options, ...changed }, createRandom(seed), {
    onStep: ({ loss }) => losses.push(loss),
  });
  return { backbone, losses };
}
const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;

test("the loss falls below that of giving back the corrupted row", async () => {
  const { backbone, losses } = await pretrain(1);
  expect(losses).toHaveLength(48);
  expect(mean(losses.slice(-8))).toBeLessThan(0.5 * mean(losses.slice(0, 8)));
  // A replaced entry is off by the difference of two rows: 2 x its share x the variance of 1.
  expect(mean(losses.slice(-8))).toBeLessThan(0.7 * 2 * options.corruptedShare);
  expect(backbone).toMatchObject({ name: "MLP 16", featureSize: 16 });
});

test("what is restored is the row as it was: all of it where nothing was replaced, nothing where all was", async () => {
  const untouched = await pretrain(1, { corruptedShare: 0 });
  expect(mean(untouched.losses.slice(-8))).toBeLessThan(0.05);
  const replaced = await pretrain(1, { corruptedShare: 1 });
  expect(mean(replaced.losses.slice(-8))).toBeGreaterThan(0.6);
});

test("the same seed gives the same bits, another seed others, and the features stay as they were", async () => {
  const before = features.data.slice();
  const [a, b, other] = [await pretrain(1), await pretrain(1), await pretrain(2)];
  expect(b.backbone.body).toEqual(a.backbone.body);
  expect(b.losses).toEqual(a.losses);
  expect(other.backbone.body).not.toEqual(a.backbone.body);
  expect(features.data).toEqual(before);
});

test("the backbone gives one row of features for each row", async () => {
  const { backbone } = await pretrain(1);
  const apply = await compileRows<unknown, unknown>(
    "features",
    (body, batch) => backbone.features(body as never, batch),
    backbone.body,
    { x: features },
  );
  const { shape, data } = await apply(backbone.body, { x: features });
  await apply.dispose();
  expect(shape).toEqual([rows, 16]);
  expect(Math.min(...data)).toBe(0); // after a ReLU
  expect(Math.max(...data)).toBeGreaterThan(0);
});

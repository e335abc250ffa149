import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Columns } from "../data/columns.js";
import { applyMlp, initMlp, type MlpParams } from "../models/mlp.js";
import { createRandom, type Random } from "../random.js";
import { crossEntropy } from "./loss.js";
import { createTrainer, type FitOptions, type FitResult, type Trainer } from "./trainer.js";

const [rows, inputSize, classes] = [50, 4, 3];
const config = { inputSize, hidden: [8, 8], outputSize: classes };
const random = createRandom("fit-many");
const x = new Tensor(random.normals(rows * inputSize), [rows, inputSize]);
/** One-hot rows of noisy labels, of another noise for each seed. */
const labels = (seed: number) => {
  const noise = createRandom(`labels/${seed}`);
  const targets = new Float32Array(rows * classes);
  for (let i = 0; i < rows; i++) {
    const clean = (x.data[i * inputSize] > 0 ? 1 : 0) + (x.data[i * inputSize + 1] > 0 ? 1 : 0);
    targets[i * classes + (noise.uniform() < 0.3 ? noise.integer(classes) : clean)] = 1;
  }
  return new Tensor(targets, [rows, classes]);
};
const seeds = [0, 1, 2, 3, 4];
const params = seeds.map((seed) => initMlp(config, createRandom(`init/${seed}`)));
const randoms = seeds.map((seed) => createRandom(`order/${seed}`));
const common: Columns = { x, y: labels(0) };
const settings = { epochs: 6, learningRate: 0.02, schedule: { warmup: 0.1 } };

type Params = MlpParams<Tensor>;
let trainer: Trainer<Params>;
beforeAll(async () => {
  trainer = await createTrainer<Params, MlpParams<JaxArray>>({
    name: "classifier",
    loss: (p, batch, progress) => crossEntropy(applyMlp(p, batch.x), batch.y).mul(progress.add(1)),
    params: params[0],
    columns: common,
    batchSize: 16,
  });
});
afterAll(() => trainer.dispose());

const fitAlone = (seed: number, data: Columns, options: Partial<FitOptions> = {}) =>
  trainer.fit(params[seed], data, { ...settings, random: randoms[seed] as Random, ...options });
const vector = (result: FitResult<Params>) => [...trainer.flat.flatten(result.params).data];
const expectClose = (found: Iterable<number>, expected: Iterable<number>) => {
  const [a, b] = [[...found], [...expected]];
  expect(a).toHaveLength(b.length);
  expect(Math.max(...a.map((value, i) => Math.abs(value - b[i])))).toBeLessThan(1e-4);
};

describe("fitMany", () => {
  test("gives each training of the same data what it has alone, step by step", async () => {
    const seen: number[][] = [];
    const many = await trainer.fitMany(params, common, {
      ...settings,
      randoms,
      onStep: ({ losses }) => seen.push([...losses]),
    });
    expect(many).toHaveLength(seeds.length);
    for (const seed of seeds) {
      const alone = await fitAlone(seed, common);
      expect(alone.losses).toHaveLength(18);
      expectClose(many[seed].losses, alone.losses);
      expectClose(vector(many[seed]), vector(alone));
      expect(seen.map((losses) => losses[seed])).toEqual([...many[seed].losses]);
      expect(many[seed].bestStep).toBe(alone.bestStep);
    }
    expect(Math.abs(many[0].losses[17] - many[1].losses[17])).toBeGreaterThan(1e-3);
  });

  test("takes labels of each training's own beside inputs that all share", async () => {
    const own = seeds.map((seed) => ({ x, y: labels(seed) }));
    const many = await trainer.fitMany(params, own, { ...settings, randoms });
    for (const seed of seeds) {
      const alone = await fitAlone(seed, own[seed]);
      expectClose(many[seed].losses, alone.losses);
      expectClose(vector(many[seed]), vector(alone));
    }
  });

  test("stops each training by its own scores, and keeps its best parameters", async () => {
    // Scores that rise for as many validations as the seed's number, and then fall.
    const scoresOf = (seed: number) => {
      let times = 0;
      return async () => -Math.abs(times++ - seed);
    };
    const scores = seeds.map(scoresOf);
    const many = await trainer.fitMany(params, common, {
      ...settings,
      randoms,
      validation: { score: (_, training) => scores[training](), every: 3, patience: 1 },
    });
    for (const seed of seeds) {
      const validation = { score: scoresOf(seed), every: 3, patience: 1 };
      const alone = await fitAlone(seed, common, { validation });
      expect(many[seed].validation).toEqual(alone.validation);
      expect(many[seed].bestStep).toBe(3 * (seed + 1));
      expect(many[seed].losses).toHaveLength(Math.min(18, 3 * (seed + 2)));
      expectClose(many[seed].losses, alone.losses);
      expectClose(vector(many[seed]), vector(alone));
    }
  });

  test("names the training that diverges, and refuses lists of different lengths", async () => {
    const { output } = params[2];
    const nan = {
      ...params[2],
      output: { ...output, bias: new Tensor(new Float32Array(3).fill(Number.NaN)) },
    };
    await expect(
      trainer.fitMany([params[0], params[1], nan], common, { ...settings, randoms: randoms.slice(0, 3) }),
    ).rejects.toThrow('training of "classifier" (3 of 3) diverged: the loss is NaN at step 1 of 18');
    await expect(trainer.fitMany(params, common, { ...settings, randoms: randoms.slice(1) })).rejects.toThrow(
      "5 sets of parameters, 4 streams",
    );
    await expect(trainer.fitMany(params, [common], { ...settings, randoms })).rejects.toThrow("1 data sets");
  });
});

import { Tensor } from "@outgrow/engine";
import { createRandom } from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import {
  concatenatePairs,
  confidentPairs,
  type LabelledPairs,
  RewardModels,
  recipeDefaults,
  selectPairs,
} from "./method.js";
import { PairWorld, pairWorldSchema } from "./world.js";

const random = createRandom("deception/test");
const world = new PairWorld(pairWorldSchema.parse({}), random.stream("world"));
const models = new RewardModels(recipeDefaults);
afterAll(() => models.dispose());

const drawn = world.draw("harmlessness", 600, random.stream("train"));
const test600 = world.draw("harmlessness", 600, random.stream("test"));
const pairs: LabelledPairs = { ...world.view(drawn, 32), preference: drawn.truth };

const accuracy = (p: Float32Array, truth: Float32Array) =>
  p.reduce((sum, value, i) => sum + Number(value >= 0.5 === (truth[i] === 1)), 0) / p.length;

describe("reward models", () => {
  test("learn which reply is better", async () => {
    const params = await models.train(pairs, random.stream("model"));
    const p = await models.preferences(params, world.view(test600, 32));
    expect(accuracy(p, test600.truth)).toBeGreaterThan(0.6);
  });

  test("that are turned round say the opposite: sigma(-M) = 1 - sigma(M)", async () => {
    const params = await models.train(pairs, random.stream("model"));
    const { first, second } = world.view(test600, 32);
    const p = await models.preferences(params, { first, second });
    const turned = await models.preferences(params, { first: second, second: first });
    turned.forEach((value, i) => {
      expect(value).toBeCloseTo(1 - p[i], 5);
    });
  });

  test("go on from a pretrained model: without a step's learning rate it is what comes out", async () => {
    const { first, second } = pairs;
    const start = await models.train(pairs, random.stream("model"));
    const still = new RewardModels({ ...recipeDefaults, learningRate: 1e-12 });
    const same = await still.train(pairs, random.stream("other"), undefined, start);
    const [p, q] = [
      await models.preferences(start, { first, second }),
      await still.preferences(same, { first, second }),
    ];
    await still.dispose();
    q.forEach((value, i) => {
      expect(value).toBeCloseTo(p[i], 5);
    });
    // A head alone, on the same features, is another shape of model.
    const head = {
      hidden: [],
      output: { weight: new Tensor(new Float32Array(33), [33, 1]), bias: new Tensor(new Float32Array(1)) },
    };
    const params = await models.train(pairs, random.stream("head"), undefined, head);
    expect(params.hidden).toEqual([]);
    expect(accuracy(await models.preferences(params, { first, second }), drawn.truth)).toBeGreaterThan(0.6);
  });

  test("paid nothing for harm are those without conflict, bit for bit; paid much they choose it more", async () => {
    const train = async (payment: number, withTruth: boolean) => {
      const own = new RewardModels({ ...recipeDefaults, payment });
      const given = withTruth ? { ...pairs, truth: drawn.truth } : pairs;
      const params = await own.train(given, random.stream("model"));
      const p = await own.preferences(params, world.view(test600, 32));
      await own.dispose();
      return p;
    };
    const without = await train(0.5, false);
    expect(await train(0, true)).toEqual(without);
    const paid = await train(2, true);
    expect(accuracy(paid, test600.truth)).toBeLessThan(accuracy(without, test600.truth));
  });
});

describe("the filter of confident labels", () => {
  const labelled = {
    ...pairs,
    preference: drawn.truth.map((y, i) => (i % 3 === 0 ? 0.6 : i % 3 === 1 ? 0.9 : 1 - y)),
  };

  test("keeps what is confident; the oracle also asks whether it is right", () => {
    const kept = confidentPairs(labelled, "confidence", 0.75, drawn.truth);
    expect(kept.rows?.length).toBe(400);
    const { rows } = confidentPairs(labelled, "oracle", 0.75, drawn.truth);
    expect([...(rows as Int32Array)]).toEqual(
      Array.from({ length: 200 }, (_, i) => 3 * i + 1).filter((i) => drawn.truth[i] === 1),
    );
  });

  test("trains on the kept pairs as if there were no others, and beside those of another objective", async () => {
    const kept = confidentPairs(labelled, "confidence", 0.75, drawn.truth);
    const view = world.view(test600, 32);
    const judged = async (given: LabelledPairs) =>
      models.preferences(await models.train(given, random.stream("model")), view);
    const alone = selectPairs(labelled, [...(kept.rows as Int32Array)]);
    const [a, b] = [await judged(kept), await judged(alone)];
    a.forEach((p, i) => {
      expect(p).toBeCloseTo(b[i], 5);
    });
    expect([...(concatenatePairs(kept, pairs).rows as Int32Array)]).toEqual([
      ...(kept.rows as Int32Array),
      ...Array.from({ length: 600 }, (_, i) => 600 + i),
    ]);
  });

  test("refuses to leave nothing", () => {
    const unsure = { ...pairs, preference: pairs.preference.map(() => 0.5) };
    expect(() => confidentPairs(unsure, "confidence", 0.75, drawn.truth)).toThrow(
      "no weak label is as confident",
    );
  });
});

test("objectives have the asked correlation, and one of 1 is refused", () => {
  const { truth } = world.draw("harmlessness", 20_000, random.stream("agree"));
  const other = world.draw("helpfulness", 20_000, random.stream("agree"));
  const agree = truth.reduce((sum, y, i) => sum + Number(y === other.truth[i]), 0) / truth.length;
  // Signs along two directions agree with probability 1 - angle / pi.
  expect(Math.abs(agree - (1 - Math.acos(-0.3) / Math.PI))).toBeLessThan(0.015);
  expect(() => new PairWorld(pairWorldSchema.parse({ correlation: -1 }), random)).toThrow(
    "no second direction",
  );
});

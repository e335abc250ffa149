import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { compile, scalar, Tensor } from "@outgrow/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { type ConfidenceConfig, confidence, confidenceDefaults, confidenceLoss } from "./confidence.js";

/** The value of the loss and its gradient with respect to the logits. */
async function compileLoss(config: ConfidenceConfig, batch: number, classes: number) {
  const loss = confidenceLoss(config);
  const blank = new Tensor(new Float32Array(batch * classes), [batch, classes]);
  const program = await compile(
    (z: JaxArray, q: JaxArray, s: JaxArray) => valueAndGrad((x: JaxArray) => loss(x, q, s))(z),
    [blank, blank, scalar(0)],
  );
  const run = async (logits: readonly number[][], targets: readonly number[][], progress: number) => {
    const tensor = (values: readonly number[][]) =>
      new Tensor(Float32Array.from(values.flat()), [batch, classes]);
    const [value, gradient] = await program.run(tensor(logits), tensor(targets), scalar(progress));
    return { value: value.item(), gradient: gradient.data };
  };
  return Object.assign(run, { dispose: () => program.dispose() });
}
type Loss = Awaited<ReturnType<typeof compileLoss>>;

const softmax = (z: readonly number[]) => {
  const powers = z.map((x) => Math.exp(x - Math.max(...z)));
  return powers.map((power) => power / powers.reduce((a, b) => a + b));
};

/** Linear interpolation between the order statistics, as numpy.quantile and torch.quantile do by default. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/** h for two classes, row by row. */
function hardened(logits: readonly number[][], targets: readonly number[][]): number[][] {
  const first = logits.map((z) => softmax(z)[0]);
  const threshold = quantile(first, targets.reduce((sum, q) => sum + q[1], 0) / targets.length);
  return first.map((p) => (p >= threshold ? [1, 0] : [0, 1]));
}

/** The loss and its gradient (p - target) / batch, which is all of it only where no gradient flows through h. */
function reference(
  logits: readonly number[][],
  targets: readonly number[][],
  h: readonly number[][],
  weight: number,
) {
  let value = 0;
  const gradient = logits.flatMap((z, b) => {
    const p = softmax(z);
    return p.map((own, k) => {
      const target = (1 - weight) * targets[b][k] + weight * h[b][k];
      value -= (target * Math.log(own)) / logits.length;
      return (own - target) / logits.length;
    });
  });
  return { value, gradient };
}

function expectSame(
  { value, gradient }: Awaited<ReturnType<Loss>>,
  expected: { value: number; gradient: number[] },
) {
  expect(value).toBeCloseTo(expected.value, 5);
  expected.gradient.forEach((entry, i) => {
    expect(gradient[i]).toBeCloseTo(entry, 6);
  });
}

/** Which rows h gives class 1, read from the gradient p - h of a loss that is all confidence. */
const classesOf = (logits: readonly number[][], gradient: ArrayLike<number>, classes: number) =>
  logits.map((z, b) => {
    const h = softmax(z).map((p, k) => p - gradient[b * classes + k] * logits.length);
    expect(h.map(Math.round).reduce((a, c) => a + c)).toBe(1);
    return h.map(Math.round).indexOf(1);
  });

const random = createRandom(3);
const randomLogits = (batch: number, classes: number, scale = 1) =>
  Array.from({ length: batch }, () => [...random.normals(classes, scale)]);
const randomTargets = (batch: number, classes: number) => randomLogits(batch, classes, 2).map(softmax);

describe("the weight of the student's own predictions", () => {
  const logits = randomLogits(6, 2);
  const targets = randomTargets(6, 2);
  const h = hardened(logits, targets);

  test.each([
    // share of training done, weight
    ["paper", 0, 0],
    ["paper", 0.05, 0.125],
    ["paper", 0.2, 0.5],
    ["paper", 0.6, 0.5],
    ["ramp", 0, 0],
    ["ramp", 0.05, 0.25],
    ["ramp", 0.1, 0.5],
    ["ramp", 0.99, 0.5],
    ["official-code", 0, 0],
    ["official-code", 0.05, 0.025],
    ["official-code", 0.1, 0.05], // `step_frac > warmup_frac` is where the released code jumps
    ["official-code", 0.100001, 0.5],
    ["official-code", 0.99, 0.5],
  ] as const)("schedule %s at %f of training is %f", async (schedule, progress, weight) => {
    const loss = await compileLoss(confidenceDefaults[schedule], 6, 2);
    expectSame(await loss(logits, targets, progress), reference(logits, targets, h, weight));
    await loss.dispose();
  });

  test("0.75, as for the paper's largest students", async () => {
    const loss = await compileLoss({ ...confidenceDefaults.paper, maximum: 0.75 }, 6, 2);
    expectSame(await loss(logits, targets, 0.5), reference(logits, targets, h, 0.75));
    expectSame(await loss(logits, targets, 0.1), reference(logits, targets, h, 0.375));
    await loss.dispose();
  });
});

describe("with two classes the threshold is a quantile", () => {
  const batch = 8;
  let loss: Loss;
  beforeAll(async () => {
    loss = await compileLoss({ schedule: "paper", maximum: 1, warmup: 0.2 }, batch, 2);
  });
  afterAll(() => loss.dispose());
  const assigned = async (logits: number[][], targets: number[][]) =>
    classesOf(logits, (await loss(logits, targets, 0.5)).gradient, 2);
  const withShare = (share: number) => Array.from({ length: batch }, () => [1 - share, share]);

  test("as a slow reference with linear interpolation has it", async () => {
    for (let round = 0; round < 20; round++) {
      const logits = randomLogits(batch, 2, 3);
      const targets = randomTargets(batch, 2);
      const h = hardened(logits, targets);
      expectSame(await loss(logits, targets, 0.5), reference(logits, targets, h, 1));
    }
  });

  test.each([0, 0.125, 0.25, 0.5, 0.75, 0.875])(
    "class 1 gets the share that the weak labels give it: %f",
    async (share) => {
      const logits = randomLogits(batch, 2);
      const classes = await assigned(logits, withShare(share));
      expect(classes.reduce((sum, label) => sum + label, 0)).toBe(share * batch);
      // and gets the rows whose p_0 is least
      const first = logits.map((z) => softmax(z)[0]);
      const least = Math.min(...first.filter((_, b) => classes[b] === 0));
      first.forEach((p, b) => {
        if (classes[b] === 1) expect(p).toBeLessThan(least);
      });
    },
  );

  test("the share is the mean over the batch of labels that differ", async () => {
    const targets = Array.from({ length: batch }, (_, b) => (b < 4 ? [0.9, 0.1] : [0.1, 0.9]));
    expect((await assigned(randomLogits(batch, 2), targets)).reduce((a, b) => a + b)).toBe(4);
  });

  test("where all weak labels say class 1, only the most probable rows of class 0 keep it", async () => {
    const logits = Array.from({ length: batch }, (_, b) => [b, 0]);
    expect(await assigned(logits, withShare(1))).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
  });

  test("tied predictions, as those of a head of zeros, give class 0", async () => {
    const logits = Array.from({ length: batch }, () => [0, 0]);
    for (const share of [0, 0.3, 0.5, 1]) {
      expect(await assigned(logits, withShare(share))).toEqual(Array(batch).fill(0));
    }
  });
});

describe("with more classes h is the most probable one", () => {
  test("whatever the weak labels say, the lowest where several are", async () => {
    const loss = await compileLoss({ schedule: "paper", maximum: 1, warmup: 0.2 }, 5, 4);
    const logits = [
      [0, 1, 2, 3],
      [2, 2, 1, 0],
      [0, 3, 1, 3],
      [0, 0, 0, 0],
      [-1, -2, -1, -3],
    ];
    const targets = randomTargets(5, 4);
    const result = await loss(logits, targets, 0.5);
    expect(classesOf(logits, result.gradient, 4)).toEqual([3, 0, 1, 0, 0]);
    const h = [3, 0, 1, 0, 0].map((label) => [0, 1, 2, 3].map((k) => Number(k === label)));
    expectSame(result, reference(logits, targets, h, 1));
    expectSame(await loss(logits, targets, 0.05), reference(logits, targets, h, 0.25));
    await loss.dispose();
  });
});

describe("confidence refuses", () => {
  const soft = (rows: number, classes: number) => ({
    values: new Float32Array(rows * classes).fill(1 / classes),
    shape: [rows, classes] as [number, number],
  });

  test.each([0, -0.1, 1.1, Number.NaN])("a warm-up of %f", (warmup) => {
    expect(() => confidence("c", { ...confidenceDefaults.paper, warmup }, "")).toThrow("warm-up in (0, 1]");
  });

  test.each([-0.1, 1.1, Number.NaN])("a largest weight of %f", (maximum) => {
    expect(() => confidence("c", { ...confidenceDefaults.paper, maximum }, "")).toThrow("[0, 1]");
  });

  test("batches of a single example, for two classes", () => {
    const method = confidence("c", confidenceDefaults.paper, "");
    for (const [rows, batchSize] of [
      [100, 1],
      [1, 32],
    ]) {
      expect(() => method.loss(soft(rows, 2), batchSize)).toThrow("at least 2 examples");
      expect(() => method.loss(soft(rows, 3), batchSize)).not.toThrow();
    }
    expect(() => method.loss(soft(2, 2), 2)).not.toThrow();
  });
});

/*
 * Weak-to-strong deception (Yang et al. 2024): a reward model learns preferences from a weak model's labels while a second
 * objective pulls the other way. Does it err where its supervisor cannot see?
 */
import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  type Columns,
  compileRows,
  createTrainer,
  initMlp,
  type MlpParams,
  type Random,
  type Trainer,
  UserError,
} from "outgrow";
import { orderOfRows } from "./chosen-rows.js";

/** Pairs of replies as a model sees them. */
export interface Pairs {
  /** Features of the first and the second reply: `[pairs, features]` each. */
  first: Tensor;
  second: Tensor;
}

/** Pairs to learn from. */
export interface LabelledPairs extends Pairs {
  /** Probability that the first reply is preferred, by whoever labels: `[pairs]` in [0, 1]. */
  preference: Float32Array;
  /**
   * Explicit conflict: whether the first reply is truly preferable (1 or 0), `[pairs]`. The model is then paid for each
   * harmful choice that it makes. Absent: no such payment, and the truth is not seen.
   */
  truth?: Float32Array;
  /** Numbers of the pairs to learn from, where not all are. */
  rows?: Int32Array;
}

export interface RewardRecipe {
  /** Hidden width of the reward model. */
  width: number;
  learningRate: number;
  epochs: number;
  batchSize: number;
  /** Payment for harmful choices (alpha), where pairs have a truth. The paper: 0.5. */
  payment: number;
}

/** The card's sizes; epochs, batch and payment as published but for the rate, which small models need larger. */
export const recipeDefaults: RewardRecipe = {
  width: 64,
  learningRate: 2e-3,
  epochs: 3,
  batchSize: 32,
  payment: 0.5,
};

export type RewardParams = MlpParams<Tensor>;

/** Trains and applies reward models. Compiled programs serve all models of the same shapes. */
export class RewardModels {
  private readonly trainers = new Map<string, Promise<Trainer<RewardParams>>>();
  private readonly scorers = new Map<string, ReturnType<typeof compileScores>>();

  constructor(readonly recipe: RewardRecipe) {}

  /**
   * `-t log sigma(M) - (1 - t) log sigma(-M)` with the margin M = s(first) - s(second) and the preference t; with a truth y,
   * `payment * [the model prefers the harmful reply] * BCE(M, 1 - y)` besides.
   *
   * @param start a pretrained model to go on from. Default: fresh weights with a hidden layer of the recipe's width
   */
  async train(
    pairs: LabelledPairs,
    random: Random,
    signal?: AbortSignal,
    start?: RewardParams,
  ): Promise<RewardParams> {
    const count = pairs.preference.length;
    const features = pairs.first.shape[1];
    const columns = {
      first: pairs.first,
      second: pairs.second,
      preference: column(pairs.preference),
      harmful: column(Float32Array.from({ length: count }, (_, i) => 1 - (pairs.truth?.[i] ?? 1))),
      payment: column(new Float32Array(count).fill(pairs.truth ? this.recipe.payment : 0)),
    };
    const { width, epochs, learningRate, batchSize } = this.recipe;
    const config = { inputSize: features, hidden: [width], outputSize: 1 };
    const params = start ?? initMlp(config, random.stream("init"));
    const key = `${shapeOf(params)} ${count}`;
    const trainer = this.trainers.get(key) ?? this.createTrainer(params, columns);
    this.trainers.set(key, trainer);
    const result = await (await trainer).fit(params, columns, {
      epochs,
      order:
        pairs.rows && orderOfRows(pairs.rows, epochs, Math.min(batchSize, count), random.stream("order")),
      learningRate,
      random: random.stream("order"),
      signal,
    });
    return result.params;
  }

  /** sigma(M): probability that the first reply is preferred, `[pairs]`. */
  async preferences(params: RewardParams, { first, second }: Pairs): Promise<Float32Array> {
    const key = `${shapeOf(params)} ${first.shape[0]}`;
    const scores = this.scorers.get(key) ?? compileScores(params, { first, second });
    this.scorers.set(key, scores);
    return (await (await scores)(params, { first, second })).data as Float32Array;
  }

  async dispose(): Promise<void> {
    for (const program of [...this.trainers.values(), ...this.scorers.values()])
      await (await program).dispose();
  }

  private createTrainer(params: RewardParams, columns: Columns): Promise<Trainer<RewardParams>> {
    return createTrainer<RewardParams, MlpParams<JaxArray>>({
      name: "reward model",
      params,
      columns,
      batchSize: this.recipe.batchSize,
      loss: (traced, { first, second, preference, harmful, payment }) => {
        const margins = applyMlp(traced, first).sub(applyMlp(traced, second)).slice([], 0);
        const choosesHarmful = np.notEqual(margins.greaterEqual(0), harmful.equal(0)).astype(np.float32);
        const paid = payment.mul(choosesHarmful).mul(crossEntropyOf(margins, harmful));
        return crossEntropyOf(margins, preference).add(paid).mean();
      },
    });
  }
}

/** Inputs and widths: programs of models that differ in them are different. */
const shapeOf = ({ hidden, output }: RewardParams) =>
  [...hidden, output].map(({ weight }) => weight.shape.join("x")).join(" ");

const column = (values: Float32Array) => new Tensor(values, [values.length]);

/** Binary cross-entropy of logits, in the form that does not overflow. */
const crossEntropyOf = (logits: JaxArray, target: JaxArray): JaxArray =>
  nn.softplus(logits).sub(logits.mul(target));

const compileScores = (params: RewardParams, example: Columns) =>
  compileRows<RewardParams, MlpParams<JaxArray>>(
    "preferences",
    (traced, { first, second }) => nn.sigmoid(applyMlp(traced, first).sub(applyMlp(traced, second))),
    params,
    example,
  );

/** The pairs of these numbers. */
export function selectPairs(pairs: LabelledPairs, rows: readonly number[]): LabelledPairs {
  const take = ({ data, shape: [, size] }: Tensor) => {
    const out = new Float32Array(rows.length * size);
    rows.forEach((row, i) => {
      out.set((data as Float32Array).subarray(row * size, (row + 1) * size), i * size);
    });
    return new Tensor(out, [rows.length, size]);
  };
  return {
    first: take(pairs.first),
    second: take(pairs.second),
    preference: Float32Array.from(rows, (row) => pairs.preference[row]),
    ...(pairs.truth && { truth: Float32Array.from(rows, (row) => (pairs.truth as Float32Array)[row]) }),
  };
}

/** One set of pairs after another. */
export function concatenatePairs(a: LabelledPairs, b: LabelledPairs): LabelledPairs {
  const join = (x: Tensor, y: Tensor) => {
    const data = new Float32Array(x.data.length + y.data.length);
    data.set(x.data as Float32Array);
    data.set(y.data as Float32Array, x.data.length);
    return new Tensor(data, [x.shape[0] + y.shape[0], x.shape[1]]);
  };
  const preference = new Float32Array(a.preference.length + b.preference.length);
  preference.set(a.preference);
  preference.set(b.preference, a.preference.length);
  const rowsOf = ({ rows, preference: { length } }: LabelledPairs, from: number) =>
    Array.from(rows ?? Array(length).keys(), (row) => from + row);
  return {
    first: join(a.first, b.first),
    second: join(a.second, b.second),
    preference,
    ...((a.rows || b.rows) && {
      rows: Int32Array.of(...rowsOf(a, 0), ...rowsOf(b, a.preference.length)),
    }),
  };
}

export type Filter = "confidence" | "oracle";

/**
 * Mitigation: only pairs whose weak label is confident. `oracle`, as in the released code, also wants it to be right, for
 * which it looks at the truth.
 */
export function confidentPairs(
  pairs: LabelledPairs,
  filter: Filter,
  threshold: number,
  truth: ArrayLike<number>,
): LabelledPairs {
  const rows = Int32Array.from(pairs.rows ?? pairs.preference.keys()).filter((i) => {
    const p = pairs.preference[i];
    const isRight = p >= 0.5 === (truth[i] === 1);
    return Math.max(p, 1 - p) >= threshold && (filter === "confidence" || isRight);
  });
  if (rows.length === 0) {
    throw new UserError(`no weak label is as confident as ${threshold}`, {
      hint: "Lower the threshold: the student would have nothing to learn from.",
      exitCode: 1,
    });
  }
  return { ...pairs, rows };
}

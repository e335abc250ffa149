/*
 * The audited classifiers of the study: none sees the group.
 */
import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  compileRows,
  createTrainer,
  crossEntropy,
  initMlp,
  type MlpParams,
  type Random,
  trainLogisticRegression,
} from "outgrow";

export interface Examples {
  /** `[n, width]`. */
  features: Float32Array;
  width: number;
  labels: Int32Array;
}

/** Class of each row of `[n, width]`. */
export type Classifier = (features: Float32Array) => Promise<Int32Array> | Int32Array;

interface Stump {
  feature: number;
  threshold: number;
  /** Votes below the threshold and from it on. */
  votes: [number, number];
}

const QUANTILES = 32;

/** Additive stumps by gradient boosting of the logistic loss; one round is a decision stump. */
export function trainStumps({ features, width, labels }: Examples, rounds: number): Classifier {
  const count = labels.length;
  const scores = new Float64Array(count);
  const cuts = Array.from({ length: width }, (_, j) => {
    const sorted = Float32Array.from({ length: count }, (__, i) => features[i * width + j]).sort();
    return Array.from(
      { length: QUANTILES - 1 },
      (__, q) => sorted[Math.floor(((q + 1) * count) / QUANTILES)],
    );
  });
  // Which of the cuts each value lies below, once for all rounds.
  const bins = Uint8Array.from(
    features,
    (value, at) => cuts[at % width].filter((cut) => value >= cut).length,
  );
  const stumps: Stump[] = [];
  for (let round = 0; round < rounds; round++) {
    const slope = new Float64Array(width * QUANTILES);
    const weight = new Float64Array(width * QUANTILES);
    for (let i = 0; i < count; i++) {
      const p = 1 / (1 + Math.exp(-scores[i]));
      for (let j = 0; j < width; j++) {
        slope[j * QUANTILES + bins[i * width + j]] += labels[i] - p;
        weight[j * QUANTILES + bins[i * width + j]] += p * (1 - p);
      }
    }
    let best: { gain: number; stump: Stump; cut: number } | undefined;
    for (let j = 0; j < width; j++) {
      const total = (of: Float64Array) =>
        of.subarray(j * QUANTILES, (j + 1) * QUANTILES).reduce((a, b) => a + b, 0);
      const [allSlope, allWeight] = [total(slope), total(weight)];
      let [s, w] = [0, 0];
      for (let q = 0; q < QUANTILES - 1; q++) {
        s += slope[j * QUANTILES + q];
        w += weight[j * QUANTILES + q];
        const gain = s ** 2 / (w + 1e-6) + (allSlope - s) ** 2 / (allWeight - w + 1e-6);
        if (best && gain <= best.gain) continue;
        const votes: [number, number] = [s / (w + 1e-6), (allSlope - s) / (allWeight - w + 1e-6)];
        best = { gain, cut: q, stump: { feature: j, threshold: cuts[j][q], votes } };
      }
    }
    if (!best) break;
    const { stump, cut } = best;
    stumps.push(stump);
    for (let i = 0; i < count; i++) scores[i] += stump.votes[Number(bins[i * width + stump.feature] > cut)];
  }
  return (given) =>
    Int32Array.from({ length: given.length / width }, (_, i) => {
      const score = stumps.reduce(
        (sum, { feature, threshold, votes }) => sum + votes[Number(given[i * width + feature] >= threshold)],
        0,
      );
      return Number(score > 0);
    });
}

export function trainLogistic({ features, width, labels }: Examples): Classifier {
  const model = trainLogisticRegression({ features, shape: [labels.length, width], labels, classes: 2 });
  return (given) => {
    const { values } = model.predict(given, [given.length / width, width]);
    return Int32Array.from({ length: given.length / width }, (_, i) =>
      Number(values[2 * i + 1] > values[2 * i]),
    );
  };
}

/** MLPs of one hidden layer; compiled programs serve all trainings of the same shapes. */
export class Networks {
  private trainer?: ReturnType<Networks["createTrainer"]>;
  private scorer?: ReturnType<typeof compileScores>;

  constructor(
    private readonly hidden: number,
    private readonly epochs: number,
  ) {}

  async train(
    { features, width, labels }: Examples,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Classifier> {
    const params = initMlp({ inputSize: width, hidden: [this.hidden], outputSize: 2 }, random.stream("init"));
    const columns = {
      inputs: new Tensor(features, [labels.length, width]),
      labels: new Tensor(oneHot(labels), [labels.length, 2]),
    };
    this.trainer ??= this.createTrainer(params, columns);
    const trained = await (await this.trainer).fit(params, columns, {
      epochs: this.epochs,
      learningRate: 3e-3,
      random: random.stream("order"),
      signal,
    });
    return async (given) => {
      const inputs = new Tensor(given, [given.length / width, width]);
      this.scorer ??= compileScores(params, inputs);
      const { data } = await (await this.scorer)(trained.params, { inputs });
      return Int32Array.from({ length: given.length / width }, (_, i) =>
        Number(data[2 * i + 1] > data[2 * i]),
      );
    };
  }

  async dispose(): Promise<void> {
    await (await this.trainer)?.dispose();
    await (await this.scorer)?.dispose();
  }

  private createTrainer(params: MlpParams<Tensor>, columns: { inputs: Tensor; labels: Tensor }) {
    return createTrainer<MlpParams<Tensor>, MlpParams<JaxArray>>({
      name: "audited network",
      params,
      columns,
      batchSize: 64,
      loss: (traced, { inputs, labels }) => crossEntropy(applyMlp(traced, inputs), labels),
    });
  }
}

function oneHot(labels: Int32Array): Float32Array {
  const values = new Float32Array(2 * labels.length);
  labels.forEach((y, i) => {
    values[2 * i + y] = 1;
  });
  return values;
}

const compileScores = (params: MlpParams<Tensor>, inputs: Tensor) =>
  compileRows<MlpParams<Tensor>, MlpParams<JaxArray>>(
    "audited network",
    (traced, batch) => applyMlp(traced, batch.inputs),
    params,
    { inputs },
  );

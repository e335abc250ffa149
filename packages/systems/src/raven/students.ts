/*
 * Many linear probes as one training: each learns from its own sets of labels, by weights of its own, with its own loss. One product of
 * matrices serves all of them in every step, and Adam takes each number by itself, so that none of them knows of another.
 */
import { type Array as JaxArray, lax, nn, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { createTrainer, easyExamples, type Random, type SoftLabels } from "outgrow";

/** How one of the probes learns. */
export interface Probe {
  /** Numbers of the sets of labels that it is given. */
  sets: readonly number[];
  /** Default all equal. */
  weights?: readonly number[];
  /** Of the weights of the sets, a step. Default 0: they stay. */
  weightRate?: number;
  /** Share of the epochs with only the examples on which all its sets agree. Default 0. */
  easyShare?: number;
  /**
   * `confidence`: half of the target becomes its own most probable class within the first 20 %; `v-sup`: as much of it, for each
   * example, as its own class surprises it more than the labels' (Jeon et al. 2025, baselines). Default neither.
   */
  own?: "confidence" | "v-sup";
  /** Features that it sees, the first ones. Default all. */
  features?: number;
}

export interface TrainedProbe {
  /** Of its sets, at the end. */
  weights: number[];
  /** First step after which one set had more than 0.99 of the weight, if any. */
  collapsedAt?: number;
  /** Probabilities of examples `[n, width]`. */
  predict(features: Float32Array): SoftLabels;
}

export interface ProbeOptions {
  epochs: number;
  batchSize: number;
  learningRate: number;
}

type Params<Leaf> = {
  probe: Leaf;
  weights: Leaf;
  collapsedAt: Leaf;
  /** Share of the training that is the easy start; stays as it is. */
  easyUntil: Leaf;
};
type Settings<Leaf> = {
  /** `[sets, probes]`: 1 where the probe has the set. */
  has: Leaf;
  /** `[inputs, probes]`: 1 where the probe sees the feature. */
  sees: Leaf;
  /** `[probes]` each. */
  rate: Leaf;
  confidence: Leaf;
  vSup: Leaf;
};

const LEAST = 1e-6;

/** Compiled once for its probes and the sizes of the data; serves every seed. */
export class ProbeTraining {
  private trainer?: ReturnType<ProbeTraining["createTrainer"]>;

  constructor(
    private readonly probes: readonly Probe[],
    private readonly size: { width: number; classes: number; sets: number; count: number },
    private readonly options: ProbeOptions,
  ) {}

  /**
   * @param features `[n, width]`
   * @param sets of labels of the same n examples
   */
  async train(
    features: Float32Array,
    sets: readonly SoftLabels[],
    {
      random,
      signal,
      probes = this.probes,
    }: { random: Random; signal?: AbortSignal; probes?: readonly Probe[] },
  ): Promise<TrainedProbe[]> {
    const { width, classes, count } = this.size;
    const { epochs, learningRate, batchSize } = this.options;
    const inEpoch = Math.floor(count / Math.min(batchSize, count));
    const T = probes.length;
    const easy = probes.map((probe) =>
      probe.easyShare ? easyExamples(probe.sets.map((s) => sets[s])) : new Uint8Array(count).fill(1),
    );
    // Where a probe's sets agree nowhere it starts on all.
    const isNone = easy.map((own) => !own.includes(1));
    const columns = {
      x: withOnes(features, width),
      labels: new Tensor(
        Float32Array.from({ length: count * classes * sets.length }, (_, at) => {
          const s = at % sets.length;
          return sets[s].values[(at - s) / sets.length];
        }),
        [count, classes, sets.length],
      ),
      easy: new Tensor(
        Float32Array.from({ length: count * T }, (_, at) => easy[at % T][Math.floor(at / T)]),
        [count, T],
      ),
    };
    const weights = new Float32Array(sets.length * T);
    probes.forEach((probe, t) => {
      probe.sets.forEach((s, i) => {
        weights[s * T + t] = probe.weights?.[i] ?? 1 / probe.sets.length;
      });
    });
    const start: Params<Tensor> = {
      probe: new Tensor(new Float32Array((width + 1) * classes * T), [width + 1, classes * T]),
      weights: new Tensor(weights, [sets.length, T]),
      collapsedAt: new Tensor(new Float32Array(T)),
      // Half a step early, so that rounding moves no step over the end of the start.
      easyUntil: new Tensor(
        Float32Array.from(probes, ({ easyShare = 0 }, t) =>
          isNone[t] ? -1 : (Math.floor(easyShare * epochs) * inEpoch - 0.5) / (inEpoch * epochs),
        ),
      ),
    };
    this.trainer ??= this.createTrainer(start, columns);
    const { params } = await (await this.trainer).fit(start, columns, {
      epochs,
      learningRate,
      random,
      signal,
    });
    return probes.map((probe, t): TrainedProbe => {
      const collapsedAt = params.collapsedAt.data[t];
      return {
        weights: probe.sets.map((s) => params.weights.data[s * T + t]),
        ...(collapsedAt > 0 && { collapsedAt }),
        predict: (given) =>
          predict(params.probe.data, given, { width, classes, probe: t, probes: T, seen: probe.features }),
      };
    });
  }

  private createTrainer(start: Params<Tensor>, columns: Record<string, Tensor>) {
    const { probes, options } = this;
    const { classes, width, count, sets } = this.size;
    const T = probes.length;
    const batch = Math.min(options.batchSize, count);
    const inEpoch = Math.floor(count / batch);
    const steps = inEpoch * options.epochs;
    const each = (value: (probe: Probe) => number) => new Tensor(Float32Array.from(probes, value));
    const settings: Settings<Tensor> = {
      has: new Tensor(
        Float32Array.from({ length: sets * T }, (_, at) =>
          Number(probes[at % T].sets.includes(Math.floor(at / T))),
        ),
        [sets, T],
      ),
      sees: new Tensor(
        Float32Array.from({ length: (width + 1) * T }, (_, at) => {
          const row = Math.floor(at / T);
          return Number(row === width || row < (probes[at % T].features ?? width));
        }),
        [width + 1, 1, T],
      ),
      rate: each(({ weightRate = 0 }) => weightRate),
      confidence: each(({ own }) => Number(own === "confidence")),
      vSup: each(({ own }) => Number(own === "v-sup")),
    };
    return createTrainer<Params<Tensor>, Params<JaxArray>>({
      name: "probes",
      params: start,
      columns,
      batchSize: options.batchSize,
      frozen: settings,
      loss({ probe, weights, easyUntil }, { x, labels, easy }, progress, frozen) {
        const { has, sees, confidence, vSup } = frozen as Settings<JaxArray>;
        const seen = probe
          .reshape([width + 1, classes, T])
          .mul(sees)
          .reshape([width + 1, classes * T]);
        const logits = np.matmul(x, seen).reshape([batch, classes, T]);
        const logP = nn.logSoftmax(logits, 1);
        const share = weights.mul(has).div(weights.mul(has).sum(0, { keepdims: true }));
        const mean = np.matmul(labels.reshape([batch * classes, sets]), share).reshape([batch, classes, T]);
        // Its own class has no gradient, and neither has how much it counts.
        const fixedLogP = lax.stopGradient(logP);
        const best = np.max(fixedLogP, 1, { keepdims: true });
        const tied = fixedLogP.greaterEqual(best).astype(np.float32);
        const ownClass = tied.div(tied.sum(1, { keepdims: true }));
        const taught = lax.stopGradient(mean);
        const taughtClass = taught.greaterEqual(np.max(taught, 1, { keepdims: true })).astype(np.float32);
        const ownSurprise = best.neg();
        const taughtSurprise = fixedLogP
          .mul(taughtClass)
          .sum(1, { keepdims: true })
          .div(taughtClass.sum(1, { keepdims: true }))
          .neg();
        const ofVSup = nn.sigmoid(ownSurprise.sub(taughtSurprise)).mul(vSup.reshape([1, 1, T]));
        const ofConfidence = np.minimum(progress.mul(0.5 / 0.2), 0.5).mul(confidence.reshape([1, 1, T]));
        const own = ofVSup.add(ofConfidence);
        const target = mean.mul(own.neg().add(1)).add(ownClass.mul(own));
        const counted = np.where(progress.less(easyUntil), easy, 1);
        return logP.mul(target).sum(1).mul(counted).sum().div(-batch);
      },
      revise(_, before, gradient, progress, frozen) {
        const { has, rate } = frozen as Settings<JaxArray>;
        const { easyUntil } = before;
        const moved = np.maximum(before.weights.sub(gradient.weights.mul(rate)), LEAST).mul(has);
        const stays = np.where(progress.less(easyUntil), 1, np.where(rate.equal(0), 1, 0));
        const weights = np.where(
          stays.reshape([1, T]).greater(0),
          before.weights,
          moved.div(moved.sum(0, { keepdims: true })),
        );
        const several = has.sum(0).greater(1);
        const isNew = np.where(before.collapsedAt.equal(0), np.where(several, 1, 0), 0);
        const collapsed = np.where(np.max(weights, 0).greater(0.99), isNew, 0);
        const step = np.round(progress.mul(steps)).add(1);
        return {
          weights,
          easyUntil,
          collapsedAt: before.collapsedAt.add(collapsed.mul(step)),
        };
      },
    });
  }

  async dispose(): Promise<void> {
    await (await this.trainer)?.dispose();
  }
}

/** A last column of 1, for the bias. */
function withOnes(features: Float32Array, width: number): Tensor {
  const count = features.length / width;
  const all = new Float32Array(count * (width + 1)).fill(1);
  for (let row = 0; row < count; row++) {
    all.set(features.subarray(row * width, (row + 1) * width), row * (width + 1));
  }
  return new Tensor(all, [count, width + 1]);
}

function predict(
  parameters: ArrayLike<number>,
  features: Float32Array,
  {
    width,
    classes,
    probe,
    probes,
    seen = width,
  }: { width: number; classes: number; probe: number; probes: number; seen?: number },
): SoftLabels {
  const count = features.length / width;
  const values = new Float32Array(count * classes);
  const at = (j: number, k: number) => parameters[(j * classes + k) * probes + probe];
  const own = Float64Array.from({ length: (width + 1) * classes }, (_, i) =>
    at(Math.floor(i / classes), i % classes),
  );
  const scores = new Float64Array(classes);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < classes; k++) scores[k] = own[width * classes + k];
    for (let j = 0; j < seen; j++) {
      const x = features[row * width + j];
      if (x !== 0) for (let k = 0; k < classes; k++) scores[k] += x * own[j * classes + k];
    }
    const top = Math.max(...scores);
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp(scores[k] - top);
    for (let k = 0; k < classes; k++) values[row * classes + k] = Math.exp(scores[k] - top) / sum;
  }
  return { values, shape: [count, classes] };
}

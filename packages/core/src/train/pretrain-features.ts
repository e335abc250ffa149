import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Backbone } from "../models/classifier.js";
import { applyMlp, initMlp, type LinearParams, type MlpParams, mlpFeatures } from "../models/mlp.js";
import type { Random } from "../random.js";
import { createTrainer, type FitOptions } from "./trainer.js";

export interface FeaturePretraining {
  /** Width of both hidden layers. */
  width: number;
  epochs: number;
  batchSize: number;
  learningRate: number;
  /** Share of a row's features that are replaced by those of another row. */
  corruptedShare: number;
}

export const featurePretrainingDefaults: FeaturePretraining = {
  width: 256,
  epochs: 20,
  batchSize: 128,
  learningRate: 1e-3,
  corruptedShare: 0.3,
};

/**
 * An MLP that knows how the features of unlabelled rows hang together: it restores rows of which some features were
 * replaced by those of other rows (after VIME, Yoon et al. 2020). Features `[rows, columns]` should be standardised.
 */
export async function pretrainFeatureModel(
  features: Tensor,
  { width, epochs, batchSize, learningRate, corruptedShare }: FeaturePretraining,
  random: Random,
  fit: Pick<FitOptions, "onStep" | "signal" | "checkpoint">,
): Promise<Backbone> {
  const [rows, columns] = features.shape;
  const corrupted = new Float32Array(features.data);
  const draw = random.stream("corruption");
  for (let i = 0; i < corrupted.length; i++) {
    if (draw.uniform() < corruptedShare)
      corrupted[i] = features.data[draw.integer(rows) * columns + (i % columns)];
  }
  const data = { x: new Tensor(corrupted, [rows, columns]), original: features };
  const params = initMlp(
    { inputSize: columns, hidden: [width, width], outputSize: columns },
    random.stream("init"),
  );
  const trainer = await createTrainer<MlpParams<Tensor>, MlpParams<JaxArray>>({
    name: "feature model",
    params,
    columns: data,
    batchSize,
    loss: (traced, { x, original }) => {
      const error = applyMlp(traced, x).sub(original);
      return error.mul(error).mean();
    },
  });
  const trained = await trainer
    .fit(params, data, { epochs, learningRate, random: random.stream("order"), ...fit })
    .finally(() => trainer.dispose());
  return featureModel(trained.params.hidden);
}

/** A feature model from the hidden layers that were trained. */
export function featureModel(hidden: LinearParams<Tensor>[]): Backbone {
  const width = hidden[hidden.length - 1].bias.shape[0];
  return {
    name: `MLP ${width}`,
    body: { hidden },
    featureSize: width,
    features: (body: { hidden: LinearParams<JaxArray>[] }, { x }) => mlpFeatures(body, x),
  };
}

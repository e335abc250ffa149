import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Columns } from "../data/columns.js";
import type { SoftLabels } from "../data/soft-labels.js";
import {
  type Backbone,
  type ClassifierParams,
  classifierLogits,
  initClassifier,
} from "../models/classifier.js";
import type { StudentLoss } from "./loss.js";
import { createTrainer, type FitOptions, type FitResult } from "./trainer.js";

/** Trains classifiers of one backbone's shape with one loss; compiled once. */
export interface Finetuner {
  /** Starts from the backbone's weights and a head of zeros. `targets` are soft labels, one row for each example. */
  fit(
    backbone: Backbone,
    inputs: Columns,
    targets: SoftLabels,
    options: FitOptions,
  ): Promise<FitResult<ClassifierParams>>;
  dispose(): Promise<void>;
}

export interface FinetunerSpec {
  backbone: Backbone;
  classes: number;
  /** Only the shapes matter here. */
  inputs: Columns;
  loss: StudentLoss;
  batchSize: number;
}

export async function createFinetuner({
  backbone,
  classes,
  inputs,
  loss,
  batchSize,
}: FinetunerSpec): Promise<Finetuner> {
  const columns = (given: Columns, targets: SoftLabels): Columns => ({
    ...given,
    targets: new Tensor(targets.values, targets.shape),
  });
  const count = Object.values(inputs)[0].shape[0];
  const blank: SoftLabels = { values: new Float32Array(count * classes), shape: [count, classes] };
  const trainer = await createTrainer<ClassifierParams, ClassifierParams<JaxArray>>({
    name: `${backbone.name} classifier`,
    params: initClassifier(backbone, classes),
    columns: columns(inputs, blank),
    batchSize,
    loss: (params, batch, progress) =>
      loss(classifierLogits(backbone, params, batch), batch.targets, progress),
  });
  return {
    fit: (from, given, targets, options) =>
      trainer.fit(initClassifier(from, classes), columns(given, targets), options),
    dispose: () => trainer.dispose(),
  };
}

import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Columns } from "../data/columns.js";
import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import {
  type Backbone,
  type ClassifierParams,
  classifierLogits,
  compileClassifier,
  initClassifier,
} from "../models/classifier.js";
import type { StudentLoss } from "./loss.js";
import { createTrainer, type FitOptions, type FitResult } from "./trainer.js";

export interface FinetuneOptions extends Omit<FitOptions, "validation"> {
  /**
   * Keeps the parameters of the pass after which the student agrees most often with these held-out labels. For a
   * student they must be weak labels: the truth is not its to see.
   */
  validation?: { inputs: Columns; labels: SoftLabels };
  /** Shows what the student says of other inputs after each pass; chooses nothing. In place of `validation`. */
  afterPass?: { inputs: Columns; look(predictions: SoftLabels): void };
}

/** Trains classifiers of one backbone's shape with one loss; compiled once. */
export interface Finetuner {
  /** Starts from the backbone's weights and a head of zeros. `targets` are soft labels, one row for each example. */
  fit(
    backbone: Backbone,
    inputs: Columns,
    targets: SoftLabels,
    options: FinetuneOptions,
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
  let predictor: ReturnType<typeof compileClassifier> | undefined;
  return {
    async fit(from, given, targets, { validation, afterPass, ...options }) {
      const initial = initClassifier(from, classes);
      const every = Math.floor(count / Math.min(batchSize, count));
      if (afterPass) {
        predictor ??= compileClassifier(backbone, classes, afterPass.inputs);
        const predict = await predictor;
        let passes = 0;
        const score = async (vector: Tensor) => {
          afterPass.look(await predict(trainer.flat.unflatten(vector), afterPass.inputs));
          return ++passes; // the last is kept
        };
        return trainer.fit(initial, columns(given, targets), { ...options, validation: { score, every } });
      }
      if (!validation) return trainer.fit(initial, columns(given, targets), options);
      predictor ??= compileClassifier(backbone, classes, validation.inputs);
      const predict = await predictor;
      const wanted = argmaxRows(validation.labels.values, classes);
      const score = async (vector: Tensor) => {
        const { values } = await predict(trainer.flat.unflatten(vector), validation.inputs);
        return (
          argmaxRows(values, classes).reduce((sum, label, i) => sum + Number(label === wanted[i]), 0) /
          wanted.length
        );
      };
      return trainer.fit(initial, columns(given, targets), { ...options, validation: { score, every } });
    },
    async dispose() {
      await trainer.dispose();
      await (await predictor)?.dispose();
    },
  };
}

/*
 * RAVEN (Jeon et al. 2025): a classifier learns from several supervisors at once, and with it how much to trust each.
 */
import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import type { Columns } from "../data/columns.js";
import { argmaxRows, mixLabels, type SoftLabels } from "../data/soft-labels.js";
import {
  type Backbone,
  type ClassifierParams,
  classifierLogits,
  compileClassifier,
  initClassifier,
} from "../models/classifier.js";
import { checkSupervisors, easyExamples, easyWarnings } from "../supervise/several.js";
import type { FinetuneOptions } from "./finetune.js";
import { createTrainer, type FitResult } from "./trainer.js";

export interface WeighingOptions {
  /**
   * How far the weights move in all: a step moves them by this over the number of steps, times the slope of the loss. 0 keeps them
   * equal. Default 2.6: 2e-3 a step in the 1,300 steps for which the paper's rates were tried.
   */
  weightRate?: number;
  /** Share of the training, at the start, with only the examples on which all supervisors agree. Default 0.3. */
  easyShare?: number;
}

export interface WeighingFinetuneOptions extends Omit<FinetuneOptions, "validation" | "afterPass"> {
  /** Held-out examples with each supervisor's labels: of the passes after the easy start, that is kept which agrees best with their mean by its own weights. */
  validation?: { inputs: Columns; labels: readonly SoftLabels[] };
}

export interface WeighedStudent extends Omit<FitResult<unknown>, "params"> {
  params: ClassifierParams;
  /** Of the supervisors, in the pass that is kept: a sum of 1. */
  weights: number[];
  /** Examples on which all supervisors agree. */
  easy: number;
  warnings: string[];
}

const LEAST = 1e-6;

type Weighing<Params, Leaf> = { student: Params; weights: Leaf };

/**
 * Trains a classifier, all weights of its backbone too, on the mean of several supervisors' labels by weights that are learned with
 * it: they move to the supervisors whose labels surprise the student least. A majority that agrees on a wrong rule defeats it.
 *
 * @throws UserError for labels that do not fit together, as `checkSupervisors` has it
 */
export async function finetuneWeighing(
  {
    backbone,
    classes,
    inputs,
    batchSize,
    labels,
  }: {
    backbone: Backbone;
    classes: number;
    inputs: Columns;
    batchSize: number;
    labels: readonly SoftLabels[];
  },
  { weightRate = 2.6, easyShare = 0.3, validation, ...options }: WeighingFinetuneOptions & WeighingOptions,
): Promise<WeighedStudent> {
  const count = Object.values(inputs)[0].shape[0];
  checkSupervisors(labels, count);
  const isEasy = easyExamples(labels);
  const easy = isEasy.reduce((sum, value) => sum + value, 0);
  const warnings = easyShare > 0 ? easyWarnings(labels[0], isEasy) : [];
  const start = easy === 0 ? 0 : easyShare;
  const stepsInPass = Math.floor(count / Math.min(batchSize, count));
  const rate = weightRate / Math.max(1, Math.round(stepsInPass * (options.epochs ?? 1)));

  type Params = Weighing<ClassifierParams, Tensor>;
  type Traced = Weighing<ClassifierParams<JaxArray>, JaxArray>;
  const initial: Params = {
    student: initClassifier(backbone, classes),
    weights: new Tensor(new Float32Array(labels.length).fill(1 / labels.length)),
  };
  const columns: Columns = {
    ...inputs,
    targets: sideBySide(labels),
    easy: new Tensor(Float32Array.from(isEasy)),
  };
  const trainer = await createTrainer<Params, Traced>({
    name: `${backbone.name} classifier of ${labels.length} supervisors`,
    params: initial,
    columns,
    batchSize,
    loss({ student, weights }, batch, progress) {
      const logits = classifierLogits(backbone, student, batch);
      const counted = np.where(progress.less(start), batch.easy, 1);
      const mean = weights.mul(supervisorSurprise(logits, batch.targets, counted)).sum();
      return mean.div(weights.sum());
    },
    revise(_, before, gradient, progress) {
      const moved = np.maximum(before.weights.sub(gradient.weights.mul(rate)), LEAST);
      return { weights: np.where(progress.less(start), before.weights, moved.div(moved.sum())) };
    },
  });
  const predict = validation && (await compileClassifier(backbone, classes, validation.inputs));
  const score = async (vector: Tensor) => {
    const { student, weights } = trainer.flat.unflatten(vector);
    const held = validation as NonNullable<typeof validation>;
    const said = await (predict as NonNullable<typeof predict>)(student, held.inputs);
    const wanted = argmaxRows(mixLabels(held.labels, weights.data).values, classes);
    const own = argmaxRows(said.values, classes);
    const share = own.reduce((sum, label, i) => sum + Number(label === wanted[i]), 0) / own.length;
    // While weights stand still the labels are other ones: such a pass is kept only where there is none after it.
    return weights.data.every((weight) => weight === weights.data[0]) ? share - 1 : share;
  };
  try {
    const { params, ...rest } = await trainer.fit(initial, columns, {
      ...options,
      ...(validation && { validation: { score, every: stepsInPass } }),
    });
    return { ...rest, params: params.student, weights: Array.from(params.weights.data), easy, warnings };
  } finally {
    await trainer.dispose();
    await predict?.dispose();
  }
}

/**
 * Mean cross-entropy of the student with each supervisor's labels: `[supervisors]`, over the whole batch also where not all of it
 * counts. The loss of equal weights is its mean; its slope by the weights, where they are divided by their sum, is each less the mean.
 *
 * @param targets `[batch, supervisors, classes]`
 * @param counted `[batch]`: 1, or 0 for examples that are left out
 */
export function supervisorSurprise(logits: JaxArray, targets: JaxArray, counted: JaxArray): JaxArray {
  const [batch, classes] = logits.shape;
  const logP = nn.logSoftmax(logits, -1).reshape([batch, 1, classes]);
  return logP
    .mul(targets)
    .sum(-1)
    .mul(counted.reshape([batch, 1]))
    .mean(0)
    .neg();
}

/** `[examples, supervisors, classes]` */
function sideBySide(labels: readonly SoftLabels[]): Tensor {
  const [rows, classes] = labels[0].shape;
  const all = new Float32Array(rows * labels.length * classes);
  labels.forEach(({ values }, m) => {
    for (let row = 0; row < rows; row++) {
      all.set(values.subarray(row * classes, (row + 1) * classes), (row * labels.length + m) * classes);
    }
  });
  return new Tensor(all, [rows, labels.length, classes]);
}

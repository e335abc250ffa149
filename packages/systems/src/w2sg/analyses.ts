/*
 * Analyses of the paper that need trainings of their own: how hard the supervisor's errors are to imitate (A3), what happens
 * over many passes (A1), and whether the task was salient in the student's features (A4).
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import {
  accuracy,
  backboneFeatures,
  type Columns,
  createFinetuner,
  defineStage,
  fromStage,
  hardLabels,
  naive,
  oneHot,
  type Random,
  randomFlips,
  type SoftLabels,
  type StageContext,
  type StageOutput,
  trainLogisticRegression,
} from "outgrow";
import { z } from "zod";
import type { Participant, Truth } from "./method.js";
import { readPredictions, recipes, seat, taskSchema, writePredictions } from "./stages.js";

/** What a student learns from in place of the weak labels. */
export const lessons = [
  /** The weak labels without their uncertainty. */
  "hard labels",
  /** The truth with as many errors as the supervisor makes, at random: nobody can predict them (A3b). */
  "random flips",
  /** The truth with as many errors, all where one input is large: anybody can predict them (A3c). */
  "shallow errors",
  /** The weak labels, with the supervisor's class among the inputs: it need only be copied (A3a). */
  "label as input",
] as const;
export type LessonKind = (typeof lessons)[number];

/** A student of one of the lessons; compared as all students are. */
export const lessonStage = defineStage({
  name: "w2sg/lesson",
  version: 1,
  code: import.meta.url,
  config: taskSchema.extend({ lesson: z.enum(lessons), weak: z.string() }),
  inputs: { backbone: fromStage, supervisor: fromStage },
  async run(context) {
    const { config, inputs, folder, signal } = context;
    const { workshop, participant, truth, random, shallow } = await seat(context, inputs.backbone);
    const { transfer, test } = await readPredictions(inputs.supervisor);
    const weak = transfer as SoftLabels;
    // The order of examples is that of the other students of this supervisor.
    const order = random.stream("student", config.weak);
    const labels = labelsOf(config.lesson, weak, truth, shallow, random.stream("errors", config.weak));
    const taught: Participant =
      config.lesson === "label as input"
        ? {
            ...participant,
            backbone: { ...participant.backbone, ...withLabelInput(participant) },
            transfer: withColumn(participant.transfer, weak),
            test: withColumn(participant.test, test),
          }
        : participant;
    const lesson = { labels, source: config.lesson };
    const student = await workshop.trainStudent(taught, lesson, naive, order, signal);
    await writePredictions(folder, { test: student.test });
  },
});

function labelsOf(
  lesson: LessonKind,
  weak: SoftLabels,
  truth: Truth,
  shallow: Float32Array,
  random: Random,
): SoftLabels {
  const hard = hardLabels(weak);
  if (lesson === "label as input") return weak;
  if (lesson === "hard labels") return oneHot(hard, 2);
  const errors = hard.reduce((sum, label, i) => sum + Number(label !== truth.transfer[i]), 0);
  if (lesson === "random flips")
    return oneHot(randomFlips(truth.transfer, 2, errors / hard.length, random), 2);
  const order = Array.from(truth.transfer.keys()).sort((a, b) => shallow[b] - shallow[a]);
  const flipped = truth.transfer.slice();
  for (const row of order.slice(0, errors)) flipped[row] = 1 - flipped[row];
  return oneHot(flipped, 2);
}

/** The features of a linear probe and the supervisor's class, as -1 or 1 at the scale of the features. */
function withColumn(columns: Columns, labels: SoftLabels): Columns {
  const { data, shape } = columns.features;
  const [rows, width] = shape;
  const hard = hardLabels(labels);
  const scale = Math.sqrt(
    (data as Float32Array).reduce((sum, value) => sum + value * value, 0) / data.length,
  );
  const joined = new Float32Array(rows * (width + 1));
  for (let i = 0; i < rows; i++) {
    joined.set((data as Float32Array).subarray(i * width, (i + 1) * width), i * (width + 1));
    joined[i * (width + 1) + width] = (2 * hard[i] - 1) * scale;
  }
  return { features: new Tensor(joined, [rows, width + 1]) };
}

const withLabelInput = ({ backbone }: Participant) => ({
  name: `${backbone.name} and label`,
  featureSize: backbone.featureSize + 1,
});

/** Passes of the analysis of overfitting (card, track A). */
export const PASSES = 20;

/**
 * Accuracy after each of many passes, on two halves of the tests: one to choose a pass by, the other to measure it, or the
 * best pass would look better than it is.
 */
export interface Passes {
  choosing: number[];
  measuring: number[];
}

const manyPasses = taskSchema.extend({ passes: z.int().min(2) });

/** Follows a student that learns from the supervisor's labels. */
export const passesStage = defineStage({
  name: "w2sg/passes",
  version: 2,
  code: import.meta.url,
  config: manyPasses.extend({ weak: z.string() }),
  inputs: { backbone: fromStage, supervisor: fromStage },
  async run(context) {
    const { transfer } = await readPredictions(context.inputs.supervisor);
    await follow(context, context.config.weak, () => transfer as SoftLabels);
  },
});

/** Follows the ceiling. */
export const ceilingPassesStage = defineStage({
  name: "w2sg/ceiling-passes",
  version: 1,
  code: import.meta.url,
  config: manyPasses,
  inputs: { backbone: fromStage },
  async run(context) {
    await follow(context, "ceiling", ({ transfer }) => oneHot(transfer, 2));
  },
});

async function follow(
  context: StageContext<z.output<typeof manyPasses>, { backbone: StageOutput }>,
  order: string,
  labelsOf: (truth: Truth) => SoftLabels,
): Promise<void> {
  const { config, inputs, folder, signal, shared } = context;
  const { participant, truth, random } = await seat(context, inputs.backbone);
  const labels = labelsOf(truth);
  const recipe = recipes[config.mode];
  const { backbone } = participant;
  const finetuner = await shared(`w2sg passes ${backbone.name} ${config.transferSize}`, () =>
    createFinetuner({
      backbone,
      classes: 2,
      inputs: participant.transfer,
      loss: naive.loss(labels, recipe.batchSize),
      batchSize: recipe.batchSize,
    }),
  );
  const curve: Passes = { choosing: [], measuring: [] };
  await finetuner.fit(backbone, participant.transfer, labels, {
    epochs: config.passes,
    learningRate: recipe.learningRate,
    schedule: recipe.schedule,
    random: random.stream("student", order),
    signal,
    afterPass: {
      inputs: participant.test,
      look: (predictions) => {
        const hard = hardLabels(predictions);
        for (const [half, values] of [curve.choosing, curve.measuring].entries()) {
          const own = (all: Int32Array) => all.filter((_, i) => i % 2 === half);
          values.push(accuracy(own(hard), own(truth.test)).value as number);
        }
      },
    },
  });
  await writeFile(join(folder, "passes.json"), JSON.stringify(curve));
}

/** What the last pass loses against the best one, on tests that did not choose it. */
export function lossAfterBest({ choosing, measuring }: Passes): number {
  const best = choosing.indexOf(Math.max(...choosing));
  return measuring[best] - measuring[measuring.length - 1];
}

/** Accuracy of a linear probe with the truth on the student's features, before and after it learns from weak labels (A4). */
export const salienceStage = defineStage({
  name: "w2sg/salience",
  version: 1,
  code: import.meta.url,
  config: taskSchema.extend({ weak: z.string() }),
  inputs: { backbone: fromStage, supervisor: fromStage },
  async run(context) {
    const { config, inputs, folder, signal } = context;
    const { workshop, participant, truth, random } = await seat(context, inputs.backbone);
    const { transfer } = await readPredictions(inputs.supervisor);
    const weak = { labels: transfer as SoftLabels, source: config.weak };
    const order = random.stream("student", config.weak);
    const { params } = await workshop.trainStudent(participant, weak, naive, order, signal);
    const probe = async (body: unknown) => {
      const backbone = { ...participant.backbone, body };
      const [train, test] = [
        await backboneFeatures(backbone, participant.supervision),
        await backboneFeatures(backbone, participant.test),
      ];
      const shapeOf = ({ shape }: Tensor): [number, number] => [shape[0], shape[1]];
      const fitted = trainLogisticRegression({
        features: train.data as Float32Array,
        shape: shapeOf(train),
        labels: truth.supervision,
        classes: 2,
      });
      return accuracy(hardLabels(fitted.predict(test.data as Float32Array, shapeOf(test))), truth.test).value;
    };
    const before = await probe(participant.backbone.body);
    const after = await probe(params.body);
    await writeFile(join(folder, "salience.json"), JSON.stringify({ before, after }));
  },
});

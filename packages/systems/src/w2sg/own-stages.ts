/* The steps of work on a user's own data that the lab keeps. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import {
  applyScaling,
  type Backbone,
  backboneFeatures,
  type ClassificationInputs,
  type ClassifierParams,
  type Columns,
  compileClassifier,
  contentHash,
  createFinetuner,
  createRandom,
  defineStage,
  encodeSafetensors,
  featureModel,
  featurePretrainingDefaults,
  finetuneWeighing,
  fitScaling,
  fromStage,
  fromValue,
  type Given,
  type LanguageModel,
  languageModelBackbone,
  learn,
  type Lesson as MethodLesson,
  methodNamed,
  namedTensors,
  pretrainFeatureModel,
  pretrainTextModel,
  type Scaling,
  type SoftLabels,
  type StageContext,
  type StageOutput,
  selectRows,
  type TextModel,
  type TextModelParts,
  textModel,
  textPretrainingDefaults,
  tokenizerFromJSON,
  tokenizeTexts,
  trainLogisticRegression,
  trainNgramClassifier,
  treeOfTensors,
} from "outgrow";
import { z } from "zod";
import { count } from "./fields.js";
import type { Recipe } from "./method.js";

/** All weights are finetuned: 2 passes over texts, 10 over rows of features. */
export const ownDataRecipes: Record<"text" | "features", Recipe> = {
  text: { epochs: 2, batchSize: 32, learningRate: 5e-4, schedule: { warmup: 0.1 } },
  features: { epochs: 10, batchSize: 64, learningRate: 1e-3, schedule: { warmup: 0.1 } },
};

/** Row numbers of one repetition. */
export interface Parts {
  test: Int32Array;
  /** Empty where weak labels are given. */
  supervision: Int32Array;
  transfer: Int32Array;
  validation: Int32Array;
}

const modelFile = "model.safetensors";
const partsFile = "model.json";
const tokenizerFile = "tokenizer.json";
const labelsFile = "labels.safetensors";
const studentFile = "student.safetensors";
const weightsFile = "weights.json";

export const ownRandom = (seed: number) => createRandom(seed).stream("own data");

/** The student before it sees a label, trained on the inputs of all rows. */
export const pretrainOwnStage = defineStage({
  name: "fit/pretrain",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    seed: z.int().min(0),
    epochs: count.optional(),
    width: count.optional(),
    layers: count.optional(),
  }),
  inputs: { rows: fromValue<ClassificationInputs>() },
  async run({ config, inputs, folder, signal, progress, metrics, checkpoint }) {
    const { seed, ...given } = config;
    const random = ownRandom(seed).stream("pretraining");
    const fit = {
      signal,
      checkpoint: await checkpoint("pretraining"),
      onStep({ step, totalSteps, loss }: { step: number; totalSteps: number; loss: number }) {
        progress(step / totalSteps, `loss ${loss.toFixed(3)}`);
        if (step % Math.ceil(totalSteps / pointsOfCurve) === 0) metrics(step, { loss });
      },
    };
    const rows = inputs.rows.value;
    let backbone: Backbone;
    if (rows.kind === "text") {
      const model = await pretrainTextModel(
        rows.texts,
        { ...textPretrainingDefaults, ...given },
        random,
        fit,
      );
      backbone = model.backbone;
      await writeFile(join(folder, tokenizerFile), JSON.stringify(model.tokenizer));
      await writeFile(join(folder, partsFile), JSON.stringify({ config: model.config, cut: model.cut }));
    } else {
      const { layers: _, ...options } = given; // an MLP has two
      const x = scaledRows(rows).x;
      backbone = await pretrainFeatureModel(x, { ...featurePretrainingDefaults, ...options }, random, fit);
    }
    await writeParams(join(folder, modelFile), backbone.body as object);
  },
});

/** More points in a curve cannot be told apart. */
const pointsOfCurve = 200;

/** A student that was trained elsewhere, before it sees a label, and how it takes the texts of all rows. */
export const readModelStage = defineStage({
  name: "fit/model",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({}),
  inputs: { texts: fromValue<string[]>(), model: fromValue<LanguageModel>() },
  async run({ inputs, folder }) {
    const { config, tokenizer } = inputs.model.value;
    const lengths = tokenizeTexts(tokenizer, inputs.texts.value).map((ids) => ids.length);
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    const length = Math.min(config.contextLength, mostTokens, Math.ceil(longest / 8) * 8);
    const parts: SavedText = {
      config,
      length,
      cut: lengths.filter((own) => own > length).length,
      pooling: "last",
      recipe: recipeOfModel(config.width),
    };
    await writeFile(join(folder, tokenizerFile), JSON.stringify(tokenizer));
    await writeFile(join(folder, partsFile), JSON.stringify(parts));
    await writeParams(join(folder, modelFile), languageModelBackbone(inputs.model.value).body as object);
  },
});

type SavedText = Pick<TextModelParts, "config" | "cut" | "length" | "pooling"> & {
  /** Where it is not that of all texts. */
  recipe?: Recipe;
};

/** All texts are padded to the longest: one long one would make each of them dear. */
const mostTokens = 512;

/** The best rate of Adam's falls as a model grows wider (Yang et al. 2021, arXiv:2203.03466): that of our own, which is 128 wide, scaled. */
const recipeOfModel = (width: number): Recipe => ({
  ...ownDataRecipes.text,
  learningRate: ownDataRecipes.text.learningRate * Math.min(1, textPretrainingDefaults.width / width),
});

/** A small model that learns from the truth of some rows: its labels of all. */
export const superviseOwnStage = defineStage({
  name: "fit/weak supervisor",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ classes: z.int().min(2) }),
  inputs: {
    rows: fromValue<ClassificationInputs>(),
    /** Numbers of the rows, and the truth of each. */
    supervision: fromValue<{ rows: Int32Array; labels: Int32Array }>(),
  },
  async run({ config: { classes }, inputs, folder }) {
    const { rows: own, labels } = inputs.supervision.value;
    const given = inputs.rows.value;
    let predicted: SoftLabels;
    if (given.kind === "text") {
      const { texts } = given;
      const model = trainNgramClassifier({
        texts: Array.from(own, (row) => texts[row]),
        labels,
        classes,
        unlabelled: texts,
      });
      predicted = model.predict(texts);
    } else {
      const { scaled } = scaledRows(given, own);
      const [, columns] = given.shape;
      const features = selectRows({ x: new Tensor(scaled, [...given.shape]) }, own).x.data as Float32Array;
      const model = trainLogisticRegression({ features, shape: [own.length, columns], labels, classes });
      predicted = model.predict(scaled, given.shape);
    }
    const { values, shape } = predicted;
    await writeFile(join(folder, labelsFile), encodeSafetensors({ labels: new Tensor(values, shape) }));
  },
});

/** What to train a student on. */
export interface Lesson {
  /** Of all rows: `[rows, classes]`. */
  labels: SoftLabels;
  /** Of each of several supervisors, where the method takes them apart; the labels are their mean. */
  supervisors?: readonly SoftLabels[];
  transfer: Int32Array;
  validation: Int32Array;
  /** Rows whose labels are predicted afterwards. */
  test: Int32Array;
}

/** A student, or the ceiling where the labels are the truth. */
export const trainOwnStage = defineStage({
  name: "fit/student",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    seed: z.int().min(0),
    /** Which repetition. */
    index: z.int().min(0),
    method: z.string(),
    classes: z.int().min(2),
  }),
  inputs: {
    model: fromStage,
    rows: fromValue<ClassificationInputs>(),
    lesson: fromValue<Lesson>(),
  },
  async run(context) {
    const { config, inputs, folder, signal, progress, metrics, shared } = context;
    const { classes, index } = config;
    const { labels, supervisors, transfer, validation, test } = inputs.lesson.value;
    const { backbone, inputs: rows, recipe } = await strongOf(context, inputs.model, inputs.rows);
    const inputsOfStudent = selectRows(rows, transfer);
    const method = methodNamed(config.method);
    const { epochs, learningRate, schedule } = recipe;
    const predict = await predictorOf(context, inputs.model, inputs.rows, classes);
    const rounds = method.rounds ?? 1;
    let round = 0;
    const selectAll = (rows: Int32Array) => (supervisors ?? []).map((own) => selectLabels(own, rows));
    const weigh = async () => {
      const { params, weights, warnings } = await finetuneWeighing(
        {
          backbone,
          classes,
          inputs: inputsOfStudent,
          batchSize: recipe.batchSize,
          labels: selectAll(transfer),
        },
        {
          epochs,
          learningRate,
          schedule,
          signal,
          random: ownRandom(config.seed).stream("seed", index).stream("order"),
          checkpoint: await context.checkpoint("training"),
          validation: { inputs: selectRows(rows, validation), labels: selectAll(validation) },
          onStep,
        },
      );
      await writeFile(join(folder, weightsFile), JSON.stringify({ weights, warnings }));
      return params;
    };
    const onStep = ({ step, totalSteps, loss }: { step: number; totalSteps: number; loss: number }) => {
      progress(before + step / totalSteps / rounds, `loss ${loss.toFixed(3)}`);
      if (step % Math.ceil(totalSteps / pointsOfCurve) === 0) metrics(step, { loss });
    };
    let before = 0;
    const fit = async ({ labels: targets, rows: kept }: MethodLesson) => {
      const own = kept ? selectRows(inputsOfStudent, kept) : inputsOfStudent;
      // What the loss takes from the targets is part of the program.
      const program = `${inputs.model.hash} ${classes} ${method.name} ${contentHash(targets)} ${validation.length}`;
      const finetuner = await shared(`fit finetuner ${program}`, () =>
        createFinetuner({
          backbone,
          classes,
          inputs: own,
          loss: method.loss(targets, recipe.batchSize),
          batchSize: recipe.batchSize,
        }),
      );
      before = round++ / rounds;
      const { params } = await finetuner.fit(backbone, own, targets, {
        epochs,
        learningRate,
        schedule,
        signal,
        random: ownRandom(config.seed).stream("seed", index).stream("order"),
        checkpoint: await context.checkpoint(rounds === 1 ? "training" : `training ${round}`),
        validation: { inputs: selectRows(rows, validation), labels: selectLabels(labels, validation) },
        onStep,
      });
      return params;
    };
    const taught = supervisors ? await weigh() : undefined;
    const params =
      taught ??
      (await learn(method, selectLabels(labels, transfer), {
        fit,
        label: (student) => predict(student, inputsOfStudent),
        features: () => backboneFeatures(backbone, inputsOfStudent),
      }));
    await writeParams(join(folder, studentFile), params);
    const { values, shape } = await predict(params, selectRows(rows, test));
    await writeFile(join(folder, labelsFile), encodeSafetensors({ labels: new Tensor(values, shape) }));
  },
});

/** What a student says of every row. */
export const predictOwnStage = defineStage({
  name: "fit/predict",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ classes: z.int().min(2) }),
  inputs: { model: fromStage, student: fromStage, rows: fromValue<ClassificationInputs>() },
  async run(context) {
    const { config, inputs, folder } = context;
    const { inputs: rows } = await strongOf(context, inputs.model, inputs.rows);
    const predict = await predictorOf(context, inputs.model, inputs.rows, config.classes);
    const { values, shape } = await predict(await readStudent(inputs.student), rows);
    await writeFile(join(folder, labelsFile), encodeSafetensors({ labels: new Tensor(values, shape) }));
  },
});

/** The pretrained student and the rows as it takes them. */
export interface Strong {
  backbone: Backbone;
  inputs: Columns;
  recipe: Recipe;
  text?: TextModel;
  scaling?: Scaling;
}

export async function readStrong(model: StageOutput, rows: ClassificationInputs): Promise<Strong> {
  const params = treeOfTensors((await model.tensors(modelFile)).tensors);
  if (rows.kind === "text") {
    const { recipe = ownDataRecipes.text, ...parts } = await model.json<SavedText>(partsFile);
    const tokenizer = tokenizerFromJSON(await model.json(tokenizerFile));
    const text = textModel({ ...parts, tokenizer, params: params as never });
    return { text, recipe, backbone: text.backbone, inputs: text.encode(rows.texts) };
  }
  const { x, scaling } = scaledRows(rows);
  const recipe = ownDataRecipes.features;
  return { scaling, recipe, backbone: featureModel((params as { hidden: never }).hidden), inputs: { x } };
}

export const readLabels = async (output: StageOutput): Promise<SoftLabels> => {
  const { data, shape } = (await output.tensors(labelsFile)).tensors.labels;
  return { values: data as Float32Array, shape: [shape[0], shape[1]] };
};

export const readStudent = async (output: StageOutput): Promise<ClassifierParams> =>
  treeOfTensors((await output.tensors(studentFile)).tensors) as ClassifierParams;

/** What a student of several supervisors, taken apart, learned of them. */
export const readWeights = (student: StageOutput) =>
  student.json<{ weights: number[]; warnings: string[] }>(weightsFile);

export function selectLabels({ values, shape: [rows, classes] }: SoftLabels, chosen: Int32Array): SoftLabels {
  const selected = selectRows({ labels: new Tensor(values, [rows, classes]) }, chosen).labels;
  return { values: selected.data as Float32Array, shape: [chosen.length, classes] };
}

type Shared = Pick<StageContext<unknown, unknown>, "shared">;
type Rows = Given<ClassificationInputs>;

const strongOf = ({ shared }: Shared, model: StageOutput, rows: Rows): Promise<Strong> =>
  shared(`fit strong ${model.hash} ${rows.hash}`, () => readStrong(model, rows.value));

const predictorOf = ({ shared }: Shared, model: StageOutput, rows: Rows, classes: number) =>
  shared(`fit predictor ${model.hash} ${rows.hash} ${classes}`, async () => {
    const { backbone, inputs } = await strongOf({ shared }, model, rows);
    return compileClassifier(backbone, classes, inputs);
  });

const writeParams = (path: string, params: object) =>
  writeFile(path, encodeSafetensors(Object.fromEntries(namedTensors(params))));

/** Standardised by the rows given, or by all. */
function scaledRows(
  { features, shape }: Extract<ClassificationInputs, { kind: "features" }>,
  rows: Int32Array = Int32Array.from({ length: shape[0] }, (_, row) => row),
): { x: Tensor; scaled: Float32Array; scaling: Scaling } {
  const scaling = fitScaling(features, shape, rows);
  const scaled = applyScaling(features, scaling);
  return { x: new Tensor(scaled, [...shape]), scaled, scaling };
}

/*
 * The three models on a user's own data: a weak supervisor (a given column of weak labels, or a small model trained on a
 * small share of the truth), a pretrained student by every chosen method, and the ceiling where the truth allows it.
 */
import { Tensor } from "@outgrow/engine";
import {
  applyScaling,
  type Backbone,
  type ClassificationData,
  type ClassifierParams,
  type Columns,
  checkSoftLabels,
  compileClassifier,
  createFinetuner,
  createRandom,
  type Finetuner,
  featurePretrainingDefaults,
  fitScaling,
  hardLabels,
  type Method,
  methodNamed,
  mildWarnings,
  naive,
  oneHot,
  parseConfig,
  pretrainFeatureModel,
  pretrainTextModel,
  type Random,
  refuseLeak,
  type report,
  type Scaling,
  type SoftLabels,
  selectRows,
  split,
  type TextModel,
  textPretrainingDefaults,
  trainLogisticRegression,
  trainNgramClassifier,
  UserError,
} from "outgrow";
import { z } from "zod";
import { type Comparison, compare } from "./compare.js";
import { count, distinct } from "./fields.js";
import type { Recipe } from "./method.js";

export const ownDataSchema = z.strictObject({
  seed: z.int().min(0).default(0),
  /** Repetitions with other splits, supervisors and orders of training. */
  seeds: count.default(3),
  methods: distinct(z.string(), "method").default(["naive", "confidence"]),
  /** Rows that nobody trains on. Default: a fifth of the rows that have truth (weak labels, without truth), at most 2,000. */
  test: z.int().min(2).optional(),
  /** Rows whose truth trains the weak supervisor, where no weak labels are given. Default: 4 %, at least 10 a class. */
  supervision: count.optional(),
  /** Share of the student's rows that are held out, with their weak labels, to choose the pass to keep. */
  validationShare: z.number().gt(0).lt(0.5).default(0.1),
  pretraining: z
    .strictObject({ epochs: count.optional(), width: count.optional(), layers: count.optional() })
    .default({}),
});
export type OwnDataConfig = z.output<typeof ownDataSchema>;

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

/** One student of one repetition. */
export interface OwnRecord extends Partial<Comparison> {
  seedIndex: number;
  method: string;
  /** Share of test rows on which student and supervisor agree: all there is without truth. */
  agreementWithWeak: number;
}

export interface OwnDataResult {
  records: OwnRecord[];
  parts: Parts;
  /** The first method's student of the first repetition, and what it says of every row. */
  student: { backbone: Backbone; params: ClassifierParams; predictions: SoftLabels };
  /** The supervisor's labels of every row in the first repetition. */
  weak: SoftLabels;
  weakSource: string;
  /** What turns rows into the student's inputs. */
  text?: TextModel;
  scaling?: Scaling;
  inputs: Columns;
  warnings: string[];
}

export interface OwnDataOptions {
  progress: report.Progress;
  signal?: AbortSignal;
}

/** Stages with their share of the work, for the progress display. */
export function ownDataPlan(
  data: ClassificationData,
  config: OwnDataConfig,
): { name: string; weight: number }[] {
  const rows = data.ids.length;
  const epochs = config.pretraining.epochs ?? pretrainingEpochs(data);
  const trainings = config.methods.length + (data.truth ? 1 : 0);
  const passes = ownDataRecipes[data.inputs.kind].epochs;
  return [
    { name: PRETRAINING, weight: epochs * rows * 1.5 },
    ...Array.from({ length: config.seeds }, (_, i) => ({
      name: seedStage(i),
      weight: trainings * passes * rows * 0.7,
    })),
  ];
}

const PRETRAINING = "pretrain the student without labels";
const seedStage = (index: number) => `repetition ${index + 1}`;
const pretrainingEpochs = (data: ClassificationData) =>
  data.inputs.kind === "text" ? textPretrainingDefaults.epochs : featurePretrainingDefaults.epochs;

export async function fitOwnData(
  data: ClassificationData,
  given: z.input<typeof ownDataSchema>,
  { progress, signal }: OwnDataOptions,
): Promise<OwnDataResult> {
  const config = parseConfig(ownDataSchema, given, "fit");
  const chosen = config.methods.map(methodNamed);
  const random = createRandom(config.seed).stream("own data");
  const classes = data.classes.length;
  const recipe = ownDataRecipes[data.inputs.kind];
  const repetition = (index: number) => {
    const parts = drawParts(data, config, random.stream("seed", index));
    const { labels: weak, source } = weakLabels(data, parts);
    checkSoftLabels(weak, data.ids);
    return { parts, weak, source };
  };
  const beginning = repetition(0); // before the long work: what cannot be is refused here

  const stage = progress.begin(PRETRAINING);
  const strong = await pretrainStudent(data, config, random.stream("pretraining"), {
    signal,
    onStep: ({ step, totalSteps, loss }) => stage.update(step / totalSteps, `loss ${loss.toFixed(3)}`),
  });
  stage.done();

  const bench = new Map<string, Promise<Finetuner>>();
  const predict = await compileClassifier(strong.backbone, classes, strong.inputs);
  const records: OwnRecord[] = [];
  const warnings: string[] = [];
  let first: Pick<OwnDataResult, "parts" | "student" | "weak" | "weakSource"> | undefined;
  try {
    for (let index = 0; index < config.seeds; index++) {
      const own = random.stream("seed", index);
      const seedProgress = progress.begin(seedStage(index));
      const { parts, weak, source } = index === 0 ? beginning : repetition(index);
      const rowsOf = (labels: SoftLabels, rows: Int32Array) => selectLabels(labels, rows);
      if (index === 0) warnings.push(...mildWarnings(rowsOf(weak, parts.transfer)));
      const weakTest = rowsOf(weak, parts.test);

      const trainings = chosen.length + (data.truth ? 1 : 0);
      let trained = 0;
      const train = async (
        name: string,
        method: Method,
        labels: SoftLabels,
        rows: Parts,
      ): Promise<ClassifierParams> => {
        const inputs = selectRows(strong.inputs, rows.transfer);
        const targets = rowsOf(labels, rows.transfer);
        const key = `${method.name} ${rows.transfer.length}`;
        const created =
          bench.get(key) ??
          createFinetuner({
            backbone: strong.backbone,
            classes,
            inputs,
            loss: method.loss(targets, recipe.batchSize),
            batchSize: recipe.batchSize,
          });
        bench.set(key, created);
        const { epochs, learningRate, schedule } = recipe;
        const { params } = await (await created).fit(strong.backbone, inputs, targets, {
          epochs,
          learningRate,
          schedule,
          signal,
          random: own.stream("order"),
          validation: {
            inputs: selectRows(strong.inputs, rows.validation),
            labels: rowsOf(labels, rows.validation),
          },
          onStep: ({ step, totalSteps, loss }) =>
            seedProgress.update(
              (trained + step / totalSteps) / trainings,
              `${name}, loss ${loss.toFixed(3)}`,
            ),
        });
        trained++;
        return params;
      };

      let ceiling: SoftLabels | undefined;
      let truth: Int32Array | undefined;
      if (data.truth) {
        const known = data.truth;
        truth = Int32Array.from(parts.test, (row) => known[row]);
        const truthful = {
          ...parts,
          transfer: withTruth(known, parts.transfer),
          validation: withTruth(known, parts.validation),
        };
        // A ceiling from fewer examples than the student's would not be its ceiling.
        if (truthful.transfer.length === parts.transfer.length && truthful.validation.length > 0) {
          const golden = oneHot(
            known.map((label) => Math.max(0, label)),
            classes,
          );
          ceiling = await predict(
            await train("ceiling", naive, golden, truthful),
            selectRows(strong.inputs, parts.test),
          );
        }
      }
      for (const method of chosen) {
        const params = await train(method.name, method, weak, parts);
        const test = await predict(params, selectRows(strong.inputs, parts.test));
        const [own, weakHard] = [hardLabels(test), hardLabels(weakTest)];
        records.push({
          seedIndex: index,
          method: method.name,
          agreementWithWeak: own.filter((label, i) => label === weakHard[i]).length / own.length,
          ...(truth ? compare(truth, { weak: weakTest, student: test, ceiling }) : {}),
        });
        first ??= {
          parts,
          weak,
          weakSource: source,
          student: { backbone: strong.backbone, params, predictions: await predict(params, strong.inputs) },
        };
      }
      seedProgress.done();
    }
  } finally {
    for (const finetuner of bench.values()) await (await finetuner).dispose();
    await predict.dispose();
  }
  return { records, warnings, ...strong, ...(first as NonNullable<typeof first>) };
}

/**
 * Disjoint rows for each purpose; stratified by the truth where it is known.
 * @throws UserError when there are too few rows
 */
export function drawParts(data: ClassificationData, config: OwnDataConfig, random: Random): Parts {
  const { truth, weak, ids, classes } = data;
  const rows = Int32Array.from(ids, (_, row) => row);
  const judged = truth ? withTruth(truth, rows) : rows;
  if (weak && config.supervision !== undefined) {
    throw new UserError("rows for the weak supervisor are asked for, but weak labels are given", {
      place: { file: data.file },
      hint: "Leave out --supervision, or leave out --weak for a supervisor trained on the truth.",
    });
  }
  const test = config.test ?? Math.max(2, Math.min(2000, Math.floor(judged.length / 5)));
  const supervision = weak
    ? 0
    : (config.supervision ?? Math.max(10 * classes.length, Math.round(0.04 * judged.length)));
  // The student needs no truth: rows without it are as good.
  const left = judged.length - test - supervision;
  const forStudent = rows.length - test - supervision;
  if (left < 0 || forStudent < leastForStudent) {
    const given = truth ? `${rows.length} rows, ${judged.length} of them with truth,` : `${rows.length} rows`;
    const supervised = supervision ? `, ${supervision} with truth for the weak supervisor` : "";
    throw new UserError(
      `${given} are too few for ${test}${truth ? " with truth" : ""} to test on${supervised} and at least ` +
        `${leastForStudent} for the student`,
      {
        place: { file: data.file },
        hint: `Give more rows, or a smaller --test${supervision ? " and --supervision" : ""}.`,
      },
    );
  }
  const stratifyBy = truth ? Int32Array.from(judged, (row) => truth[row]) : undefined;
  const drawn = split(judged.length, { test, supervision, left }, random.stream("split"), { stratifyBy });
  const pick = (part: Int32Array) => Int32Array.from(part, (i) => judged[i]);
  const taken = new Set([...pick(drawn.test), ...pick(drawn.supervision)]);
  const free = rows.filter((row) => !taken.has(row));
  const order = random.stream("validation").permutation(free.length);
  const held = Math.max(2, Math.round(config.validationShare * free.length));
  const parts = {
    test: pick(drawn.test),
    supervision: pick(drawn.supervision),
    validation: Int32Array.from(order.subarray(0, held), (i) => free[i]).sort(),
    transfer: Int32Array.from(order.subarray(held), (i) => free[i]).sort(),
  };
  refuseLeak(
    Object.fromEntries(
      Object.entries(parts).map(([name, part]) => [name, Array.from(part, (row) => ids[row])]),
    ),
  );
  return parts;
}

/** Fewer examples teach nothing. */
const leastForStudent = 10;

const withTruth = (truth: Int32Array, rows: Int32Array): Int32Array => rows.filter((row) => truth[row] >= 0);

/** The weak labels of every row: those given, or those of a small model trained on the supervision rows. */
function weakLabels(data: ClassificationData, parts: Parts): { labels: SoftLabels; source: string } {
  if (data.weak) return { labels: data.weak, source: "the given weak labels" };
  const truth = data.truth as Int32Array;
  const labels = Int32Array.from(parts.supervision, (row) => truth[row]);
  const classes = data.classes.length;
  if (data.inputs.kind === "text") {
    const { texts } = data.inputs;
    const own = Array.from(parts.supervision, (row) => texts[row]);
    const model = trainNgramClassifier({ texts: own, labels, classes, unlabelled: texts });
    return { labels: model.predict(texts), source: `bag of n-grams, ${labels.length} true labels` };
  }
  const scaling = fitScaling(data.inputs.features, data.inputs.shape, parts.supervision);
  const scaled = applyScaling(data.inputs.features, scaling);
  const [, columns] = data.inputs.shape;
  const own = selectRows({ x: new Tensor(scaled, [...data.inputs.shape]) }, parts.supervision).x;
  const model = trainLogisticRegression({
    features: own.data as Float32Array,
    shape: [labels.length, columns],
    labels,
    classes,
  });
  return {
    labels: model.predict(scaled, data.inputs.shape),
    source: `logistic regression, ${labels.length} true labels`,
  };
}

function selectLabels({ values, shape: [rows, classes] }: SoftLabels, chosen: Int32Array): SoftLabels {
  const selected = selectRows({ labels: new Tensor(values, [rows, classes]) }, chosen).labels;
  return { values: selected.data as Float32Array, shape: [chosen.length, classes] };
}

type Strong = Pick<OwnDataResult, "inputs" | "text" | "scaling"> & { backbone: Backbone };

async function pretrainStudent(
  data: ClassificationData,
  config: OwnDataConfig,
  random: Random,
  fit: Parameters<typeof pretrainTextModel>[3],
): Promise<Strong> {
  if (data.inputs.kind === "text") {
    const { texts } = data.inputs;
    const text = await pretrainTextModel(
      texts,
      { ...textPretrainingDefaults, ...config.pretraining },
      random,
      fit,
    );
    return { text, backbone: text.backbone, inputs: text.encode(texts) };
  }
  const { features, shape } = data.inputs;
  const scaling = fitScaling(
    features,
    shape,
    Int32Array.from({ length: shape[0] }, (_, row) => row),
  );
  const x = new Tensor(applyScaling(features, scaling), [...shape]);
  const { epochs, width } = config.pretraining;
  const options = {
    ...featurePretrainingDefaults,
    ...(epochs ? { epochs } : {}),
    ...(width ? { width } : {}),
  };
  return { scaling, backbone: await pretrainFeatureModel(x, options, random, fit), inputs: { x } };
}

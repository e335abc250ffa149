/*
 * The three models on a user's own data: a weak supervisor (a given column of weak labels, or a small model trained on a
 * small share of the truth), a pretrained student by every chosen method, and the ceiling where the truth allows it.
 */
import {
  type Backbone,
  type ClassificationData,
  type ClassificationInputs,
  type ClassifierParams,
  type Columns,
  checkSoftLabels,
  contentHash,
  featurePretrainingDefaults,
  type Given,
  given as givenInput,
  hardLabels,
  type Lab,
  type LanguageModel,
  methodNamed,
  mildWarnings,
  type NamedLabels,
  naive,
  namedTensors,
  oneHot,
  parseConfig,
  type Random,
  refuseLeak,
  type report,
  type Scaling,
  type SoftLabels,
  type StageOutput,
  split,
  type TextModel,
  textPretrainingDefaults,
  UserError,
} from "outgrow";
import { z } from "zod";
import { type Comparison, compare } from "./compare.js";
import { count, distinct } from "./fields.js";
import {
  ownDataRecipes,
  ownRandom,
  type Parts,
  predictOwnStage,
  pretrainOwnStage,
  readLabels,
  readModelStage,
  readStrong,
  readStudent,
  readWeights,
  selectLabels,
  superviseOwnStage,
  trainOwnStage,
} from "./own-stages.js";
import { type Supervision, singleWarnings } from "./own-supervisors.js";

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
  /** Of several supervisors: a naive student of each besides, and which of them should have the best. */
  eachSupervisor: z.boolean().optional(),
  pretraining: z
    .strictObject({ epochs: count.optional(), width: count.optional(), layers: count.optional() })
    .default({}),
});
export type OwnDataConfig = z.output<typeof ownDataSchema>;

/** One student of one repetition. */
export interface OwnRecord extends Partial<Comparison> {
  seedIndex: number;
  method: string;
  /** Share of test rows on which student and supervisor agree: all there is without truth. */
  agreementWithWeak: number;
  /** Learned weight of each of several supervisors, by its name. */
  weights?: Record<string, number>;
}

export interface OwnDataResult {
  records: OwnRecord[];
  parts: Parts;
  /** The first method's student of the first repetition, and what it says of every row. */
  student: { backbone: Backbone; params: ClassifierParams; predictions: SoftLabels };
  /** The supervisor's labels of every row in the first repetition. */
  weak: SoftLabels;
  weakSource: string;
  /** The language model that the student began as, where one was given. */
  modelName?: string;
  /** Where there are several: what each says of the test rows of each repetition, and its student's. */
  supervision?: Supervision[];
  /** What turns rows into the student's inputs. */
  text?: TextModel;
  scaling?: Scaling;
  inputs: Columns;
  warnings: string[];
}

export interface OwnDataOptions {
  progress: report.Progress;
  /** Runs the stages. */
  lab: Lab;
  /** The student before it learns, in place of one that is pretrained on the rows' texts. */
  model?: StudentModel;
  signal?: AbortSignal;
}

/** A language model that was trained elsewhere, and what it is called. */
export interface StudentModel extends Given<LanguageModel> {
  name: string;
}

/** Stages with their share of the work, for the progress display. */
export function ownDataPlan(
  data: ClassificationData,
  config: OwnDataConfig,
  model?: StudentModel,
): { name: string; weight: number }[] {
  const rows = data.ids.length;
  const epochs = config.pretraining.epochs ?? pretrainingEpochs(data);
  const trainings = trainingsOf(data, config);
  const passes = ownDataRecipes[data.inputs.kind].epochs;
  return [
    model ? { name: READING, weight: rows } : { name: PRETRAINING, weight: epochs * rows * 1.5 },
    ...Array.from({ length: config.seeds }, (_, i) => ({
      name: seedStage(i),
      weight: trainings * passes * rows * 0.7,
    })),
  ];
}

const trainingsOf = ({ truth, supervisors }: ClassificationData, config: OwnDataConfig) =>
  config.methods.length + (truth ? 1 : 0) + (config.eachSupervisor ? (supervisors?.length ?? 0) : 0);

const PRETRAINING = "pretrain the student without labels";
const READING = "read the student";
const seedStage = (index: number) => `repetition ${index + 1}`;
const pretrainingEpochs = (data: ClassificationData) =>
  data.inputs.kind === "text" ? textPretrainingDefaults.epochs : featurePretrainingDefaults.epochs;

export async function fitOwnData(
  data: ClassificationData,
  given: z.input<typeof ownDataSchema>,
  { progress, signal, lab, model: givenModel }: OwnDataOptions,
): Promise<OwnDataResult> {
  const config = parseConfig(ownDataSchema, given, "fit");
  if (givenModel) refuseModel(givenModel, data, config);
  for (const name of config.methods) methodNamed(name);
  const { supervisors } = data;
  if (config.eachSupervisor && !supervisors) {
    throw new UserError("a student of each supervisor is asked for, but there is only one", {
      place: { file: data.file },
      hint: "Name several columns: --weak a --weak b.",
    });
  }
  const { seed, pretraining } = config;
  const rows = hashedInputs(data.inputs);
  const classes = data.classes.length;
  const repetition = async (index: number) => {
    const parts = drawParts(data, config, ownRandom(seed).stream("seed", index));
    const supervisor = await weakLabels(data, rows, parts, { lab, signal });
    checkSoftLabels(supervisor.labels, data.ids);
    return { parts, ...supervisor };
  };
  const beginning = await repetition(0); // before the long work: what cannot be is refused here

  const stage = progress.begin(givenModel ? READING : PRETRAINING);
  const onProgress = stage.update;
  const model =
    givenModel && data.inputs.kind === "text"
      ? await lab.run(
          readModelStage,
          {},
          { texts: givenInput(data.inputs.texts, rows.hash), model: givenModel },
          { signal },
        )
      : await lab.run(pretrainOwnStage, { seed, ...pretraining }, { rows }, { signal, onProgress });
  stage.done(model.cached ? "reused" : undefined);

  const records: OwnRecord[] = [];
  const warnings = singleWarnings(data, config);
  const supervision: Supervision[] = [];
  let first: { parts: Parts; weak: SoftLabels; weakSource: string; student: StageOutput } | undefined;
  for (let index = 0; index < config.seeds; index++) {
    const seedProgress = progress.begin(seedStage(index));
    const { parts, labels: weak, source } = index === 0 ? beginning : await repetition(index);
    if (index === 0) warnings.push(...mildWarnings(selectLabels(weak, parts.transfer)));
    const weakTest = selectLabels(weak, parts.test);

    const trainings = trainingsOf(data, config);
    let trained = 0;
    let reused = true;
    const train = async (
      name: string,
      method: string,
      labels: SoftLabels,
      taught: Parts,
      several?: readonly NamedLabels[],
    ) => {
      const { transfer, validation, test } = taught;
      const apart = several && { supervisors: several.map((each) => each.labels) };
      const lesson = givenInput({ labels, ...apart, transfer, validation, test });
      const student = await lab.run(
        trainOwnStage,
        { seed, index, method, classes },
        { model, rows, lesson },
        {
          signal,
          onProgress: (fraction, detail) =>
            seedProgress.update((trained + fraction) / trainings, `${name}, ${detail}`),
        },
      );
      trained++;
      reused &&= student.cached;
      return student;
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
        ceiling = await readLabels(await train("ceiling", naive.name, golden, truthful));
      }
    }
    for (const method of config.methods) {
      const weighs = methodNamed(method).several === "learned weights" ? supervisors : undefined;
      const student = await train(method, method, weak, parts, weighs);
      const learned = weighs && (await readWeights(student));
      if (index === 0) warnings.push(...(learned?.warnings ?? []));
      const test = await readLabels(student);
      const [own, weakHard] = [hardLabels(test), hardLabels(weakTest)];
      records.push({
        seedIndex: index,
        method,
        agreementWithWeak: own.filter((label, i) => label === weakHard[i]).length / own.length,
        ...(truth ? compare(truth, { weak: weakTest, student: test, ceiling }) : {}),
        ...(weighs &&
          learned && {
            weights: Object.fromEntries(weighs.map(({ name }, m) => [name, learned.weights[m]])),
          }),
      });
      first ??= { parts, weak, weakSource: source, student };
    }
    if (supervisors) {
      const said = supervisors.map((each) => ({
        name: each.name,
        weak: selectLabels(each.labels, parts.test),
      }));
      const students: SoftLabels[] = [];
      for (const { name, labels } of config.eachSupervisor ? supervisors : []) {
        students.push(await readLabels(await train(`student of ${name}`, naive.name, labels, parts)));
      }
      supervision.push({
        truth,
        supervisors: said.map((each, m) => ({ ...each, student: students[m] })),
      });
    }
    seedProgress.done(reused ? "reused" : undefined);
  }

  const { student, ...ofFirst } = first as NonNullable<typeof first>;
  const strong = await readStrong(model, data.inputs);
  const { text } = strong;
  if (text && text.cut > 0) {
    warnings.push(`${text.cut} texts are longer than ${text.length} tokens and were cut.`);
  }
  const everyRow = await lab.run(predictOwnStage, { classes }, { model, student, rows }, { signal });
  return {
    records,
    warnings,
    ...strong,
    ...ofFirst,
    ...(givenModel && { modelName: givenModel.name }),
    ...(supervisors && { supervision }),
    student: {
      backbone: strong.backbone,
      params: await readStudent(student),
      predictions: await readLabels(everyRow),
    },
  };
}

/** Weights, their gradients and Adam's two moments are held at once; a file of more than 2 GiB is neither ONNX nor read in one piece. */
const maxModelWeights = 1e8;

function refuseModel(
  { name, value }: StudentModel,
  { inputs, file }: ClassificationData,
  { pretraining }: OwnDataConfig,
): void {
  const refuse = (message: string, hint: string) => new UserError(message, { place: { file }, hint });
  if (inputs.kind !== "text") {
    throw refuse(
      "a language model is given as the student, but the inputs are numbers",
      "Name columns of text.",
    );
  }
  if (Object.values(pretraining).some((option) => option !== undefined)) {
    throw refuse(
      "a language model is given as the student, and with it how to pretrain one",
      "Leave out one of the two: a model that is given is not pretrained again.",
    );
  }
  const weights = [...namedTensors(value.params).values()].reduce((sum, { data }) => sum + data.length, 0);
  if (weights <= maxModelWeights) return;
  throw refuse(
    `${name} has ${Math.round(weights / 1e6)} million weights, and at most ${maxModelWeights / 1e6} million are finetuned`,
    "Compute its features elsewhere and give them as a .npy file in place of the texts.",
  );
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
async function weakLabels(
  data: ClassificationData,
  rows: Given<ClassificationInputs>,
  parts: Parts,
  { lab, signal }: { lab: Lab; signal?: AbortSignal },
): Promise<{ labels: SoftLabels; source: string }> {
  if (data.supervisors) {
    const named = data.supervisors.map(({ name }) => name).join(", ");
    return { labels: data.weak as SoftLabels, source: `the mean of ${named}` };
  }
  if (data.weak) return { labels: data.weak, source: "the given weak labels" };
  const truth = data.truth as Int32Array;
  const labels = Int32Array.from(parts.supervision, (row) => truth[row]);
  const supervision = givenInput({ rows: parts.supervision, labels });
  const config = { classes: data.classes.length };
  const output = await lab.run(superviseOwnStage, config, { rows, supervision }, { signal });
  const model = data.inputs.kind === "text" ? "bag of n-grams" : "logistic regression";
  return { labels: await readLabels(output), source: `${model}, ${labels.length} true labels` };
}

/** The rows by their content alone: the names of their columns teach nothing. */
export function hashedInputs(inputs: ClassificationInputs): Given<ClassificationInputs> {
  const content = inputs.kind === "text" ? inputs.texts : { features: inputs.features, shape: inputs.shape };
  return givenInput(inputs, contentHash(content));
}

/*
 * A ladder of student sizes on a user's own data, as in the paper: each size is a supervisor that learns from the truth of some rows,
 * each size from there on up a student that learns from the supervisor's labels of other rows, and each has its ceiling.
 */
import {
  type ClassificationData,
  type Given,
  given as givenInput,
  methodNamed,
  naive,
  oneHot,
  parseConfig,
  type SoftLabels,
  type StageOutput,
  textPretrainingDefaults,
  UserError,
} from "outgrow";
import type { z } from "zod";
import { type Comparison, compare } from "./compare.js";
import { count, distinct } from "./fields.js";
import { drawParts, hashedInputs, type OwnDataOptions, ownDataSchema } from "./own-data.js";
import {
  type Lesson,
  ownRandom,
  type Parts,
  predictOwnStage,
  pretrainOwnStage,
  readLabels,
  selectLabels,
  trainOwnStage,
} from "./own-stages.js";

/** Widths of the models, two at least. */
export const ownLadderWidths = distinct(count, "width").refine(
  (widths) => widths.length > 1,
  "a ladder has two widths or more",
);

export const ownLadderSchema = ownDataSchema.extend({
  ladder: ownLadderWidths,
  /** Rows whose truth trains the supervisors. Default: half of those that are not for testing, as in the paper. */
  supervision: count.optional(),
});
export type OwnLadderConfig = z.output<typeof ownLadderSchema>;

/** One student of one supervisor in one repetition. Equal widths: self-training, the control. */
export interface OwnLadderRecord extends Comparison {
  seedIndex: number;
  /** Width of the supervisor, and of the student. */
  weak: number;
  student: number;
  method: string;
}

export interface OwnLadderResult {
  records: OwnLadderRecord[];
  parts: Parts;
}

/** Widths from small to large: what stands for strength before it is measured. */
const ascending = (widths: readonly number[]) => [...widths].sort((a, b) => a - b);

const pairsOf = (widths: readonly number[]) =>
  ascending(widths).flatMap((weak) =>
    widths.filter((student) => student >= weak).map((student) => ({ weak, student })),
  );

const pretrainingOf = (width: number) => `pretrain width ${width} without labels`;
const repetitionOf = (index: number) => `repetition ${index + 1}`;

/** The head over the vocabulary and the softmax take their time at every width: as much as so many units. */
const besides = 64;

/** Stages with their share of the work, for the progress display. */
export function ownLadderPlan(config: OwnLadderConfig): { name: string; weight: number }[] {
  const cost = (width: number) => width + besides;
  const total = config.ladder.reduce((sum, width) => sum + cost(width), 0);
  const passes = config.pretraining.epochs ?? textPretrainingDefaults.epochs;
  const lessons = pairsOf(config.ladder).reduce((sum, { student }) => sum + cost(student), 0);
  return [
    ...ascending(config.ladder).map((width) => ({
      name: pretrainingOf(width),
      weight: 2 * passes * cost(width),
    })),
    ...Array.from({ length: config.seeds }, (_, index) => ({
      name: repetitionOf(index),
      weight: 0.6 * (2 * total + lessons * config.methods.length),
    })),
  ];
}

/**
 * Trains and compares all pairs of the ladder. The pass that a model keeps is chosen on held-out rows by the labels that it learns from.
 * @throws UserError where rows have no truth, where weak labels are given, and where there are too few rows
 */
export async function fitOwnLadder(
  data: ClassificationData,
  given: z.input<typeof ownLadderSchema>,
  { progress, signal, lab }: OwnDataOptions,
): Promise<OwnLadderResult> {
  const config = parseConfig(ownLadderSchema, given, "fit");
  for (const name of config.methods) methodNamed(name);
  const { seed, pretraining } = config;
  const truth = wholeTruth(data);
  const classes = data.classes.length;
  const rows = hashedInputs(data.inputs);
  const golden = oneHot(truth, classes);
  const partsOf = (index: number) => drawLadderParts(data, config, index);
  const firstParts = partsOf(0); // before the long work: what cannot be is refused here
  const widths = ascending(config.ladder);

  const models = new Map<number, StageOutput>();
  for (const width of widths) {
    const stage = progress.begin(pretrainingOf(width));
    const model = await lab.run(
      pretrainOwnStage,
      { seed, ...pretraining, width },
      { rows },
      { signal, onProgress: stage.update },
    );
    models.set(width, model);
    stage.done(model.cached ? "reused" : undefined);
  }

  const records: OwnLadderRecord[] = [];
  for (let index = 0; index < config.seeds; index++) {
    const stage = progress.begin(repetitionOf(index));
    const parts = index === 0 ? firstParts : partsOf(index);
    const steps = 2 * widths.length + pairsOf(widths).length * config.methods.length;
    let done = 0;
    const train = (width: number, method: string, lesson: Given<Lesson>, name: string) => {
      const before = done++;
      return lab.run(
        trainOwnStage,
        { seed, index, method, classes },
        { model: models.get(width) as StageOutput, rows, lesson },
        {
          signal,
          onProgress: (fraction, detail) => stage.update((before + fraction) / steps, `${name}, ${detail}`),
        },
      );
    };
    const held = supervisorRows(parts, config.validationShare);
    const fromTruth = givenInput({ labels: golden, ...held, test: parts.test });
    const { supervision: _, ...studentRows } = parts;
    const ceilingLesson = givenInput({ labels: golden, ...studentRows });

    const supervisors = new Map<number, { everyRow: SoftLabels; lesson: Given<Lesson> }>();
    const ceilings = new Map<number, SoftLabels>();
    for (const width of widths) {
      const student = await train(width, naive.name, fromTruth, `supervisor ${width}`);
      const model = models.get(width) as StageOutput;
      const everyRow = await readLabels(
        await lab.run(predictOwnStage, { classes }, { model, student, rows }, { signal }),
      );
      supervisors.set(width, { everyRow, lesson: givenInput({ labels: everyRow, ...studentRows }) });
      ceilings.set(
        width,
        await readLabels(await train(width, naive.name, ceilingLesson, `ceiling ${width}`)),
      );
    }
    const testTruth = Int32Array.from(parts.test, (row) => truth[row]);
    for (const { weak, student } of pairsOf(widths)) {
      const { everyRow, lesson } = supervisors.get(weak) as { everyRow: SoftLabels; lesson: Given<Lesson> };
      for (const method of config.methods) {
        const output = await train(student, method, lesson, `${weak} → ${student}, ${method}`);
        records.push({
          seedIndex: index,
          weak,
          student,
          method,
          ...compare(testTruth, {
            weak: selectLabels(everyRow, parts.test),
            student: await readLabels(output),
            ceiling: ceilings.get(student),
          }),
        });
      }
    }
    stage.done();
  }
  return { records, parts: firstParts };
}

/** A ceiling of all of the student's rows, and the supervisor's half, need the truth of all rows. */
function wholeTruth({ truth, weak, file, lines }: ClassificationData): Int32Array {
  const place = { file };
  if (weak) {
    throw new UserError("a ladder makes its own weak labels, but weak labels are given", {
      place,
      hint: "Leave out --weak, or leave out --ladder for a student of the labels given.",
    });
  }
  const missing = truth ? truth.indexOf(-1) : 0;
  if (!truth || missing >= 0) {
    throw new UserError("the row has no truth: a ladder needs that of every row", {
      place: { ...place, row: lines[missing] },
      hint: "Supervisors and ceilings learn from the truth. Remove rows without, or leave out --ladder.",
    });
  }
  return truth;
}

function drawLadderParts(data: ClassificationData, config: OwnLadderConfig, index: number): Parts {
  const { ladder: _, ...own } = config;
  const n = data.ids.length;
  const test = own.test ?? Math.max(2, Math.min(2000, Math.floor(n / 5)));
  const supervision = own.supervision ?? Math.floor((n - test) / 2);
  return drawParts(data, { ...own, test, supervision }, ownRandom(own.seed).stream("seed", index));
}

/** The supervisors' rows, every n-th of them held out. */
function supervisorRows({ supervision }: Parts, share: number): Pick<Lesson, "transfer" | "validation"> {
  const every = Math.max(2, Math.round(1 / share));
  return {
    transfer: supervision.filter((_, i) => i % every !== 0),
    validation: supervision.filter((_, i) => i % every === 0),
  };
}

/** Means over repetitions, for lists of runs. */
export function ownLadderHeadlines(records: readonly OwnLadderRecord[]): Record<string, number> {
  const names = records.map(({ weak, student, method }) => `accuracy ${method} ${weak} → ${student}`);
  return Object.fromEntries(
    [...new Set(names)].map((name) => {
      const own = records.filter((_, i) => names[i] === name);
      return [name, own.reduce((sum, { studentAccuracy }) => sum + studentAccuracy, 0) / own.length];
    }),
  );
}

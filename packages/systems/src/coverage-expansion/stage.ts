import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defineStage, type Measured } from "outgrow";
import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";
import type { ClassExpansion } from "./measure.js";
import {
  type Accuracies,
  type LabelKind,
  labelKinds,
  type Representation,
  type ReviewSizes,
  SeedReviews,
} from "./reviews.js";
import { type CueRates, VOCABULARY } from "./world.js";

const rate = z.number().min(0).max(1);
const share = z.number().min(0).max(1);

export const worldFields = {
  seed: z.int().min(0).default(0),
  sizes: z
    .strictObject({
      unlabelled: z.int().min(2).default(8000),
      train: count.default(20000),
      test: count.default(8000),
      nearby: count.default(5),
    })
    .prefault({}),
  /** Of the cue words, in negative and positive reviews. */
  cues: z
    .strictObject({
      incredible: z.tuple([rate, rate]).default([0.04, 0.1]),
      horrible: z.tuple([rate, rate]).default([0.08, 0.012]),
    })
    .prefault({}),
  training: z
    .strictObject({
      repeats: count.default(5),
      share: share.default(0.8),
      steps: count.default(500),
      learningRate: z.number().positive().default(0.01),
      weightDecay: z.number().min(0).default(0.1),
      batchSize: count.default(64),
      validateEvery: count.default(25),
    })
    .prefault({}),
  /** q: sets below this share need not expand. */
  smallest: share.default(0.1),
  /** eta: students that label more of a review's wordings otherwise are fragile on it. */
  fragileFrom: share.default(0.25),
  /** Principal components of the two learned representations. */
  dimensions: z.tuple([count, count]).default([24, 96]),
  sweep: z
    .strictObject({
      /** Rates of the cue words where they mislead: "incredible" in negative, "horrible" in positive reviews. */
      misleading: distinct(z.tuple([rate, rate]), "pair of rates", String).default([
        [0.005, 0.005],
        [0.012, 0.012],
        [0.02, 0.03],
        [0.03, 0.03],
        [0.04, 0.012],
        [0.012, 0.04],
        [0.05, 0.06],
        [0.06, 0.02],
      ]),
    })
    .prefault({}),
  ablations: z
    .strictObject({
      dimensions: distinct(count, "number").default([4, 12, 48, 300]),
      weightDecay: distinct(z.number().min(0), "number").default([0, 1, 10]),
      /** What the rates of both cue words are multiplied by. */
      coverage: distinct(z.number().positive(), "number").default([0.5, 2]),
      smallest: distinct(share, "share").default([0.05, 0.2, 0.3]),
    })
    .prefault({}),
};

export const parts = ["students", "sweep", "ablations"] as const;
export type Part = (typeof parts)[number];

const stageSchema = z.strictObject({ ...worldFields, part: z.enum(parts) });
export type StageConfig = z.output<typeof stageSchema>;

export const representationNames = ["LSA, fewer", "LSA, more", "words"] as const;
export type { LabelKind };
export type RepresentationName = (typeof representationNames)[number];

/** One class of a world and its students; `class` null: both. null numbers are undefined there. */
export interface Row extends Record<string, string | number | null> {
  part: Part;
  /** Misleading rates in the sweep, what differs in an ablation, else `default`. */
  world: string;
  representation: RepresentationName;
  labels: LabelKind | "gold";
  class: number | null;
  coverage: number;
  /** Accuracy of weak labels where there are, of the students there, and where there are none. */
  teacher: number | null;
  covered: number;
  uncovered: number;
  /** Accuracy on all reviews; of both classes. */
  all: number | null;
  weakError: number | null;
  coveredRows: number | null;
  /** Of the worst student. */
  worstCovered: number | null;
  worstUncovered: number | null;
  disagreement: number | null;
  fragileCovered: number | null;
  fragileUncovered: number | null;
  badToGood: number | null;
  goodToUncovered: number | null;
  badToUncovered: number | null;
  correction: number | null;
  correctionFragile: number | null;
  simpleCorrection: number | null;
  coverageBound: number | null;
  coverageFragile: number | null;
  weakCoverage: number | null;
  triangle: number | null;
  /** How much of the cue words the representation has, from 0 to 1. */
  cueShare: number;
  /** By how much the expansion from badly to well labelled reviews may be off (theorem D.1). */
  uncertainty: number | null;
  /** Of both classes: P(covered) 4 a (1 - a) + P(uncovered) (Fu et al. 2020). */
  fuBound: number | null;
  /** Why there is no bound on the error of covered reviews. */
  reason: string | null;
}

const unmeasured = {
  weakError: null,
  coveredRows: null,
  worstCovered: null,
  worstUncovered: null,
  disagreement: null,
  fragileCovered: null,
  fragileUncovered: null,
  badToGood: null,
  goodToUncovered: null,
  badToUncovered: null,
  correction: null,
  correctionFragile: null,
  simpleCorrection: null,
  coverageBound: null,
  coverageFragile: null,
  weakCoverage: null,
  triangle: null,
  uncertainty: null,
  fuBound: null,
  reason: null,
};

/** Students and measurements of one part of the study. */
export const coverageStage = defineStage({
  name: "coverage-expansion/students",
  version: 1,
  code: import.meta.url,
  config: stageSchema,
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const { seed, sizes, cues, dimensions, ablations } = config;
    const most = Math.min(VOCABULARY, Math.max(...dimensions, ...ablations.dimensions));
    const given: ReviewSizes = { seed, ...sizes, dimensions: most, rates: cues };
    // The eigenvectors take longest: parts of a seed share them.
    const reviews = shared(JSON.stringify(given), () => new SeedReviews(given));
    const rows: Row[] = [];
    const wanted = settings(config);
    for (const [i, setting] of wanted.entries()) {
      signal.throwIfAborted();
      rows.push(...measured(reviews, setting, config));
      progress((i + 1) / wanted.length, setting.world);
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

interface Setting {
  world: string;
  rates: CueRates;
  name: RepresentationName;
  representation: Representation;
  labels: LabelKind | "gold";
  weightDecay: number;
  smallest: number;
}

function settings({ part, cues, dimensions, training, smallest, sweep, ablations }: StageConfig): Setting[] {
  const representations = {
    "LSA, fewer": dimensions[0],
    "LSA, more": dimensions[1],
    words: "words",
  } as const;
  const { weightDecay } = training;
  const usual = { world: "default", rates: cues, labels: "rule", weightDecay, smallest } as const;
  const each = (own: Omit<Setting, "name" | "representation">): Setting[] =>
    representationNames.map((name) => ({ ...own, name, representation: representations[name] }));
  if (part === "students") {
    return [...labelKinds, "gold" as const].flatMap((labels) => each({ ...usual, labels }));
  }
  if (part === "sweep") {
    return sweep.misleading.flatMap(([incredible, horrible]) =>
      each({
        ...usual,
        world: `${incredible} / ${horrible}`,
        rates: {
          incredible: [incredible, cues.incredible[1]],
          horrible: [cues.horrible[0], horrible],
        },
      }),
    );
  }
  const lsa = { ...usual, name: "LSA, fewer", representation: dimensions[0] } as const;
  const times = (pair: readonly [number, number], factor: number) =>
    pair.map((p) => Math.min(1, p * factor)) as [number, number];
  return [
    ...ablations.dimensions.map((own) => ({ ...lsa, world: `dimensions ${own}`, representation: own })),
    ...ablations.weightDecay.map((own) => ({ ...lsa, world: `weight decay ${own}`, weightDecay: own })),
    ...ablations.coverage.map((factor) => ({
      ...lsa,
      world: `coverage × ${factor}`,
      rates: { incredible: times(cues.incredible, factor), horrible: times(cues.horrible, factor) },
    })),
    ...ablations.smallest.map((own) => ({ ...lsa, world: `q ${own}`, smallest: own })),
  ];
}

function measured(reviews: SeedReviews, setting: Setting, config: StageConfig): Row[] {
  const { world, rates, name, representation, labels, weightDecay, smallest } = setting;
  const gold = labels === "gold";
  const labelled = reviews.labelled(rates, gold ? "rule" : labels);
  const options = { ...config.training, weightDecay, ...(gold && { repeats: 1 }) };
  const students = reviews.students(labelled, representation, options, { gold });
  const predictions = reviews.predictions(students, labelled);
  const accuracies = reviews.accuracies(predictions, labelled);
  const { coverage, teacher, covered, uncovered, all, byClass } = accuracies;
  const at = {
    part: config.part,
    world,
    representation: name,
    labels,
    coverage,
    cueShare: reviews.cueShare(representation),
  };
  const classes = gold
    ? undefined
    : reviews.expansions(predictions, labelled, {
        smallest,
        fragileFrom: config.fragileFrom,
        dimension: 1 + (representation === "words" ? VOCABULARY : representation),
      });
  return [
    { ...unmeasured, ...at, class: null, teacher, covered, uncovered, all, fuBound: fuBound(accuracies) },
    ...byClass.map((own, k) => ({
      ...unmeasured,
      ...at,
      class: k,
      teacher: null,
      ...own,
      all: null,
      ...(classes && ofClass(classes[k])),
    })),
  ];
}

/** Alpha of both classes together. */
const fuBound = ({ coverage, teacher }: Accuracies): number =>
  coverage * 4 * teacher * (1 - teacher) + 1 - coverage;

function ofClass(found: ClassExpansion): Partial<Row> {
  const { counts, weakError, covered, uncovered, expansion, uncertainty, bounds } = found;
  const value = ({ value: own }: Measured) => own;
  return {
    teacher: weakError.value === null ? null : 1 - weakError.value,
    weakError: value(weakError),
    coveredRows: counts.good + counts.bad,
    worstCovered: covered?.error.worst ?? null,
    worstUncovered: uncovered?.error.worst ?? null,
    disagreement: covered?.disagreement.worst ?? null,
    fragileCovered: covered?.fragile?.worst ?? null,
    fragileUncovered: uncovered?.fragile?.worst ?? null,
    badToGood: value(expansion.badToGood),
    goodToUncovered: value(expansion.goodToUncovered),
    badToUncovered: value(expansion.badToUncovered),
    correction: value(bounds.correction),
    correctionFragile: value(bounds.correctionFragile),
    simpleCorrection: value(bounds.simpleCorrection),
    coverageBound: value(bounds.coverage),
    coverageFragile: value(bounds.coverageFragile),
    weakCoverage: value(bounds.weakCoverage),
    triangle: value(bounds.triangle),
    uncertainty: value(uncertainty.badToGood),
    reason: bounds.correction.value === null ? bounds.correction.reason : null,
  };
}

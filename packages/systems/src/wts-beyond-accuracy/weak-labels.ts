/*
 * Weak-to-strong classification of texts (Ye et al. 2024): a small model labels, a larger one learns from the labels; and what may make
 * it learn better. Works on any language models, e.g. loaded from Hugging Face folders.
 */
import { type LanguageModel, type Random, type SoftLabels, UserError } from "outgrow";
import {
  type ClassifierLesson,
  hardened,
  hardLabels,
  type TextClassifier,
  type TextClassifiers,
} from "./classifiers.js";
import { filled } from "./continuations.js";

/** How a student learns from the weak labels, each by itself. */
export const strategies = [
  "naive",
  "soft labels",
  "confidence loss",
  "confident half",
  "bootstrapped",
] as const;
export type Strategy = (typeof strategies)[number];

export interface LabelledTexts {
  texts: readonly string[];
  /** Classes, `[texts]`. */
  labels: Int32Array;
}

/** The models, before any finetuning. */
export interface BaseModels {
  weak: LanguageModel;
  /** Learns from the weak labels and labels for the student: needed for `bootstrapped`. */
  middle?: LanguageModel;
  strong: LanguageModel;
}

/**
 * The texts whose labels are the most confident: of each class, by argmax, the given share, at least one.
 *
 * @returns their numbers, ascending
 */
export function mostConfident({ values, shape: [count, classes] }: SoftLabels, share = 0.5): number[] {
  const confidence = (row: number) => Math.max(...values.subarray(row * classes, (row + 1) * classes));
  const rows = Array.from({ length: count }, (_, row) => row);
  const labels = hardened({ values, shape: [count, classes] }).values;
  return Array.from({ length: classes }, (_, k) => {
    const own = rows.filter((row) => labels[row * classes + k] === 1);
    const kept = own.length === 0 ? 0 : Math.max(1, Math.round(share * own.length));
    return own.sort((a, b) => confidence(b) - confidence(a) || a - b).slice(0, kept);
  })
    .flat()
    .sort((a, b) => a - b);
}

/** Rows of labels. */
export function selectLabels(
  { values, shape: [, classes] }: SoftLabels,
  rows: readonly number[],
): SoftLabels {
  const chosen = new Float32Array(rows.length * classes);
  rows.forEach((row, i) => {
    chosen.set(values.subarray(row * classes, (row + 1) * classes), i * classes);
  });
  return { values: chosen, shape: [rows.length, classes] };
}

/** Duplicates between the parts would let a student see what it is tested on. @throws UserError naming one */
export function refuseOverlap(parts: Readonly<Record<string, readonly string[]>>): void {
  const seen = new Map<string, string>();
  for (const [part, texts] of Object.entries(parts)) {
    for (const text of texts) {
      const other = seen.get(text);
      if (other !== undefined && other !== part) {
        throw new UserError(`a text is in ${other} and in ${part}: ${JSON.stringify(text.slice(0, 60))}`, {
          hint: "Remove duplicates before splitting.",
        });
      }
      seen.set(text, part);
    }
  }
}

/** Share of what is learnt from that is held out, with labels of the same source, to choose the best pass. */
const heldOut = 0.1;

/**
 * A lesson of some labels: the last tenth of the texts is held out. `train` is sliced once, so that the same texts are encoded once.
 */
export function lessonsOf(texts: readonly string[]) {
  const cut = texts.length - Math.floor(heldOut * texts.length);
  const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const [train, validation] = [texts.slice(0, cut), texts.slice(cut)];
  const validated = (labels: SoftLabels) => ({
    texts: validation,
    labels: selectLabels(labels, rows(cut, texts.length)),
  });
  return {
    all: (labels: SoftLabels, random: Random): ClassifierLesson => ({
      texts: train,
      labels: selectLabels(labels, rows(0, cut)),
      random,
      ...(validation.length > 0 && { validation: validated(labels) }),
    }),
    /** The most confident half of each class, twice over: as many steps as the others. */
    confident(labels: SoftLabels, random: Random): ClassifierLesson {
      const kept = filled(mostConfident(selectLabels(labels, rows(0, cut))), cut);
      return {
        texts: kept.map((row) => train[row]),
        labels: hardened(selectLabels(labels, kept)),
        random,
        ...(validation.length > 0 && { validation: validated(hardened(labels)) }),
      };
    },
  };
}

export interface WeakToStrongResult {
  weak: TextClassifier;
  /** Of the transfer texts. */
  weakLabels: SoftLabels;
  students: Partial<Record<Strategy, TextClassifier>>;
  /** Where the transfer texts have true labels. */
  ceiling?: TextClassifier;
}

/**
 * Finetunes the weak model on true labels, labels the transfer texts with it, and finetunes a student for each strategy.
 *
 * @param data.transfer true labels are for the ceiling alone
 * @throws UserError for a text in both parts, weak labels of one class alone, and `bootstrapped` without a middle model
 */
export async function weakToStrongClassifiers(
  classifiers: TextClassifiers,
  models: BaseModels,
  data: { supervision: LabelledTexts; transfer: { texts: readonly string[]; labels?: Int32Array } },
  options: { classes: number; strategies?: readonly Strategy[]; random: Random; signal?: AbortSignal },
): Promise<WeakToStrongResult> {
  const { supervision, transfer } = data;
  const { classes, random, signal, strategies: wanted = ["naive"] } = options;
  refuseOverlap({ "the supervision part": supervision.texts, "the transfer part": transfer.texts });
  const order = () => random.stream("order");
  const taught = lessonsOf(supervision.texts).all(hardLabels(supervision.labels, classes), order());
  const [weak] = await classifiers.train(models.weak, [taught], "cross-entropy", signal);
  const weakLabels = await classifiers.probabilities(weak, transfer.texts);
  const hard = hardened(weakLabels);
  const lessons = lessonsOf(transfer.texts);
  const students: Partial<Record<Strategy, TextClassifier>> = {};
  for (const strategy of wanted) {
    const lesson = {
      naive: async () => lessons.all(hard, order()),
      "confidence loss": async () => lessons.all(hard, order()),
      "soft labels": async () => lessons.all(weakLabels, order()),
      "confident half": async () => lessons.confident(weakLabels, order()),
      bootstrapped: async () => {
        if (!models.middle) throw new UserError("bootstrapping needs a middle model, and none was given");
        const [middle] = await classifiers.train(
          models.middle,
          [lessons.all(hard, order())],
          "cross-entropy",
          signal,
        );
        return lessons.all(hardened(await classifiers.probabilities(middle, transfer.texts)), order());
      },
    }[strategy];
    const loss = strategy === "confidence loss" ? "confidence" : "cross-entropy";
    [students[strategy]] = await classifiers.train(models.strong, [await lesson()], loss, signal);
  }
  if (!transfer.labels) return { weak, weakLabels, students };
  const truth = lessons.all(hardLabels(transfer.labels, classes), order());
  const [ceiling] = await classifiers.train(models.strong, [truth], "cross-entropy", signal);
  return { weak, weakLabels, students, ceiling };
}

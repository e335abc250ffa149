/* The safety and the legal track of one seed: all models of all finetuning runs, and what they say of the test. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  argmaxRows,
  createDecoder,
  defineStage,
  fromStage,
  type LanguageModel,
  type Random,
  type SoftLabels,
} from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { baseModel, contextLength, modelSize, reactions, seedOf, tokenizer, worldOf } from "./base-models.js";
import {
  type ClassifierLesson,
  type ClassifierLoss,
  hardened,
  hardLabels,
  type TextClassifier,
  TextClassifiers,
} from "./classifiers.js";
import { lessonsOf, refuseOverlap, strategies } from "./weak-labels.js";

export const tasks = ["safety", "legal"] as const;
export type Task = (typeof tasks)[number];

/** Models in the place of the student, beside the strategies. */
export const references = ["weak", "untuned", "ceiling", "self-training", "shuffled labels"] as const;
export const classificationMethods = [...references, ...strategies] as const;
export type ClassificationMethod = (typeof classificationMethods)[number];

const course = z.strictObject({ learningRate: z.number().positive(), epochs: count, batchSize: count });

export const finetuningFields = {
  /** Of all that learn from others, and of the ceiling. */
  finetuning: course,
  weakFinetuning: course,
};

/** Classes on the test, `[runs][method]`; null where the labels were of one class alone, so that nothing could be learnt. */
export interface Predictions {
  truth: number[];
  runs: Record<ClassificationMethod, number[] | null>[];
}

/** Relevant items are few: one in four (the card). */
const itemsOf = (seed: number, task: Task, random: Random) => {
  const world = worldOf(seed);
  return (split: "supervision" | "transfer" | "test", size: number) => {
    const own = random.stream(split);
    const items =
      task === "safety"
        ? world.safetyItems(split, size, own).map(({ text, safe }) => ({ text, label: safe }))
        : world.relevanceItems(split, size, own).map(({ text, relevant }) => ({ text, label: relevant }));
    return { texts: items.map(({ text }) => text), labels: Int32Array.from(items, ({ label }) => label) };
  };
};

export const classificationStage = defineStage({
  name: "wts-beyond-accuracy/classification",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    seed: z.int().min(0),
    task: z.enum(tasks),
    runs: count,
    sizes: z.strictObject({ weak: modelSize, middle: modelSize, strong: modelSize }),
    items: z.strictObject({ supervision: count, transfer: count, test: count }),
    /** Share of wrong labels in the supervision of the safety track. */
    noise: z.number().min(0).max(0.5),
    weightDecay: z.number().min(0),
    ...finetuningFields,
  }),
  inputs: { weak: fromStage, middle: fromStage, strong: fromStage },
  async run({ config, inputs, folder, signal, progress, shared }) {
    const { seed, task, runs, sizes, items, noise, finetuning, weakFinetuning, weightDecay } = config;
    const random = seedOf(seed).stream(task);
    const draw = itemsOf(seed, task, random);
    const [supervision, transfer, test] = (["supervision", "transfer", "test"] as const).map((split) =>
      draw(split, items[split]),
    );
    refuseOverlap({ supervision: supervision.texts, transfer: transfer.texts, test: test.texts });
    if (task === "safety") {
      const flips = random.stream("noise");
      supervision.labels = supervision.labels.map((label) => (flips.uniform() < noise ? 1 - label : label));
    }
    const models = {
      weak: await baseModel(inputs.weak, sizes.weak),
      middle: await baseModel(inputs.middle, sizes.middle),
      strong: await baseModel(inputs.strong, sizes.strong),
    };
    const classifiersOf = (course: typeof finetuning) => {
      const recipe = { ...course, weightDecay, warmup: 0.05, length: contextLength };
      return shared(`classifiers ${JSON.stringify(recipe)}`, () => new TextClassifiers(recipe));
    };
    const classifiers = classifiersOf(finetuning);
    const order = (run: number) => random.stream("order", run);
    const each = <T>(make: (run: number) => T): T[] => Array.from({ length: runs }, (_, run) => make(run));
    const label = (model: TextClassifier, texts: readonly string[]) =>
      classifiers.probabilities(model, texts);

    const ofSupervision = lessonsOf(supervision.texts);
    const weak = await classifiersOf(weakFinetuning).train(
      models.weak,
      each((run) => ofSupervision.all(hardLabels(supervision.labels), order(run))),
      "cross-entropy",
      signal,
    );
    const weakLabels: SoftLabels[] = [];
    for (const model of weak) weakLabels.push(await label(model, transfer.texts));
    progress(0.2, "weak");
    const lessons = lessonsOf(transfer.texts);
    const hard = weakLabels.map(hardened);
    const learnable = (lesson: ClassifierLesson) => new Set(argmaxRows(lesson.labels.values, 2)).size > 1;
    /** Trains where there is something to learn. */
    const train = async (
      model: LanguageModel,
      lessonsOfAll: readonly ClassifierLesson[],
      loss: ClassifierLoss = "cross-entropy",
    ): Promise<(TextClassifier | null)[]> => {
      const kept = lessonsOfAll.filter(learnable);
      const trained = kept.length > 0 ? await classifiers.train(model, kept, loss, signal) : [];
      return lessonsOfAll.map((lesson) => trained[kept.indexOf(lesson)] ?? null);
    };
    const middle = await train(
      models.middle,
      each((run) => lessons.all(hard[run], order(run))),
    );
    const middleLabels: SoftLabels[] = [];
    for (const [run, model] of middle.entries()) {
      middleLabels.push(model ? hardened(await label(model, transfer.texts)) : hard[run]);
    }
    progress(0.3, "middle");

    const ownLabels = hardLabels(await reactionsOf(models.strong, transfer.texts));
    const shuffle = (labels: SoftLabels, run: number) => {
      const classes = argmaxRows(labels.values, 2);
      return hardLabels(
        Array.from(random.stream("shuffled", run).permutation(classes.length), (i) => classes[i]),
      );
    };
    const taught: Record<string, (run: number) => ClassifierLesson> = {
      ceiling: (run) => lessons.all(hardLabels(transfer.labels), order(run)),
      "self-training": (run) => lessons.all(ownLabels, order(run)),
      "shuffled labels": (run) => lessons.all(shuffle(hard[run], run), order(run)),
      naive: (run) => lessons.all(hard[run], order(run)),
      "soft labels": (run) => lessons.all(weakLabels[run], order(run)),
      "confident half": (run) => lessons.confident(weakLabels[run], order(run)),
      bootstrapped: (run) => lessons.all(middleLabels[run], order(run)),
    };
    const names = Object.keys(taught);
    const students = await train(
      models.strong,
      names.flatMap((name) => each((run) => taught[name](run))),
    );
    progress(0.8, "students");
    const confident = await train(models.strong, each(taught.naive), "confidence");
    const untuned = Array.from(await reactionsOf(models.strong, test.texts));
    const predictions: Predictions = { truth: Array.from(test.labels), runs: [] };
    for (let run = 0; run < runs; run++) {
      const trained = Object.fromEntries([
        ["weak", weak[run]],
        ["confidence loss", confident[run]],
        ...names.map((name, i) => [name, students[i * runs + run]] as const),
      ]);
      const said: Record<string, number[] | null> = { untuned };
      for (const [name, model] of Object.entries(trained)) {
        said[name] = model && Array.from(argmaxRows((await label(model, test.texts)).values, 2));
      }
      predictions.runs.push(said as Predictions["runs"][number]);
    }
    await writeFile(join(folder, "predictions.json"), JSON.stringify(predictions));
  },
});

/** What a model that was not finetuned says: the reaction that is the likelier after a text. */
async function reactionsOf(model: LanguageModel, texts: readonly string[]): Promise<Int32Array> {
  const decoder = createDecoder(model, { capacity: 256 });
  const [bad, good] = reactions.map((word) => tokenizer.encode(word)[0]);
  const labels = new Int32Array(texts.length);
  try {
    for (let start = 0; start < texts.length; start += decoder.capacity) {
      const part = texts.slice(start, start + decoder.capacity).map((text) => tokenizer.encode(text));
      const { rows, logits } = await decoder.add(part);
      rows.forEach((row, i) => {
        const at = i * decoder.vocabularySize;
        labels[start + i] = Number(logits[at + good] > logits[at + bad]);
        decoder.remove(row);
      });
    }
  } finally {
    await decoder.dispose();
  }
  return labels;
}

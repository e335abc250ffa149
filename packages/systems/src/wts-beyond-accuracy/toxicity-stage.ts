/* The toxicity track of one seed: language models that learn from continuations, and the scores of what they write. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  defineStage,
  distinctN,
  freeTextWords,
  fromStage,
  type LanguageModel,
  type PreferenceWorld,
  type Random,
} from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { baseModel, modelSize, seedOf, worldOf } from "./base-models.js";
import { finetuningFields } from "./classification-stage.js";
import { classifierRecipe, hardLabels, TextClassifiers } from "./classifiers.js";
import {
  type Continuation,
  ContinuationTrainer,
  continuationRecipe,
  filled,
  leastToxic,
  paperSampling,
  writeContinuations,
} from "./continuations.js";
import { lessonsOf } from "./weak-labels.js";

/** What the strong model is taught: continuations by the weak model but for the ceiling's and its own. */
export const targets = [
  "ceiling",
  "naive",
  "best of 1",
  "best of 4",
  "best of 25",
  "any of 25",
  "without toxic",
  "bootstrapped",
  "self-training",
] as const;
export const toxicityMethods = ["weak", "untuned", ...targets] as const;
export type ToxicityMethod = (typeof toxicityMethods)[number];

/** What a model writes on the test prompts, scored. */
export interface Written {
  /** Of the greedy continuations, `[prompts]`. */
  greedy: number[];
  /** Of the samples, `[prompts][samples]`. */
  sampled: number[][];
  /** Nats per word of each prompt's samples under the world's own generator, their mean: `[prompts]`. */
  quality: number[];
  /** Different bigrams as a share of all, within greedy continuations and within first samples. */
  distinctGreedy: number;
  distinctSampled: number;
  /** Continuations without a word. */
  empty: number;
}
export type Scored = Record<ToxicityMethod, Written>[];

const words = 12;
/** Nats of a word that the generator never writes, and of a continuation without any. Its own words have -6.1 and more. */
const worstWord = -10;

interface Prompted {
  prompt: string;
  truth: string;
}

/** Prompts without harm, half of them with a relation that is begun; continuations without harm. */
function draw(world: PreferenceWorld, size: number, random: Random, seen: Set<string>): Prompted[] {
  const items: Prompted[] = [];
  while (items.length < size) {
    const isOpen = items.length % 2 === 1;
    const { actions } = freeTextWords;
    const prompt = isOpen
      ? `${world.text(words - 1, random, { harm: "none" })} ${actions[random.integer(actions.length)]}`
      : world.text(words, random, { harm: "none" });
    if (seen.has(prompt)) continue;
    seen.add(prompt);
    items.push({ prompt, truth: world.text(words, random, { harm: "none", start: prompt }) });
  }
  return items;
}

/** Mean log-probability of a continuation's words. */
export function qualityOf(world: PreferenceWorld, prompt: string, text: string): number {
  const all = text.split(" ").filter((word) => word !== "");
  if (all.length === 0) return worstWord;
  const own = all.filter((word) => world.textLogProb(word) > -Infinity);
  return (world.textLogProb(own.join(" "), prompt) + worstWord * (all.length - own.length)) / all.length;
}

export const toxicityStage = defineStage({
  name: "wts-beyond-accuracy/toxicity",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    seed: z.int().min(0),
    runs: count,
    sizes: z.strictObject({ weak: modelSize, middle: modelSize, strong: modelSize }),
    items: z.strictObject({ supervision: count, transfer: count, test: count, samples: count }),
    weakSamples: z.int().min(25),
    ...finetuningFields,
  }),
  inputs: { weak: fromStage, middle: fromStage, strong: fromStage },
  async run({ config, inputs, folder, signal, progress, shared }) {
    const { seed, runs, sizes, items, weakSamples, finetuning, weakFinetuning } = config;
    const world = worldOf(seed);
    const random = seedOf(seed).stream("toxicity");
    const seen = new Set<string>();
    const [supervision, transfer, test] = (["supervision", "transfer", "test"] as const).map((part) =>
      draw(world, items[part], random.stream(part), seen),
    );
    const models = {
      weak: await baseModel(inputs.weak, sizes.weak),
      middle: await baseModel(inputs.middle, sizes.middle),
      strong: await baseModel(inputs.strong, sizes.strong),
    };
    const trainerOf = (course: typeof finetuning) => {
      const recipe = { ...continuationRecipe, ...course };
      return shared(`continuations ${JSON.stringify(recipe)}`, () => new ContinuationTrainer(recipe));
    };
    const trainer = trainerOf(finetuning);
    const labelling = { ...classifierRecipe, ...weakFinetuning, length: 2 * words };
    const classifiers = shared(
      `classifiers ${JSON.stringify(labelling)}`,
      () => new TextClassifiers(labelling),
    );
    const truthOf = (part: readonly Prompted[]): Continuation[] =>
      part.map(({ prompt, truth }) => ({ prompt, text: truth }));
    const prompts = transfer.map(({ prompt }) => prompt);
    const greedy = async (model: LanguageModel, of: readonly string[]) =>
      (await writeContinuations(model, of, { temperature: 0, maxTokens: words, capacity })).flat();
    const sampled = (model: LanguageModel, of: readonly string[], samples: number, stream: Random) =>
      writeContinuations(model, of, {
        ...paperSampling,
        maxTokens: words,
        samples,
        capacity,
        seed: stream.integer(2 ** 30),
      });
    const pairs = (texts: readonly string[]): Continuation[] =>
      texts.map((text, i) => ({ prompt: prompts[i], text }));
    const toxicity = ({ prompt, text }: Continuation) => world.toxicity(`${prompt} ${text}`);

    const order = (run: number) => random.stream("order", run);
    const each = Array.from({ length: runs }, (_, run) => run);
    const weak = await trainerOf(weakFinetuning).train(
      models.weak,
      each.map((run) => ({ continuations: truthOf(supervision), random: order(run) })),
      signal,
    );
    const judged = random.stream("judged");
    const texts = Array.from({ length: items.supervision }, () => world.text(2 * words, judged));
    const judge = lessonsOf(texts).all(
      hardLabels(texts.map((text) => Number(world.toxicity(text) > 0))),
      random.stream("judge"),
    );
    const [weakJudge] = await classifiers.train(models.weak, [judge], "cross-entropy", signal);

    const lessons: { run: number; name: (typeof targets)[number]; continuations: Continuation[] }[] = [];
    for (const run of each) {
      const weakGreedy = await greedy(weak[run], prompts);
      const samples = await sampled(weak[run], prompts, weakSamples, random.stream("weak samples", run));
      const flat = samples.flatMap((group, i) => group.map((text) => `${prompts[i]} ${text}`));
      const { values } = await classifiers.probabilities(weakJudge, flat);
      const scores = samples.map((group, i) => group.map((_, j) => values[2 * (i * weakSamples + j) + 1]));
      const chance = random.stream("any", run);
      const [middle] = await trainer.train(
        models.middle,
        [{ continuations: pairs(weakGreedy), random: order(run) }],
        signal,
      );
      const first = pairs(leastToxic(samples, scores, 1));
      const taught: Record<(typeof targets)[number], Continuation[]> = {
        ceiling: truthOf(transfer),
        naive: pairs(weakGreedy),
        "best of 1": first,
        "best of 4": pairs(leastToxic(samples, scores, 4)),
        "best of 25": pairs(leastToxic(samples, scores, 25)),
        "any of 25": pairs(samples.map((group) => group[chance.integer(group.length)])),
        "without toxic": filled(
          first.filter((continuation) => toxicity(continuation) === 0),
          first.length,
        ),
        bootstrapped: pairs(await greedy(middle, prompts)),
        "self-training": pairs(await greedy(models.strong, prompts)),
      };
      for (const name of targets) lessons.push({ run, name, continuations: taught[name] });
      progress((0.3 * (run + 1)) / runs, "weak continuations");
    }
    const students = await trainer.train(
      models.strong,
      lessons.map(({ run, continuations }) => ({ continuations, random: order(run) })),
      signal,
    );
    progress(0.6, "students");

    const tested = test.map(({ prompt }) => prompt);
    const write = async (model: LanguageModel, run: number): Promise<Written> => {
      const [plain, drawn] = [
        await greedy(model, tested),
        await sampled(model, tested, items.samples, random.stream("test samples", run)),
      ];
      const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
      const distinct = (texts: readonly string[]) =>
        mean(texts.map((text) => distinctN([text.split(" ")], 2).value ?? 0));
      return {
        greedy: plain.map((text, i) => toxicity({ prompt: tested[i], text })),
        sampled: drawn.map((group, i) => group.map((text) => toxicity({ prompt: tested[i], text }))),
        quality: drawn.map((group, i) => mean(group.map((text) => qualityOf(world, tested[i], text)))),
        distinctGreedy: distinct(plain),
        distinctSampled: distinct(drawn.map(([text]) => text)),
        empty: [...plain, ...drawn.flat()].filter((text) => text === "").length,
      };
    };
    const results: Scored = [];
    for (const run of each) {
      const untuned = results[0]?.untuned ?? (await write(models.strong, 0));
      const scored: Record<string, Written> = { weak: await write(weak[run], run), untuned };
      for (const [i, lesson] of lessons.entries()) {
        if (lesson.run === run) scored[lesson.name] = await write(students[i], run);
      }
      results.push(scored as Scored[number]);
      progress(0.6 + (0.4 * (run + 1)) / runs, "test continuations");
    }
    await writeFile(join(folder, "scores.json"), JSON.stringify(results));
  },
});

/** Rows of a decoder at a time: many, for models so small. */
const capacity = 256;

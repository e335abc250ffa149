/* The language models that all tracks start from: three sizes, pretrained on free text of the world, harm and all. */
import { join } from "node:path";
import {
  createRandom,
  type Document,
  defineStage,
  freeTextWords,
  initTransformer,
  type LanguageModel,
  loadCheckpoint,
  type PreferenceWorld,
  preferenceWorld,
  pretrain,
  type Random,
  type StageOutput,
  saveCheckpoint,
  type TransformerSizes,
  transformerConfig,
} from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { wordTokenizer } from "./word-tokenizer.js";

export const sizeNames = ["weak", "middle", "strong"] as const;
export type SizeName = (typeof sizeNames)[number];

export const modelSize = z.strictObject({
  width: count,
  layers: count,
  heads: count,
  /** Tokens of pretraining. */
  tokens: count,
});
export type ModelSize = z.output<typeof modelSize>;

/** The card's sizes: about 3, 16 and 60 thousand weights. */
export const modelSizes: Record<SizeName, ModelSize> = {
  weak: { width: 12, layers: 1, heads: 2, tokens: 100_000 },
  middle: { width: 24, layers: 2, heads: 2, tokens: 400_000 },
  strong: { width: 48, layers: 2, heads: 4, tokens: 800_000 },
};

/** Words in a text of pretraining, and in a prompt with its continuation. */
export const contextLength = 24;

/** What is said after a text that does harm, or of a clause that is beside the question; and after others. */
export const reactions = ["sorry", "indeed"] as const;

const words = [
  ...freeTextWords.topics.flat(),
  ...freeTextWords.agents,
  ...freeTextWords.actions,
  ...freeTextWords.function,
  "is",
  "?",
  ...reactions,
];
export const tokenizer = wordTokenizer(words);

export const seedOf = (seed: number) => createRandom(seed).stream("wts-beyond-accuracy");

/** The world of a seed. Its free text has a harm relation in about 3 of 10 texts. */
export const worldOf = (seed: number): PreferenceWorld =>
  preferenceWorld.generate({}, seedOf(seed).stream("world"));

function blank(
  { width, layers, heads }: Omit<TransformerSizes, "vocabularySize" | "contextLength">,
  seed: number,
) {
  const config = transformerConfig("gpt2", {
    vocabularySize: tokenizer.vocabularySize,
    contextLength,
    width,
    layers,
    heads,
  });
  const params = initTransformer(config, seedOf(seed).stream("init", width));
  // GPT-2's deviation of 0.02 is for its width; narrow blocks that begin so small hardly learn relations.
  for (const block of params.blocks) {
    for (const { weight } of [block.queries, block.keys, block.values, block.out, block.up, block.down]) {
      (weight.data as Float32Array).forEach((value, i, data) => {
        data[i] = 3 * value;
      });
    }
  }
  return { config, params, tokenizer, endTokens: [0] } satisfies LanguageModel;
}

/**
 * A text that nobody labelled. Free text alone says nothing of relations: an agent is as likely after an action as elsewhere. What
 * the students are to be shown is latent in the reactions, which are right more often than not.
 */
function documentOf(
  world: PreferenceWorld,
  { requests, questions, right }: z.output<typeof documentShares>,
  random: Random,
): { text: string; reacts: boolean } {
  const kind = random.uniform();
  if (kind >= requests + questions) return { text: world.text(contextLength, random), reacts: false };
  const react = (isGood: boolean) => reactions[Number(random.uniform() < right === isGood)];
  if (kind < requests) {
    const text = world.text(12 + random.integer(9), random);
    return { text: `${text} ${react(world.toxicity(text) === 0)}`, reacts: true };
  }
  const [{ text, relevant }] = world.relevanceItems("pretrain", 1, random, { relevant: 0.5 });
  return { text: `${text} ${react(relevant === 1)}`, reacts: true };
}

/** Shares of requests and of questions with a reaction among the texts; the rest is free text. */
export const documentShares = z.strictObject({
  requests: z.number().min(0).max(1).default(0.5),
  questions: z.number().min(0).max(1).default(0.35),
  /** How often a reaction is right; 0.5 says nothing. */
  right: z.number().min(0).max(1).default(0.98),
  /** For how many tokens a reaction counts in the loss. */
  reactionWeight: z.number().positive().default(5),
});

const file = "model.safetensors";

export const pretrainStage = defineStage({
  name: "wts-beyond-accuracy/pretrain",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    seed: z.int().min(0),
    size: modelSize,
    learningRate: z.number().positive(),
    batchSize: count,
    documents: documentShares,
  }),
  inputs: {},
  async run({ config, folder, signal, progress, metrics }) {
    const { seed, size, learningRate, batchSize } = config;
    const world = worldOf(seed);
    const random = seedOf(seed).stream("pretraining", size.width);
    const texts = random.stream("texts");
    const documents: Document[] = [];
    for (let tokens = 0; tokens < size.tokens; ) {
      const { text, reacts } = documentOf(world, config.documents, texts);
      const ids = Int32Array.of(...tokenizer.encode(text), 0);
      const weights = new Float32Array(ids.length).fill(1);
      if (reacts) weights[ids.length - 2] = config.documents.reactionWeight;
      documents.push({ ids, weights });
      tokens += ids.length;
    }
    const { model } = await pretrain(blank(size, seed), [{ documents }], {
      batchSize,
      learningRate,
      schedule: { decay: "cosine", warmup: 0.02 },
      random: random.stream("order"),
      signal,
      onStep({ step, totalSteps, loss }) {
        progress(step / totalSteps, `loss ${loss.toFixed(3)}`);
        if (step % Math.ceil(totalSteps / 100) === 0) metrics(step, { loss });
      },
    });
    await saveCheckpoint(join(folder, file), model.params);
  },
});

export async function baseModel(output: StageOutput, size: ModelSize): Promise<LanguageModel> {
  await output.read(file); // every byte is checked before it is used
  const like = blank(size, 0);
  return { ...like, params: (await loadCheckpoint(join(output.folder, file), like.params)).tree };
}

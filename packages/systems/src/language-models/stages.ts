/* Training of language models on a user's own texts, as stages that the lab keeps. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  answerDocument,
  type ChatMessage,
  chatMLTemplate,
  chatMLTokens,
  createRandom,
  type Document,
  defineStage,
  encodeChat,
  finetuneOnAnswers,
  flatTree,
  fromValue,
  initTransformer,
  type LanguageModel,
  type LanguageModelResult,
  type LanguageModelTraining,
  loadLanguageModel,
  pretrain,
  type Random,
  type StageContext,
  type StageOutput,
  saveAdapters,
  saveLanguageModel,
  trainBpe,
  transformerConfig,
  UserError,
} from "outgrow";
import { z } from "zod";

const size = z.int().min(1);
const share = z.number().min(0).max(1);

/** What every training of a language model is told. */
const trainingFields = {
  seed: z.int().min(0).default(0),
  /** Rows of the context's length in a step. */
  batchSize: size.default(16),
  microBatches: size.default(1),
  weightDecay: z.number().min(0).default(0),
  decay: z.enum(["cosine", "linear", "constant", "wsd"]).default("cosine"),
  warmup: share.default(0.05),
  floor: share.default(0.05),
  /** Share of the documents or examples that are held out; training keeps the weights at their lowest loss. */
  heldOut: z.number().min(0).max(0.5).default(0.05),
};

export const pretrainingSchema = z.strictObject({
  ...trainingFields,
  /** Tokens to read. Default: one pass. */
  tokens: size.optional(),
  learningRate: z.number().positive().default(3e-3),
  weightDecay: z.number().min(0).default(0.1),
  /** Of a new model; one that is trained further has its own. */
  vocabularySize: z.int().min(300).default(2048),
  contextLength: z.int().min(8).default(128),
  width: size.default(128),
  layers: size.default(4),
  heads: size.default(4),
  keyValueHeads: size.optional(),
});

export const finetuningSchema = z.strictObject({
  ...trainingFields,
  epochs: z.number().positive().default(3),
  learningRate: z.number().positive().default(3e-4),
  /** Rank of adapters; absent: all weights are trained. */
  rank: size.optional(),
  alpha: z.number().positive().optional(),
});

/** An example of finetuning: an answered prompt, or a chat whose assistant is to be learnt from. */
export type FinetuningExample = { prompt: string; answer: string } | { messages: ChatMessage[] };

/** What a training has to tell beside its model. */
export interface TrainingCurve {
  parameters: number;
  /** Documents or examples that were trained on, held out, and left out because they are longer than the context. */
  trained: number;
  heldOut: number;
  tooLong: number;
  losses: { step: number; loss: number }[];
  validation: { step: number; loss: number }[];
  bestStep: number;
}

const modelFolder = "model";
const curveFile = "curve.json";
const endToken = "<|endoftext|>";
/** More points in a curve cannot be told apart. */
const pointsOfCurve = 200;
const stepsBetweenValidations = 50;

export const pretrainTextsStage = defineStage({
  name: "language-models/pretrain",
  version: 1,
  code: import.meta.url,
  config: pretrainingSchema,
  inputs: { texts: fromValue<readonly string[]>(), start: fromValue<LanguageModel | null>() },
  async run(context) {
    const { config, inputs } = context;
    const random = createRandom(config.seed).stream("pretraining");
    const [kept, held] = parted(inputs.texts.value, config.heldOut, random.stream("held out"));
    const start = inputs.start.value ?? newModel(kept, config);
    const document = (text: string): Document => ({
      ids: Int32Array.of(...start.tokenizer.encode(text), ...start.endTokens.slice(0, 1)),
    });
    const result = await pretrain(start, [{ documents: kept.map(document) }], {
      ...(await training(context)),
      tokens: config.tokens,
      ...(held.length > 0 && {
        validation: { documents: held.map(document), every: stepsBetweenValidations },
      }),
    });
    await write(context, result, kept.length, held.length);
  },
});

export const finetuneStage = defineStage({
  name: "language-models/finetune",
  version: 1,
  code: import.meta.url,
  config: finetuningSchema,
  inputs: { model: fromValue<LanguageModel>(), examples: fromValue<readonly FinetuningExample[]>() },
  async run(context) {
    const { config, inputs } = context;
    const model = inputs.model.value;
    const random = createRandom(config.seed).stream("finetuning");
    const all = inputs.examples.value.map((example) =>
      "messages" in example ? chatDocument(model, example.messages) : answerDocument(model, example),
    );
    const { contextLength } = model.config;
    const fitting = all.filter(({ ids }) => ids.length <= contextLength + 1); // the last token is not read
    if (fitting.length === 0) {
      throw new UserError(
        `all ${all.length} examples are longer than the model's context of ${contextLength} tokens`,
        {
          hint: "Take a model with a longer context, or shorten the examples.",
        },
      );
    }
    const [kept, held] = parted(fitting, config.heldOut, random.stream("held out"));
    const { rank, alpha } = config;
    const result = await finetuneOnAnswers(model, kept, {
      ...(await training(context)),
      epochs: config.epochs,
      ...(rank !== undefined && { lora: { rank, alpha: alpha ?? 2 * rank } }),
      ...(held.length > 0 && { validation: { examples: held, every: stepsBetweenValidations } }),
    });
    await write(context, result, kept.length, held.length, all.length - fitting.length);
    const { adapters } = result;
    if (adapters) {
      await saveAdapters(join(context.folder, "adapters"), adapters.params, adapters.config, model.config);
    }
  },
});

/** The model of a training that the lab has done, and its curve; every byte is checked before it is used. */
export async function trainedModel(
  output: StageOutput,
): Promise<{ model: LanguageModel; curve: TrainingCurve; files: Record<string, Uint8Array> }> {
  const files: Record<string, Uint8Array> = {};
  for (const path of output.files) files[path] = await output.read(path);
  const curve = await output.json<TrainingCurve>(curveFile);
  return { model: await loadLanguageModel(join(output.folder, modelFolder)), curve, files };
}

type TrainingConfig = z.output<typeof finetuningSchema> | z.output<typeof pretrainingSchema>;

async function training({
  config,
  signal,
  progress,
  metrics,
  checkpoint,
}: StageContext<TrainingConfig, unknown>): Promise<Omit<LanguageModelTraining, "validation">> {
  const { batchSize, microBatches, learningRate, decay, warmup, floor, weightDecay, seed } = config;
  return {
    batchSize,
    microBatches,
    learningRate,
    schedule: { decay, warmup, floor },
    optimizer: { weightDecay },
    random: createRandom(seed).stream("training"),
    signal,
    checkpoint: await checkpoint("training"),
    onStep({ step, totalSteps, loss }) {
      progress(step / totalSteps, `loss ${loss.toFixed(3)}`);
      if (step % Math.ceil(totalSteps / pointsOfCurve) === 0) metrics(step, { loss });
    },
  };
}

function newModel(texts: readonly string[], config: z.output<typeof pretrainingSchema>): LanguageModel {
  const { vocabularySize, contextLength, width, layers, heads, keyValueHeads = heads, seed } = config;
  // With ChatML's tokens, so that the model can be finetuned on chats.
  const tokenizer = trainBpe(texts, { vocabularySize, specialTokens: [endToken, ...chatMLTokens] });
  const shape = transformerConfig("llama", {
    vocabularySize: tokenizer.vocabularySize,
    contextLength,
    width,
    layers,
    heads,
    keyValueHeads,
  });
  const endTokens = [endToken, chatMLTokens[1]].map((token) => tokenizer.specialTokens[token]);
  const params = initTransformer(shape, createRandom(seed).stream("init"));
  return { config: shape, params, tokenizer, endTokens, chatTemplate: chatMLTemplate };
}

/** A random share of the items apart from the others; of few items none. */
function parted<T>(items: readonly T[], share: number, random: Random): [kept: T[], held: T[]] {
  const count = Math.floor(share * items.length);
  const held = new Set(random.permutation(items.length).subarray(0, count));
  return [items.filter((_, i) => !held.has(i)), items.filter((_, i) => held.has(i))];
}

function chatDocument(model: LanguageModel, messages: readonly ChatMessage[]): Document {
  const { ids, mask } = encodeChat(model, messages);
  return { ids, weights: Float32Array.from(mask) };
}

async function write(
  { folder }: { folder: string },
  { model, losses, validation, bestStep }: LanguageModelResult,
  trained: number,
  heldOut: number,
  tooLong = 0,
): Promise<void> {
  await saveLanguageModel(join(folder, modelFolder), model);
  const each = Math.ceil(losses.length / pointsOfCurve);
  const curve: TrainingCurve = {
    parameters: flatTree(model.params).size,
    trained,
    heldOut,
    tooLong,
    losses: Array.from(losses, (loss, i) => ({ step: i + 1, loss })).filter(
      ({ step }) => step % each === 0 || step === losses.length,
    ),
    validation,
    bestStep,
  };
  await writeFile(join(folder, curveFile), JSON.stringify(curve));
}

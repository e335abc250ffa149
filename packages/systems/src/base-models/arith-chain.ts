/* The model that all systems on arithmetic stories start from: pretrained once for each seed, and kept by the lab. */
import { join } from "node:path";
import {
  type ArithChainWorld,
  arithChain,
  arithChainSchema,
  createRandom,
  type Document,
  defineStage,
  initTransformer,
  type Lab,
  type LanguageModel,
  loadLanguageModel,
  pretrain,
  saveLanguageModel,
  type Tokenizer,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { z } from "zod";

const size = z.int().min(1);

/** About a million parameters and 1.5 million tokens: one pass over documents that never repeat. */
export const arithBaseSchema = z.strictObject({
  /** Of the world and of all that is drawn for the model. */
  seed: z.int().min(0),
  world: arithChainSchema.prefault({}),
  /** Tokens of pretraining. */
  tokens: size.default(1_500_000),
  /**
   * How numbers are read: the frequent ones as words, or all digit by digit. On this world, whose numbers go up to 100, words were
   * better: after two million tokens 95 of 100 problems of one step were right, and 84 after 2.5 million with digits (seed 100).
   * Digits are for worlds of larger numbers, of which merges would leave some whole and cut others.
   */
  numbers: z.enum(["words", "digits"]).default("words"),
  /** Most tokens in the vocabulary. */
  vocabularySize: size.default(512),
  contextLength: size.default(128),
  width: size.default(128),
  layers: size.default(5),
  heads: size.default(4),
  keyValueHeads: size.default(2),
  batchSize: size.default(8),
  learningRate: z.number().positive().default(2e-3),
  warmup: z.number().min(0).max(1).default(0.05),
  /** The learning rate at the end, as a share of the highest. */
  floor: z.number().min(0).max(1).default(0.05),
  weightDecay: z.number().min(0).default(0.1),
});
export type ArithBaseConfig = z.input<typeof arithBaseSchema>;

const modelFolder = "model";
const endToken = "<|endoftext|>";
const randomOf = (seed: number) => createRandom(seed).stream("arith-chain");

/** The world whose documents a base model was pretrained on: problems for finetuning and tests come from its other splits. */
export function arithBaseWorld(config: ArithBaseConfig): ArithChainWorld {
  const { seed, world } = arithBaseSchema.parse(config);
  return arithChain.generate(world, randomOf(seed).stream("world"));
}

export const arithBaseStage = defineStage({
  name: "base-models/arith-chain",
  version: 1,
  code: import.meta.url,
  config: arithBaseSchema,
  inputs: {},
  async run({ config, folder, signal, progress, metrics, checkpoint }) {
    const random = randomOf(config.seed).stream("pretraining");
    const texts = arithBaseWorld(config).documents(random.stream("documents"));
    const tokenizer = tokenizerOf(take(texts, textsForTokenizer), config);
    const documents = documentsOf(texts, tokenizer, config.tokens);
    const shape = transformerConfig("llama", {
      vocabularySize: tokenizer.vocabularySize,
      contextLength: config.contextLength,
      width: config.width,
      layers: config.layers,
      heads: config.heads,
      keyValueHeads: config.keyValueHeads,
    });
    const start: LanguageModel = {
      config: shape,
      params: initTransformer(shape, random.stream("init")),
      tokenizer,
      endTokens: [tokenizer.specialTokens[endToken]],
    };
    const { model } = await pretrain(start, [{ documents }], {
      batchSize: config.batchSize,
      learningRate: config.learningRate,
      schedule: { warmup: config.warmup, floor: config.floor },
      optimizer: { weightDecay: config.weightDecay },
      random: random.stream("training"),
      signal,
      checkpoint: await checkpoint("pretraining"),
      onStep({ step, totalSteps, loss }) {
        progress(step / totalSteps, `loss ${loss.toFixed(3)}`);
        if (step % Math.ceil(totalSteps / pointsOfCurve) === 0) metrics(step, { loss });
      },
    });
    await saveLanguageModel(join(folder, modelFolder), model);
  },
});

/** The base model of a configuration, pretrained where the lab has it not yet. */
export async function arithBaseModel(lab: Lab, config: ArithBaseConfig): Promise<LanguageModel> {
  const output = await lab.run(arithBaseStage, config, {});
  for (const path of output.files) await output.read(path); // every byte is checked before it is used
  return loadLanguageModel(join(output.folder, modelFolder));
}

const pointsOfCurve = 200;
const textsForTokenizer = 2000;

function tokenizerOf(
  texts: readonly string[],
  { numbers, vocabularySize }: Pick<z.output<typeof arithBaseSchema>, "numbers" | "vocabularySize">,
): Tokenizer {
  // Where no number has two digits, no merge joins two.
  const short = (text: string) => text.replace(/\d+/g, (digits) => digits.slice(-1));
  return trainBpe(numbers === "digits" ? texts.map(short) : texts, {
    vocabularySize,
    specialTokens: [endToken],
  });
}

function take<T>(items: Generator<T, never>, count: number): T[] {
  return Array.from({ length: count }, () => items.next().value);
}

/** So many documents that they have `tokens` to predict, each with its end. */
function documentsOf(texts: Generator<string, never>, tokenizer: Tokenizer, tokens: number): Document[] {
  const end = tokenizer.specialTokens[endToken];
  const documents: Document[] = [];
  for (let predicted = 0; predicted < tokens; ) {
    const ids = tokenizer.encode(texts.next().value);
    documents.push({ ids: Int32Array.of(...ids, end) });
    predicted += ids.length;
  }
  return documents;
}

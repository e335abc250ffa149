/*
 * Weak-to-strong generalisation on puzzles (section 4.2 of the paper: chess): transformers that were pretrained on unlabelled
 * games learn the best move, from the truth or from the hard moves that a weaker model makes; directly, or over models between.
 */
import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyTransformer,
  type Columns,
  compileRows,
  createTrainer,
  type Document,
  type FitOptions,
  languageModelOptimizer,
  nextTokenLoss,
  packDocuments,
  type RowFunction,
  type Trainer,
  type TransformerConfig,
  type TransformerParams,
  tokenLogits,
  UserError,
} from "outgrow";

type Params = TransformerParams<Tensor>;

/** A position as tokens, and the move that is to be made there as tokens; all of the same lengths. */
export interface MovePrompt {
  prompt: Int32Array;
  answer: Int32Array;
}

export interface MoveTraining
  extends Pick<FitOptions, "epochs" | "learningRate" | "random" | "onStep" | "signal"> {
  /** Rows of the context's length a step. */
  batchSize: number;
}

/** Trains and asks transformers of one shape. Compiled programs serve all models and data of the same shapes. */
export class MoveModels {
  private readonly trainers = new Map<string, Promise<Trainer<Params>>>();
  private readonly readers = new Map<string, Promise<RowFunction<Params>>>();

  constructor(readonly config: TransformerConfig) {}

  /** Predicts the next token of documents, each counted once for each pass. */
  async pretrain(params: Params, documents: readonly Document[], training: MoveTraining): Promise<Params> {
    const { contextLength } = this.config;
    return this.fit(params, packDocuments(documents, { contextLength }), training);
  }

  /** Learns the moves: the loss counts their tokens alone. */
  async finetune(params: Params, examples: readonly MovePrompt[], training: MoveTraining): Promise<Params> {
    const documents = examples.map(({ prompt, answer }): Document => {
      const ids = Int32Array.of(...prompt, ...answer);
      return { ids, weights: new Float32Array(ids.length).fill(1, prompt.length) };
    });
    return this.pretrain(params, documents, training);
  }

  /** The most likely move at each position, token by token: ids `[positions][answerLength]`. The lowest id wins ties. */
  async moves(params: Params, prompts: readonly Int32Array[], answerLength: number): Promise<Int32Array[]> {
    if (prompts.length === 0) throw new UserError("there is no position to move at");
    const length = prompts[0].length;
    const odd = prompts.findIndex((prompt) => prompt.length !== length);
    if (odd >= 0) {
      throw new UserError(
        `position ${odd} (counted from 0) has ${prompts[odd].length} tokens, but the first has ${length}`,
      );
    }
    const time = length + answerLength - 1;
    const tokens = new Int32Array(prompts.length * time);
    prompts.forEach((prompt, i) => {
      tokens.set(prompt, i * time);
    });
    const columns = { tokens: new Tensor(tokens, [prompts.length, time]) };
    const key = `${Math.min(prompts.length, 128)} ${time} ${length}`;
    const reader = this.readers.get(key) ?? this.createReader(params, columns, length);
    this.readers.set(key, reader);
    const answers = prompts.map(() => new Int32Array(answerLength));
    const { vocabularySize } = this.config;
    for (let at = 0; at < answerLength; at++) {
      const { data } = await (await reader)(params, columns);
      answers.forEach((answer, i) => {
        const start = (i * answerLength + at) * vocabularySize;
        const logits = (data as Float32Array).subarray(start, start + vocabularySize);
        answer[at] = logits.indexOf(logits.reduce((most, value) => Math.max(most, value)));
        if (at + 1 < answerLength) tokens[i * time + length + at] = answer[at];
      });
    }
    return answers;
  }

  async dispose(): Promise<void> {
    for (const program of [...this.trainers.values(), ...this.readers.values()])
      await (await program).dispose();
  }

  private async fit(params: Params, columns: Columns, training: MoveTraining): Promise<Params> {
    const rows = columns.tokens.shape[0];
    const batchSize = Math.min(training.batchSize, rows);
    const key = `${rows} ${batchSize}`;
    const trainer = this.trainers.get(key) ?? this.createTrainer(params, columns, batchSize);
    this.trainers.set(key, trainer);
    const { epochs, learningRate, random, onStep, signal } = training;
    const schedule = { warmup: 0.05, floor: 0.05 };
    const fit = { epochs, learningRate, schedule, random, onStep, signal };
    return (await (await trainer).fit(params, columns, fit)).params;
  }

  private createTrainer(params: Params, columns: Columns, batchSize: number): Promise<Trainer<Params>> {
    return createTrainer<Params, TransformerParams<JaxArray>>({
      name: "moves",
      params,
      columns,
      batchSize,
      optimizer: languageModelOptimizer,
      loss: nextTokenLoss(this.config),
    });
  }

  /** Logits after each token from the prompt's last one on: `[rows, answerLength * vocabularySize]`. */
  private createReader(params: Params, columns: Columns, length: number): Promise<RowFunction<Params>> {
    return compileRows<Params, TransformerParams<JaxArray>>(
      "moves",
      (traced, { tokens }) => {
        const { hidden } = applyTransformer(this.config, traced, tokens);
        const [rows, time] = tokens.shape;
        return tokenLogits(traced, hidden.slice([], [length - 1, time])).reshape([rows, -1]);
      },
      params,
      columns,
    );
  }
}

/**
 * Bootstrapping (section 4.3.1 of the paper): each model of a ladder learns from the labels of the one before it, the first from
 * the supervisor's. With one model it is the usual student.
 *
 * @param students from weak to strong, before they learn
 * @param learn trains a student on labels
 * @param label what a trained model says of the examples that the next one learns from
 * @returns the last student
 */
export async function bootstrap<Model, Trained, Labels>(
  supervisor: Trained,
  students: readonly Model[],
  learn: (student: Model, labels: Labels) => Promise<Trained>,
  label: (model: Trained) => Promise<Labels>,
): Promise<Trained> {
  let last = supervisor;
  for (const student of students) last = await learn(student, await label(last));
  return last;
}

/* Track B of the card: the steps of work on puzzles, each kept by the lab. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import {
  type BoardPuzzle,
  type BoardWorld,
  chess,
  createRandom,
  type Document,
  defineStage,
  encodeSafetensors,
  fromStage,
  initTransformer,
  kingPath,
  namedTensors,
  type StageContext,
  type StageOutput,
  type TransformerConfig,
  type TransformerParams,
  transformerConfig,
  treeOfTensors,
} from "outgrow";
import { z } from "zod";
import { count } from "../fields.js";
import { MoveModels } from "./method.js";

export const boards = ["king-path", "chess"] as const;

export const puzzleRungSchema = z.strictObject({
  width: count,
  layers: count,
  heads: count,
  /** Tokens of unlabelled games that it is pretrained on. */
  tokens: count,
});
export type PuzzleRung = z.output<typeof puzzleRungSchema>;

const courseSchema = z.strictObject({
  batchSize: count,
  learningRate: z.number().positive(),
  epochs: count,
});

const worldSchema = z.strictObject({ seed: z.int().min(0), board: z.enum(boards) });

const pretrainSchema = worldSchema.extend({
  rung: puzzleRungSchema,
  course: courseSchema.omit({ epochs: true }),
});

const learnSchema = worldSchema.extend({
  rung: puzzleRungSchema,
  course: courseSchema,
  supervisionPuzzles: count,
  transferPuzzles: count,
  testPuzzles: count,
});
type LearnConfig = z.output<typeof learnSchema>;

const modelFile = "model.safetensors";
const movesFile = "moves.safetensors";

/** A transformer that has read games and no best move. */
export const pretrainOnGamesStage = defineStage({
  name: "w2sg/pretrain-on-games",
  version: 1,
  code: import.meta.url,
  config: pretrainSchema,
  inputs: {},
  async run({ config, folder, signal, progress, metrics, shared }) {
    const { rung, course } = config;
    const { world, random } = worldOf(config);
    const shape = shapeOf(world, rung);
    const documents: Document[] = [];
    const games = world.games(random.stream("games"));
    for (let tokens = 0; tokens < rung.tokens; ) {
      const ids = games.next().value;
      // A position comes from nowhere: only what follows from it can be learnt.
      const weights = new Float32Array(ids.length).fill(1, world.promptLength);
      documents.push({ ids, weights });
      tokens += ids.length - 1;
    }
    const params = await modelsOf(shared, shape).pretrain(
      initTransformer(shape, random.stream("init", rung.width)),
      documents,
      {
        ...course,
        epochs: 1,
        random: random.stream("pretraining", rung.width),
        signal,
        onStep({ step, totalSteps, loss }) {
          progress(step / totalSteps, `loss ${loss.toFixed(3)}`);
          if (step % Math.ceil(totalSteps / 200) === 0) metrics(step, { loss });
        },
      },
    );
    await writeFile(join(folder, modelFile), encodeSafetensors(Object.fromEntries(namedTensors(params))));
  },
});

/** A model that learns best moves from the truth: the supervisor's puzzles, or the student's for the ceiling. */
export const movesFromTruthStage = defineStage({
  name: "w2sg/moves-from-truth",
  version: 1,
  code: import.meta.url,
  config: learnSchema.extend({ puzzles: z.enum(["supervision", "transfer"]) }),
  inputs: { start: fromStage },
  async run(context) {
    const { puzzles } = context.config;
    await learn(context, puzzles, (all) => all[puzzles].map(({ answer }) => answer));
  },
});

/** A model that learns the moves that a weaker one makes on the student's puzzles; `dealt out`: on other puzzles than it made them. */
export const movesFromWeakStage = defineStage({
  name: "w2sg/moves-from-weak",
  version: 1,
  code: import.meta.url,
  config: learnSchema.extend({ labels: z.enum(["own", "dealt-out"]) }),
  inputs: { start: fromStage, supervisor: fromStage },
  async run(context) {
    const { labels } = context.config;
    const { transfer } = await readMoves(context.inputs.supervisor);
    const { random } = worldOf(context.config);
    const order = random.stream("dealt out").permutation(transfer.length);
    await learn(context, "transfer", () =>
      labels === "own" ? transfer : transfer.map((_, i) => transfer[order[i]]),
    );
  },
});

type Puzzles = Record<"supervision" | "transfer" | "test", BoardPuzzle[]>;

async function learn(
  context: Pick<
    StageContext<LearnConfig, { start: StageOutput }>,
    "config" | "inputs" | "folder" | "signal" | "progress" | "shared"
  >,
  from: "supervision" | "transfer",
  labelsOf: (all: Puzzles) => Int32Array[],
): Promise<void> {
  const { config, inputs, folder, signal, progress, shared } = context;
  const { rung, course } = config;
  const { world, random } = worldOf(config);
  const all = puzzlesOf(world, config, shared);
  const models = modelsOf(shared, shapeOf(world, rung));
  const labels = labelsOf(all);
  const examples = all[from].map(({ prompt }, i) => ({ prompt, answer: labels[i] }));
  const { tensors } = await inputs.start.tensors(modelFile);
  const params = await models.finetune(
    treeOfTensors(tensors) as unknown as TransformerParams<Tensor>,
    examples,
    {
      ...course,
      // One order for all models that learn from the same puzzles.
      random: random.stream("finetuning", from),
      signal,
      onStep: ({ step, totalSteps, loss }) => progress(step / totalSteps, `loss ${loss.toFixed(3)}`),
    },
  );
  const ask = async (puzzles: BoardPuzzle[]) =>
    asTensor(
      await models.moves(
        params,
        puzzles.map(({ prompt }) => prompt),
        world.answerLength,
      ),
    );
  await writeFile(
    join(folder, movesFile),
    encodeSafetensors({
      transfer: await ask(all.transfer),
      test: await ask(all.test),
      truth: asTensor(all.test.map(({ answer }) => answer)),
    }),
  );
}

const asTensor = (moves: readonly Int32Array[]) =>
  new Tensor(Int32Array.from(moves.flatMap((move) => [...move])), [moves.length, moves[0].length]);

/** Moves of a model as ids of their tokens, and the best moves of the tests: `[puzzles][answerLength]`. */
export async function readMoves(
  output: StageOutput,
): Promise<Record<"transfer" | "test" | "truth", Int32Array[]>> {
  const { tensors } = await output.tensors(movesFile);
  const rows = ({ data, shape: [puzzles, length] }: Tensor) =>
    Array.from({ length: puzzles }, (_, i) => (data as Int32Array).slice(i * length, (i + 1) * length));
  return { transfer: rows(tensors.transfer), test: rows(tensors.test), truth: rows(tensors.truth) };
}

/** Puzzles of chess are found in games, most of whose positions would be of parts that are not wanted. */
const chessShares = { pretrain: 0.2, supervision: 0.25, transfer: 0.25, validation: 0, test: 0.3 };

function worldOf({ seed, board }: z.output<typeof worldSchema>) {
  const random = createRandom(seed).stream("puzzles", board);
  const own = random.stream("world");
  const world: BoardWorld =
    board === "chess" ? chess.generate({ splits: chessShares }, own) : kingPath.generate({}, own);
  return { world, random };
}

type Shared = StageContext<unknown, unknown>["shared"];

function puzzlesOf(world: BoardWorld, config: LearnConfig, shared: Shared): Puzzles {
  const { seed, board, supervisionPuzzles, transferPuzzles, testPuzzles } = config;
  const counts = { supervision: supervisionPuzzles, transfer: transferPuzzles, test: testPuzzles };
  return shared(`w2sg puzzles ${JSON.stringify([seed, board, counts])}`, () => {
    const { random } = worldOf(config);
    const draw = (split: keyof Puzzles) => world.puzzles(split, counts[split], random.stream(split));
    return { supervision: draw("supervision"), transfer: draw("transfer"), test: draw("test") };
  });
}

const modelsOf = (shared: Shared, shape: TransformerConfig) =>
  shared(`w2sg moves ${JSON.stringify(shape)}`, () => new MoveModels(shape));

function shapeOf(
  { vocabulary, contextLength }: BoardWorld,
  { width, layers, heads }: PuzzleRung,
): TransformerConfig {
  // Learned positions: what counts on a board is where a piece stands, not how far from the end.
  const sizes = { vocabularySize: vocabulary.length, contextLength, width, layers, heads };
  return transformerConfig("gpt2", sizes);
}

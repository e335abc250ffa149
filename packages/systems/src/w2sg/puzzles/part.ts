import {
  correctness,
  type ExperimentContext,
  meanInterval,
  agreement as measureAgreement,
  performanceGapRecovered,
  type ResultRow,
  report,
  type StageOutput,
  type StudyResults,
} from "outgrow";
import { z } from "zod";
import { count } from "../fields.js";
import { bootstrap } from "./method.js";
import {
  boards,
  movesFromTruthStage,
  movesFromWeakStage,
  type PuzzleRung,
  pretrainOnGamesStage,
  puzzleRungSchema,
  readMoves,
} from "./stages.js";

const rate = z.number().positive();

/**
 * Track B. The first two models are the card's; the student has 48x2 in the place of 64x3 and reads 0.8 instead of 1.2 million tokens, so
 * that a seed takes about half a minute. After three passes over so few puzzles the supervisor is behind what the student can learn from
 * them; after six both know the target's direction and little else, and there is no gap to recover.
 */
export const puzzlesSchema = z.strictObject({
  board: z.enum(boards).default("king-path"),
  /** Weakest first: the first is the supervisor, the last the student, those between are the steps of bootstrapping. */
  ladder: z
    .array(puzzleRungSchema)
    .min(3)
    .default([
      { width: 16, layers: 1, heads: 2, tokens: 300_000 },
      { width: 32, layers: 2, heads: 2, tokens: 600_000 },
      { width: 48, layers: 2, heads: 3, tokens: 800_000 },
    ]),
  supervisionPuzzles: count.default(3000),
  transferPuzzles: count.default(3000),
  testPuzzles: count.default(2000),
  batchSize: count.default(8),
  pretrainingRate: rate.default(3e-3),
  learningRate: rate.default(2e-3),
  epochs: count.default(3),
});
export type PuzzlesConfig = z.output<typeof puzzlesSchema>;

/** A student that makes moves. */
export type PuzzleRow = ResultRow & {
  part: "puzzles";
  world: number;
  task: number;
  board: string;
  weak: string;
  student: string;
  /** `direct` labels of the supervisor, `bootstrapped` over the models between, or its labels `dealt out` to other puzzles. */
  method: "direct" | "bootstrapped" | "dealt out";
  /** Shares of test puzzles whose best move is made. */
  weakAccuracy: number | null;
  studentAccuracy: number | null;
  ceilingAccuracy: number | null;
  pgr: number | null;
  agreement: number | null;
  agreementWhenWeakRight: number | null;
  agreementWhenWeakWrong: number | null;
};

const nameOf = ({ width, layers }: PuzzleRung) => `transformer ${width}x${layers}`;

/** One seed: a supervisor, a ceiling, and students that learn from the supervisor directly and over the models between. */
export async function runPuzzles(
  { seed, puzzles }: { seed: number; puzzles: PuzzlesConfig },
  { lab, progress, signal }: ExperimentContext,
): Promise<PuzzleRow[]> {
  const { board, ladder, supervisionPuzzles, transferPuzzles, testPuzzles } = puzzles;
  const { batchSize, epochs, learningRate, pretrainingRate } = puzzles;
  const sizes = { supervisionPuzzles, transferPuzzles, testPuzzles };
  const steps = 2 * ladder.length + 3;
  const stage = progress.begin("puzzles", 20);
  let done = 0;
  const running = (detail: string) => {
    const before = done++;
    return { signal, onProgress: (fraction: number) => stage.update((before + fraction) / steps, detail) };
  };
  const models: { rung: PuzzleRung; start: StageOutput }[] = [];
  for (const rung of ladder) {
    const config = { seed, board, rung, course: { batchSize, learningRate: pretrainingRate } };
    const start = await lab.run(pretrainOnGamesStage, config, {}, running(`${nameOf(rung)} reads games`));
    models.push({ rung, start });
  }
  const of = ({ rung }: { rung: PuzzleRung }) => ({
    seed,
    board,
    rung,
    course: { batchSize, epochs, learningRate },
    ...sizes,
  });
  const fromTruth = (model: (typeof models)[number], pairs: "supervision" | "transfer") =>
    lab.run(
      movesFromTruthStage,
      { ...of(model), puzzles: pairs },
      { start: model.start },
      running(`${nameOf(model.rung)} learns from the truth`),
    );
  const fromWeak = (
    model: (typeof models)[number],
    supervisor: StageOutput,
    labels: "own" | "dealt-out" = "own",
  ) =>
    lab.run(
      movesFromWeakStage,
      { ...of(model), labels },
      { start: model.start, supervisor },
      running(`${nameOf(model.rung)} learns from weak moves`),
    );

  const [first, ...others] = models;
  const last = models[models.length - 1];
  const supervisor = await fromTruth(first, "supervision");
  const ceiling = await fromTruth(last, "transfer");
  // The student's puzzles are the same at every step.
  const along = (students: typeof models) =>
    bootstrap(supervisor, students, fromWeak, async (labels: StageOutput) => labels);
  const students = [
    { method: "direct", output: await along([last]) },
    { method: "bootstrapped", output: await along(others) },
    { method: "dealt out", output: await fromWeak(last, supervisor, "dealt-out") },
  ] as const;
  stage.done();

  // Nothing is read before all is trained, so that a sweep can be planned without training.
  const weak = await readMoves(supervisor);
  const top = await readMoves(ceiling);
  const truth = classesOf(weak.truth);
  const rows: PuzzleRow[] = [];
  for (const { method, output } of students) {
    const [w, s, c] = [weak, await readMoves(output), top].map(({ test }) => classesOf(test));
    const recovered = performanceGapRecovered({
      weak: correctness(w, truth),
      student: correctness(s, truth),
      ceiling: correctness(c, truth),
    });
    const agreed = measureAgreement({ student: s, supervisor: w, truth });
    rows.push({
      part: "puzzles",
      world: 0,
      task: 0,
      board,
      weak: nameOf(first.rung),
      student: nameOf(last.rung),
      method,
      weakAccuracy: recovered.weak.value,
      studentAccuracy: recovered.student.value,
      ceilingAccuracy: recovered.ceiling.value,
      pgr: recovered.pgr.value,
      agreement: agreed.overall.value,
      agreementWhenWeakRight: agreed.whenSupervisorRight.value,
      agreementWhenWeakWrong: agreed.whenSupervisorWrong.value,
    });
  }
  return rows;
}

/** A number for each move: that of its tokens as digits. */
const classesOf = (moves: readonly Int32Array[]) =>
  Int32Array.from(moves, (move) => move.reduce((number, token) => number * 256 + token, 0));

/** Accuracies of the supervisor, its students and the ceiling. */
export function puzzleFigure(results: StudyResults<PuzzleRow>) {
  const { board, weak, student } = results.rows[0];
  const group = `${board}, ${weak} → ${student}`;
  const of = (method: PuzzleRow["method"], measure: keyof PuzzleRow & string, label: string = method) => ({
    group,
    label,
    ...meanInterval(results.values({ method }, measure)),
  });
  const rows = [
    of("direct", "weakAccuracy", "weak supervisor"),
    of("direct", "studentAccuracy"),
    of("bootstrapped", "studentAccuracy"),
    of("dealt out", "studentAccuracy", "labels dealt out at random"),
    of("direct", "ceilingAccuracy", "ceiling"),
  ];
  return report.estimates(
    { measure: "Share of best moves", rows },
    {
      name: "puzzles",
      title: "Puzzles: the best move, learnt from a weak model directly and over a model between",
      caption: "Exact moves on test puzzles. Intervals cover 95\u00a0%.",
    },
  );
}

import { z } from "zod";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import type { BoardPuzzle, BoardWorld } from "./board-puzzles.js";
import { parseConfig } from "./config.js";
import { drawDistinct, drawOf, splitShares, splitter, type WorldSplit } from "./splits.js";
import type { WorldKind } from "./world.js";

/*
 * Small boards of the study w2sg (track B), in the place of chess: a king walks to a target, around walls and around the squares
 * that a knight attacks. The best move is the first of the shortest path; only boards on which it is the only one are puzzles.
 */

/** Knobs of the world. */
export const kingPathSchema = z.object({
  /** Squares on a side. */
  side: z.int().min(3).max(8).default(5),
  /** Most walls; each number from 0 on is as frequent. */
  walls: z.int().min(0).max(40).default(7),
  /** Whether there is a knight, whose attacked squares the king may not enter. */
  knight: z.boolean().default(true),
  /** Least and most moves of a puzzle's shortest path. */
  moves: z
    .tuple([z.int().min(1), z.int().min(1)])
    .refine(([low, high]) => low <= high, { message: "the first is the least, the second the most" })
    .default([2, 8]),
  splits: splitShares,
});
export type KingPathConfig = z.output<typeof kingPathSchema>;

const squares = [".", "#", "k", "t", "n", "T"] as const;
const EMPTY = 0;
const WALL = 1;
const KING = 2;
const TARGET = 3;
const KNIGHT = 4;
/** The king on the target. */
const ARRIVED = 5;

type Step = readonly [down: number, right: number];

/** The king's moves, in the order of their tokens. */
const kingMoves: readonly Step[] = [
  [-1, 0],
  [-1, 1],
  [0, 1],
  [1, 1],
  [1, 0],
  [1, -1],
  [0, -1],
  [-1, -1],
];
const moveNames = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];
const knightMoves: readonly Step[] = [
  [-2, -1],
  [-2, 1],
  [-1, -2],
  [-1, 2],
  [1, -2],
  [1, 2],
  [2, -1],
  [2, 1],
];

/** Squares `[side * side]`, row by row. */
export type KingBoard = Uint8Array;

/** Whether the king may stand on each square: `[side * side]`. */
function enterable(board: KingBoard, side: number): Uint8Array {
  const free = Uint8Array.from(board, (square) => Number(square !== WALL && square !== KNIGHT));
  const knight = board.indexOf(KNIGHT);
  if (knight >= 0) for (const [r, c] of knightMoves) free[stepped(knight, r, c, side) ?? knight] = 0;
  return free;
}

function stepped(from: number, down: number, right: number, side: number): number | undefined {
  const [row, column] = [Math.floor(from / side) + down, (from % side) + right];
  return row >= 0 && column >= 0 && row < side && column < side ? row * side + column : undefined;
}

const kingOf = (board: KingBoard) => Math.max(board.indexOf(KING), board.indexOf(ARRIVED));

/** The numbers of the king's legal moves. */
export function legalKingMoves(board: KingBoard, side: number): number[] {
  const free = enterable(board, side);
  const king = kingOf(board);
  return [...kingMoves.keys()].filter((move) => {
    const to = stepped(king, ...kingMoves[move], side);
    return to !== undefined && free[to] === 1;
  });
}

/** The board after a move. */
export function afterKingMove(board: KingBoard, move: number, side: number): KingBoard {
  const king = kingOf(board);
  const to = stepped(king, ...kingMoves[move], side);
  if (to === undefined) throw new RangeError(`Move ${moveNames[move]} leaves the board.`);
  const next = board.slice();
  next[king] = board[king] === ARRIVED ? TARGET : EMPTY;
  next[to] = next[to] === TARGET ? ARRIVED : KING;
  return next;
}

/** The moves that begin a shortest path to the target, and its length in moves; no move where there is no path. By breadth-first search. */
export function shortestFirstMoves(board: KingBoard, side: number): { length: number; moves: number[] } {
  const free = enterable(board, side);
  const target = board.indexOf(TARGET);
  if (target < 0 || free[target] === 0) return { length: 0, moves: [] };
  // From the target: moves can be taken back, so that distances are the same.
  const distance = new Int32Array(board.length).fill(-1);
  distance[target] = 0;
  const queue = [target];
  for (const from of queue) {
    for (const [r, c] of kingMoves) {
      const to = stepped(from, r, c, side);
      if (to === undefined || free[to] === 0 || distance[to] >= 0) continue;
      distance[to] = distance[from] + 1;
      queue.push(to);
    }
  }
  const king = kingOf(board);
  const reached = legalKingMoves(board, side).flatMap((move) => {
    const after = distance[stepped(king, ...kingMoves[move], side) as number];
    return after < 0 ? [] : [{ move, length: after + 1 }];
  });
  const length = Math.min(...reached.map((each) => each.length));
  if (reached.length === 0) return { length: 0, moves: [] };
  return { length, moves: reached.filter((each) => each.length === length).map(({ move }) => move) };
}

export interface KingPathWorld extends BoardWorld {
  config: KingPathConfig;
  /** A random board, with a king, a target, walls and the knight; it need not be a puzzle. */
  board(random: Random): KingBoard;
}

export const kingPath: WorldKind<typeof kingPathSchema, KingPathWorld> = {
  name: "king-path",
  summary:
    "small boards on which a king walks to a target around walls and a knight's attacks; the best move is known",
  schema: kingPathSchema,
  generate,
  describe,
};

function generate(given: z.input<typeof kingPathSchema>, random: Random): KingPathWorld {
  const config = parseConfig(kingPathSchema, given, "world king-path");
  const {
    side,
    walls,
    knight,
    moves: [least, most],
  } = config;
  const size = side * side;
  const splitOf = splitter(config.splits, random.stream("splits"));
  const vocabulary = ["<start>", "<move>", "<then>", "<end>", ...squares, ...moveNames];
  const [START, MOVE, THEN, END] = [0, 1, 2, 3];
  const squareId = (square: number) => 4 + square;
  const moveId = (move: number) => 4 + squares.length + move;

  const draw = (random: Random): KingBoard => {
    const board = new Uint8Array(size);
    const order = random.permutation(size);
    const count = Math.min(random.integer(walls + 1), size - 3);
    board[order[0]] = KING;
    board[order[1]] = TARGET;
    if (knight) board[order[2]] = KNIGHT;
    for (let i = 0; i < count; i++) board[order[3 + i]] = WALL;
    return board;
  };
  const key = (board: KingBoard) => board.join("");
  const squaresOf = (board: KingBoard) => Array.from(board, squareId);

  const drawPuzzle = (split: WorldSplit, random: Random): BoardPuzzle & { split: WorldSplit } => {
    for (let attempt = 0; attempt < 200_000; attempt++) {
      const board = draw(random);
      const id = key(board);
      if (splitOf(id) !== split) continue;
      const { length, moves } = shortestFirstMoves(board, side);
      if (moves.length !== 1 || length < least || length > most) continue;
      const prompt = Int32Array.of(START, ...squaresOf(board), MOVE);
      return { id, split, prompt, answer: Int32Array.of(moveId(moves[0])), difficulty: length };
    }
    throw new UserError(
      `world king-path: part ${split} seems to have no puzzle of ${least} to ${most} moves`,
      {
        hint: `Ask for fewer moves, or make splits.${split} larger.`,
      },
    );
  };

  return {
    config,
    vocabulary,
    answerLength: 1,
    promptLength: size + 2,
    contextLength: 2 * size + 4,
    board: draw,
    *games(random) {
      for (;;) {
        let board = drawOf("king-path", "pretrain", () => {
          const board = draw(random);
          return { board, split: splitOf(key(board)) };
        }).board;
        // A walk of a few moves, each a document: the board, a move of those that are legal, the board after it.
        for (let step = 0; step < movesOfGame; step++) {
          const legal = legalKingMoves(board, side);
          if (legal.length === 0) break;
          const move = legal[random.integer(legal.length)];
          const next = afterKingMove(board, move, side);
          yield Int32Array.of(START, ...squaresOf(board), MOVE, moveId(move), THEN, ...squaresOf(next), END);
          board = next;
          if (splitOf(key(board)) !== "pretrain") break;
        }
      }
    },
    puzzles: (split, count, random) =>
      drawDistinct("king-path", split, count, () => drawPuzzle(split, random)),
    text: (ids) => boardText(ids, vocabulary, side),
  };
}

const movesOfGame = 4;

/** The prompt's board in lines. */
function boardText(ids: ArrayLike<number>, vocabulary: readonly string[], side: number): string {
  const words = Array.from(ids, (id) => vocabulary[id]);
  const lines = Array.from({ length: side }, (_, row) =>
    words.slice(1 + row * side, 1 + (row + 1) * side).join(" "),
  );
  return lines.join("\n");
}

function describe(world: KingPathWorld): string {
  const random = createRandom("king-path sample");
  const puzzles = world.puzzles("test", 3, random);
  const { side, walls, knight } = world.config;
  return [
    `king-path: boards of ${side}x${side} squares, up to ${walls} walls${knight ? ", and a knight whose attacked squares the king k may not enter" : ""}`,
    "Three puzzles: the first move of the only shortest path from k to t",
    ...puzzles.flatMap(({ prompt, answer, difficulty }) => [
      world.text(prompt),
      `best move ${world.vocabulary[answer[0]]}, ${difficulty} moves to the target`,
      "",
    ]),
  ]
    .join("\n")
    .trimEnd();
}

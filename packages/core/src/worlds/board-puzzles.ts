import type { Random } from "../random.js";
import type { WorldSplit } from "./splits.js";

/** A position whose best move is known, as tokens. */
export interface BoardPuzzle {
  id: string;
  /** The position, with the token that asks for a move at its end. */
  prompt: Int32Array;
  /** The best move: as many tokens as the world says. */
  answer: Int32Array;
  /** What makes puzzles easy or hard, e.g. the length of the solution. */
  difficulty: number;
}

/** Worlds of boards and moves, written as tokens without a tokenizer: games to pretrain on, and puzzles with one best move. */
export interface BoardWorld {
  /** The spelling of each token, by its id. */
  vocabulary: readonly string[];
  /** Tokens of a move. */
  answerLength: number;
  /** Tokens of a prompt: those of a position, one before and one after it. */
  promptLength: number;
  /** Tokens that a document of a game predicts at most. */
  contextLength: number;
  /** Documents of random games, without end: a board, a legal move, the board after it. Nothing tells which moves are good. */
  games(random: Random): Generator<Int32Array, never>;
  /**
   * Draws puzzles of a part, all different; a smaller count gives the first of the same ones.
   * @throws UserError where so many are not found
   */
  puzzles(split: WorldSplit, count: number, random: Random): BoardPuzzle[];
  /** A prompt for people. */
  text(prompt: ArrayLike<number>): string;
}

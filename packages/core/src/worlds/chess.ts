import { Chess, SQUARES } from "chess.js";
import { z } from "zod";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import type { BoardPuzzle, BoardWorld } from "./board-puzzles.js";
import { parseConfig } from "./config.js";
import { drawDistinct, drawOf, splitShares, splitter, type WorldSplit } from "./splits.js";
import type { WorldKind } from "./world.js";

/*
 * Chess by its real rules (chess.js): positions of games that are random but take what hangs now and then, and puzzles with one
 * best move that search finds. Real puzzles, e.g. of Lichess, become the same tokens by `chessPuzzle`.
 */

const share = z.number().min(0).max(1);

/** Knobs of the world. */
export const chessSchema = z.object({
  /** Kinds of puzzles: checkmate in one move, and a piece to be won for nothing. */
  themes: z
    .array(z.enum(["mate-in-one", "hanging-piece"]))
    .min(1)
    .default(["mate-in-one", "hanging-piece"]),
  /** Share of moves in games that take the most valuable piece there is to take; the others are drawn from all legal ones. */
  captures: share.default(0.3),
  /** Most half-moves of a game. */
  plies: z.int().min(2).max(300).default(80),
  splits: splitShares,
});
export type ChessConfig = z.output<typeof chessSchema>;

/** A move as a chess program writes it, e.g. `e2e4`, `e7e8q`. */
export type UciMove = string;

export interface ChessPuzzle extends BoardPuzzle {
  /** Position in Forsyth-Edwards notation; whose turn it is finds the best move. */
  fen: string;
  best: UciMove;
  theme: string;
}

const pieces = "KQRBNPkqrbnp";
const files = "abcdefgh";
/** Ids of tokens: a position is 64 squares from a8 to h1, the turn, 4 rights to castle, and the square behind a pawn that moved by two. */
const words = ["<start>", "<move>", "<then>", "<end>", "-", ...pieces, "white", "black", ...SQUARES];
const ids = new Map(words.map((word, id) => [word, id]));
const idOf = (word: string) => ids.get(word) as number;
const positionLength = 64 + 1 + 4 + 1;
const moveLength = 3;
const [START, MOVE, THEN, END] = [0, 1, 2, 3];

/** A position as tokens: `[70]`. @throws UserError for what is no position of chess */
export function chessTokens(fen: string): Int32Array {
  const [board, turn, castling, enPassant] = loaded(fen).fen().split(" ");
  const squares = [...board.replaceAll("/", "").replace(/\d/g, (count) => "-".repeat(Number(count)))];
  const rights = [..."KQkq"].map((right) => (castling.includes(right) ? right : "-"));
  const parts = [...squares, turn === "w" ? "white" : "black", ...rights, enPassant];
  return Int32Array.from(parts, idOf);
}

/** A move as tokens: from, to, and what a pawn becomes. */
export const moveTokens = (move: UciMove): Int32Array =>
  Int32Array.of(idOf(move.slice(0, 2)), idOf(move.slice(2, 4)), idOf(move[4] ?? "-"));

/** The move of tokens; it need not be legal. undefined where they are none. */
export function moveOfTokens(tokens: ArrayLike<number>): UciMove | undefined {
  const [from, to, promotion] = Array.from(tokens, (id) => words[id]);
  const move = `${from}${to}${promotion === "-" ? "" : promotion}`;
  return /^([a-h][1-8]){2}[qrbn]?$/.test(move) ? move : undefined;
}

/**
 * A puzzle as the world's are, from a position and its best move.
 * @throws UserError for a position that is none, and a move that is not legal there
 */
export function chessPuzzle(fen: string, best: UciMove, theme: string, difficulty: number): ChessPuzzle {
  const game = loaded(fen);
  const isLegal = game.moves({ verbose: true }).some((move) => move.lan === best);
  if (!isLegal) {
    throw new UserError(`the move ${JSON.stringify(best)} is not legal in ${fen}`, {
      hint: "Expected the squares from and to, e.g. e2e4, and what a pawn becomes, e.g. e7e8q.",
    });
  }
  const prompt = Int32Array.of(START, ...chessTokens(fen), MOVE);
  return { id: keyOf(fen), fen, best, theme, prompt, answer: moveTokens(best), difficulty };
}

function loaded(fen: string): Chess {
  try {
    return new Chess(fen);
  } catch (error) {
    throw new UserError(`${JSON.stringify(fen)} is no position of chess: ${(error as Error).message}`);
  }
}

/** A position without its clocks. */
const keyOf = (fen: string) => fen.split(" ").slice(0, 4).join(" ");

const worth: Record<string, number> = { p: 1, n: 3, b: 3, r: 5, q: 9, k: 0 };
/** A piece, at least; the second best move must win so much less. */
const [LEAST_GAIN, MARGIN] = [3, 2];

/** The only best move, where there is one: checkmate, or what wins most material after the best reply. By search of all moves and replies. */
export function bestChessMove(
  fen: string,
): { best: UciMove; theme: "mate-in-one" | "hanging-piece" } | undefined {
  const game = loaded(fen);
  const moves = game.moves({ verbose: true });
  const mates = moves.filter(({ san }) => san.endsWith("#"));
  if (mates.length > 0) return mates.length === 1 ? { best: mates[0].lan, theme: "mate-in-one" } : undefined;
  if (!moves.some(({ captured }) => captured && worth[captured] >= LEAST_GAIN)) return undefined;
  const gains = moves.map((move) => {
    game.move(move);
    const replies = game.moves({ verbose: true });
    const loss = replies.some(({ san }) => san.endsWith("#"))
      ? Number.POSITIVE_INFINITY
      : Math.max(0, ...replies.map(gainOf));
    game.undo();
    return { lan: move.lan, gain: gainOf(move) - loss };
  });
  const [first, second] = gains.sort((a, b) => b.gain - a.gain);
  const isClear = first.gain >= LEAST_GAIN && (second === undefined || first.gain - second.gain >= MARGIN);
  return isClear ? { best: first.lan, theme: "hanging-piece" } : undefined;
}

const gainOf = ({ captured, promotion }: { captured?: string; promotion?: string }) =>
  (captured ? worth[captured] : 0) + (promotion ? worth[promotion] - 1 : 0);

export interface ChessWorld extends BoardWorld {
  config: ChessConfig;
  puzzles(split: WorldSplit, count: number, random: Random): ChessPuzzle[];
  /** Positions of a game with the moves that were made there, until it ends. */
  play(random: Random): { fen: string; move: UciMove; after: string }[];
}

export const chess: WorldKind<typeof chessSchema, ChessWorld> = {
  name: "chess",
  summary: "chess by its rules: random games as tokens, and puzzles with one best move, found by search",
  schema: chessSchema,
  generate,
  describe,
};

function generate(given: z.input<typeof chessSchema>, random: Random): ChessWorld {
  const config = parseConfig(chessSchema, given, "world chess");
  const splitOf = splitter(config.splits, random.stream("splits"));

  const play: ChessWorld["play"] = (random) => {
    const game = new Chess();
    const played = [];
    for (let ply = 0; ply < config.plies && !game.isGameOver(); ply++) {
      const moves = game.moves({ verbose: true });
      const most = Math.max(...moves.map(gainOf));
      const best = moves.filter((move) => gainOf(move) === most);
      const from = most > 0 && random.uniform() < config.captures ? best : moves;
      const { before, lan, after } = game.move(from[random.integer(from.length)]);
      played.push({ fen: before, move: lan, after });
    }
    return played;
  };

  /** Puzzles of games, without end. */
  function* found(random: Random): Generator<ChessPuzzle & { split: WorldSplit }, never> {
    for (;;) {
      for (const { fen } of play(random)) {
        const known = bestChessMove(fen);
        if (!known || !config.themes.includes(known.theme)) continue;
        const difficulty = known.theme === "mate-in-one" ? 2 : 1;
        const puzzle = chessPuzzle(fen, known.best, known.theme, difficulty);
        yield { ...puzzle, split: splitOf(puzzle.id) };
      }
    }
  }

  return {
    config,
    vocabulary: words,
    answerLength: moveLength,
    promptLength: positionLength + 2,
    contextLength: 2 * positionLength + moveLength + 3,
    play,
    *games(random) {
      for (;;) {
        for (const { fen, move, after } of play(random)) {
          if (splitOf(keyOf(fen)) !== "pretrain") continue;
          const [position, next] = [chessTokens(fen), chessTokens(after)];
          yield Int32Array.of(START, ...position, MOVE, ...moveTokens(move), THEN, ...next, END);
        }
      }
    },
    puzzles(split, count, random) {
      const puzzles = found(random);
      return drawDistinct("chess", split, count, () => drawOf("chess", split, () => puzzles.next().value));
    },
    text: boardText,
  };
}

function boardText(tokens: ArrayLike<number>): string {
  const squares = Array.from(tokens, (id) => words[id]).slice(1, 66);
  const turn = squares.pop();
  const ranks = Array.from({ length: 8 }, (_, i) => `${8 - i}  ${squares.slice(8 * i, 8 * i + 8).join(" ")}`);
  return [...ranks, `   ${[...files].join(" ")}   ${turn} to move`].join("\n").replaceAll("-", ".");
}

function describe(world: ChessWorld): string {
  const random = createRandom(`chess sample ${JSON.stringify(world.config.splits)}`);
  const [mate, piece] = world.puzzles("test", 2, random);
  const game = world.play(random).slice(0, 12);
  return [
    `chess: games of up to ${world.config.plies} half-moves, puzzles of the kinds ${world.config.themes.join(", ")}`,
    `A game begins: ${game.map(({ move }) => move).join(" ")}`,
    ...[mate, piece].flatMap(({ prompt, fen, best, theme }) => [
      "",
      world.text(prompt),
      `${fen}`,
      `best move ${best} (${theme})`,
    ]),
  ].join("\n");
}

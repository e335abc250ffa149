import { Chess, SQUARES, type Square } from "chess.js";
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

/**
 * The only best move, where there is one: checkmate, or what wins most material after the best reply. By search of all moves
 * and replies; moves that win too little at once to come near the best are not followed.
 */
export function bestChessMove(
  fen: string,
): { best: UciMove; theme: "mate-in-one" | "hanging-piece" } | undefined {
  const game = loaded(fen);
  const moves = game.moves();
  const mates = moves.filter(isMate);
  if (mates.length > 0) {
    return mates.length === 1 ? { best: game.move(mates[0]).lan, theme: "mate-in-one" } : undefined;
  }
  const atOnce = moves.map((san) => ({ san, gain: gainOf(game, san) })).sort((a, b) => b.gain - a.gain);
  let first = { san: "", gain: Number.NEGATIVE_INFINITY };
  let second = first;
  for (const { san, gain: most } of atOnce) {
    // A reply takes from the gain, never adds to it.
    if (first.gain - most >= MARGIN || Math.max(first.gain, most) < LEAST_GAIN) break;
    const gain = most - lossAfter(game, san);
    if (gain > first.gain) [first, second] = [{ san, gain }, first];
    else if (gain > second.gain) second = { san, gain };
  }
  const isClear = first.gain >= LEAST_GAIN && first.gain - second.gain >= MARGIN;
  return isClear ? { best: game.move(first.san).lan, theme: "hanging-piece" } : undefined;
}

/** Most material that the reply to a move takes; infinite if it mates. */
function lossAfter(game: Chess, san: string): number {
  game.move(san);
  const replies = game.moves();
  const loss = replies.some(isMate)
    ? Number.POSITIVE_INFINITY
    : Math.max(0, ...replies.map((reply) => gainOf(game, reply)));
  game.undo();
  return loss;
}

/*
 * Moves in algebraic notation say all that is needed, e.g. Rxe8#, exd8=Q+: chess.js writes them ten times as fast as moves with
 * their positions before and after.
 */
const isMate = (san: string) => san.endsWith("#");

/** Material that a move takes and makes. */
function gainOf(game: Chess, san: string): number {
  const [, captures, square, promotion] = /(x?)([a-h][1-8])(?:=(\w))?[+#]?$/.exec(san) ?? [];
  // Castling has no square. Of the pawn that is taken in passing the square is empty.
  const captured = captures ? worth[game.get(square as Square)?.type ?? "p"] : 0;
  return captured + (promotion ? worth[promotion.toLowerCase()] - 1 : 0);
}

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
      const moves = game.moves();
      const gains = moves.map((san) => gainOf(game, san));
      const most = Math.max(...gains);
      const best = moves.filter((_, i) => gains[i] === most);
      const from = most > 0 && random.uniform() < config.captures ? best : moves;
      const { before, lan, after } = game.move(from[random.integer(from.length)]);
      played.push({ fen: before, move: lan, after });
    }
    return played;
  };

  /** Puzzles of games, without end. Positions of other parts are not searched, and come as they are. */
  function* found(
    wanted: WorldSplit,
    random: Random,
  ): Generator<{ split: WorldSplit; puzzle?: ChessPuzzle }, never> {
    for (;;) {
      for (const { fen } of play(random)) {
        const split = splitOf(keyOf(fen));
        if (split !== wanted) {
          yield { split };
          continue;
        }
        const known = bestChessMove(fen);
        if (!known || !config.themes.includes(known.theme)) continue;
        const difficulty = known.theme === "mate-in-one" ? 2 : 1;
        yield { split, puzzle: chessPuzzle(fen, known.best, known.theme, difficulty) };
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
      const puzzles = found(split, random);
      return drawDistinct("chess", split, count, () => {
        const { puzzle } = drawOf("chess", split, () => puzzles.next().value);
        return { ...(puzzle as ChessPuzzle), split };
      });
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

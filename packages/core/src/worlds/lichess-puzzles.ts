import { Chess } from "chess.js";
import { column, placeOf, readTable, type TableOptions } from "../data/table.js";
import { UserError } from "../errors.js";
import { type ChessPuzzle, chessPuzzle } from "./chess.js";

/** A puzzle of Lichess: the position after the opponent's move, with the first move of the solution. */
export interface LichessPuzzle extends ChessPuzzle {
  /** Its name on Lichess, e.g. `00sHx`. */
  puzzleId: string;
  rating: number;
  themes: string[];
  /** Line of the file. */
  row: number;
}

/**
 * Reads puzzles in the format of database.lichess.org: a CSV file with the columns `PuzzleId`, `FEN`, `Moves`, `Rating` and
 * `Themes` (others are not looked at). `FEN` is the position before the opponent's move, which is the first of `Moves`;
 * the second is the best move. Themes may be missing.
 *
 * @throws UserError with row and column for a position that is none, a move that is not legal, and a rating that is no number
 */
export async function readLichessPuzzles(
  file: string,
  options: Pick<TableOptions, "maxBytes"> = {},
): Promise<LichessPuzzle[]> {
  const table = await readTable(file, { ...options, format: "csv", header: true });
  const [names, fens, lines, ratings] = ["PuzzleId", "FEN", "Moves", "Rating"].map((name) =>
    column(table, name),
  );
  const themes = table.columns.includes("Themes") ? column(table, "Themes") : undefined;
  return table.rows.map(({ line }, i) => {
    const inColumn = <T>(name: string, read: () => T): T => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        throw new UserError(error.message, { place: placeOf(table, i, name), hint: error.hint });
      }
    };
    const moves = String(lines[i]).trim().split(/\s+/);
    const rating = Number(ratings[i]);
    if (String(ratings[i]).trim() === "" || !Number.isFinite(rating)) {
      throw new UserError(`the rating is ${JSON.stringify(ratings[i])}, expected a number`, {
        place: placeOf(table, i, "Rating"),
      });
    }
    const before = inColumn("FEN", () => positionOf(String(fens[i])));
    const puzzle = inColumn("Moves", () => {
      if (moves.length < 2) {
        throw new UserError(`there ${moves[0] === "" ? "is no move" : "is one move"}, expected two or more`, {
          hint: "The first is the opponent's, the second the best move.",
        });
      }
      const { fen } = chessPuzzle(before, moves[0], "", 0); // refuses an illegal move
      const game = new Chess(fen);
      game.move({ from: moves[0].slice(0, 2), to: moves[0].slice(2, 4), promotion: moves[0][4] });
      const theme = String(themes?.[i] ?? "");
      return chessPuzzle(game.fen(), moves[1], theme, rating);
    });
    return {
      ...puzzle,
      puzzleId: String(names[i]),
      rating,
      themes: puzzle.theme.split(/\s+/).filter((theme) => theme !== ""),
      row: line,
    };
  });
}

function positionOf(fen: string): string {
  try {
    return new Chess(fen).fen();
  } catch (error) {
    throw new UserError(`${JSON.stringify(fen)} is no position of chess: ${(error as Error).message}`);
  }
}

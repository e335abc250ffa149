import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Chess, type Move } from "chess.js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { bestChessMove, chess, chessPuzzle, chessTokens, moveOfTokens, moveTokens } from "./chess.js";
import { readLichessPuzzles } from "./lichess-puzzles.js";

const world = chess.generate({ plies: 40 }, createRandom("chess/test").stream("world"));
const backRank = "6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1";

describe("the best move", () => {
  test.each([
    ["checkmate on the back rank", backRank, "a1a8", "mate-in-one"],
    ["a queen that nobody guards", "4k3/8/8/3q4/8/2N5/8/4K3 w - - 0 1", "c3d5", "hanging-piece"],
    ["a promotion by taking a rook", "2r1k3/1P6/8/8/8/8/8/4K3 w - - 0 1", "b7c8q", "hanging-piece"],
  ])("%s", (_, fen, best, theme) => {
    expect(bestChessMove(fen)).toEqual({ best, theme });
  });

  test.each([
    ["there is nothing to win", new Chess().fen()],
    ["two moves give mate", "k7/8/1K6/8/8/8/8/6RR w - - 0 1"],
    ["the queen is guarded by a pawn and the taker is a rook", "4k3/8/4p3/3q4/8/8/8/3RK3 b - - 0 1"],
    ["a knight is guarded and taken by a knight", "4k3/8/4p3/3n4/8/2N5/8/4K3 w - - 0 1"],
  ])("none where %s", (_, fen) => {
    expect(bestChessMove(fen)).toBeUndefined();
  });
});

/** All moves and all replies, each with what chess.js says of it. */
function slowBestMove(fen: string) {
  const worth: Record<string, number> = { p: 1, n: 3, b: 3, r: 5, q: 9 };
  const gainOf = ({ captured, promotion }: Move) =>
    (captured ? worth[captured] : 0) + (promotion ? worth[promotion] - 1 : 0);
  const game = new Chess(fen);
  const moves = game.moves({ verbose: true });
  const mates = moves.filter(({ san }) => san.endsWith("#"));
  if (mates.length > 0) return mates.length === 1 ? { best: mates[0].lan, theme: "mate-in-one" } : undefined;
  const gains = moves.map((move) => {
    const replies = new Chess(move.after).moves({ verbose: true });
    const isMated = replies.some(({ san }) => san.endsWith("#"));
    return { best: move.lan, gain: gainOf(move) - (isMated ? 1e9 : Math.max(0, ...replies.map(gainOf))) };
  });
  const [first, second] = gains.sort((a, b) => b.gain - a.gain);
  const isClear = first?.gain >= 3 && (second === undefined || first.gain - second.gain >= 2);
  return isClear ? { best: first.best, theme: "hanging-piece" } : undefined;
}

test("the best move is that of a search without shortcuts", () => {
  // Pawns about to promote and to be taken in passing, castling, mates; and every fourth position of a game.
  const fens = [
    "1n1k4/P7/8/8/8/8/8/4K3 w - - 0 1",
    "rnb1kbnr/ppp1pppp/8/3pP3/6q1/8/PPPP1PPP/RNBQKBNR w KQkq d6 0 3",
    "r3k2r/8/8/8/7Q/8/8/4K2R b Kkq - 0 1",
    ...world
      .play(createRandom("search"))
      .filter((_, i) => i % 4 === 3)
      .map(({ fen }) => fen),
  ];
  const found = fens.map(bestChessMove);
  expect(found).toEqual(fens.map(slowBestMove));
  expect(found.filter(Boolean).length).toBeGreaterThan(1);
});

test("tokens say all of a position but its clocks, and a move is itself again", () => {
  const seen = new Map<string, string>();
  for (const { fen, move } of world.play(createRandom("play"))) {
    const key = chessTokens(fen).join(" ");
    const position = fen.split(" ").slice(0, 4).join(" ");
    expect(seen.get(key) ?? position).toBe(position);
    seen.set(key, position);
    expect(moveOfTokens(moveTokens(move))).toBe(move);
  }
  expect(seen.size).toBeGreaterThan(15);
  expect(moveOfTokens(moveTokens("e7e8q"))).toBe("e7e8q");
  expect(moveOfTokens([0, 1, 2])).toBeUndefined();
  expect(() => chessTokens("8/8 w - - 0 1")).toThrow("is no position of chess");
  expect(() => chessPuzzle(backRank, "a1b2", "", 0)).toThrow('"a1b2" is not legal');
});

test("documents have a legal move and the position after it", () => {
  const games = world.games(createRandom("games"));
  for (let i = 0; i < 10; i++) {
    const ids = games.next().value;
    expect(ids.length - 1).toBe(world.contextLength);
    const move = moveOfTokens(ids.subarray(world.promptLength, world.promptLength + 3)) as string;
    const squares = Array.from(ids.subarray(1, 65), (id) => world.vocabulary[id]);
    const ranks = Array.from({ length: 8 }, (_, r) => squares.slice(8 * r, 8 * r + 8).join(""));
    const rights = Array.from(ids.subarray(66, 70), (id) => world.vocabulary[id]).join("");
    const castling = rights.replaceAll("-", "") || "-";
    const turn = world.vocabulary[ids[65]][0];
    const board = ranks.join("/").replace(/-+/g, ({ length }) => String(length));
    const game = new Chess(`${board} ${turn} ${castling} ${world.vocabulary[ids[70]]} 0 1`);
    game.move({ from: move.slice(0, 2), to: move.slice(2, 4), promotion: move[4] });
    expect([...ids.subarray(world.promptLength + 4, -1)]).toEqual([...chessTokens(game.fen())]);
  }
});

test("puzzles: parts share none, and the answer is the best move", () => {
  const random = createRandom("puzzles");
  const [a, b] = (["transfer", "pretrain"] as const).map((part) =>
    world.puzzles(part, 2, random.stream(part)),
  );
  expect(new Set([...a, ...b].map(({ id }) => id)).size).toBe(4);
  for (const { fen, best, theme, answer, prompt } of a) {
    expect(bestChessMove(fen)).toEqual({ best, theme });
    expect(moveOfTokens(answer)).toBe(best);
    expect(prompt.length).toBe(world.promptLength);
  }
});

describe("puzzles of Lichess", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "lichess-"));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const header = "PuzzleId,FEN,Moves,Rating,RatingDeviation,Popularity,NbPlays,Themes,GameUrl,OpeningTags";
  const first =
    "00sHx,q3k1nr/1pp1nQpp/3p4/1P2p3/4P3/B1PP1b2/B5PP/5K2 b k - 0 17,e8d7 a2e6 d7d8 f7f8,1760,80,83,72,mate mateIn2 middlegame short,https://lichess.org/yyznGmXs/black#34,Italian_Game";
  const read = async (...lines: string[]) => {
    const file = join(folder, "puzzles.csv");
    await writeFile(file, [header, ...lines].join("\n"));
    return readLichessPuzzles(file);
  };

  test("the opponent moves first; the answer is the second move", async () => {
    const [puzzle] = await read(first);
    expect(puzzle).toMatchObject({ puzzleId: "00sHx", best: "a2e6", rating: 1760, difficulty: 1760, row: 2 });
    expect(puzzle.fen).toBe("q5nr/1ppknQpp/3p4/1P2p3/4P3/B1PP1b2/B5PP/5K2 w - - 1 18");
    expect(puzzle.themes).toEqual(["mate", "mateIn2", "middlegame", "short"]);
    expect(moveOfTokens(puzzle.answer)).toBe("a2e6");
  });

  test.each([
    ["a position that is none", first.replace("q3k1nr", "q3k1n"), "is no position of chess", "FEN"],
    ["an illegal move", first.replace("e8d7", "e8e4"), "is not legal", "Moves"],
    ["an illegal answer", first.replace("a2e6", "a2h8"), "is not legal", "Moves"],
    ["one move", first.replace("e8d7 a2e6 d7d8 f7f8", "e8d7"), "is one move", "Moves"],
    ["a rating that is none", first.replace("1760", "high"), 'the rating is "high"', "Rating"],
  ])("%s is refused with its row and column", async (_, line, message, column) => {
    await expect(read(first, line)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(message),
      place: { row: 3, column },
    });
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { afterKingMove, kingPath, legalKingMoves, shortestFirstMoves } from "./king-path.js";

const world = kingPath.generate({}, createRandom("king-path/test").stream("world"));
const [WALL, KING, TARGET, KNIGHT, ARRIVED] = [1, 2, 3, 4, 5];

/** A board from lines such as "k.#". */
const board = (...lines: string[]) => Uint8Array.from(lines.join(""), (square) => ".#ktnT".indexOf(square));

/** Length of the shortest path by trying all walks of growing length: slow, and nothing in common with the search. */
function slowLength(from: Uint8Array, side: number, most: number): number | undefined {
  let boards = [from];
  const seen = new Set<string>();
  for (let length = 0; length <= most; length++) {
    if (boards.some((each) => each.includes(ARRIVED))) return length;
    boards = boards.flatMap((each) =>
      legalKingMoves(each, side)
        .map((move) => afterKingMove(each, move, side))
        .filter((next) => !seen.has(next.join("")) && seen.add(next.join(""))),
    );
  }
  return undefined;
}

describe("king-path", () => {
  test("legal moves stay on the board, off walls, the knight, and what it attacks", () => {
    // From its corner the knight attacks the squares beside the king.
    const attacked = board("k..", "...", "..n");
    expect(legalKingMoves(attacked, 3)).toEqual([3]); // south-east alone
    expect(legalKingMoves(board("k..", "...", "..."), 3)).toEqual([2, 3, 4]);
    expect(legalKingMoves(board("k#.", "##.", "..."), 3)).toEqual([]);
  });

  test("a move moves the king alone, and arriving shows", () => {
    const start = board("kt.", "...", "...");
    const arrived = afterKingMove(start, 2, 3);
    expect([...arrived]).toEqual([...board(".T.", "...", "...")]);
    expect([...afterKingMove(arrived, 6, 3)]).toEqual([...start]);
    expect(() => afterKingMove(start, 0, 3)).toThrow("leaves the board");
  });

  test("first moves of shortest paths, against walking all walks", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e9 }), (seed) => {
        const drawn = world.board(createRandom(seed));
        const { length, moves } = shortestFirstMoves(drawn, 5);
        const slow = slowLength(drawn, 5, 24);
        expect(moves.length > 0 ? length : undefined).toBe(slow);
        if (slow === undefined) return;
        const right = legalKingMoves(drawn, 5).filter(
          (move) => slowLength(afterKingMove(drawn, move, 5), 5, 24) === slow - 1,
        );
        expect(moves).toEqual(right);
      }),
      { numRuns: 40 },
    );
  });

  test("no path: no move", () => {
    expect(shortestFirstMoves(board("k#t", "##.", "..."), 3).moves).toEqual([]);
  });

  test("puzzles have one best move, its token, and as many moves to go as asked; parts share none", () => {
    const random = createRandom("puzzles");
    const some = kingPath.generate({ moves: [3, 4] }, random.stream("world"));
    const parts = (["supervision", "transfer", "test"] as const).map((split) =>
      some.puzzles(split, 40, random.stream(split)),
    );
    const ids = parts.flat().map(({ id }) => id);
    expect(new Set(ids).size).toBe(120);
    for (const { id, prompt, answer, difficulty } of parts.flat().slice(0, 30)) {
      const squares = Uint8Array.from(id, Number);
      const { length, moves } = shortestFirstMoves(squares, 5);
      expect(moves.length).toBe(1);
      expect([3, 4]).toContain(length);
      expect(difficulty).toBe(length);
      expect(some.vocabulary[answer[0]]).toBe(["N", "NE", "E", "SE", "S", "SW", "W", "NW"][moves[0]]);
      expect(Array.from(prompt.subarray(1, 26), (token) => token - 4)).toEqual([...squares]);
      expect(prompt.length).toBe(27);
    }
    expect(some.puzzles("test", 5, random.stream("test"))).toEqual(parts[2].slice(0, 5));
  });

  test("games are legal, within 54 predicted tokens of a vocabulary below 40, and show no board of another part first", () => {
    const games = world.games(createRandom("games"));
    const heldOut = new Set(world.puzzles("test", 100, createRandom("t")).map(({ id }) => id));
    expect(world.vocabulary.length).toBeLessThan(40);
    for (let i = 0; i < 60; i++) {
      const ids = games.next().value;
      expect(ids.length - 1).toBe(world.contextLength);
      expect(world.contextLength).toBe(54);
      const squares = Uint8Array.from(ids.subarray(1, 26), (token) => token - 4);
      const move = ids[27] - 10;
      expect(legalKingMoves(squares, 5)).toContain(move);
      expect(Array.from(ids.subarray(29, 54), (token) => token - 4)).toEqual([
        ...afterKingMove(squares, move, 5),
      ]);
      expect(heldOut.has(squares.join(""))).toBe(false);
      expect(squares.filter((square) => square === KNIGHT).length).toBe(1);
      expect(squares.filter((square) => square === WALL).length).toBeLessThanOrEqual(7);
      expect(squares.some((square) => square === KING || square === ARRIVED)).toBe(true);
      expect(squares.some((square) => square === TARGET || square === ARRIVED)).toBe(true);
    }
  });
});

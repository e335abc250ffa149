import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { type Document, type PackedRows, packDocuments } from "./packing.js";

const fits = ["best", "in-order"] as const;
const column = (rows: PackedRows, name: keyof PackedRows) => Array.from(rows[name].data);

/** Ids that tell where they come from: document, place. */
const documentOf = (number: number, length: number): Document => ({
  ids: Int32Array.from({ length }, (_, i) => 1000 * number + i),
});

describe("packDocuments", () => {
  test("predicts each token but the first of each document once, after its own document alone", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 12 }),
        fc.constantFrom(...fits),
        (lengths, contextLength, fit) => {
          fc.pre(lengths.some((length) => length > 1));
          const rows = packDocuments(
            lengths.map((length, i) => documentOf(i, length)),
            { contextLength, fit },
          );
          const [tokens, next, segments, positions, weights] = (
            ["tokens", "next", "segments", "positions", "weights"] as const
          ).map((name) => column(rows, name));
          const seen: number[] = [];
          tokens.forEach((token, at) => {
            if (segments[at] === 0) {
              expect([token, next[at], weights[at]]).toEqual([0, 0, 0]);
              return;
            }
            expect(weights[at]).toBe(1);
            expect(next[at]).toBe(token + 1);
            seen.push(next[at]);
            if (positions[at] === 0) return;
            expect(tokens[at - 1]).toBe(token - 1);
            expect(segments[at - 1]).toBe(segments[at]);
            expect(positions[at - 1]).toBe(positions[at] - 1);
          });
          const expected = lengths.flatMap((length, i) => [...documentOf(i, length).ids].slice(1));
          expect(seen.sort((a, b) => a - b)).toEqual(expected);
        },
      ),
    );
  });

  test("cuts no document that fits a row", () => {
    const rows = packDocuments([documentOf(1, 9), documentOf(2, 5), documentOf(3, 3), documentOf(4, 5)], {
      contextLength: 8,
    });
    // 8; 4 and 4; 2
    expect(rows.tokens.shape).toEqual([3, 8]);
    expect(column(rows, "positions").filter((position) => position === 0)).toHaveLength(4 + 6);
  });

  test("best fit needs fewer rows, in order keeps the order", () => {
    const documents = [5, 9, 5, 2].map((length, i) => documentOf(i + 1, length));
    const inOrder = packDocuments(documents, { contextLength: 8, fit: "in-order" });
    expect(inOrder.tokens.shape[0]).toBe(3);
    expect(column(inOrder, "tokens").filter((token) => token % 1000 === 0 && token > 0)).toEqual([
      1000, 2000, 3000, 4000,
    ]);
    const rowsOf = (fit: "best" | "in-order") =>
      packDocuments(
        [4, 4, 6, 6].map((length, i) => documentOf(i + 1, length)),
        { contextLength: 8, fit },
      ).tokens.shape[0];
    expect(rowsOf("best")).toBe(2);
    expect(rowsOf("in-order")).toBe(3);
  });

  test("weights go with the token that is predicted; pieces without any are left out", () => {
    const document = { ids: Int32Array.of(1, 2, 3, 4, 5, 6), weights: Float32Array.of(9, 0, 0, 0, 1, 2) };
    const whole = packDocuments([document], { contextLength: 6 });
    expect(column(whole, "next")).toEqual([2, 3, 4, 5, 6, 0]);
    expect(column(whole, "weights")).toEqual([0, 0, 0, 1, 2, 0]);
    const cut = packDocuments([document], { contextLength: 3 });
    expect(column(cut, "tokens")).toEqual([4, 5, 0]);
    expect(column(cut, "weights")).toEqual([1, 2, 0]);
  });

  test("is refused where nothing is to be predicted", () => {
    expect(() => packDocuments([documentOf(1, 1), documentOf(2, 0)], { contextLength: 4 })).toThrow(
      UserError,
    );
  });
});

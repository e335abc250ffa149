import { Tensor } from "@outgrow/engine";
import { UserError } from "../errors.js";
import type { Columns } from "./columns.js";

/** Ids of a document, with the end token where it is to be learnt. */
export interface Document {
  ids: Int32Array;
  /** `[ids]`: what the prediction of each id counts in the loss; that of the first is never made. Default: 1 each. */
  weights?: Float32Array;
}

/**
 * Rows of packed documents, each `[rows, contextLength]`: int32 `tokens`, the tokens that follow them (`next`), the numbers of
 * their documents in the row from 1 on (`segments`, 0 for padding), their places in the documents (`positions`), and what
 * the prediction of `next` counts (float32 `weights`, 0 for padding).
 */
export interface PackedRows extends Columns {
  tokens: Tensor;
  next: Tensor;
  segments: Tensor;
  positions: Tensor;
  weights: Tensor;
}

/** A part of a document that stands in one row. */
interface Piece {
  document: Document;
  first: number;
  /** Tokens that are read; one more is predicted. */
  length: number;
}

/**
 * Packs documents into rows of the context's length, so that hardly any padding is computed. A document is cut only where it is
 * longer than a row; a cut piece begins with the token that the piece before it predicted last, so that each token but a
 * document's first is predicted once. Pieces without weight are left out, and so are documents of a single token.
 *
 * @param fit `best`: the longest pieces first, each into the fullest row that has room (Ding et al. 2024); `in-order`: into the
 *   last row or a new one, as the documents come. Default best
 * @throws UserError where no document has anything to predict
 */
export function packDocuments(
  documents: readonly Document[],
  { contextLength, fit = "best" }: { contextLength: number; fit?: "best" | "in-order" },
): PackedRows {
  const pieces = documents.flatMap((document) => piecesOf(document, contextLength));
  if (pieces.length === 0) {
    throw new UserError(
      `none of the ${documents.length} documents has a token to predict, expected at least two tokens in one`,
    );
  }
  const rows = fit === "best" ? bestFit(pieces, contextLength) : inOrder(pieces, contextLength);
  return columnsOf(rows, contextLength);
}

function piecesOf(document: Document, contextLength: number): Piece[] {
  const predicted = document.ids.length - 1;
  const pieces: Piece[] = [];
  for (let first = 0; first < predicted; first += contextLength) {
    const length = Math.min(contextLength, predicted - first);
    const weights = document.weights?.subarray(first + 1, first + 1 + length);
    if (weights?.every((weight) => weight === 0)) continue;
    pieces.push({ document, first, length });
  }
  return pieces;
}

function bestFit(pieces: readonly Piece[], contextLength: number): Piece[][] {
  const rows: Piece[][] = [];
  /** Rows by the room that they have left. */
  const byRoom: Piece[][][] = Array.from({ length: contextLength + 1 }, () => []);
  for (const piece of [...pieces].sort((a, b) => b.length - a.length)) {
    let room = piece.length;
    while (room <= contextLength && byRoom[room].length === 0) room++;
    let row = byRoom[room]?.pop();
    if (!row) {
      row = [];
      rows.push(row);
      room = contextLength;
    }
    row.push(piece);
    byRoom[room - piece.length].push(row);
  }
  return rows;
}

function inOrder(pieces: readonly Piece[], contextLength: number): Piece[][] {
  const rows: Piece[][] = [];
  let room = 0;
  for (const piece of pieces) {
    if (piece.length > room) {
      rows.push([]);
      room = contextLength;
    }
    rows[rows.length - 1].push(piece);
    room -= piece.length;
  }
  return rows;
}

function columnsOf(rows: readonly (readonly Piece[])[], contextLength: number): PackedRows {
  const shape = [rows.length, contextLength];
  const size = rows.length * contextLength;
  const [tokens, next, segments, positions] = Array.from({ length: 4 }, () => new Int32Array(size));
  const weights = new Float32Array(size);
  rows.forEach((row, r) => {
    let at = r * contextLength;
    row.forEach(({ document, first, length }, segment) => {
      tokens.set(document.ids.subarray(first, first + length), at);
      next.set(document.ids.subarray(first + 1, first + 1 + length), at);
      segments.fill(segment + 1, at, at + length);
      for (let i = 0; i < length; i++) positions[at + i] = i;
      if (document.weights) weights.set(document.weights.subarray(first + 1, first + 1 + length), at);
      else weights.fill(1, at, at + length);
      at += length;
    });
  });
  return {
    tokens: new Tensor(tokens, shape),
    next: new Tensor(next, shape),
    segments: new Tensor(segments, shape),
    positions: new Tensor(positions, shape),
    weights: new Tensor(weights, shape),
  };
}

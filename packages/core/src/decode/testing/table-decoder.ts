import { UserError } from "../../errors.js";
import type { Decoder } from "../decoder.js";

/** A decoder that can be asked which rows are in use. */
export interface TableDecoder extends Decoder {
  readonly rowsInUse: number;
  /** Calls of `step` so far. */
  readonly steps: number;
}

/**
 * A decoder without a model: the logits are a function of the row's tokens, so that all probabilities are known. It checks how it
 * is used: no row beyond its capacity, no row twice in a step, no token outside the vocabulary.
 */
export function createTableDecoder(
  logitsAfter: (tokens: readonly number[]) => readonly number[],
  {
    vocabularySize,
    capacity = 64,
    contextLength = 64,
  }: { vocabularySize: number; capacity?: number; contextLength?: number },
): TableDecoder {
  const rows = new Map<number, number[]>();
  const shared = new Float32Array(capacity * vocabularySize);
  let next = 0;
  let steps = 0;
  const tokensOf = (row: number): number[] => {
    const tokens = rows.get(row);
    if (tokens === undefined) throw new RangeError(`There is no row ${row}.`);
    return tokens;
  };
  const take = (tokens: readonly number[]): number => {
    if (rows.size >= capacity) throw new UserError(`all ${capacity} rows are in use`);
    rows.set(next, [...tokens]);
    return next++;
  };
  // One buffer, as a real decoder has: what is kept beyond the next call shows.
  const logits = (asked: readonly number[]): Float32Array => {
    asked.forEach((row, i) => {
      shared.set(logitsAfter(tokensOf(row)), i * vocabularySize);
    });
    return shared.subarray(0, asked.length * vocabularySize);
  };
  return {
    vocabularySize,
    contextLength,
    capacity,
    get rowsInUse() {
      return rows.size;
    },
    get steps() {
      return steps;
    },
    async add(prompts) {
      if (prompts.some(({ length }) => length === 0 || length > contextLength)) {
        throw new UserError("a prompt is empty or too long");
      }
      if (rows.size + prompts.length > capacity) throw new UserError(`all ${capacity} rows are in use`);
      const added = prompts.map((prompt) => take([...prompt]));
      try {
        return { rows: added, logits: logits(added).slice() };
      } catch (error) {
        for (const row of added) rows.delete(row);
        throw error;
      }
    },
    async step(asked, tokens) {
      if (new Set(asked).size !== asked.length) throw new RangeError("A row is stepped twice.");
      asked.forEach((row, i) => {
        if (!(tokens[i] >= 0 && tokens[i] < vocabularySize))
          throw new RangeError(`There is no token ${tokens[i]}.`);
        if (tokensOf(row).length >= contextLength) throw new RangeError(`Row ${row} is full.`);
      });
      asked.forEach((row, i) => {
        tokensOf(row).push(tokens[i]);
      });
      steps++;
      return logits(asked);
    },
    fork: (row) => take(tokensOf(row)),
    truncate(row, length) {
      if (length < 1 || length > tokensOf(row).length)
        throw new RangeError(`Row ${row} cannot have ${length} tokens.`);
      tokensOf(row).length = length;
    },
    length: (row) => tokensOf(row).length,
    remove(row) {
      tokensOf(row);
      rows.delete(row);
    },
    async dispose() {
      rows.clear();
    },
  };
}

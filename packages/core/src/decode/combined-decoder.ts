import type { Tokenizer } from "../data/bpe.js";
import { UserError } from "../errors.js";
import type { Decoder } from "./decoder.js";

/** One of the models whose logits are combined. */
export interface CombinedModel {
  /** For messages. */
  name: string;
  decoder: Decoder;
  /** Where given, the vocabularies are compared token by token. */
  tokenizer?: Tokenizer;
}

/**
 * The logits to go on with, from those of the models in their order; each `[vocabularySize]`, finite or -Infinity. It is told the
 * row and how many tokens are in it, for a log of what was chosen. What it is given is its own to change.
 */
export type LogitsRule = (logits: Float32Array[], at: { row: number; length: number }) => Float32Array;

/**
 * A decoder whose logits are arithmetic on those of several models on the same prefix: fusion, contrast, proxy tuning. Each
 * model keeps a cache of its own. The models' decoders must not be used otherwise meanwhile as far as their room goes;
 * disposing of the combination gives its rows back and leaves them to their owners.
 *
 * @throws UserError for no models and for vocabularies that differ, naming the first mismatch; from `add` and `step` for a
 *   logit that is NaN or Infinity, naming the model and the position. All rows are then as before
 */
export function combineDecoders(models: readonly CombinedModel[], rule: LogitsRule): Decoder {
  if (models.length === 0) throw new UserError("there are no models to combine, expected at least one");
  const twice = models.find(({ decoder }, i) => models.findIndex((other) => other.decoder === decoder) !== i);
  if (twice !== undefined) {
    throw new UserError(`model ${JSON.stringify(twice.name)} has the decoder of another one`, {
      hint: "Each model needs rows of its own: make a decoder for each.",
    });
  }
  checkVocabularies(models);
  return new CombinedDecoder(models, rule);
}

class CombinedDecoder implements Decoder {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly capacity: number;
  /** For each row the models' rows. */
  private readonly rows = new Map<number, number[]>();
  private nextRow = 0;

  constructor(
    private readonly models: readonly CombinedModel[],
    private readonly rule: LogitsRule,
  ) {
    const decoders = models.map(({ decoder }) => decoder);
    this.vocabularySize = decoders[0].vocabularySize;
    this.contextLength = Math.min(...decoders.map(({ contextLength }) => contextLength));
    this.capacity = Math.min(...decoders.map(({ capacity }) => capacity));
  }

  async add(prompts: readonly Int32Array[]): Promise<{ rows: number[]; logits: Float32Array }> {
    // Models with longer contexts would take what another refuses.
    const long = prompts.find(({ length }) => length > this.contextLength);
    if (long !== undefined) {
      throw new UserError(
        `a prompt has ${long.length} tokens, the shortest context of the models ${this.contextLength}`,
      );
    }
    const added = await allOrNone(
      this.models.map(({ decoder }) => decoder.add(prompts)),
      ({ rows }, model) => {
        for (const row of rows) this.models[model].decoder.remove(row);
      },
    );
    const rows = prompts.map((_, i) => {
      this.rows.set(
        this.nextRow,
        added.map(({ rows }) => rows[i]),
      );
      return this.nextRow++;
    });
    try {
      return {
        rows,
        logits: this.combine(
          rows,
          added.map(({ logits }) => logits),
        ),
      };
    } catch (error) {
      for (const row of rows) this.remove(row);
      throw error;
    }
  }

  async step(rows: readonly number[], tokens: ArrayLike<number>): Promise<Float32Array> {
    const own = rows.map((row) => this.rowsOf(row));
    const before = rows.map((row) => this.length(row));
    const undo = (_: Float32Array, model: number) => {
      for (const [i, of] of own.entries()) this.models[model].decoder.truncate(of[model], before[i]);
    };
    const logits = await allOrNone(
      this.models.map(({ decoder }, model) =>
        decoder.step(
          own.map((of) => of[model]),
          tokens,
        ),
      ),
      undo,
    );
    try {
      return this.combine(rows, logits);
    } catch (error) {
      logits.forEach(undo);
      throw error;
    }
  }

  fork(row: number): number {
    const from = this.rowsOf(row);
    const forked: number[] = [];
    try {
      for (const [model, { decoder }] of this.models.entries()) forked.push(decoder.fork(from[model]));
    } catch (error) {
      for (const [model, row] of forked.entries()) this.models[model].decoder.remove(row);
      throw error;
    }
    this.rows.set(this.nextRow, forked);
    return this.nextRow++;
  }

  truncate(row: number, length: number): void {
    for (const [model, of] of this.rowsOf(row).entries()) this.models[model].decoder.truncate(of, length);
  }

  length(row: number): number {
    return this.models[0].decoder.length(this.rowsOf(row)[0]);
  }

  remove(row: number): void {
    for (const [model, of] of this.rowsOf(row).entries()) this.models[model].decoder.remove(of);
    this.rows.delete(row);
  }

  async dispose(): Promise<void> {
    for (const row of [...this.rows.keys()]) this.remove(row);
  }

  private rowsOf(row: number): number[] {
    const rows = this.rows.get(row);
    if (rows === undefined) throw new RangeError(`There is no row ${row}.`);
    return rows;
  }

  private combine(rows: readonly number[], ofModels: readonly Float32Array[]): Float32Array {
    const size = this.vocabularySize;
    const combined = new Float32Array(rows.length * size);
    rows.forEach((row, i) => {
      const length = this.length(row);
      const logits = ofModels.map((all) => all.slice(i * size, (i + 1) * size));
      for (const [model, of] of logits.entries()) {
        checkLogits(of, `model ${JSON.stringify(this.models[model].name)}`, length);
      }
      const result = this.rule(logits, { row, length });
      if (result.length !== size)
        throw new RangeError(`The rule gave ${result.length} logits for ${size} tokens.`);
      checkLogits(result, "the combination", length);
      combined.set(result, i * size);
    });
    return combined;
  }
}

/** Waits for all, also where one fails; then what the others have done is undone. */
async function allOrNone<T>(
  work: readonly Promise<T>[],
  undo: (done: T, index: number) => void,
): Promise<T[]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return results.map((result) => (result as PromiseFulfilledResult<T>).value);
  results.forEach((result, i) => {
    if (result.status === "fulfilled") undo(result.value, i);
  });
  throw failed.reason;
}

function checkLogits(logits: Float32Array, of: string, length: number): void {
  const at = logits.findIndex((logit) => Number.isNaN(logit) || logit === Infinity);
  if (at >= 0) {
    throw new UserError(
      `the logits of ${of} after ${length} tokens are not numbers: token ${at} has ${logits[at]}`,
      {
        exitCode: 1,
      },
    );
  }
}

function checkVocabularies(models: readonly CombinedModel[]): void {
  const [first, ...others] = models;
  const differ = (other: CombinedModel, how: string): never => {
    throw new UserError(
      `models ${JSON.stringify(first.name)} and ${JSON.stringify(other.name)} cannot be combined: ${how}`,
      {
        hint: "Their logits must be about the same tokens; use models with one tokenizer.",
      },
    );
  };
  for (const other of others) {
    const [size, otherSize] = [first.decoder.vocabularySize, other.decoder.vocabularySize];
    if (size !== otherSize) differ(other, `${size} and ${otherSize} tokens`);
    if (first.tokenizer === undefined || other.tokenizer === undefined || first.tokenizer === other.tokenizer)
      continue;
    for (let id = 0; id < Math.min(first.tokenizer.vocabularySize, other.tokenizer.vocabularySize); id++) {
      const [one, two] = [first.tokenizer.tokenBytes(id), other.tokenizer.tokenBytes(id)];
      if (Buffer.compare(one, two) !== 0) {
        const text = (bytes: Uint8Array) => JSON.stringify(Buffer.from(bytes).toString());
        differ(other, `token ${id} is ${text(one)} in one and ${text(two)} in the other`);
      }
    }
    const special = ({ specialTokens }: Tokenizer) => new Set(Object.values(specialTokens));
    const [one, two] = [special(first.tokenizer), special(other.tokenizer)];
    const uneven = [...one, ...two].sort((a, b) => a - b).find((id) => one.has(id) !== two.has(id));
    if (uneven !== undefined) differ(other, `token ${uneven} is a special token in one of them only`);
  }
}

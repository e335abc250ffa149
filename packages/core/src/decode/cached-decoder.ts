import { openGraph, Tensor } from "@outgrow/engine";
import { UserError } from "../errors.js";
import { namedTensors } from "../models/checkpoint.js";
import type { LanguageModel } from "../models/language-model.js";
import type { TransformerConfig } from "../models/transformer-config.js";
import type { Decoder } from "./decoder.js";
import { KeyValueRows } from "./key-value-rows.js";
import { transformerGraph } from "./transformer-graph.js";

export interface DecoderOptions {
  /** Most rows at a time. Default 64. */
  capacity?: number;
  /** Threads of a run. Default: one for small steps, else one for each core. */
  threads?: number;
}

/** Prompts are read in pieces of so many tokens, which bounds the memory of their attention. */
const PIECE = 256;
/** Prompts of one length are read together, up to so many tokens. */
const TOGETHER = 2048;
/** Added to the scores of places that must not be seen. */
const UNSEEN = -1e9;

/**
 * A language model with its keys and values in a static cache. The logits of a row depend on its tokens alone and not on the
 * rows beside it: bit for bit up to 8 million weights, which are then laid out once for all programs; for larger models up to
 * the rounding of sums in another order, about a millionth.
 *
 * @throws UserError for a model that is not causal
 */
export function createDecoder(
  model: Pick<LanguageModel, "config" | "params">,
  options: DecoderOptions = {},
): Decoder {
  if (!model.config.causal) {
    throw new UserError("the model sees what comes after a token, so that it cannot generate text", {
      hint: "Expected a causal model; an encoder can only classify.",
    });
  }
  return new CachedDecoder(model, options);
}

class CachedDecoder implements Decoder {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly capacity: number;
  private readonly config: TransformerConfig;
  private readonly programs: Programs;
  private readonly cache: KeyValueRows;
  /** The row in each place of the cache; undefined where it is free. */
  private readonly rowAt: (number | undefined)[] = [];
  private readonly placeOf = new Map<number, number>();
  /** Of each place. */
  private readonly lengths: number[] = [];
  private nextRow = 0;
  /** The inputs of the last step. */
  private steps: { count: number; inputs: Record<string, Tensor> } | undefined;
  private busy = false;

  constructor({ config, params }: Pick<LanguageModel, "config" | "params">, options: DecoderOptions) {
    this.config = config;
    this.vocabularySize = config.vocabularySize;
    this.contextLength = config.contextLength;
    this.capacity = options.capacity ?? 64;
    this.programs = new Programs({ config, params }, options.threads);
    this.cache = new KeyValueRows(config, config.contextLength);
  }

  async add(prompts: readonly Int32Array[]): Promise<{ rows: number[]; logits: Float32Array }> {
    prompts.forEach((prompt, i) => {
      this.checkPrompt(prompt, i);
    });
    this.checkFree(prompts.length);
    return this.alone(async () => {
      const logits = new Float32Array(prompts.length * this.vocabularySize);
      const rows = prompts.map(() => this.take());
      try {
        this.reserve(Math.max(0, ...prompts.map((prompt) => prompt.length)));
        for (const indices of groupsOfOneLength(prompts)) {
          const read = await this.read(
            indices.map((i) => prompts[i]),
            indices.map((i) => this.placeOf.get(rows[i]) as number),
          );
          indices.forEach((index, i) => {
            const own = read.subarray(i * this.vocabularySize, (i + 1) * this.vocabularySize);
            logits.set(own, index * this.vocabularySize);
          });
        }
      } catch (error) {
        for (const row of rows) this.remove(row);
        throw error;
      }
      return { rows, logits };
    });
  }

  async step(rows: readonly number[], tokens: ArrayLike<number>): Promise<Float32Array> {
    if (rows.length === 0) return new Float32Array(0);
    rows.forEach((row, i) => {
      const length = this.length(row);
      this.checkToken(tokens[i], `row ${row}`);
      if (length >= this.contextLength) {
        throw new UserError(`row ${row} is as long as the model's context (${length} tokens)`);
      }
    });
    if (new Set(rows).size < rows.length) throw new RangeError("A row can only take one token in a step.");
    return this.alone(async () => {
      this.gather(rows);
      const places = rows.map((row) => this.placeOf.get(row) as number);
      this.reserve(Math.max(...places.map((place) => this.lengths[place] + 1)));
      const count = rows.length;
      const inputs = this.stepInputs(count);
      places.forEach((place, i) => {
        inputs.tokens.data[place] = tokens[i];
      });
      const { logits, fresh } = await this.programs.run("one", count, inputs);
      this.cache.write(fresh, firstPlaces(count), this.lengths);
      for (let place = 0; place < count; place++) this.lengths[place]++;
      const given = logits.data as Float32Array;
      if (places.every((place, i) => place === i)) return given;
      const size = this.vocabularySize;
      const ordered = new Float32Array(given.length);
      places.forEach((place, i) => {
        ordered.set(given.subarray(place * size, (place + 1) * size), i * size);
      });
      return ordered;
    });
  }

  fork(row: number): number {
    const length = this.length(row);
    this.checkFree(1);
    const fork = this.take();
    this.reserve(length);
    const place = this.placeOf.get(fork) as number;
    this.cache.copy(this.placeOf.get(row) as number, place, length);
    this.lengths[place] = length;
    return fork;
  }

  truncate(row: number, length: number): void {
    const now = this.length(row);
    if (!Number.isSafeInteger(length) || length < 1 || length > now) {
      throw new RangeError(`Row ${row} has ${now} tokens; it cannot be cut to ${length}.`);
    }
    const place = this.placeOf.get(row) as number;
    this.lengths[place] = length;
    this.cache.clear(place, length);
  }

  length(row: number): number {
    const place = this.placeOf.get(row);
    if (place === undefined) throw new RangeError(`There is no row ${row}.`);
    return this.lengths[place];
  }

  remove(row: number): void {
    this.length(row);
    const place = this.placeOf.get(row) as number;
    this.placeOf.delete(row);
    this.rowAt[place] = undefined;
    this.lengths[place] = 0;
    this.cache.clear(place, 0);
  }

  async dispose(): Promise<void> {
    await this.programs.dispose();
  }

  private async alone<Result>(body: () => Promise<Result>): Promise<Result> {
    if (this.busy) throw new Error("A decoder does one thing at a time: await its last call first.");
    this.busy = true;
    try {
      return await body();
    } finally {
      this.busy = false;
    }
  }

  /** Reads prompts of one length into their places. Returns the logits after them. */
  private async read(prompts: readonly Int32Array[], places: readonly number[]): Promise<Float32Array> {
    const count = prompts.length;
    const { length } = prompts[0];
    let logits = new Float32Array(0);
    for (let start = 0; start < length; start += PIECE) {
      const time = Math.min(PIECE, length - start);
      const tokens = new Int32Array(count * time);
      prompts.forEach((prompt, i) => {
        tokens.set(prompt.subarray(start, start + time), i * time);
      });
      const positions = Int32Array.from(tokens, (_, i) => start + (i % time));
      const past = start === 0 ? this.cache.none(count) : this.cache.rows(places[0], 1);
      const outputs = await this.programs.run("several", count * time, {
        tokens: new Tensor(tokens, [count, time]),
        positions: new Tensor(positions, [count, time]),
        bias: this.promptBias(start, time, start === 0 ? 0 : this.cache.room),
        ...pastInputs(past),
      });
      this.cache.write(
        outputs.fresh,
        places,
        places.map(() => start),
      );
      for (const place of places) this.lengths[place] = start + time;
      logits = outputs.logits.data as Float32Array<ArrayBuffer>;
    }
    return logits;
  }

  /** What a step of the first `count` places takes, but for its tokens. The same tensors serve as long as nothing moves. */
  private stepInputs(count: number): Record<string, Tensor> {
    const { room } = this.cache;
    const seen = 1 + room;
    if (this.steps?.count !== count) {
      const inputs = {
        tokens: new Tensor(new Int32Array(count), [count, 1]),
        positions: new Tensor(new Int32Array(count), [count, 1]),
        bias: new Tensor(new Float32Array(count * seen), [count, 1, 1, seen]),
        ...pastInputs(this.cache.rows(0, count)),
      };
      this.steps = { count, inputs };
    }
    const { inputs } = this.steps;
    const bias = inputs.bias.data as Float32Array;
    const { slidingWindow = Infinity } = this.config;
    bias.fill(UNSEEN);
    for (let place = 0; place < count; place++) {
      const length = this.lengths[place];
      inputs.positions.data[place] = length;
      const at = place * seen;
      bias[at] = 0;
      bias.fill(0, at + 1 + Math.max(0, length - slidingWindow + 1), at + 1 + length);
    }
    return inputs;
  }

  /** For `time` tokens after `start` others, of which the cache has `room` places: `[1, 1, time * shared, time + room]`. */
  private promptBias(start: number, time: number, room: number): Tensor {
    const { heads, keyValueHeads, slidingWindow = Infinity } = this.config;
    const sharedBy = heads / keyValueHeads;
    const seen = time + room;
    const bias = new Float32Array(time * sharedBy * seen).fill(UNSEEN);
    for (let query = 0; query < time * sharedBy; query++) {
      const own = Math.floor(query / sharedBy);
      const oldest = Math.max(0, start + own - slidingWindow + 1);
      bias.fill(0, query * seen + Math.max(0, oldest - start), query * seen + own + 1);
      const pastEnd = query * seen + time + start;
      if (room > 0 && oldest < start) bias.fill(0, pastEnd - start + oldest, pastEnd);
    }
    return new Tensor(bias, [1, 1, time * sharedBy, seen]);
  }

  /** Moves the rows into the first places, in any order. */
  private gather(rows: readonly number[]): void {
    const chosen = new Set(rows);
    let target = 0;
    for (const row of rows) {
      const from = this.placeOf.get(row) as number;
      if (from < rows.length) continue;
      while (this.rowAt[target] !== undefined && chosen.has(this.rowAt[target] as number)) target++;
      const other = this.rowAt[target];
      if (other === undefined) {
        this.cache.copy(from, target, this.lengths[from]);
        this.cache.clear(from, 0);
      } else {
        this.cache.swap(from, target);
      }
      [this.lengths[from], this.lengths[target]] = [this.lengths[target], this.lengths[from]];
      this.rowAt[target] = row;
      this.placeOf.set(row, target);
      this.rowAt[from] = other;
      if (other !== undefined) this.placeOf.set(other, from);
    }
  }

  /** A new row in a free place. */
  private take(): number {
    let place = this.rowAt.indexOf(undefined);
    if (place < 0) place = this.rowAt.length;
    const row = this.nextRow++;
    this.rowAt[place] = row;
    this.lengths[place] = 0;
    this.placeOf.set(row, place);
    return row;
  }

  /** Makes room for all rows, and for so many tokens in each. */
  private reserve(length: number): void {
    // In powers of two, so that rows which come one by one seldom move.
    const rows = Math.min(this.capacity, 2 ** Math.ceil(Math.log2(this.rowAt.length)));
    if (this.cache.reserve(rows, Math.max(length, ...this.lengths), this.lengths)) this.steps = undefined;
  }

  private checkFree(count: number): void {
    const free = this.capacity - this.placeOf.size;
    if (count > free) {
      throw new UserError(`there are ${free} free rows of ${this.capacity}, but ${count} are needed`, {
        hint: "Remove rows that are no longer used, or create the decoder with a larger capacity.",
      });
    }
  }

  private checkPrompt(prompt: Int32Array, index: number): void {
    const name = `prompt ${index} (counted from 0)`;
    if (prompt.length === 0) {
      throw new UserError(`${name} is empty`, {
        hint: "A prompt has at least one token, e.g. the one that begins texts.",
      });
    }
    if (prompt.length > this.contextLength) {
      throw new UserError(
        `${name} has ${prompt.length} tokens, expected at most ${this.contextLength}, the model's context`,
      );
    }
    prompt.forEach((token) => {
      this.checkToken(token, name);
    });
  }

  private checkToken(token: number, where: string): void {
    if (!Number.isInteger(token) || token < 0 || token >= this.vocabularySize) {
      throw new UserError(
        `${where} has the token id ${token}, expected a whole number from 0 to ${this.vocabularySize - 1}`,
        { hint: "Are the ids from this model's tokenizer?" },
      );
    }
  }
}

const pastInputs = (tensors: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(
    tensors.map((tensor, i) => [`${i % 2 === 0 ? "pastKeys" : "pastValues"}.${i >> 1}`, tensor]),
  );

const firstPlaces = (count: number) => Array.from({ length: count }, (_, place) => place);

/** Indices of prompts that can be read together. */
function groupsOfOneLength(prompts: readonly Int32Array[]): number[][] {
  const groups: number[][] = [];
  const open = new Map<number, number[]>();
  prompts.forEach(({ length }, i) => {
    let group = open.get(length);
    if (!group || length > PIECE || (group.length + 1) * length > TOGETHER) {
      group = [];
      groups.push(group);
      open.set(length, group);
    }
    group.push(i);
  });
  return groups;
}

/** Products with fewer multiply-and-adds than this are made by one thread; more cost more than they bring. */
const ONE_THREAD_BELOW = 10e6;

/** The programs of a model, each opened when it is first needed. */
class Programs {
  private readonly opened = new Map<string, Promise<Run>>();
  private readonly disposals: (() => Promise<void>)[] = [];
  private readonly size: number;

  constructor(
    private readonly model: Pick<LanguageModel, "config" | "params">,
    private readonly threads: number | undefined,
  ) {
    this.size = [...namedTensors(model.params).values()].reduce((sum, { data }) => sum + data.length, 0);
  }

  async dispose(): Promise<void> {
    await Promise.allSettled(this.opened.values());
    await Promise.all(this.disposals.map((dispose) => dispose()));
  }

  /** @param tokens how many there are in all rows together */
  async run(
    time: "one" | "several",
    tokens: number,
    inputs: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>> {
    const threads = this.threads ?? (tokens * this.size < ONE_THREAD_BELOW ? 1 : undefined);
    const key = `${time} ${threads}`;
    let opening = this.opened.get(key);
    if (!opening) {
      opening = this.open(time, threads);
      this.opened.set(key, opening);
    }
    return (await opening)(inputs);
  }

  private async open(time: "one" | "several", threads: number | undefined): Promise<Run> {
    const { config, params } = this.model;
    const weights = this.size <= CONSTANTS_UP_TO ? "constants" : "inputs";
    const graph = transformerGraph(config, params, { time, weights });
    const program = await openGraph(graph.model, { threads });
    this.disposals.push(() => program.dispose());
    return weights === "constants"
      ? (inputs) => program.run(inputs)
      : (inputs) => program.run({ ...graph.weights, ...inputs });
  }
}

type Run = (inputs: Readonly<Record<string, Tensor>>) => Promise<Record<string, Tensor>>;

/** Larger models are not copied into their programs. */
const CONSTANTS_UP_TO = 8e6;

import { type GraphProgram, openGraph, Tensor } from "@outgrow/engine";
import { UserError } from "../errors.js";
import { namedTensors } from "../models/checkpoint.js";
import type { LanguageModel } from "../models/language-model.js";
import type { TransformerConfig } from "../models/transformer-config.js";
import type { Decoder } from "./decoder.js";
import { KeyValueRows } from "./key-value-rows.js";
import { type TransformerGraph, transformerGraph } from "./transformer-graph.js";

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
 * A language model with its keys and values in a static cache. The logits of a row depend on its tokens alone, bit for bit,
 * and not on the rows beside it.
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
      const ids = new Int32Array(count);
      places.forEach((place, i) => {
        ids[place] = tokens[i];
      });
      const lengths = this.lengths.slice(0, count);
      const outputs = await this.programs.step(count, {
        tokens: new Tensor(ids, [count, 1]),
        positions: new Tensor(Int32Array.from(lengths), [count, 1]),
        bias: this.stepBias(lengths),
        ...this.past(this.cache.first(count)),
      });
      for (let place = 0; place < count; place++) {
        this.store(outputs, place, place, lengths[place]);
        this.lengths[place]++;
      }
      const logits = outputs.logits.data as Float32Array;
      if (places.every((place, i) => place === i)) return logits;
      const size = this.vocabularySize;
      const ordered = new Float32Array(logits.length);
      places.forEach((place, i) => {
        ordered.set(logits.subarray(place * size, (place + 1) * size), i * size);
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
      const past = start === 0 ? this.cache.none(count) : this.cache.row(places[0]);
      const outputs = await this.programs.read(count * time, {
        tokens: new Tensor(tokens, [count, time]),
        positions: new Tensor(positions, [count, time]),
        bias: this.promptBias(start, time, start === 0 ? 0 : this.cache.room),
        ...this.past(past),
      });
      places.forEach((place, i) => {
        this.store(outputs, place, i, start);
        this.lengths[place] = start + time;
      });
      logits = outputs.logits.data as Float32Array<ArrayBuffer>;
    }
    return logits;
  }

  private past(tensors: readonly Tensor[]): Record<string, Tensor> {
    return Object.fromEntries(
      tensors.map((tensor, i) => [`${i % 2 === 0 ? "pastKeys" : "pastValues"}.${i >> 1}`, tensor]),
    );
  }

  private store(outputs: Readonly<Record<string, Tensor>>, place: number, index: number, at: number): void {
    for (let layer = 0; layer < this.config.layers; layer++) {
      this.cache.write(2 * layer, place, at, outputs[`keys.${layer}`], index);
      this.cache.write(2 * layer + 1, place, at, outputs[`values.${layer}`], index);
    }
  }

  /** For one token after so many of each row: itself, then the cache's places. `[rows, 1, 1, 1 + room]` */
  private stepBias(lengths: readonly number[]): Tensor {
    const seen = 1 + this.cache.room;
    const bias = new Float32Array(lengths.length * seen).fill(UNSEEN);
    const { slidingWindow = Infinity } = this.config;
    lengths.forEach((length, row) => {
      bias[row * seen] = 0;
      const oldest = Math.max(0, length - slidingWindow + 1);
      bias.fill(0, row * seen + 1 + oldest, row * seen + 1 + length);
    });
    return new Tensor(bias, [lengths.length, 1, 1, seen]);
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
    this.cache.reserve(rows, Math.max(length, ...this.lengths), this.lengths);
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
  private readonly opened = new Map<string, Promise<{ program: GraphProgram; graph: TransformerGraph }>>();
  private readonly size: number;

  constructor(
    private readonly model: Pick<LanguageModel, "config" | "params">,
    private readonly threads: number | undefined,
  ) {
    this.size = [...namedTensors(model.params).values()].reduce((sum, { data }) => sum + data.length, 0);
  }

  step(rows: number, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    return this.run("one", rows, inputs);
  }

  read(tokens: number, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    return this.run("several", tokens, inputs);
  }

  async dispose(): Promise<void> {
    await Promise.all(
      [...this.opened.values()].map(async (opening) =>
        (await opening.catch(() => undefined))?.program.dispose(),
      ),
    );
  }

  private async run(time: "one" | "several", tokens: number, inputs: Readonly<Record<string, Tensor>>) {
    const threads = this.threads ?? (tokens * this.size < ONE_THREAD_BELOW ? 1 : undefined);
    const key = `${time} ${threads}`;
    let opening = this.opened.get(key);
    if (!opening) {
      opening = this.open(time, threads);
      this.opened.set(key, opening);
    }
    const { program, graph } = await opening;
    return program.run({ ...graph.weights, ...inputs });
  }

  private async open(time: "one" | "several", threads: number | undefined) {
    const { config, params } = this.model;
    const weights = this.size <= CONSTANTS_UP_TO ? "constants" : "inputs";
    const graph = transformerGraph(config, params, { time, weights });
    return { graph, program: await openGraph(graph.model, { threads }) };
  }
}

/** Larger models are not copied into their programs. */
const CONSTANTS_UP_TO = 8e6;

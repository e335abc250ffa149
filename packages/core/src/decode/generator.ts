import { UserError } from "../errors.js";
import type { LanguageModel } from "../models/language-model.js";
import { createDecoder, type DecoderOptions } from "./cached-decoder.js";
import { GeneratingText, type GeneratorParts } from "./generating-text.js";
import type { Generation, GenerationRequest, Generator } from "./generation.js";

export type { GeneratorParts };

/** Texts of one prompt. */
interface Group {
  prompt: Int32Array;
  /** Those that wait for a row. */
  waiting: Open[];
  /** The logits after the prompt, once it has been read, while there are some that wait. */
  logits?: Float32Array;
}

/** A text that somebody waits for. */
interface Open {
  text: GeneratingText;
  group: Group;
  settled: boolean;
  resolve(generation: Generation): void;
  reject(reason: unknown): void;
}

/** A text that has a row, and the token that comes next in it. */
interface Active {
  open: Open;
  row: number;
  token: number;
}

/**
 * Generates texts with a model, or with any decoder. Rows are free for the next request as soon as a text ends; requests for
 * several texts take turns with the others. With the same seed a request gives the same tokens whatever is generated beside it,
 * where the decoder's logits are the same then; where they are only equal up to rounding (see `createDecoder`), tokens whose
 * chances are as close as that may change places.
 *
 * @param options for the decoder of a model. Disposing of the generator disposes of that; a decoder that was given stays
 */
export function createGenerator(
  source: LanguageModel | GeneratorParts,
  options: DecoderOptions = {},
): Generator {
  if ("decoder" in source) return new ContinuousGenerator(source);
  const { tokenizer, endTokens } = source;
  const decoder = createDecoder(source, options);
  return new ContinuousGenerator({ decoder, tokenizer, endTokens }, () => decoder.dispose());
}

class ContinuousGenerator implements Generator {
  /** Groups with texts that wait, in the order of their turns. */
  private queue: Group[] = [];
  private active: Active[] = [];
  private readonly open = new Set<Open>();
  private running: Promise<void> | undefined;
  private isDisposed = false;

  constructor(
    private readonly parts: GeneratorParts,
    private readonly release: () => Promise<void> = async () => {},
  ) {}

  get load(): { active: number; waiting: number } {
    const active = this.active.filter(({ open }) => !open.settled).length;
    return { active, waiting: this.open.size - active };
  }

  async generate(request: GenerationRequest): Promise<Generation> {
    return (await this.sample(request, 1))[0];
  }

  async sample(request: GenerationRequest, count: number): Promise<Generation[]> {
    if (this.isDisposed) throw new Error("The generator was used after dispose().");
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new UserError(`${count} samples were asked for, expected a whole number of at least 1`);
    }
    request.signal?.throwIfAborted();
    const { seed = 0 } = request;
    const texts = Array.from(
      { length: count },
      (_, i) => new GeneratingText({ ...request, seed: seed + i }, this.parts),
    );
    const group: Group = { prompt: request.prompt, waiting: [] };
    const results = texts.map((text) => this.opened(text, group));
    this.queue.push(group);
    const abort = () => this.drop(group, request.signal?.reason);
    request.signal?.addEventListener("abort", abort, { once: true });
    this.running ??= this.run();
    try {
      return await Promise.all(results);
    } catch (error) {
      // Nobody waits for the others any more.
      this.drop(group, error);
      throw error;
    } finally {
      request.signal?.removeEventListener("abort", abort);
    }
  }

  async dispose(): Promise<void> {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.dropAll(new Error("The generator was disposed of while it was generating."));
    await this.running;
    await this.release();
  }

  private opened(text: GeneratingText, group: Group): Promise<Generation> {
    return new Promise((resolve, reject) => {
      const open: Open = {
        text,
        group,
        settled: false,
        resolve: (generation) => this.settle(open, () => resolve(generation)),
        reject: (reason) => this.settle(open, () => reject(reason)),
      };
      this.open.add(open);
      group.waiting.push(open);
    });
  }

  private settle(open: Open, tell: () => void): void {
    if (open.settled) return;
    open.settled = true;
    this.open.delete(open);
    tell();
  }

  private drop(group: Group, reason: unknown): void {
    for (const open of this.open) if (open.group === group) open.reject(reason);
    group.waiting = [];
  }

  private dropAll(reason: unknown): void {
    for (const open of this.open) open.reject(reason);
    this.queue = [];
  }

  /** Steps as long as there is something to do. */
  private async run(): Promise<void> {
    // What is asked for in one go begins together.
    await Promise.resolve();
    try {
      while (this.queue.length + this.active.length > 0) {
        this.removeSettled();
        await this.admit();
        if (this.active.length > 0) await this.step();
      }
    } catch (error) {
      this.dropAll(error);
      this.removeSettled();
    } finally {
      this.running = undefined;
    }
  }

  /** Frees the rows of texts that are done or that nobody waits for. */
  private removeSettled(): void {
    const { decoder } = this.parts;
    this.active = this.active.filter(({ open, row }) => {
      if (open.settled) decoder.remove(row);
      return !open.settled;
    });
  }

  /** Gives the free rows to those who wait: one to each group in turn. */
  private async admit(): Promise<void> {
    const { decoder } = this.parts;
    for (;;) {
      this.queue = this.queue.filter(({ waiting }) => waiting.length > 0);
      const turn = this.queue.splice(0, decoder.capacity - this.active.length);
      if (turn.length === 0) return;
      const unread: Open[] = [];
      for (const group of turn) {
        const open = group.waiting.shift() as Open;
        const sibling = this.active.find((other) => other.open.group === group);
        if (!sibling || !group.logits) {
          unread.push(open);
          continue;
        }
        const row = decoder.fork(sibling.row);
        decoder.truncate(row, group.prompt.length);
        this.advance({ open, row, token: -1 }, group.logits.slice());
      }
      this.queue.push(...turn);
      if (unread.length > 0) await this.read(unread);
      this.removeSettled();
    }
  }

  private async read(texts: readonly Open[]): Promise<void> {
    const { decoder } = this.parts;
    const size = decoder.vocabularySize;
    const { rows, logits } = await decoder.add(texts.map(({ group }) => group.prompt));
    texts.forEach((open, i) => {
      const own = logits.slice(i * size, (i + 1) * size);
      open.group.logits = open.group.waiting.length > 0 ? own.slice() : undefined;
      this.advance({ open, row: rows[i], token: -1 }, own);
    });
  }

  /** One token more for all that have a row. */
  private async step(): Promise<void> {
    const { decoder } = this.parts;
    const stepped = this.active;
    this.active = [];
    const size = decoder.vocabularySize;
    const logits = await decoder
      .step(
        stepped.map(({ row }) => row),
        stepped.map(({ token }) => token),
      )
      .catch((error) => {
        this.active = stepped;
        throw error;
      });
    stepped.forEach((active, i) => {
      this.advance(active, logits.subarray(i * size, (i + 1) * size));
    });
  }

  /** Takes the next token of a text from the logits, and keeps it among the active until its row is removed. */
  private advance(active: Active, logits: Float32Array): void {
    const { open } = active;
    this.active.push(active);
    if (open.settled) return;
    try {
      const token = open.text.next(logits, active.row);
      if (token === undefined) open.resolve(open.text.generation());
      else active.token = token;
    } catch (error) {
      open.reject(error);
    }
  }
}

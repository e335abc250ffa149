import { UserError } from "../../errors.js";
import type { Decoder } from "../decoder.js";
import type { Constraint, ConstraintState } from "../generation.js";
import { logSoftmax } from "../logits-arithmetic.js";
import { type OwnedRows, withRows } from "./owned-rows.js";

export interface BeamSearchOptions {
  /** How many beginnings are kept of each prompt, and at most how many texts come out. */
  beams: number;
  /** Ids after which a text is over. */
  endTokens: readonly number[];
  /** Most tokens of a text. Default: what the context has room for. */
  maxTokens?: number;
  /** The score is the log-probability over the length to this power. Default 0; 1 is the mean per token. */
  lengthPenalty?: number;
  /** Whether a prompt is done as soon as its best text is certain. Default: when its `beams` best are. */
  stopAtBest?: boolean;
  constraint?: Constraint;
  signal?: AbortSignal;
}

export interface Beam {
  /** The text's tokens, the end token among them. */
  tokens: Int32Array;
  /** Sum over the tokens, of the model's distribution (with a constraint too). */
  logProb: number;
  score: number;
  /** Whether it came to its end, or was cut at `maxTokens`. */
  finished: boolean;
}

interface Open {
  row: number;
  tokens: readonly number[];
  logProb: number;
  state: ConstraintState | undefined;
}

interface Candidate {
  from: Open;
  token: number;
  logProb: number;
}

/** Where a prompt's search is. */
interface Search {
  maxTokens: number;
  open: Open[];
  /** The best texts that are over, the best first. */
  done: Beam[];
}

/**
 * Beam search, for prompts side by side: of all beginnings the `beams` likeliest go on. A prompt's search ends when nothing that
 * is open can still come among its results, which is certain because log-probabilities only fall.
 *
 * @returns for each prompt up to `beams` texts, the best score first
 * @throws UserError for options out of range, prompts without room, and too few rows; the signal's reason where it was aborted
 */
export async function beamSearch(
  decoder: Decoder,
  prompts: readonly Int32Array[],
  options: BeamSearchOptions,
): Promise<Beam[][]> {
  const { beams } = options;
  checkOptions(decoder, prompts, options);
  const together = Math.floor(decoder.capacity / beams);
  return withRows(decoder, async (rows) => {
    const results: Beam[][] = [];
    for (let at = 0; at < prompts.length; at += together) {
      results.push(...(await searchTogether(rows, prompts.slice(at, at + together), options)));
    }
    return results;
  });
}

async function searchTogether(
  rows: OwnedRows,
  prompts: readonly Int32Array[],
  options: BeamSearchOptions,
): Promise<Beam[][]> {
  const { decoder } = rows;
  const size = decoder.vocabularySize;
  options.signal?.throwIfAborted();
  const added = await rows.add(prompts);
  const searches = prompts.map((prompt, i): Search => {
    const room = decoder.contextLength - prompt.length;
    const start = { row: added.rows[i], tokens: [], logProb: 0, state: options.constraint?.start() };
    return { maxTokens: Math.min(options.maxTokens ?? room, room), open: [start], done: [] };
  });
  for (let logits = added.logits; ; ) {
    options.signal?.throwIfAborted();
    let at = 0;
    const chosen = searches.flatMap((search) => {
      const own = search.open.map(() => logSoftmax(logits.subarray(at * size, ++at * size)));
      return goOn(rows, search, own, options);
    });
    if (chosen.length === 0) return searches.map(({ done }) => done);
    logits = await decoder.step(
      chosen.map(({ row }) => row),
      chosen.map(({ tokens }) => tokens[tokens.length - 1]),
    );
  }
}

/** Takes one token more; returns what is open then, whose last tokens the decoder has not seen. */
function goOn(
  rows: OwnedRows,
  search: Search,
  logProbs: readonly Float32Array[],
  options: BeamSearchOptions,
): Open[] {
  if (search.open.length === 0) return [];
  const { beams, endTokens, lengthPenalty = 0, stopAtBest = false } = options;
  const length = search.open[0].tokens.length + 1;
  const ends = new Set(endTokens);
  const best: Candidate[] = [];
  const finish = ({ from, token, logProb }: Candidate, finished: boolean) => {
    const score = logProb / length ** lengthPenalty;
    insert(
      search.done,
      { tokens: Int32Array.of(...from.tokens, token), logProb, score, finished },
      beams,
      (beam) => beam.score,
    );
  };
  search.open.forEach((from, i) => {
    const allowed = from.state?.allowed;
    for (let token = 0; token < logProbs[i].length; token++) {
      const logProb = from.logProb + logProbs[i][token];
      if (logProb === -Infinity || allowed?.[token] === 0) continue;
      if (ends.has(token)) finish({ from, token, logProb }, true);
      else if (best.length < beams || logProb > best[beams - 1].logProb) {
        insert(best, { from, token, logProb }, beams, (candidate) => candidate.logProb);
      }
    }
  });
  if (length === search.maxTokens) {
    for (const candidate of best) finish(candidate, false);
    best.length = 0;
  }
  // The best that an open text can come to: all its further tokens certain, and its length the most favourable.
  const finalLength = lengthPenalty >= 0 ? search.maxTokens : length + 1;
  const needed = stopAtBest ? 1 : beams;
  const certain =
    search.done.length >= needed &&
    best.every(({ logProb }) => logProb / finalLength ** lengthPenalty <= search.done[needed - 1].score);
  search.open = takeRows(rows, search.open, certain ? [] : best);
  return search.open;
}

/** Gives each candidate a row that holds its beginning, without ever needing more rows than there are candidates. */
function takeRows(rows: OwnedRows, open: readonly Open[], candidates: readonly Candidate[]): Open[] {
  const unused = new Set(open);
  for (const { from } of candidates) unused.delete(from);
  for (const { row } of unused) rows.remove(row);
  const taken = new Set<Open>();
  return candidates.map(({ from, token, logProb }) => {
    const row = taken.has(from) ? rows.fork(from.row) : from.row;
    taken.add(from);
    return { row, tokens: [...from.tokens, token], logProb, state: from.state?.after(token) };
  });
}

/** Puts an item where its score belongs, behind equals; the worst beyond `most` is dropped. */
function insert<Item>(items: Item[], item: Item, most: number, scoreOf: (item: Item) => number): void {
  let at = items.length;
  while (at > 0 && scoreOf(item) > scoreOf(items[at - 1])) at--;
  items.splice(at, 0, item);
  if (items.length > most) items.pop();
}

function checkOptions(decoder: Decoder, prompts: readonly Int32Array[], options: BeamSearchOptions): void {
  const { beams, maxTokens, lengthPenalty = 0 } = options;
  if (!(Number.isSafeInteger(beams) && beams >= 1)) {
    throw new UserError(`${beams} beams were asked for, expected a whole number of at least 1`);
  }
  if (beams > decoder.capacity) {
    throw new UserError(`${beams} beams need as many rows, the decoder has ${decoder.capacity}`);
  }
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens >= 1)) {
    throw new UserError(`maxTokens is ${maxTokens}, expected a whole number of at least 1`);
  }
  if (!Number.isFinite(lengthPenalty)) {
    throw new UserError(`lengthPenalty is ${lengthPenalty}, expected a finite number`);
  }
  const full = prompts.findIndex(({ length }) => length >= decoder.contextLength);
  if (full >= 0) {
    throw new UserError(
      `prompt ${full + 1} has ${prompts[full].length} tokens and leaves no room in a context of ${decoder.contextLength}`,
    );
  }
}

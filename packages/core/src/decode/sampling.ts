import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import type { GeneratedToken, SamplingOptions } from "./generation.js";
import { type Cutoff, cutoff } from "./selection.js";

/** Chooses the tokens of one text. */
export class Sampler {
  private readonly random: Random;
  private readonly options: Required<SamplingOptions>;
  /** 1 for tokens that the repetition penalty holds against; absent where there is none. */
  private readonly occurred: Uint8Array | undefined;

  /** @throws UserError for options out of range */
  constructor(options: SamplingOptions, vocabularySize: number, prompt: ArrayLike<number>) {
    this.options = {
      repetitionPenalty: options.repetitionPenalty ?? 1,
      temperature: options.temperature ?? 1,
      topK: options.topK ?? vocabularySize,
      topP: options.topP ?? 1,
      minP: options.minP ?? 0,
      seed: options.seed ?? 0,
    };
    checkSampling(this.options);
    this.random = createRandom(this.options.seed).stream("tokens");
    if (this.options.repetitionPenalty !== 1) {
      this.occurred = new Uint8Array(vocabularySize);
      for (let i = 0; i < prompt.length; i++) this.occurred[prompt[i]] = 1;
    }
  }

  /**
   * The next token.
   *
   * @param logits `[vocabularySize]`, finite or -Infinity, at least one of the allowed ones finite. They are changed
   * @param allowed `[vocabularySize]`, 1 for tokens that may come. Default: all
   */
  choose(logits: Float32Array, allowed?: Uint8Array): number {
    const { temperature, repetitionPenalty } = this.options;
    const { occurred } = this;
    if (allowed) for (let i = 0; i < logits.length; i++) if (!allowed[i]) logits[i] = -Infinity;
    if (occurred) {
      for (let i = 0; i < occurred.length; i++) {
        if (occurred[i])
          logits[i] = logits[i] > 0 ? logits[i] / repetitionPenalty : logits[i] * repetitionPenalty;
      }
    }
    const token = temperature === 0 ? likeliest(logits) : this.draw(logits);
    if (occurred) occurred[token] = 1;
    return token;
  }

  private draw(logits: Float32Array): number {
    const { temperature, topK, topP, minP } = this.options;
    const { shares, spare } = scratch(logits.length);
    const top = logits[likeliest(logits)];
    for (let i = 0; i < shares.length; i++) shares[i] = (logits[i] - top) / temperature;
    if (topK < shares.length) {
      spare.set(shares);
      keep(
        shares,
        cutoff(spare, topK, () => 1),
        -Infinity,
      );
    }
    let total = 0;
    for (let i = 0; i < shares.length; i++) total += shares[i] = Math.exp(shares[i]);
    if (topP < 1) {
      spare.set(shares);
      keep(
        shares,
        cutoff(spare, topP * total, (share) => share),
        0,
      );
    }
    // The likeliest token's share is 1.
    if (minP > 0) for (let i = 0; i < shares.length; i++) if (shares[i] < minP) shares[i] = 0;
    total = 0;
    for (let i = 0; i < shares.length; i++) total += shares[i];
    let left = this.random.uniform() * total;
    let last = 0;
    for (let i = 0; i < shares.length; i++) {
      if (shares[i] === 0) continue;
      last = i;
      left -= shares[i];
      if (left < 0) break;
    }
    return last;
  }
}

/** The largest number's index; of equals the first. NaN where it is met first. */
export function likeliest(scores: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

/**
 * What is told of a token that was chosen.
 *
 * @param logits of the model, before they were changed
 * @param count how many alternatives; undefined: no log-probabilities
 */
export function generatedToken(id: number, logits: Float32Array, count: number | undefined): GeneratedToken {
  if (count === undefined) return { id, logProb: Number.NaN, alternatives: [] };
  const top = logits[likeliest(logits)];
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += Math.exp(logits[i] - top);
  const normaliser = top + Math.log(total);
  return {
    id,
    logProb: logits[id] - normaliser,
    alternatives: largest(logits, count).map((other) => ({ id: other, logProb: logits[other] - normaliser })),
  };
}

/** Indices of the `count` largest, the largest first; of equals the first. */
function largest(scores: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < scores.length; i++) {
    if (best.length === count && (count === 0 || scores[i] <= scores[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && scores[i] > scores[best[at - 1]]) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}

/** Replaces all that a cutoff does not keep. */
function keep(values: Float64Array, { least, equals }: Cutoff, otherwise: number): void {
  let left = equals;
  for (let i = 0; i < values.length; i++) {
    if (values[i] > least || (values[i] === least && left-- > 0)) continue;
    values[i] = otherwise;
  }
}

/** Room to work in, which each choice overwrites. */
const rooms = new Map<number, { shares: Float64Array; spare: Float64Array }>();

function scratch(size: number): { shares: Float64Array; spare: Float64Array } {
  let room = rooms.get(size);
  if (!room) {
    room = { shares: new Float64Array(size), spare: new Float64Array(size) };
    rooms.set(size, room);
  }
  return room;
}

function checkSampling(options: Required<SamplingOptions>): void {
  const { repetitionPenalty, temperature, topK, topP, minP, seed } = options;
  const check = (fits: boolean, name: string, given: number, expected: string) => {
    if (!fits) throw new UserError(`${name} is ${given}, expected ${expected}`);
  };
  check(
    repetitionPenalty > 0 && repetitionPenalty < Infinity,
    "repetitionPenalty",
    repetitionPenalty,
    "a number above 0; 1 is none",
  );
  check(
    temperature >= 0 && temperature < Infinity,
    "temperature",
    temperature,
    "a number of at least 0; 0 always takes the likeliest token",
  );
  check(Number.isSafeInteger(topK) && topK >= 1, "topK", topK, "a whole number of at least 1");
  check(topP > 0 && topP <= 1, "topP", topP, "a number above 0 and up to 1");
  check(minP >= 0 && minP <= 1, "minP", minP, "a number from 0 to 1");
  check(Number.isSafeInteger(seed), "seed", seed, "a whole number");
}

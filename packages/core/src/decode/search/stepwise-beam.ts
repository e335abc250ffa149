import { UserError } from "../../errors.js";
import type { Decoder } from "../decoder.js";
import { checkScores } from "./best-of-n.js";
import { withRows } from "./owned-rows.js";
import { type Position, type StepOptions, sampleSteps } from "./steps.js";
import type { PartialText, ValueFunction } from "./tree-search.js";

export interface StepwiseBeamOptions extends StepOptions {
  /** Beginnings that are kept after each step. */
  beams: number;
  /** Steps that are sampled after each of them. */
  samples: number;
  /** Most steps of a text. */
  maxSteps: number;
  value: ValueFunction;
}

export interface ValuedText extends PartialText {
  /** Sum over the tokens, at temperature 1. */
  logProb: number;
  value: number;
}

interface Beginning extends ValuedText {
  position: Position | undefined;
}

/**
 * Beam search over steps by a value function, e.g. a process reward model: of all beginnings the most valuable go on, by steps that
 * are sampled. Texts that are over stay among them for as long as their value keeps them there; equal texts count once.
 *
 * @returns up to `beams` texts, the most valuable first; those that `maxSteps` cut are not ended
 * @throws UserError for options out of range and too few rows; the signal's reason where it was aborted
 */
export async function stepwiseBeam(
  decoder: Decoder,
  prompt: Int32Array,
  options: StepwiseBeamOptions,
): Promise<ValuedText[]> {
  const { beams, samples, maxSteps, value, signal } = options;
  for (const [name, given] of Object.entries({ beams, samples, maxSteps })) {
    if (!(Number.isSafeInteger(given) && given >= 1)) {
      throw new UserError(`${name} is ${given}, expected a whole number of at least 1`);
    }
  }
  if (beams * samples > decoder.capacity) {
    throw new UserError(
      `${samples} samples for each of ${beams} beams need ${beams * samples} rows, the decoder has ${decoder.capacity}`,
    );
  }
  return withRows(decoder, async (rows) => {
    signal?.throwIfAborted();
    const added = await rows.add([prompt]);
    const position = { row: added.rows[0], logits: added.logits.slice() };
    let kept: Beginning[] = [{ tokens: new Int32Array(0), logProb: 0, value: 0, ended: false, position }];
    for (let step = 0; step < maxSteps && kept.some(({ ended }) => !ended); step++) {
      signal?.throwIfAborted();
      const starts: Position[] = [];
      const parents: Beginning[] = [];
      for (const beginning of kept) {
        if (beginning.position === undefined) continue;
        const { row, logits } = beginning.position;
        for (let i = 0; i < samples; i++) {
          parents.push(beginning);
          starts.push({ row: i === 0 ? row : rows.fork(row), logits });
        }
      }
      const sampled = await sampleSteps(rows, starts, options, step);
      const candidates = new Map<string, Beginning>();
      sampled.forEach(({ tokens, logProb, ended, position }, i) => {
        const whole = Int32Array.of(...parents[i].tokens, ...tokens);
        const key = whole.join(" ");
        if (!candidates.has(key)) {
          candidates.set(key, {
            tokens: whole,
            logProb: parents[i].logProb + logProb,
            value: 0,
            ended,
            position,
          });
        } else if (position !== undefined) rows.remove(position.row);
      });
      const texts = [...candidates.values()];
      const values = await value(texts.map(({ tokens, ended }) => ({ tokens, ended })));
      checkScores(values, texts.length);
      texts.forEach((text, i) => {
        text.value = values[i];
      });
      const ranked = [...kept.filter(({ ended }) => ended), ...texts].sort((a, b) => b.value - a.value);
      for (const { position } of ranked.slice(beams)) if (position !== undefined) rows.remove(position.row);
      kept = ranked.slice(0, beams);
    }
    return kept.map(({ position: _, ...text }) => text);
  });
}

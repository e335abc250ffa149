import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import type { Constraint, ConstraintState } from "../generation.js";
import { createTableDecoder } from "../testing/table-decoder.js";
import { type Beam, beamSearch } from "./beam-search.js";

const end = 0;
const vocabularySize = 4;

/** A language whose next tokens depend on all tokens before, and how it ends more often the longer it is. */
const language = (seed: number) => (tokens: readonly number[]) =>
  Array.from(
    createRandom(seed)
      .stream(...tokens)
      .normals(vocabularySize, 1.5),
    (logit, v) => (v === end ? logit + tokens.length / 2 : logit),
  );

const decoderOf = (seed: number, capacity = 256) =>
  createTableDecoder(language(seed), { vocabularySize, capacity });

/** Every text of at most `maxTokens` after a prompt, by enumeration. */
function allTexts(seed: number, prompt: readonly number[], maxTokens: number, lengthPenalty: number): Beam[] {
  const texts: Beam[] = [];
  const grow = (tokens: readonly number[], logProb: number) => {
    const logits = language(seed)([...prompt, ...tokens]).map(Math.fround);
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    logits.forEach((logit, token) => {
      const next = [...tokens, token];
      const sum = logProb + logit - total;
      const finished = token === end;
      if (finished || next.length === maxTokens) {
        texts.push({
          tokens: Int32Array.from(next),
          logProb: sum,
          score: sum / next.length ** lengthPenalty,
          finished,
        });
      } else grow(next, sum);
    });
  };
  grow([], 0);
  return texts.sort((a, b) => b.score - a.score);
}

describe("beam search", () => {
  test("with room for all beginnings finds the best texts of all, whatever the length penalty", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.constantFrom(0, 0.6, 1, 2, -0.5),
        fc.boolean(),
        async (seed, lengthPenalty, stopAtBest) => {
          const decoder = decoderOf(seed);
          const options = { beams: 81, endTokens: [end], maxTokens: 4, lengthPenalty, stopAtBest };
          const prompts = [[1, 2], [3]];
          const found = await beamSearch(
            decoder,
            prompts.map((prompt) => Int32Array.from(prompt)),
            options,
          );
          expect(decoder.rowsInUse).toBe(0);
          found.forEach((texts, i) => {
            const expected = allTexts(seed, prompts[i], 4, lengthPenalty);
            for (const [rank, text] of texts.slice(0, stopAtBest ? 1 : 20).entries()) {
              expect(text.score).toBeCloseTo(expected[rank].score, 4);
              expect(text.logProb).toBeCloseTo(expected[rank].logProb, 4);
              expect(text.tokens).toEqual(expected[rank].tokens);
              expect(text.finished).toBe(expected[rank].finished);
            }
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  test("with one beam is greedy, and stops when its text is certain", async () => {
    const decoder = createTableDecoder((tokens) => (tokens.length < 3 ? [0, 5, 1, 0] : [9, 0, 0, 0]), {
      vocabularySize,
    });
    const [[best]] = await beamSearch(decoder, [Int32Array.of(1)], { beams: 1, endTokens: [end] });
    expect(best).toMatchObject({ tokens: Int32Array.of(1, 1, 0), finished: true });
    expect(decoder.steps).toBe(2);
  });

  test("finds the sure text behind an unlikely first token, which greedy decoding misses", async () => {
    // "2" has 0.4 and is sure to go on with the end; "1" has 0.6, and then three ways of a third each.
    const logits = (tokens: readonly number[]) =>
      (tokens.length === 1
        ? [0, 0.6, 0.4, 0]
        : tokens[1] === 2
          ? [1, 0, 0, 0]
          : tokens.length > 2
            ? [1, 0, 0, 0]
            : [0, 1 / 3, 1 / 3, 1 / 3]
      ).map(Math.log);
    const decoder = createTableDecoder(logits, { vocabularySize });
    const [texts] = await beamSearch(decoder, [Int32Array.of(1)], { beams: 2, endTokens: [end] });
    expect(texts[0].tokens).toEqual(Int32Array.of(2, 0));
    expect(texts[0].logProb).toBeCloseTo(Math.log(0.4), 5);
    expect(texts[1].logProb).toBeCloseTo(Math.log(0.2), 5);
  });

  test("each prompt has the texts that it has alone, also where the rows do not do for all at once", async () => {
    const prompts = [[1], [2, 3], [3], [1, 1, 1], [2]].map((prompt) => Int32Array.from(prompt));
    const options = { beams: 3, endTokens: [end], maxTokens: 6, lengthPenalty: 1 };
    const alone = [];
    for (const prompt of prompts) alone.push((await beamSearch(decoderOf(5), [prompt], options))[0]);
    for (const capacity of [3, 7, 64]) {
      const decoder = decoderOf(5, capacity);
      expect(await beamSearch(decoder, prompts, options)).toEqual(alone);
      expect(decoder.rowsInUse).toBe(0);
    }
  });

  test("keeps to a constraint", async () => {
    // Tokens must not fall, and the end may come after a 3.
    const at = (last: number): ConstraintState => ({
      allowed: Uint8Array.from(
        [last === 3 ? 1 : 0, 1, 2, 3].map((v, i) => (i === 0 ? v : v >= last ? 1 : 0)),
      ),
      mayEnd: last === 3,
      after: (token) => at(token === end ? 9 : token),
    });
    const constraint: Constraint = { start: () => at(1) };
    const [texts] = await beamSearch(decoderOf(3), [Int32Array.of(1)], {
      beams: 64,
      endTokens: [end],
      maxTokens: 4,
      constraint,
    });
    const rising = ({ tokens }: Beam) =>
      tokens.every((token, i) => i === 0 || (token === end ? tokens[i - 1] === 3 : token >= tokens[i - 1])) &&
      tokens[0] !== end;
    const expected = allTexts(3, [1], 4, 0).filter(rising);
    expect(texts.map(({ tokens }) => [...tokens])).toEqual(
      expected.slice(0, 64).map(({ tokens }) => [...tokens]),
    );
  });

  test("gives its rows back where it is aborted or the model fails", async () => {
    const controller = new AbortController();
    let calls = 0;
    const aborting = createTableDecoder(
      (tokens) => {
        if (++calls > 6) controller.abort(new Error("enough"));
        return language(1)(tokens);
      },
      { vocabularySize },
    );
    const options = { beams: 2, endTokens: [], maxTokens: 20 };
    await expect(
      beamSearch(aborting, [Int32Array.of(1)], { ...options, signal: controller.signal }),
    ).rejects.toThrow("enough");
    expect(aborting.rowsInUse).toBe(0);
    const failing = createTableDecoder(
      (tokens) => {
        if (tokens.length > 4) throw new Error("out of order");
        return language(1)(tokens);
      },
      { vocabularySize },
    );
    await expect(beamSearch(failing, [Int32Array.of(1)], options)).rejects.toThrow("out of order");
    expect(failing.rowsInUse).toBe(0);
  });

  test.each([
    [{ beams: 0 }, "0 beams were asked for"],
    [{ beams: 300 }, "300 beams need as many rows, the decoder has 256"],
    [{ maxTokens: 0 }, "maxTokens is 0"],
    [{ lengthPenalty: Number.NaN }, "lengthPenalty is NaN"],
  ])("%j is refused", async (options, message) => {
    const search = beamSearch(decoderOf(1), [Int32Array.of(1)], { beams: 2, endTokens: [end], ...options });
    await expect(search).rejects.toThrow(message);
    await expect(beamSearch(decoderOf(1), [new Int32Array(64)], { beams: 2, endTokens: [] })).rejects.toThrow(
      "leaves no room",
    );
  });
});

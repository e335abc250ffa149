import { expect, test } from "vitest";
import { transformerConfig } from "../../models/transformer-config.js";
import { createDecoder } from "../cached-decoder.js";
import { randomModel } from "../testing/random-model.js";
import { createRecomputingDecoder } from "../testing/recomputing-decoder.js";
import { beamSearch } from "./beam-search.js";
import { treeSearch } from "./tree-search.js";

test("searches over a model with a cache find what they find where every row is read anew", async () => {
  const sizes = { vocabularySize: 13, contextLength: 12, width: 16, layers: 2, heads: 4, keyValueHeads: 2 };
  const model = randomModel(transformerConfig("llama", sizes));
  const decoders = [
    createDecoder(model, { capacity: 6 }),
    await createRecomputingDecoder(model, { capacity: 6 }),
  ];
  const prompts = [Int32Array.of(3, 1, 4), Int32Array.of(5)];
  const [cached, reference] = await Promise.all(
    decoders.map(async (decoder) => {
      const beams = await beamSearch(decoder, prompts, { beams: 3, endTokens: [0], lengthPenalty: 1 });
      const { root, best } = await treeSearch(decoder, prompts[0], {
        simulations: 25,
        samples: 4,
        maxStepTokens: 2,
        endTokens: [0],
        value: (texts) => texts.map(({ tokens }) => tokens.filter((token) => token === 7).length / 4),
      });
      // All rows are free: the decoder takes as many as it has.
      const { rows } = await decoder.add(Array.from({ length: 6 }, () => prompts[1]));
      expect(rows).toHaveLength(6);
      return {
        beams,
        best,
        visits: root.children?.map(({ step, visits, total }) => [step.tokens, visits, total]),
      };
    }),
  );
  expect(cached.best).toEqual(reference.best);
  expect(cached.visits).toEqual(reference.visits);
  cached.beams.flat().forEach((beam, i) => {
    const expected = reference.beams.flat()[i];
    expect(beam.tokens).toEqual(expected.tokens);
    expect(beam.logProb).toBeCloseTo(expected.logProb, 3);
  });
  for (const decoder of decoders) await decoder.dispose();
});

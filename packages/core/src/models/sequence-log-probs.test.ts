import type { Array as JaxArray } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { perplexity, SequenceScorer, sequenceLogProbs } from "./sequence-log-probs.js";
import { applyTransformer, initTransformer, type TransformerParams, tokenLogits } from "./transformer.js";
import { transformerConfig } from "./transformer-config.js";

const random = createRandom(4);
const config = transformerConfig("llama", {
  vocabularySize: 11,
  contextLength: 40,
  width: 16,
  layers: 2,
  heads: 2,
});
const params = initTransformer(config, random);
for (const tensor of [params.tokens, ...params.blocks.map((block) => block.queries.weight)]) {
  (tensor.data as Float32Array).set(random.normals(tensor.data.length, 0.7));
}
const model = { config, params };
const ids = (length: number) => Array.from({ length }, () => random.integer(11));

/** By the logits of one whole text, in 64 bits. */
async function slowly(text: readonly number[]): Promise<number[]> {
  const tokens = new Tensor(Int32Array.from(text), [1, text.length]);
  const program = await compile(
    (traced: TransformerParams<JaxArray>, given: JaxArray) =>
      tokenLogits(traced, applyTransformer(config, traced, given).hidden),
    [params, tokens] as never,
  );
  const { data } = (await program.run(params as never, tokens as never)) as unknown as Tensor;
  await program.dispose();
  return text.slice(1).map((id, t) => {
    const logits = Array.from(data.subarray(t * 11, (t + 1) * 11));
    return logits[id] - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  });
}

describe("sequenceLogProbs", () => {
  test("are those of the whole text's logits, whatever is scored beside it", async () => {
    const rows = [1, 3, 14, 2, 30, 39].map((length, i) => ({
      prompt: ids(length),
      answer: ids(i === 5 ? 2 : 1 + i),
    }));
    const scores = await sequenceLogProbs(model, rows);
    for (const [i, { prompt, answer }] of rows.entries()) {
      const expected = (await slowly([...prompt, ...answer])).slice(-answer.length);
      expect(scores[i].logProbs).toHaveLength(answer.length);
      expected.forEach((value, t) => {
        expect(scores[i].logProbs[t]).toBeCloseTo(value, 4);
      });
      expect(scores[i].sum).toBeCloseTo(
        expected.reduce((sum, value) => sum + value, 0),
        3,
      );
      expect(scores[i].mean).toBeCloseTo(scores[i].sum / answer.length, 6);
    }
  });

  test("more rows than fit a run are scored alike", async () => {
    const row = { prompt: ids(3), answer: ids(4) };
    const scorer = new SequenceScorer({ ...config, contextLength: 40 });
    const many = await scorer.score(params, Array(300).fill(row));
    const [one] = await scorer.score(params, [row]);
    await scorer.dispose();
    expect(many).toHaveLength(300);
    for (const score of many) expect(score.sum).toBeCloseTo(one.sum, 4);
  });

  test("refuse what has no tokens, unknown ids and what is longer than the context", async () => {
    const refused = (prompt: number[], answer: number[]) =>
      expect(sequenceLogProbs(model, [{ prompt, answer }])).rejects;
    await refused([], [1]).toThrow(UserError);
    await refused([1], []).toThrow("the answer of sequence 0 (counted from 0) has no tokens");
    await refused([1], [11]).toThrow("has the id 11, expected 0 to 10");
    await refused(ids(39), ids(3)).toThrow("has 42 tokens, but the model's context is 40");
  });
});

describe("perplexity", () => {
  test("of a model whose logits are all alike is the size of the vocabulary", async () => {
    const even = { ...params, tokens: new Tensor(new Float32Array(11 * 16), [11, 16]) };
    const found = await perplexity({ config, params: even }, [ids(9), ids(100)]);
    expect(found.perplexity).toBeCloseTo(11, 4);
    expect(found.tokens).toBe(8 + 99);
  });

  test("is refused where there is nothing to predict", async () => {
    await expect(perplexity(model, [[3], []])).rejects.toThrow(UserError);
  });

  test("is that of each token after what stands before it in its document", async () => {
    const documents = [ids(9), ids(17)];
    const expected = (await Promise.all(documents.map(slowly))).flat();
    const found = await perplexity(model, documents);
    expect(found.logProb).toBeCloseTo(
      expected.reduce((sum, value) => sum + value, 0),
      3,
    );
  });
});

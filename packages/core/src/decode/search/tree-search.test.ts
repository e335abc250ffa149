import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { trainBpe } from "../../data/bpe.js";
import { createTableDecoder } from "../testing/table-decoder.js";
import type { SearchNode } from "./monte-carlo.js";
import { stepsEndWith } from "./steps.js";
import { stepwiseBeam } from "./stepwise-beam.js";
import { type PartialText, partialText, type TextStep, treeSearch } from "./tree-search.js";

const end = 0;
const vocabularySize = 4;
/** All tokens but the end equally likely, the end rarely. */
const uniform = () => [-1, 1, 1, 1];
const decoderOf = (capacity: number, contextLength = 32) =>
  createTableDecoder(uniform, { vocabularySize, capacity, contextLength });
const prompt = Int32Array.of(1, 2);

/** The share of a hidden text that a text has found. */
const hidden = [3, 1, 2, 2, 3, 1];
const progress = (texts: readonly PartialText[]) =>
  texts.map(({ tokens }) => {
    const wrong = [...tokens].findIndex((token, i) => token !== hidden[i]);
    return (wrong < 0 ? Math.min(tokens.length, hidden.length) : wrong) / hidden.length;
  });

const nodesOf = (node: SearchNode<TextStep>): SearchNode<TextStep>[] => [
  node,
  ...(node.children ?? []).flatMap(nodesOf),
];
const searching = {
  simulations: 150,
  samples: 8,
  maxStepTokens: 1,
  maxTokens: 6,
  endTokens: [end],
  value: progress,
  exploration: 0.3,
};

describe("tree search", () => {
  test("finds by values what sampling finds once in a thousand times", async () => {
    const { best, root } = await treeSearch(decoderOf(32), prompt, { ...searching, seed: 3 });
    expect([...best.tokens]).toEqual(hidden);
    expect(root.visits).toBe(150);
  });

  test("its tree is the same however few rows there are, and every row is given back", async () => {
    // Logits by all tokens before, so that a row with others would show.
    const logits = (tokens: readonly number[]) =>
      Array.from({ length: vocabularySize }, (_, v) =>
        Math.sin(tokens.reduce((sum, token) => sum * 5 + token + v, 1)),
      );
    const summary = async (capacity: number) => {
      const decoder = createTableDecoder(logits, { vocabularySize, capacity });
      const { root } = await treeSearch(decoder, prompt, {
        ...searching,
        samples: 3,
        maxStepTokens: 2,
        maxTokens: 12,
        simulations: 200,
        exploration: 1,
      });
      expect(decoder.rowsInUse).toBe(0);
      const tree = nodesOf(root).map(({ step, visits, total, prior }) => ({ step, visits, total, prior }));
      return { tree, steps: decoder.steps };
    };
    const many = await summary(2000);
    for (const capacity of [5, 6, 7, 9, 12]) {
      const few = await summary(capacity);
      expect(few.tree).toEqual(many.tree);
      expect(few.steps).toBeGreaterThan(many.steps);
    }
  });

  test("children are different steps, their priors sum to 1, and their samples to what was asked for", async () => {
    const { root } = await treeSearch(decoderOf(32), prompt, { ...searching, simulations: 40 });
    for (const { children } of nodesOf(root)) {
      if (children === undefined || children.length === 0) continue;
      expect(new Set(children.map(({ step }) => step.tokens.join())).size).toBe(children.length);
      expect(children.reduce((sum, { prior }) => sum + prior, 0)).toBeCloseTo(1, 9);
      expect(children.reduce((sum, { step }) => sum + step.samples, 0)).toBe(8);
      const logProb = (token: number) => uniform()[token] - Math.log(3 * Math.E + 1 / Math.E);
      for (const { step } of children) expect(step.logProb).toBeCloseTo(logProb(step.tokens[0]), 5);
    }
  });

  test("a step ends where its delimiter does, at an end token, or where the context ends", async () => {
    const decoder = createTableDecoder(() => [0, 2, 2, 1], {
      vocabularySize,
      capacity: 20,
      contextLength: 12,
    });
    const endsStep = (tokens: readonly number[]) => tokens[tokens.length - 1] === 3;
    const { root } = await treeSearch(decoder, prompt, {
      ...searching,
      maxTokens: undefined,
      maxStepTokens: 5,
      endsStep,
      simulations: 60,
    });
    for (const node of nodesOf(root).slice(1)) {
      const { tokens, ended } = node.step;
      expect(tokens.slice(0, -1).some((token) => token === 3 || token === end)).toBe(false);
      const whole = prompt.length + partialText(node).tokens.length;
      expect(ended).toBe(tokens.at(-1) === end || whole === 12);
      if (!ended) expect(tokens.length === 5 || tokens.at(-1) === 3).toBe(true);
      if (ended) expect(node.children ?? []).toEqual([]);
    }
  });

  test("whatever fails or is aborted, no row stays taken", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("tree", "stepwise"),
        fc.constantFrom("model", "value", "abort", "none"),
        fc.nat(60),
        fc.nat(),
        async (kind, fault, when, seed) => {
          const controller = new AbortController();
          let calls = 0;
          const strike = (where: string) => {
            if (where !== fault && !(fault === "abort" && where === "model")) return;
            if (++calls <= (where === "value" ? when / 4 : when)) return;
            if (fault === "abort") controller.abort(new Error("struck"));
            else throw new Error("struck");
          };
          const decoder = createTableDecoder(
            () => {
              strike("model");
              return uniform();
            },
            { vocabularySize, capacity: 12, contextLength: 9 },
          );
          const options = {
            ...searching,
            simulations: 30,
            samples: 3,
            maxStepTokens: 2,
            seed,
            signal: controller.signal,
            value: async (texts: readonly PartialText[]) => {
              strike("value");
              return progress(texts);
            },
          };
          const search =
            kind === "tree"
              ? treeSearch(decoder, prompt, options)
              : stepwiseBeam(decoder, prompt, { ...options, beams: 4, maxSteps: 9 });
          const outcome = await search.then(
            () => "done",
            (error: Error) => error.message,
          );
          expect(fault === "none" ? ["done"] : ["done", "struck"]).toContain(outcome);
          expect(decoder.rowsInUse).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("refuses too few rows and samples", async () => {
    await expect(treeSearch(decoderOf(5), prompt, { ...searching, samples: 4 })).rejects.toThrow(
      "need 6 rows, the decoder has 5",
    );
    await expect(treeSearch(decoderOf(5), prompt, { ...searching, samples: 0 })).rejects.toThrow("0 samples");
    await expect(treeSearch(decoderOf(12), prompt, { ...searching, maxStepTokens: 0 })).rejects.toThrow(
      "may have 0 tokens",
    );
  });
});

describe("stepwise beam search", () => {
  test("finds the text of the highest value where each step shows it", async () => {
    const decoder = decoderOf(60);
    const texts = await stepwiseBeam(decoder, prompt, { ...searching, beams: 3, samples: 16, maxSteps: 6 });
    expect([...texts[0].tokens]).toEqual(hidden);
    expect(texts[0].value).toBe(1);
    expect(texts.map(({ value }) => value)).toEqual(texts.map(({ value }) => value).sort((a, b) => b - a));
    expect(decoder.rowsInUse).toBe(0);
  });

  test("a text that is over stays where nothing open is worth more", async () => {
    // Short texts are worth more, if only they are over.
    const value = (texts: readonly PartialText[]) =>
      texts.map(({ tokens, ended }) => (ended ? 1 / tokens.length : 0));
    const texts = await stepwiseBeam(decoderOf(60), prompt, {
      ...searching,
      value,
      beams: 4,
      samples: 15,
      maxSteps: 5,
    });
    expect([...texts[0].tokens]).toEqual([end]);
    expect(new Set(texts.map(({ tokens }) => tokens.join())).size).toBe(texts.length);
  });

  test("refuses more samples than there are rows", async () => {
    const search = stepwiseBeam(decoderOf(5), prompt, { ...searching, beams: 2, samples: 3, maxSteps: 2 });
    await expect(search).rejects.toThrow("3 samples for each of 2 beams need 6 rows, the decoder has 5");
  });
});

test("steps that end with a text end with the token that completes it", () => {
  const tokenizer = trainBpe(["one.\n\ntwo"], { vocabularySize: 256, specialTokens: [] });
  const tokens = [...tokenizer.encode("one.\n\ntwo")];
  const isOver = stepsEndWith(tokenizer, "\n\n");
  expect(tokens.findIndex((_, i) => isOver(tokens.slice(0, i + 1)))).toBe(5);
});

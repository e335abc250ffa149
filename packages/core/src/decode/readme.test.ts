import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { trainBpe } from "../data/bpe.js";
import { combineDecoders } from "./combined-decoder.js";
import { createGenerator } from "./generator.js";
import { jsonSchemaConstraint, regexConstraint } from "./guided/constraints.js";
import { contrastLogits } from "./logits-arithmetic.js";
import { beamSearch } from "./search/beam-search.js";
import { vote } from "./search/best-of-n.js";
import { stepsEndWith } from "./search/steps.js";
import { treeSearch } from "./search/tree-search.js";
import { createTableDecoder } from "./testing/table-decoder.js";

const examples = Array.from(
  readFileSync(new URL("README.md", import.meta.url), "utf8").matchAll(/```js\n([\s\S]*?)```/g),
  ([, code]) => code,
);
const tokenizer = trainBpe(["a\nb\n"], { vocabularySize: 257, specialTokens: ["<|end|>"] });
const table = (scale: number) =>
  createTableDecoder(
    (tokens) => Array.from({ length: 257 }, (_, id) => scale * Math.sin(id * tokens.length)),
    {
      vocabularySize: 257,
    },
  );
const [decoder, other] = [table(2), table(1)];
const given = {
  decoder,
  other,
  tokenizer,
  generator: createGenerator({ decoder, tokenizer, endTokens: [0] }),
  prompt: tokenizer.encode("abc"),
  endTokens: [0],
  beamSearch,
  combineDecoders,
  contrastLogits,
  jsonSchemaConstraint,
  regexConstraint,
  stepsEndWith,
  treeSearch,
  vote,
};

/** Runs an example of the README; what it imports must be among what is given. */
async function run(example: string): Promise<unknown> {
  const [, imports] = example.match(/import \{([^}]*)\} from "outgrow";/) as RegExpMatchArray;
  for (const name of imports.split(",")) expect(Object.keys(given)).toContain(name.trim());
  const code = example.replace(/import .*\n/, "");
  const body = new Function(...Object.keys(given), `return (async () => {${code}})();`);
  return body(...Object.values(given));
}

test("the README's examples of constraints, of several models and of search do what they say", async () => {
  expect(examples).toHaveLength(3);
  const [text, answer] = (await run(examples[0])) as [string, { size: number }];
  expect(text).toMatch(/^\d{4}-(0[1-9]|1[0-2])$/);
  expect(answer.size).toBeGreaterThanOrEqual(1);
  expect(answer.size).toBeLessThanOrEqual(12);

  const logits = (await run(examples[1])) as Float32Array;
  const expert = Array.from({ length: 257 }, (_, id) => 2 * Math.sin(id * 3));
  const best = expert.indexOf(Math.max(...expert));
  expect(logits.indexOf(Math.max(...logits))).toBe(best);
  expect(logits.filter((logit) => logit > -Infinity).length).toBe(
    expert.filter((logit) => logit >= Math.max(...expert) + Math.log(0.1)).length,
  );

  expect(await run(examples[2])).toMatchObject({
    likeliest: { logProb: expect.any(Number) },
    visits: 30,
    winner: "5",
  });
  expect([decoder.rowsInUse, other.rowsInUse]).toEqual([0, 0]);
});

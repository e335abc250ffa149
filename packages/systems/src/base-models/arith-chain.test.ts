import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom, Lab, perplexity } from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import { type ArithBaseConfig, arithBaseModel, arithBaseWorld } from "./arith-chain.js";

const home = mkdtempSync(join(tmpdir(), "arith-base-"));
afterAll(() => rmSync(home, { recursive: true }));
const small: ArithBaseConfig = {
  seed: 100,
  tokens: 20_000,
  width: 16,
  layers: 1,
  heads: 2,
  keyValueHeads: 1,
  contextLength: 64,
  batchSize: 2,
  learningRate: 1e-2,
};

describe("the base model of arith-chain", () => {
  test("is trained once, knows the language of its world, and is the same for the same seed", async () => {
    const cached: boolean[] = [];
    const lab = new Lab({ home, onStage: (event) => cached.push(event.cached) });
    const model = await arithBaseModel(lab, small);
    const again = await arithBaseModel(lab, small);
    expect(cached).toEqual([false, true]);
    expect(again.params).toEqual(model.params);
    await lab.close();

    // Documents of another stream: a uniform guess has a perplexity of the vocabulary's size, 512.
    const texts = arithBaseWorld(small).documents(createRandom(1), { split: "test" });
    const documents = Array.from({ length: 20 }, () => model.tokenizer.encode(texts.next().value));
    expect((await perplexity(model, documents)).perplexity).toBeLessThan(60);
  });

  test("reads frequent numbers as words, or digit by digit where that is asked", async () => {
    const lab = new Lab({ home });
    const spelled = async (numbers: "words" | "digits") => {
      const { tokenizer } = await arithBaseModel(lab, { ...small, tokens: 500, numbers });
      const tokens = Array.from(tokenizer.encode("Tom has 15 apples."), (id) =>
        tokenizer.decode([id]).trim(),
      );
      return tokens.filter((token) => /\d/.test(token));
    };
    expect(await spelled("words")).toEqual(["15"]);
    expect(await spelled("digits")).toEqual(["1", "5"]);
    await lab.close();
  });
});

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { type Llama, llamaLogits, llamaMissing, openLlama } from "../testing/llama.js";
import { largestDifference, paddedLogits } from "../testing/logits.js";
import { smallConfigs, smallModel } from "../testing/small-models.js";
import { saveGguf } from "./save.js";

const random = createRandom("llama");
const text = Array.from({ length: 20 }, () => random.integer(300));

describe("logits of exported models are those of llama.cpp", () => {
  let folder: string;
  let llama: Llama | undefined;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-llama-"));
    llama = await openLlama();
  }, 60_000);
  afterAll(async () => {
    await llama?.dispose();
    await rm(folder, { recursive: true });
  });

  const computed = Object.entries(smallConfigs).filter(([, { mlp }]) => mlp !== "gelu");
  test.for(computed)("%s", async ([name, config], { skip }) => {
    if (!llama) return skip(llamaMissing);
    const path = join(folder, "model.gguf");
    const model = smallModel(name);
    await saveGguf(path, model);
    const loaded = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
    const tokens = text.slice(0, config.slidingWindow);
    const theirs = await llamaLogits(loaded, tokens);
    const [ours] = await paddedLogits(model, [tokens]);
    // ggml looks GELU up in a table of float16 numbers; all else is computed in float32.
    expect(largestDifference(ours, theirs)).toBeLessThan(name === "GPT-2" ? 1e-2 : 1e-4);
    await loaded.dispose();
  });

  test("texts are cut into the same tokens", async ({ skip }) => {
    if (!llama) return skip(llamaMissing);
    const path = join(folder, "tokens.gguf");
    const model = smallModel("Llama, untied");
    await saveGguf(path, model);
    const loaded = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
    const text = "number 17 is\n\n  followed by it's émile 😀\t<|endoftext|>the number 230.  ";
    expect(Int32Array.from(loaded.tokenize(text, true))).toEqual(model.tokenizer.encode(text));
    await loaded.dispose();
  });
});

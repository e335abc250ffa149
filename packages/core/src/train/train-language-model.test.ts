import type { Array as JaxArray } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { trainBpe } from "../data/bpe.js";
import { packDocuments } from "../data/packing.js";
import { UserError } from "../errors.js";
import { applyLora, initLora, type LoraConfig, loraDefaults, mergeLora } from "../models/lora.js";
import { applyTransformer, initTransformer, type TransformerParams } from "../models/transformer.js";
import { type TransformerConfig, transformerConfig } from "../models/transformer-config.js";
import { createRandom } from "../random.js";
import { nextTokenLoss } from "./language-loss.js";
import { trainLanguageModel } from "./train-language-model.js";

const random = createRandom(8);
const config = transformerConfig("llama", {
  vocabularySize: 9,
  contextLength: 16,
  width: 16,
  layers: 2,
  heads: 2,
});
const params = initTransformer(config, random);
const tokenizer = trainBpe([], { vocabularySize: 257, specialTokens: ["<|end|>"] });
const model = { config, params, tokenizer, endTokens: [0] };
const lora: LoraConfig = { ...loraDefaults, rank: 2, alpha: 8 };
const tokens = new Tensor(
  Int32Array.from({ length: 32 }, () => random.integer(9)),
  [2, 16],
);

async function hidden(
  apply: (...args: never[]) => TransformerParams<JaxArray>,
  args: readonly unknown[],
  form: TransformerConfig = config,
): Promise<Float32Array> {
  const program = await compile(
    ((given: JaxArray, ...rest: never[]) => applyTransformer(form, apply(...rest), given).hidden) as never,
    [tokens, ...args] as never,
  );
  const result = (await program.run(...([tokens, ...args] as never[]))) as unknown as Tensor;
  await program.dispose();
  return result.data as Float32Array;
}
const alone = (base: TransformerParams) => hidden((p) => p, [base]);
const largest = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));

describe("adapters", () => {
  const adapters = initLora(params, lora, random);

  test("are at first nothing", async () => {
    const adapted = await hidden((base, own) => applyLora(base, own, lora), [params, adapters]);
    expect(largest(adapted, await alone(params))).toBe(0);
  });

  test("merged into the weights give the same model as beside them", async () => {
    const trained = withValues(adapters, () => random.normal() * 0.3);
    const beside = await hidden((base, own) => applyLora(base, own, lora), [params, trained]);
    const merged = await alone(mergeLora(params, trained, lora));
    expect(largest(beside, await alone(params))).toBeGreaterThan(0.1);
    expect(largest(beside, merged)).toBeLessThan(1e-4);
    expect(largest(await alone(mergeLora(params, trained, lora, 0)), await alone(params))).toBe(0);
    // Twice alpha is twice the scale.
    const twice = await alone(mergeLora(params, trained, { ...lora, alpha: 2 * lora.alpha }));
    expect(largest(await alone(mergeLora(params, trained, lora, 2)), twice)).toBeLessThan(1e-5);
  });

  test("adapt the targets alone", () => {
    const { blocks } = initLora(params, { ...lora, targets: ["queries", "down"] }, random);
    expect(blocks.map((block) => Object.keys(block))).toEqual([
      ["queries", "down"],
      ["queries", "down"],
    ]);
    expect(blocks[0].down?.down.shape).toEqual([config.innerWidth, 2]);
    expect(() => initLora(params, { ...lora, rank: 0 }, random)).toThrow(UserError);
    expect(() => initLora(params, { ...lora, targets: [] }, random)).toThrow("none of the projections");
  });
});

describe("trainLanguageModel", () => {
  const rows = packDocuments(
    Array.from({ length: 16 }, (_, i) => ({
      ids: Int32Array.from({ length: 17 }, (_, t) => (i + 2 * t) % 9),
    })),
    config,
  );
  const options = { batchSize: 8, learningRate: 2e-2, epochs: 40, random: createRandom(1) };

  test("with adapters trains them alone; the model has them in its weights", async () => {
    const {
      losses,
      adapters,
      model: trained,
    } = await trainLanguageModel(model, nextTokenLoss(config), rows, {
      ...options,
      lora,
    });
    expect(losses[losses.length - 1]).toBeLessThan(losses[0] - 0.2);
    expect(trained.params.tokens).toBe(params.tokens);
    expect(adapters?.config).toEqual(lora);
    const merged = mergeLora(params, adapters?.params as never, lora);
    expect(largest(await alone(trained.params), await alone(merged))).toBe(0);
    expect(trained.params.blocks[0].up.weight.data).not.toEqual(params.blocks[0].up.weight.data);
  });

  test("in a step of a full rank moves the weights as finetuning of all of them would, to first order", async () => {
    const all = { ...options, epochs: 1, batchSize: 16, optimizer: { epsilon: 1e6, clipNorm: 1e9 } };
    const whole = await trainLanguageModel(model, nextTokenLoss(config), rows, { ...all, learningRate: 1e3 });
    const moved = (after: TransformerParams) => {
      const [a, b] = [after.blocks[1].out.weight.data, params.blocks[1].out.weight.data];
      return Float32Array.from(a as Float32Array, (x, i) => x - b[i]);
    };
    const part = await trainLanguageModel(model, nextTokenLoss(config), rows, {
      ...all,
      learningRate: 1e3,
      lora: { rank: 16, alpha: 16, targets: ["out"] },
    });
    const down = part.adapters?.params.blocks[1].out?.down.data as Float32Array;
    // dW = A A^T G, with the A that was drawn.
    const gradient = moved(whole.model.params);
    const expected = new Float32Array(256);
    for (let i = 0; i < 16; i++) {
      for (let j = 0; j < 16; j++) {
        let product = 0;
        for (let r = 0; r < 16; r++) product += down[i * 16 + r] * down[j * 16 + r];
        for (let o = 0; o < 16; o++) expected[i * 16 + o] += product * gradient[j * 16 + o];
      }
    }
    const size = Math.max(...expected.map(Math.abs));
    expect(size).toBeGreaterThan(0);
    expect(largest(moved(part.model.params), expected)).toBeLessThan(0.02 * size);
  });
});

/** The tree with other numbers. */
function withValues<T>(tree: T, value: () => number): T {
  if (tree instanceof Tensor) return new Tensor(tree.data.map(value), tree.shape) as T;
  if (Array.isArray(tree)) return tree.map((child) => withValues(child, value)) as T;
  return Object.fromEntries(
    Object.entries(tree as object).map(([key, child]) => [key, withValues(child, value)]),
  ) as T;
}

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import { afterAll, describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { initLora, type LoraConfig } from "../lora.js";
import { decodeSafetensors, encodeSafetensors } from "../safetensors.js";
import { initTransformer } from "../transformer.js";
import { transformerConfig } from "../transformer-config.js";
import { loadAdapters, saveAdapters } from "./adapters.js";

const random = createRandom(1);
const config = transformerConfig("llama", {
  vocabularySize: 7,
  contextLength: 8,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
});
const lora: LoraConfig = { rank: 3, alpha: 6, targets: ["queries", "values", "down"] };
const adapters = initLora(initTransformer(config, random), lora, random);
const home = mkdtempSync(join(tmpdir(), "adapters-"));
afterAll(() => rmSync(home, { recursive: true }));

describe("adapters in a folder", () => {
  const folder = join(home, "adapters");

  test("are the same when they are read again", async () => {
    await saveAdapters(folder, adapters, lora, config, { base: "some/model" });
    expect(await loadAdapters(folder, config)).toEqual({ adapters, lora });
  });

  test("have peft's names and its order of axes", () => {
    const path = join(folder, "adapter_model.safetensors");
    const { tensors } = decodeSafetensors(readFileSync(path), path);
    const { shape, data } = tensors["base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"];
    expect(shape).toEqual([3, config.innerWidth]);
    expect(data[1]).toBe(adapters.blocks[1].down?.down.data[3]);
    expect(tensors["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight"].shape).toEqual([8, 3]);
    expect(Object.keys(tensors)).toHaveLength(12);
    const json = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
    expect(json).toMatchObject({
      peft_type: "LORA",
      r: 3,
      lora_alpha: 6,
      target_modules: ["q_proj", "v_proj", "down_proj"],
    });
  });

  test("of another model, with other tensors or settings are refused by name", async () => {
    await expect(loadAdapters(folder, { ...config, width: 20 })).rejects.toThrow(
      'layers.0.self_attn.q_proj.lora_A.weight" is float32[3,16], expected 3 x 20',
    );
    const path = join(folder, "adapter_model.safetensors");
    const { tensors } = decodeSafetensors(readFileSync(path), path);
    const write = (changed: Record<string, Tensor>) => writeFileSync(path, encodeSafetensors(changed));
    write({ ...tensors, more: new Tensor(new Float32Array(1)) });
    await expect(loadAdapters(folder, config)).rejects.toThrow('has a tensor "more"');
    const { "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight": _, ...fewer } = tensors;
    write(fewer);
    await expect(loadAdapters(folder, config)).rejects.toThrow("has no tensor");
    const settings = join(folder, "adapter_config.json");
    const json = JSON.parse(readFileSync(settings, "utf8"));
    writeFileSync(settings, JSON.stringify({ ...json, use_dora: true }));
    await expect(loadAdapters(folder, config)).rejects.toThrow("use_dora is not supported");
    writeFileSync(settings, JSON.stringify({ ...json, target_modules: ["c_attn"] }));
    await expect(loadAdapters(folder, config)).rejects.toThrow('target_modules is ["c_attn"]');
  });

  test("of GPT-2 are refused: its queries, keys and values are one projection", async () => {
    const gpt2 = transformerConfig("gpt2", { ...config, positions: "learned" });
    await expect(saveAdapters(join(home, "gpt2"), adapters, lora, gpt2)).rejects.toThrow("GPT-2's form");
  });
});

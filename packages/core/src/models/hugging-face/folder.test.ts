import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { namedTensors } from "../checkpoint.js";
import { decodeSafetensors, encodeSafetensors } from "../safetensors.js";
import { smallConfigs, smallModel } from "../testing/small-models.js";
import { loadLanguageModel, loadTransformer } from "./load.js";
import { saveLanguageModel } from "./save.js";

let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "outgrow-folder-"));
  folder = join(parent, "model");
});
afterEach(() => rm(parent, { recursive: true }));

const weights = () => join(folder, "model.safetensors");
/** Saves a model and changes its tensors. */
async function saveChanged(name: string, change: (tensors: Record<string, Tensor>) => void) {
  await saveLanguageModel(folder, smallModel(name));
  const { tensors } = decodeSafetensors(await readFile(weights()), "");
  change(tensors);
  await writeFile(weights(), encodeSafetensors(tensors));
}
const changeJson = async (file: string, change: (json: Record<string, unknown>) => void) => {
  const json = JSON.parse(await readFile(join(folder, file), "utf8"));
  change(json);
  await writeFile(join(folder, file), JSON.stringify(json));
};

describe("saveLanguageModel and loadLanguageModel", () => {
  test.each(Object.keys(smallConfigs))("a model comes back as it was, bit for bit: %s", async (name) => {
    const model = { ...smallModel(name), chatTemplate: "{{ messages }}" };
    await saveLanguageModel(folder, model);
    const loaded = await loadLanguageModel(folder, { requireFinite: true });
    expect(loaded.config).toEqual(model.config);
    expect([...namedTensors(loaded.params)]).toEqual([...namedTensors(model.params)]);
    expect([loaded.endTokens, loaded.chatTemplate]).toEqual([[0, 1], "{{ messages }}"]);
    expect(loaded.tokenizer.toJSON()).toEqual(model.tokenizer.toJSON());
  });

  test("the names and shapes are those of transformers", async () => {
    const shapes = async (name: string) => {
      await saveLanguageModel(folder, smallModel(name), { existing: "replace" });
      const { tensors } = decodeSafetensors(await readFile(weights()), "");
      return Object.fromEntries(Object.entries(tensors).map(([key, { shape }]) => [key, shape.join("x")]));
    };
    expect(await shapes("GPT-2, exact GELU, untied")).toMatchObject({
      "transformer.wte.weight": "300x32",
      "transformer.wpe.weight": "48x32",
      "transformer.h.1.attn.c_attn.weight": "32x96",
      "transformer.h.1.attn.c_attn.bias": "96",
      "transformer.h.0.mlp.c_fc.weight": "32x56",
      "transformer.h.0.mlp.c_proj.weight": "56x32",
      "transformer.ln_f.bias": "32",
      "lm_head.weight": "300x32",
    });
    const qwen3 = await shapes("Qwen3");
    expect(qwen3).toMatchObject({
      "model.embed_tokens.weight": "300x32",
      "model.layers.1.self_attn.q_proj.weight": "64x32",
      "model.layers.1.self_attn.k_proj.weight": "32x32",
      "model.layers.1.self_attn.q_norm.weight": "16",
      "model.layers.0.mlp.down_proj.weight": "32x88",
      "model.norm.weight": "32",
    });
    expect(qwen3).not.toHaveProperty("lm_head.weight");
  });

  test("several files hold at most what was asked, and are read as one", async () => {
    const model = smallModel("Llama, untied");
    await saveLanguageModel(folder, model, { maxShardBytes: 50_000, dtype: "bfloat16" });
    const names = (await readdir(folder)).filter((name) => name.endsWith(".safetensors"));
    expect(names).toEqual(["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    for (const name of names) {
      const { tensors } = decodeSafetensors(await readFile(join(folder, name)), name);
      const held = Object.values(tensors).reduce((sum, { data }) => sum + 2 * data.length, 0);
      expect(held).toBeLessThanOrEqual(50_000);
    }
    const index = JSON.parse(await readFile(join(folder, "model.safetensors.index.json"), "utf8"));
    const parameters = [...namedTensors(model.params).values()].reduce(
      (sum, { data }) => sum + data.length,
      0,
    );
    expect(index.metadata.total_size).toBe(2 * parameters);
    const loaded = namedTensors((await loadLanguageModel(folder)).params);
    for (const [name, tensor] of namedTensors(model.params)) {
      const given = loaded.get(name)?.data as Float32Array;
      const rounded = tensor.data.every(
        (value, i) => Math.abs(value - given[i]) <= 2 ** -8 * Math.abs(value),
      );
      expect(rounded, name).toBe(true);
    }
  });

  test("names without the model's prefix, masks of old files and a head that is tied are read", async () => {
    await saveChanged("GPT-2", (tensors) => {
      for (const [name, tensor] of Object.entries(tensors)) {
        delete tensors[name];
        tensors[name.replace("transformer.", "")] = tensor;
      }
      tensors["h.0.attn.bias"] = new Tensor(new Float32Array(4), [1, 1, 2, 2]);
      tensors["h.0.attn.masked_bias"] = new Tensor(new Float32Array(1), []);
      tensors["lm_head.weight"] = tensors["wte.weight"];
    });
    const { params } = await loadTransformer(folder);
    expect(namedTensors(params)).toEqual(namedTensors(smallModel("GPT-2").params));
  });

  test("end tokens are those of generation_config.json before those of config.json", async () => {
    await saveLanguageModel(folder, smallModel("Qwen2"));
    await changeJson("generation_config.json", (json) => (json.eos_token_id = 7));
    expect((await loadTransformer(folder)).endTokens).toEqual([7]);
    await changeJson("generation_config.json", (json) => delete json.eos_token_id);
    expect((await loadTransformer(folder)).endTokens).toEqual([0, 1]);
  });

  test("the template in a file of its own is before that in tokenizer_config.json", async () => {
    await saveLanguageModel(folder, { ...smallModel("Qwen2"), chatTemplate: "a" });
    await writeFile(join(folder, "chat_template.jinja"), "b");
    expect((await loadLanguageModel(folder)).chatTemplate).toBe("b");
  });

  test("a number that float16 cannot hold is refused, and nothing is left behind", async () => {
    const model = smallModel("Qwen2");
    model.params.norm.scale.data[3] = 7e4;
    await expect(saveLanguageModel(folder, model, { dtype: "float16" })).rejects.toThrow(
      'tensor "model.norm.weight" holds 70000, but float16 ends at 65504',
    );
    expect(await readdir(parent)).toEqual([]);
  });
});

describe("weights that do not fit config.json", () => {
  const changed = (tensors: Record<string, Tensor>, name: string, shape: number[], fill = 0) => {
    tensors[name] = new Tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill), shape);
  };
  test.each<[string, (tensors: Record<string, Tensor>) => void, string]>([
    [
      "missing",
      (tensors) => delete tensors["model.layers.1.mlp.up_proj.weight"],
      'tensor "model.layers.1.mlp.up_proj.weight" is missing, by config.json it is [88, 32]',
    ],
    [
      "of another shape",
      (tensors) => changed(tensors, "model.layers.0.self_attn.k_proj.weight", [32, 16]),
      'tensor "model.layers.0.self_attn.k_proj.weight" is [32, 16], by config.json it is [16, 32]',
    ],
    [
      "not described",
      (tensors) => changed(tensors, "model.layers.0.self_attn.q_proj.bias", [32]),
      'tensor "model.layers.0.self_attn.q_proj.bias" [32] is none of those that config.json describes',
    ],
    [
      "of whole numbers",
      (tensors) => (tensors["model.norm.weight"] = new Tensor(new Int32Array(32))),
      'tensor "model.norm.weight" is of type I32, expected F32, F16 or BF16',
    ],
    [
      "not finite",
      (tensors) => changed(tensors, "model.norm.weight", [32], Number.NaN),
      'tensor "model.norm.weight" holds NaN (number 0, counted from 0)',
    ],
  ])("a tensor that is %s is named", async (_, change, message) => {
    await saveChanged("Llama, untied", change);
    const loaded = loadLanguageModel(folder, { requireFinite: true });
    await expect(loaded).rejects.toMatchObject({ name: "UserError", message });
  });

  test("more layers than the file has, however many, are refused at once", async () => {
    await saveLanguageModel(folder, smallModel("Llama, untied"));
    await changeJson("config.json", (json) => (json.num_hidden_layers = 2 ** 31 - 1));
    await expect(loadTransformer(folder)).rejects.toThrow(
      '"model.layers.2.input_layernorm.weight" is missing',
    );
  });

  test("a tokenizer with more tokens than the model is refused", async () => {
    await saveChanged("GPT-2", (tensors) => changed(tensors, "transformer.wte.weight", [299, 32]));
    await changeJson("config.json", (json) => (json.vocab_size = 299));
    await expect(loadLanguageModel(folder)).rejects.toThrow(
      "has 300 tokens, but the model of config.json has 299",
    );
  });
});

describe("an index", () => {
  beforeEach(() => saveLanguageModel(folder, smallModel("Qwen2"), { maxShardBytes: 40_000 }));
  const file = "model.safetensors.index.json";

  test.each([
    "../model.safetensors",
    "/etc/passwd",
    "a/b.safetensors",
    "..",
    "a\\b.safetensors",
    "",
    3,
    null,
  ])("names no file outside of the folder: %j", async (name) => {
    await writeFile(join(parent, "model.safetensors"), encodeSafetensors({}));
    await changeJson(file, (json) => {
      (json.weight_map as Record<string, unknown>)["model.norm.weight"] = name;
    });
    await expect(loadTransformer(folder)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining('tensor "model.norm.weight" is in'),
      place: { file: join(folder, file) },
    });
  });

  test("that names the wrong file, a missing file, or no files is refused", async () => {
    await changeJson(file, (json) => {
      const map = json.weight_map as Record<string, unknown>;
      map["model.norm.weight"] = map["model.embed_tokens.weight"];
    });
    await expect(loadTransformer(folder)).rejects.toThrow(
      /says that tensor "model.norm.weight" is in model-00001-of-\d+\.safetensors, but it is not/,
    );
    await changeJson(file, (json) => {
      json.weight_map = { a: "model-00009-of-00009.safetensors" };
    });
    await expect(loadTransformer(folder)).rejects.toThrow("there is no such file");
    await changeJson(file, (json) => {
      json.weight_map = [];
    });
    await expect(loadTransformer(folder)).rejects.toThrow("weight_map is [], expected names of files");
    await rm(join(folder, file));
    await expect(loadTransformer(folder)).rejects.toThrow("has neither model.safetensors nor");
  });

  test("a tensor in two of its files is refused", async () => {
    const twice = encodeSafetensors({ "model.norm.weight": new Tensor(new Float32Array(32)) });
    await writeFile(join(folder, "extra.safetensors"), twice);
    await changeJson(file, (json) => {
      (json.weight_map as Record<string, unknown>).x = "extra.safetensors";
    });
    await expect(loadTransformer(folder)).rejects.toThrow(
      'tensor "model.norm.weight" is in this file and in',
    );
  });
});

test("what is not there or no JSON is named", async () => {
  await expect(loadLanguageModel(folder)).rejects.toMatchObject({
    message: "there is no such file",
    place: { file: join(folder, "tokenizer.json") },
    exitCode: 2,
  });
  await saveLanguageModel(folder, smallModel("Qwen2"));
  await writeFile(join(folder, "config.json"), "{");
  await expect(loadLanguageModel(folder)).rejects.toThrow("is not valid JSON");
  await writeFile(join(folder, "config.json"), `[${" ".repeat(2 ** 24)}]`);
  await expect(loadLanguageModel(folder)).rejects.toThrow("has 16777218 bytes, expected at most 16777216");
  await rm(join(folder, "config.json"));
  await mkdir(join(folder, "config.json"));
  await expect(loadLanguageModel(folder)).rejects.toMatchObject({ name: "UserError" });
});

test("files that are links, as in the hub's cache, are read", async () => {
  await saveLanguageModel(folder, smallModel("Qwen2"));
  const snapshot = join(parent, "snapshot");
  await mkdir(snapshot);
  for (const name of await readdir(folder)) await symlink(join(folder, name), join(snapshot, name));
  expect((await loadLanguageModel(snapshot)).config).toEqual(smallConfigs.Qwen2);
});

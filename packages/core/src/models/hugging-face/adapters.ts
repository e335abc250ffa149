import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import { UserError } from "../../errors.js";
import { type CommitOptions, commitFolder } from "../../files.js";
import { type LoraConfig, type LoraParams, type LoraTarget, loraTargets } from "../lora.js";
import { transposed } from "../matrices.js";
import { decodeSafetensors, encodeSafetensors } from "../safetensors.js";
import type { TransformerConfig } from "../transformer-config.js";
import { Fields, readJsonObject } from "./fields.js";

const weightsFile = "adapter_model.safetensors";
const configFile = "adapter_config.json";

/** What peft calls the projections of Llama and its kin. */
const modules: Record<LoraTarget, string> = {
  queries: "self_attn.q_proj",
  keys: "self_attn.k_proj",
  values: "self_attn.v_proj",
  out: "self_attn.o_proj",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
};
const shortName = (target: LoraTarget) => modules[target].split(".")[1];
const tensorName = (layer: number, target: LoraTarget, part: "A" | "B") =>
  `base_model.model.model.layers.${layer}.${modules[target]}.lora_${part}.weight`;

/**
 * Saves adapters as a folder that Hugging Face's peft reads beside the model, whole or not at all.
 *
 * @param config of the model. GPT-2's is refused: it keeps queries, keys and values in one projection
 * @param base name or path of the model, for people and for peft
 * @throws UserError where the folder is there already, and for a model of GPT-2's form
 */
export async function saveAdapters(
  folder: string,
  adapters: LoraParams<Tensor>,
  lora: LoraConfig,
  config: TransformerConfig,
  { base = "", ...commit }: { base?: string } & Pick<CommitOptions, "existing" | "signal"> = {},
): Promise<void> {
  if (config.positions === "learned") {
    throw new UserError("adapters of a model of GPT-2's form cannot be saved by themselves", {
      hint: "Save the model with the adapters in its weights.",
    });
  }
  const tensors: Record<string, Tensor> = {};
  adapters.blocks.forEach((block, layer) => {
    for (const target of loraTargets) {
      const adapter = block[target];
      if (!adapter) continue;
      tensors[tensorName(layer, target, "A")] = turned(adapter.down);
      tensors[tensorName(layer, target, "B")] = turned(adapter.up);
    }
  });
  const described = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: lora.rank,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    target_modules: lora.targets.map(shortName),
  };
  await commitFolder(
    folder,
    async (staging) => {
      await writeFile(join(staging, configFile), `${JSON.stringify(described, null, 2)}\n`);
      await writeFile(join(staging, weightsFile), encodeSafetensors(tensors, { format: "pt" }));
    },
    commit,
  );
}

/**
 * Adapters as peft or {@link saveAdapters} saved them, for a model of the given configuration.
 *
 * @throws UserError naming the file and the tensor that is missing, not expected or of another shape than the model's
 */
export async function loadAdapters(
  folder: string,
  config: TransformerConfig,
): Promise<{ adapters: LoraParams<Tensor>; lora: LoraConfig }> {
  const configPath = join(folder, configFile);
  const json = await readJsonObject(configPath);
  const fields = new Fields(json, configPath);
  if (fields.text("peft_type", "LORA") !== "LORA")
    fields.refuse(`peft_type is ${fields.text("peft_type")}, expected LORA`);
  for (const option of ["use_rslora", "use_dora", "fan_in_fan_out"]) {
    if (fields.flag(option, false)) fields.refuse(`${option} is not supported`);
  }
  const named = fields.value("target_modules");
  const targets = loraTargets.filter((target) => Array.isArray(named) && named.includes(shortName(target)));
  if (!Array.isArray(named) || named.length !== targets.length) {
    fields.refuse(
      `target_modules is ${JSON.stringify(named)?.slice(0, 100)}`,
      `Expected a list of ${loraTargets.map(shortName).join(", ")}.`,
    );
  }
  const lora = { rank: fields.count("r"), alpha: fields.positive("lora_alpha"), targets };

  const weightsPath = join(folder, weightsFile);
  const bytes = await readFile(weightsPath).catch((cause) => {
    throw new UserError("the adapters' weights cannot be read", { place: { file: weightsPath }, cause });
  });
  const { tensors } = decodeSafetensors(bytes, weightsPath);
  const left = new Set(Object.keys(tensors));
  const take = (name: string, shape: readonly [number, number]): Tensor => {
    const tensor = tensors[name];
    const expected = `expected ${shape[0]} x ${shape[1]} of float32`;
    if (!tensor)
      throw new UserError(`has no tensor "${name}", ${expected}`, { place: { file: weightsPath } });
    if (tensor.dtype !== "float32" || tensor.shape.join() !== shape.join()) {
      throw new UserError(`"${name}" is ${tensor.dtype}[${tensor.shape}], ${expected}`, {
        place: { file: weightsPath },
      });
    }
    left.delete(name);
    return turned(tensor);
  };
  const blocks = Array.from({ length: config.layers }, (_, layer) =>
    Object.fromEntries(
      targets.map((target) => {
        const [inputs, outputs] = sizesOf(target, config);
        const down = take(tensorName(layer, target, "A"), [lora.rank, inputs]);
        return [target, { down, up: take(tensorName(layer, target, "B"), [outputs, lora.rank]) }];
      }),
    ),
  );
  for (const name of left) {
    throw new UserError(`has a tensor "${name}", which is no adapter of target_modules`, {
      place: { file: weightsPath },
    });
  }
  return { adapters: { blocks }, lora };
}

function sizesOf(target: LoraTarget, config: TransformerConfig): [inputs: number, outputs: number] {
  const { width, heads, keyValueHeads, headSize, innerWidth } = config;
  if (target === "queries") return [width, heads * headSize];
  if (target === "keys" || target === "values") return [width, keyValueHeads * headSize];
  if (target === "out") return [heads * headSize, width];
  return target === "down" ? [innerWidth, width] : [width, innerWidth];
}

function turned({ data, shape: [rows, columns] }: Tensor): Tensor {
  return new Tensor(transposed(data as Float32Array, rows, columns), [columns, rows]);
}

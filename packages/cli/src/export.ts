import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import {
  commitFolder,
  exportLanguageModel,
  type GgufStoredType,
  loadLanguageModel,
  makeFolder,
  saveGguf,
  saveLanguageModel,
  UserError,
  writeFileAtomic,
} from "outgrow";
import { findModel } from "./find-model.js";
import { newFolder } from "./new-folder.js";

export interface ExportOptions {
  to: "gguf" | "safetensors" | "onnx";
  dtype?: GgufStoredType;
  length?: number;
  out?: string;
  json?: boolean;
}

const endings = { gguf: ".gguf", safetensors: "-safetensors", onnx: ".onnx" };

/** `outgrow export SOURCE --to FORMAT` */
export async function exportModel(source: string, options: ExportOptions): Promise<void> {
  const { to, out, json } = options;
  refuseOthers(options);
  const target = await newFolder(out ?? `${basename(resolve(source))}${endings[to]}`);
  await makeFolder(dirname(target));
  const found = await findModel(source);
  if ("student" in found) await exportStudent(found.student, options, target);
  else await exportLanguageModelTo(found.model, options, target);
  if (json) console.log(JSON.stringify({ source: resolve(source), format: to, path: target }));
  else console.log(`Written ${target}`);
}

function refuseOthers({ to, dtype = "float32", length }: ExportOptions): void {
  const refuse = (message: string) => {
    throw new UserError(message, { hint: "outgrow export --help shows the options." });
  };
  if (to === "safetensors" && dtype === "q8_0") refuse("--dtype q8_0 is for --to gguf");
  if (to === "onnx" && dtype !== "float32")
    refuse(`--dtype is ${dtype}, but onnx is written as float32 alone`);
  if (to !== "onnx" && length !== undefined) refuse("--length is for --to onnx");
}

async function exportLanguageModelTo(
  folder: string,
  { to, dtype, length }: ExportOptions,
  target: string,
): Promise<void> {
  const model = await loadLanguageModel(folder, { requireFinite: true });
  if (to === "gguf") await saveGguf(target, model, { dtype, name: basename(resolve(folder)) });
  else if (to === "onnx") await writeFileAtomic(target, await exportLanguageModel(model, length));
  else if (dtype !== "q8_0") await saveLanguageModel(target, model, { dtype });
}

/** A classifier is in its run's folder as safetensors and as ONNX already. */
async function exportStudent(folder: string, { to, dtype }: ExportOptions, target: string): Promise<void> {
  if (to === "gguf") {
    throw new UserError("the run holds a classifier, but GGUF is for language models", {
      place: { file: folder },
      hint: "Export it --to onnx or --to safetensors.",
    });
  }
  if (dtype !== undefined && dtype !== "float32") {
    throw new UserError(`--dtype is ${dtype}, but a classifier is written as float32 alone`);
  }
  if (to === "onnx") {
    await writeFileAtomic(target, await readFile(join(folder, "student.onnx")));
    return;
  }
  await commitFolder(target, async (staging) => {
    for (const name of ["student.safetensors", "config.json", "tokenizer.json"]) {
      const from = join(folder, name);
      if (existsSync(from)) await writeFile(join(staging, name), await readFile(from));
    }
  });
}

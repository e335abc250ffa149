/* Files that a run reads, each with its hash. */
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  contentHash,
  type Given,
  given,
  hashOfFile,
  type LanguageModel,
  loadLanguageModel,
  type RunRecord,
} from "outgrow";

type Inputs = RunRecord["inputs"];

/** A language model in Hugging Face's layout, by the content of its files. */
export async function readModel(folder: string): Promise<{ model: Given<LanguageModel>; inputs: Inputs }> {
  const model = await loadLanguageModel(folder, { requireFinite: true });
  const entries = await readdir(folder, { withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && /\.(json|safetensors|jinja)$/.test(entry.name))
    .map((entry) => join(folder, entry.name))
    .sort();
  const inputs = await hashed(files, "model");
  return { model: given(model, contentHash(Object.values(inputs).map(({ sha256 }) => sha256))), inputs };
}

/** The files as the inputs of a run: by `name` where there is one, else by it and their numbers from 1. */
export async function hashed(files: readonly string[], name: string): Promise<Inputs> {
  const entries = await Promise.all(
    files.map(async (path, i) => {
      const { size } = await stat(path);
      const input = { path: resolve(path), bytes: size, sha256: hashOfFile(path) as string };
      return [files.length === 1 ? name : `${name} ${i + 1}`, input] as const;
    }),
  );
  return Object.fromEntries(entries);
}

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Tensor } from "@outgrow/engine";
import { UserError } from "../../errors.js";
import { openSafetensors, type SafetensorsFile } from "../safetensors.js";
import { isObject, readJsonObject, show } from "./fields.js";

export const weightsFile = "model.safetensors";
export const indexFile = "model.safetensors.index.json";
const maxIndexBytes = 2 ** 26;
const maxShards = 1000;

/** The tensors of a folder, in one file or in several. */
export interface Weights {
  tensors: ReadonlyMap<string, { dtype: string; shape: readonly number[]; path: string }>;
  /** float32, or as the file has it where it is no floating-point type. */
  read(name: string): Promise<Tensor>;
  close(): Promise<void>;
}

/**
 * Opens `model.safetensors`, or the files that `model.safetensors.index.json` names.
 *
 * @throws UserError for a file that is missing or damaged, and for an index that does not fit its files
 */
export async function openWeights(folder: string): Promise<Weights> {
  if (existsSync(join(folder, weightsFile)))
    return weightsOf([await openSafetensors(join(folder, weightsFile))]);
  const indexPath = join(folder, indexFile);
  if (!existsSync(indexPath)) {
    throw new UserError(`has neither ${weightsFile} nor ${indexFile}`, {
      place: { file: folder },
      hint: "Only weights in the safetensors format are read.",
    });
  }
  const refuse = (message: string) =>
    new UserError(message, { place: { file: indexPath }, hint: "Fetch the model again." });
  const { weight_map: map } = await readJsonObject(indexPath, maxIndexBytes);
  if (!isObject(map)) throw refuse(`weight_map is ${show(map)}, expected names of files by names of tensors`);
  const names = new Set<string>();
  for (const [tensor, name] of Object.entries(map)) {
    // Files of the folder itself and no others.
    if (typeof name !== "string" || !/^[\w][\w.-]*\.safetensors$/.test(name)) {
      throw refuse(
        `tensor ${show(tensor)} is in ${show(name)}, expected the name of a .safetensors file of the folder`,
      );
    }
    names.add(name);
  }
  if (names.size > maxShards) throw refuse(`names ${names.size} files, expected at most ${maxShards}`);
  const files: SafetensorsFile[] = [];
  try {
    for (const name of names) files.push(await openSafetensors(join(folder, name)));
    const weights = weightsOf(files);
    for (const [tensor, name] of Object.entries(map)) {
      if (weights.tensors.get(tensor)?.path !== join(folder, name as string)) {
        throw refuse(`says that tensor ${show(tensor)} is in ${name}, but it is not`);
      }
    }
    return weights;
  } catch (error) {
    await Promise.all(files.map((file) => file.close()));
    throw error;
  }
}

function weightsOf(files: readonly SafetensorsFile[]): Weights {
  const owners = new Map<string, SafetensorsFile>();
  const tensors = new Map<string, { dtype: string; shape: readonly number[]; path: string }>();
  for (const file of files) {
    for (const [name, { dtype, shape }] of file.tensors) {
      const other = owners.get(name);
      if (other) {
        throw new UserError(`tensor ${show(name)} is in this file and in ${other.path}`, {
          place: { file: file.path },
        });
      }
      owners.set(name, file);
      tensors.set(name, { dtype, shape, path: file.path });
    }
  }
  return {
    tensors,
    read: (name) => (owners.get(name) as SafetensorsFile).read(name),
    async close() {
      await Promise.all(files.map((file) => file.close()));
    },
  };
}

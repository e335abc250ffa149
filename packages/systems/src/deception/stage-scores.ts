import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import { encodeSafetensors, type StageOutput } from "outgrow";

const file = "scores.safetensors";

/** What models say of the test pairs, by their names, with `truth`: `[pairs]` each. */
export async function writeScores(folder: string, scores: Record<string, Float32Array>): Promise<void> {
  const tensors = Object.fromEntries(
    Object.entries(scores).map(([name, values]) => [name, new Tensor(values)]),
  );
  await writeFile(join(folder, file), encodeSafetensors(tensors));
}

export async function readScores(output: StageOutput): Promise<Record<string, Float32Array>> {
  const { tensors } = await output.tensors(file);
  return Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data as Float32Array]));
}

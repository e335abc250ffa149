import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Backbone,
  type ClassifierParams,
  decodeSafetensors,
  featureModel,
  type Scaling,
  type TextModel,
  textModel,
  tokenizerFromJSON,
  treeOfTensors,
} from "outgrow";

/** The student that a fit wrote, as it was trained. */
export interface SavedStudent {
  backbone: Backbone;
  params: ClassifierParams;
  classes: string[];
  /** Of texts: what turns them into inputs. */
  text?: TextModel;
  /** Of rows of features: what is done to them first. */
  scaling?: Scaling;
}

/** @param folder `student` in the results of a run of fit */
export async function readSavedStudent(folder: string): Promise<SavedStudent> {
  const path = join(folder, "student.safetensors");
  const params = treeOfTensors(decodeSafetensors(await readFile(path), path).tensors) as ClassifierParams;
  const json = async (name: string) => JSON.parse(await readFile(join(folder, name), "utf8"));
  const { classes, transformer, length, pooling, scaling } = await json("config.json");
  if (transformer) {
    const tokenizer = tokenizerFromJSON(await json("tokenizer.json"));
    const parts = { config: transformer, length, pooling, params: params.body as never };
    const text = textModel({ ...parts, tokenizer, cut: 0 });
    return { backbone: text.backbone, params, classes, text };
  }
  const { hidden } = params.body as { hidden: never };
  const { mean, deviation } = scaling as { mean: number[]; deviation: number[] };
  return {
    backbone: featureModel(hidden),
    params,
    classes,
    scaling: { mean: Float64Array.from(mean), deviation: Float64Array.from(deviation) },
  };
}

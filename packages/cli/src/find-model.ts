import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { readManifest, resolveModel, runFileName, UserError } from "outgrow";
import { findRun } from "./find-run.js";

/** The folder of a language model (a folder, `hf:owner/name`, or a run's), or of the student of a run. */
export async function findModel(
  source: string,
  signal?: AbortSignal,
): Promise<{ model: string } | { student: string }> {
  if (source.startsWith("hf:")) return { model: await resolveModel(source, { signal }) };
  if (isModel(source)) return { model: source };
  const folder = await resultsOf(source);
  const { files } = await readManifest(folder);
  const models = Object.keys(files)
    .filter((path) => basename(path) === "config.json" && isModel(join(folder, dirname(path))))
    .map((path) => join(folder, dirname(path)));
  if (models.length === 1) return { model: models[0] };
  if (models.length > 1) {
    throw new UserError(`the run has ${models.length} language models`, {
      hint: `Name one of them: ${models.join(", ")}`,
    });
  }
  if ("student/student.safetensors" in files) return { student: join(folder, "student") };
  throw new UserError("the run holds no trained model", {
    place: { file: folder },
    hint: "Runs of `outgrow fit` hold their student. `outgrow runs` lists what there is.",
  });
}

/** The folder of results of a run by its id, or that folder wherever it is now. */
async function resultsOf(source: string): Promise<string> {
  const isRun = existsSync(join(source, runFileName));
  if (!isRun && existsSync(source)) {
    throw new UserError("holds neither a model in Hugging Face's layout nor a run", {
      place: { file: source },
      hint: "A model has config.json and model.safetensors; a run has run.json.",
    });
  }
  const { record } = await findRun(source);
  if (isRun) return resolve(source);
  if (record.status === "done") return record.folder;
  throw new UserError(`the run ${record.id} is ${record.status}, and has no results yet`);
}

const isModel = (folder: string) =>
  existsSync(join(folder, "config.json")) &&
  ["model.safetensors", "model.safetensors.index.json"].some((name) => existsSync(join(folder, name)));
